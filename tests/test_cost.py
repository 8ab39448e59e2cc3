"""What pruning gains and what methods take: formulas, counts and bytes. Seconds are for `bench/`."""

import json
from argparse import Namespace
from collections import Counter
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

import avss
from avss.architectures import blocks_of
from avss.errors import InputError
from avss.methods import METHODS
from avss.methods.catalogue import Work
from avss.report import benchmarks
from avss.report.figures.cost import cost_of_methods, cost_of_pruning, of_methods, of_pruning
from avss.report.figures.style import style
from avss.report.snapshot import Results
from avss.report.tables import cost as tables
from avss.store import Store
from bench.measuring import generating
from tests.conftest import labelled, ragged, tiny
from tests.stores import COMMITTED, cells

ROOT = Path(__file__).parent.parent
BLOCKS = 8
READING = [name for name, method in METHODS.items() if method.reads_text]
PROVENANCE = {
    "git_revision": "abc",
    "created": "2026-01-01T00:00:00Z",
    "dtype": "float32",
    "versions": {"torch": "2"},
    "hardware": {"processor": "slate", "cores": 2, "threads": 1, "device": "cpu"},
    "load_average": [[0.5, 1, 1], [0.25, 1, 1]],
}


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "results")


def write(store: Store, name: str, rows: list[dict], **hardware) -> Path:
    path = store.root.parent / "bench/results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = PROVENANCE | {"hardware": PROVENANCE["hardware"] | hardware}
    path.write_text(json.dumps({"setting": {"blocks": BLOCKS, "width": 64}, "rows": rows, "provenance": facts}))
    return path


def pruned(removed: int, rest: float = 0.2) -> dict:
    """A row in which the share `rest` of all sizes and times lies outside the blocks, and the cache in them."""
    share = rest + (1 - rest) * (BLOCKS - removed) / BLOCKS
    row = {"removed": removed, "blocks": BLOCKS - removed, "repeats": 5, "parameters": round(1_000_000 * share)}
    row |= {"cache_mib": 2.0 * (BLOCKS - removed), "process_mib": 300.0, "peak_mib": 300 + 100 * share}
    for name in ("prefill", "decode", "first_token"):
        row |= {f"{name}_seconds": share, f"{name}_speedup": 1 / share}
        row |= {f"{name}_speedup_quartiles": [0.9 / share, 1.1 / share], f"{name}_tokens_per_second": 64 / share}
    return row


def method_row(name: str, ratio: float = 1.0) -> dict:
    quartiles = [0.9 * ratio, 1.1 * ratio]
    return {
        **{"method": name, "repeats": 5, "time_ratio": ratio, "time_ratio_quartiles": quartiles},
        "memory_ratio": 1.5,
    }


def test_the_ideal_is_the_inverse_of_the_share_of_blocks_that_stay():
    assert [benchmarks.ideal(16, removed) for removed in (0, 4, 8, 12)] == [1, 16 / 12, 2, 4]


@pytest.mark.parametrize(("rest", "removed"), [(0.0, 3), (0.25, 1), (0.5, 4), (0.9, 7)])
def test_what_does_not_shrink_is_read_back_from_the_factor(rest, removed):
    cost = rest + (1 - rest) * (BLOCKS - removed) / BLOCKS
    assert benchmarks.rest_of(BLOCKS, removed, 1 / cost) == pytest.approx(rest)


def test_every_quantity_is_set_beside_the_whole_model(store):
    write(store, "pruning-cpu", [pruned(4), pruned(0), pruned(2)])
    data = benchmarks.pruning(Results(store))
    assert list(data["removed"].unique()) == [0, 2, 4]
    assert list(data["quantity"].unique()) == [*benchmarks.SIZES, *benchmarks.TIMES]
    assert (data.loc[data["removed"] == 0, "factor"] == 1).all()
    found = data[data["removed"] == 4].set_index("quantity")
    assert found.loc["cache", "factor"] == found.loc["cache", "ideal"] == 2
    others = found.drop(index="cache")
    assert list(others["factor"]) == pytest.approx([1 / 0.6] * 5)
    assert list(found["value"]) == pytest.approx([0.6, 8, 60, 64 / 0.6, 64 / 0.6, 600])
    assert others["low"].notna().tolist() == [False, False, True, True, True]


def test_machines_stand_side_by_side(store):
    for device, hardware in (("cpu", {}), ("cuda", {"accelerator": "granite"})):
        # An accelerator holds nothing before there is a model.
        rows = [pruned(removed) | ({"process_mib": 0.0} if hardware else {}) for removed in (0, 2)]
        write(store, f"pruning-{device}", rows, **hardware)
        write(store, f"methods-{device}", [method_row("cim"), method_row("gbis")], **hardware)
    names = [f"{machine}, float32, 8 blocks of width 64" for machine in ("slate", "granite")]
    assert list(benchmarks.pruning(Results(store))["measured on"].unique()) == names
    methods = benchmarks.methods(Results(store))
    assert list(zip(methods["measured on"], methods["method"], strict=True)) == [
        (name, method) for name in names for method in ("gbis", "cim")
    ]
    assert list(benchmarks.basis(Results(store), "pruning")["load average"]) == ["0.5 to 0.25"] * 2
    assert [tables.pruning_table(Results(store)).count(name) for name in names] == [1, 1]


def test_tables_tell_amounts_factors_and_what_lies_outside_the_blocks(store):
    write(store, "pruning-cpu", [pruned(0), pruned(2), pruned(4)])
    table = tables.pruning_table(Results(store))
    assert cells(table, "blocks") == ["all 8", "without 2", "without 4", "outside the blocks, %"]
    assert cells(table, "M / (M − k)") == ["1.00", "1.33", "2.00", ""]
    assert cells(table, "parameters") == ["1 million", "0.8 million: 1.25", "0.6 million: 1.67", "20.0"]
    assert cells(table, "cache")[-1] == "0.0"
    assert cells(table, "decoding")[2:] == ["106.7 tokens/s: 1.67 [1.50,\u00a01.83]", "20.0 [9.1,\u00a033.3]"]


def test_a_method_that_was_measured_once_has_no_quartiles(store):
    write(store, "methods-cpu", [method_row("cim", 10) | {"repeats": 1}, method_row("gbis", 2)])
    table = tables.methods_table(Results(store))
    assert cells(table, "GBIS") == ["2.00 [1.80,\u00a02.20]", "5", "2.0", "8", "8", "1.50"]
    assert cells(table, "CIM") == ["10.00", "1", "9.0", "72", "0", "1.50"]


@pytest.mark.parametrize("name", tables.TABLES)
def test_tables_of_nothing_say_so(store, name):
    assert tables.TABLES[name](Results(store)) == "not measured\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peak_mib": None}, "peak_mib is None"),
        ({"decode_speedup": -1.0}, "decode_speedup is -1.0"),
        ({"prefill_speedup_quartiles": [2.0, 1.0]}, "quartiles is"),
        ({"blocks": 5}, "do not add up"),
        ({"removed": 1, "blocks": 7}, "do not begin with all 8"),
    ],
)
def test_a_file_that_cannot_be_true_is_named(store, change, message):
    path = write(store, "pruning-cpu", [pruned(0) | change])
    with pytest.raises(InputError, match=message) as error:
        benchmarks.pruning(Results(store))
    assert path.name in str(error.value)


def test_a_damaged_file_and_a_file_without_rows_are_named(store):
    path = write(store, "methods-cpu", [])
    with pytest.raises(InputError, match="no rows"):
        benchmarks.methods(Results(store))
    write(store, "methods-cpu", [{"method": "cim"}])
    with pytest.raises(InputError, match="repeats"):
        benchmarks.methods(Results(store))
    path.write_text("{")
    with pytest.raises(InputError, match=path.name):
        benchmarks.methods(Results(store))


def test_a_method_without_a_count_says_where_to_add_it(store):
    write(store, "methods-cpu", [method_row("divination")])
    with pytest.raises(InputError, match=r"add an entry to avss/methods/catalogue\.py"):
        benchmarks.methods(Results(store))


def test_every_method_that_reads_text_is_counted_and_no_other():
    for method in METHODS.values():
        assert (method.work(4, 1) != Work()) == method.reads_text, method.name


@pytest.mark.parametrize("family", ["llama", "distilbert"])
@pytest.mark.parametrize("method", READING)
def test_methods_run_the_blocks_that_they_are_charged_for(method, family):
    model, runs = tiny(family), Counter()
    for block in blocks_of(model):
        block.register_forward_hook(lambda *_: runs.update(forwards=1))
        block.register_full_backward_hook(lambda *_: runs.update(backwards=1))
    avss.score(model, [labelled(family, ragged())], method)
    assert (runs["forwards"], runs["backwards"]) == METHODS[method].work(4, 3)[:2]


def test_the_benchmark_prunes_and_counts_every_byte():
    arguments = Namespace(
        width=64, blocks=3, vocabulary=40, prompt=6, new=3, batch=2, device="cpu", dtype="float32", shape=None
    )
    model, ids = generating.without_last(arguments, 1), generating.prompts(arguments)
    fresh = generating.model_of(arguments, 2)
    assert model.config.to_dict() == fresh.config.to_dict()
    assert [p.shape for p in model.parameters()] == [p.shape for p in fresh.parameters()]
    assert model.num_parameters() == 2 * (4 * 64**2 + 3 * 64 * 256 + 2 * 64) + 2 * 40 * 64 + 64
    seconds, cached = generating.measure(model, ids, arguments.new, "cpu")
    assert set(seconds) == set(generating.TIMES)
    # Keys and values of 2 blocks: every token of prompt and answer, 64 features of 4 bytes.
    assert cached == 2 * 2 * arguments.batch * (arguments.prompt + arguments.new) * 64 * 4


def test_the_benchmark_decodes_as_generation_does():
    arguments = Namespace(
        width=64, blocks=2, vocabulary=40, prompt=6, new=5, batch=2, device="cpu", dtype="float32", shape=None
    )
    model, ids = generating.without_last(arguments, 1), generating.prompts(arguments)
    settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "max_new_tokens": arguments.new + 1}
    generated = model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    with torch.inference_mode():
        output = generating.continued(model, generating.read(model, ids), arguments.new)
    assert torch.equal(output.logits[:, -1].argmax(-1), generated[:, -1])
    assert output.past_key_values.get_seq_length() == arguments.prompt + arguments.new


def test_speed_ups_are_medians_over_rounds_so_that_a_slow_round_costs_nothing():
    whole = [dict.fromkeys(generating.TIMES, seconds) for seconds in (2.0, 20.0, 2.0, 2.0, 2.0)]
    half = [dict.fromkeys(generating.TIMES, seconds) for seconds in (1.0, 10.0, 1.0, 1.0, 9.0)]
    found = generating.speeds(whole, half, Namespace(batch=2, prompt=10, new=5))
    assert (found["decode_seconds"], found["decode_speedup"]) == (1, 2)
    assert found["decode_speedup_quartiles"] == [2, 2]
    assert (found["prefill_tokens_per_second"], found["decode_tokens_per_second"]) == (20, 10)


@pytest.mark.parametrize("draw", [cost_of_pruning, cost_of_methods])
def test_figures_of_cost_fit_the_page_also_where_nothing_is_measured(store, draw):
    for measured in (False, True):
        if measured:
            for device, hardware in (("cpu", {}), ("cuda", {"accelerator": "granite"})):
                write(store, f"pruning-{device}", [pruned(0), pruned(2), pruned(4)], **hardware)
                write(store, f"methods-{device}", [method_row(name, 9) for name in READING], **hardware)
        with mpl.rc_context(style("light")):
            figure, data = draw(Results(store))
            figure.draw_without_rendering()
            drawn = figure.get_tightbbox()
        assert data.empty is not measured
        assert min(drawn.x0, drawn.y0) >= 0
        assert drawn.x1 <= figure.get_figwidth() <= 7
        if measured:
            title = figure._suptitle.get_window_extent()
            boxes = [each.get_tightbbox() for each in figure.axes] + [
                each.get_window_extent() for each in figure.legends
            ]
            assert not [box for box in boxes if box.overlaps(title)]


def test_the_title_tells_what_pruning_saves_on_the_first_machine(store):
    write(store, "pruning-cpu", [pruned(0)])
    assert of_pruning(benchmarks.pruning(Results(store))) == "Only a model with all its 8 blocks is measured"
    write(store, "pruning-cpu", [pruned(0), pruned(2), pruned(4)])
    told = "Without 4 of 8 blocks a model is 1.67 to 2.00 times smaller and 1.67 times faster; "
    told += "blocks alone would give 2.00"
    assert of_pruning(benchmarks.pruning(Results(store))) == told
    write(store, "pruning-cuda", [pruned(0), pruned(4, rest=0.5)], accelerator="granite")
    assert of_pruning(benchmarks.pruning(Results(store))) == f"{told} (slate, float32, 8 blocks of width 64)"


@pytest.mark.parametrize(
    ("ratios", "told"),
    [
        ({"avss": 1.084}, "AVSS takes 1.08 times the time and 1.50 times the memory of a bare pass"),
        (
            {"avss": 1, "cim": 19.25},
            "AVSS takes 1.00 times the time and 1.50 times the memory of a bare pass, CIM 19.25 and 1.50",
        ),
        (
            {"avss": 1, "gbis": 2, "cim": 219.25},
            "AVSS takes 1.00 times the time and 1.50 times the memory of a bare pass, "
            "the other methods 2.00 to 219.25 and 1.50",
        ),
        (
            {"gbis": 2, "cim": 19.25},
            "The methods take 2.00 to 19.25 times the time and 1.50 times the memory of a bare pass",
        ),
    ],
)
def test_the_title_tells_what_the_methods_take_on_the_first_machine(store, ratios, told):
    rows = [method_row(name, ratio) for name, ratio in ratios.items()]
    write(store, "methods-cpu", rows)
    assert of_methods(benchmarks.methods(Results(store))) == told
    write(store, "methods-cuda", [method_row("avss", 7)], accelerator="granite")
    assert of_methods(benchmarks.methods(Results(store))) == f"{told} (slate, float32, 8 blocks of width 64)"


def test_the_numbers_beside_the_methods_have_as_many_decimals(store):
    write(store, "methods-cpu", [method_row("avss", 1), method_row("cim", 19.25), method_row("gbis", 218)])
    with mpl.rc_context(style("light")):
        figure, _ = cost_of_methods(Results(store))
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == ["218.00", "19.25", "1.00"]


@pytest.mark.parametrize("path", sorted((ROOT / "bench/results").glob("*.json")), ids=lambda path: path.stem)
def test_committed_measurements_can_be_traced(path):
    facts = json.loads(path.read_text())["provenance"]
    assert {"git_revision", "lock_sha256", "versions", "hardware", "created"} <= set(facts)


def test_committed_measurements_can_be_read():
    assert set(benchmarks.pruning(COMMITTED)["quantity"]) == {*benchmarks.SIZES, *benchmarks.TIMES}
    # A method that was added since is not measured yet.
    assert set(benchmarks.methods(COMMITTED)["method"]) <= set(READING)
