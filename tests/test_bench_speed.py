"""The benchmarks of speed: that what they compare gives the same, and that figures and tables say what files hold."""

import json
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

import avss
from avss.report import speed
from avss.report.figures import speed as figures
from avss.report.figures.style import style
from avss.report.snapshot import Results
from avss.report.tables import speed as tables
from avss.store import Store
from bench import measuring
from bench.measuring import ways
from bench.measuring.whole_passes import whole_passes
from tests.conftest import ragged, tiny

BATCHES = [ragged((9, 5, 7, 4), seed=1), ragged((6, 9, 3, 8), seed=2)]
PROVENANCE = {
    "hardware": {"processor": "slate", "cores": 2, "threads": 2},
    "load_average": [[0.1, 0.2, 0.3], [1.5, 1, 0.5]],
    "dtype": "float32",
    "versions": {"torch": "2", "transformers": "5"},
    "created": "2026-01-01T00:00:00Z",
    "git_revision": "0123456789abcdef",
}


def test_hidden_states_kept_give_the_statistics_of_avss():
    found, table = ways.kept(tiny("llama"), BATCHES), avss.score(tiny("llama"), BATCHES).table
    # The last of them is after the final norm, which is one reason not to go this way.
    assert [variance for variance, _ in found[:-1]] == pytest.approx(table["variance"][:-1].tolist(), rel=1e-4)
    assert [share for _, share in found[:-1]] == pytest.approx(table["sparsity"][:-1].tolist(), rel=1e-4)


def test_the_released_way_gives_the_reading_released_code():
    text = ways.padded(BATCHES, 12)
    assert [batch["input_ids"].shape for batch in text] == [(4, 12)] * 2
    expected = avss.score(tiny("llama"), text, reading="released-code,epsilon=0.05").table["variance"]
    assert [variance for variance, _ in ways.released(tiny("llama"), text)] == pytest.approx(
        expected.tolist(), rel=1e-5
    )


def test_whole_passes_give_what_the_engine_gives():
    model, gates = tiny("llama"), np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0.5], [0.5, 0.5, 1, 0]])
    found, expected = whole_passes(model, BATCHES, gates), avss.ablate(model, BATCHES, gates)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert found.probability == pytest.approx(expected.probability, rel=1e-4)
    assert found.count.tolist() == expected.count.tolist()
    assert not any(block._forward_hooks for block in model.model.layers)


def test_memory_is_what_tensors_held_at_most():
    def run() -> None:
        # 4, then 4 + 8, then 8 + 8 MiB.
        first = torch.zeros(1 << 20)
        second = first.double()
        del first
        second + 1

    assert measuring.live_peak(run, "cpu") == pytest.approx(16 * 2**20, rel=1e-3)


def test_one_document_in_four_is_half_as_long_and_one_alone_is_whole():
    assert measuring.ragged(1, 2048) == [2048]
    assert measuring.ragged(8, 128) == [128, 128, 128, 64] * 2


@pytest.mark.parametrize(("patience", "fitting"), [(60, 3), (0.25, 2), (0.01, 1)])
def test_as_many_rounds_as_fit_and_at_least_the_first(patience, fitting):
    runs = {name: lambda: time.sleep(0.05) for name in ("a", "b")}
    taken = measuring.rounds(runs, 3, "cpu", patience)
    assert {len(seconds) for seconds in taken.values()} == {fitting}


def line(sweep: str, at, way: str, ratio: float, extra: float) -> dict:
    own = {"sweep": sweep, "at": at, "way": way, "width": at if sweep == "width" else 256, "blocks": 4, "repeats": 3}
    own |= {"seconds": 10 * ratio, "time_ratio": ratio, "time_ratio_quartiles": [ratio - 0.01, ratio + 0.01]}
    own |= {"extra_mib": extra, "extra_share": extra / 1000, "tokens_per_second": 4.0, "documents": 8}
    return own | {"matrix_share": 0.5, "bandwidth_share": 0.01, "tokens": 4096, "name": f"{sweep}-{at}-{way}"}


def write(root: Path, script: str, rows: list[dict], **hardware) -> None:
    folder = root / "bench" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    facts = PROVENANCE | {"hardware": PROVENANCE["hardware"] | hardware}
    limits = {"matrix_per_second": 2e11, "copied_bytes_per_second": 3e10}
    content = {"setting": {"vocabulary": 9}, "limits": limits, "rows": rows, "provenance": facts}
    (folder / f"{script}-{'cuda' if hardware else 'cpu'}.json").write_text(json.dumps(content))


@pytest.fixture
def store(tmp_path) -> Store:
    ways = {"bare": (1.0, 0.0), "avss": (1.02, 0.4), "kept": (1.1, 40.0), "released": (1.5, 8.0)}
    points = {"width": (64, 512, 1024), "samples": (512, 1024), "length": (16, 32), "blocks": (4, 8)}
    write(tmp_path, "scoring", [line(s, at, way, *ways[way]) for s in points for at in points[s] for way in ways])
    deep = {"method": "leave_one_out", "blocks": 32, "repeats": 3, "speedup": 1.7, "speedup_quartiles": [1.6, 1.85]}
    deep |= {"shared_seconds": 1.0, "naive_seconds": 1.7, "shared_block_forwards": 528, "naive_block_forwards": 1024}
    write(tmp_path, "ablation", [deep | {"counted_speedup": 1.94}])
    return Store(tmp_path / "results")


@pytest.mark.parametrize("function", [figures.cost_of_scoring, figures.growth_of_scoring, figures.shared_prefixes])
def test_figures_come_with_the_data_that_they_plot(store, function):
    with mpl.rc_context(style("dark")):
        figure, data = function(Results(store))
    assert len(figure.axes)
    assert set(data["measured on"]) == {"slate"}
    assert not data[["low", "high"]].isna().any(axis=None)


def test_shapes_of_an_accelerator_are_drawn_and_judged(store, tmp_path):
    rows = [line("shape", speed.LARGEST, way, ratio, 4) for way, ratio in (("bare", 1.0), ("avss", 1.04))]
    write(tmp_path, "scoring", [row | {"waits_per_batch": 1.0} for row in rows], accelerator="a card")
    with mpl.rc_context(style("light")):
        figure, data = figures.scoring_at_real_shapes(Results(store))
    assert len(figure.axes) == 1
    assert set(data["measured on"]) == {"a card"}
    table = tables.target_table(Results(store))
    assert "at most 1.03 | not measured | 1.04 [1.03,\u00a01.05], does not hold |" in table
    waits = "waits for the accelerator in a batch beyond a bare pass's, shape of LLama-8B: at most 0"
    assert f"{waits} | not measured | 0, holds |" in table


def scored(sweep: str, **ways: dict) -> pd.DataFrame:
    """Lines of `scoring`: by way, the time and the extra memory in MiB at each point of the sweep."""
    lines = [line(sweep, at, way, *cost) for way, points in ways.items() for at, cost in points.items()]
    return pd.DataFrame(lines).assign(**{"measured on": "slate"})


def on_two_machines(data: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([data, data.assign(**{"measured on": "granite"}, time_ratio=9.0, extra_mib=9.0)])


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        (
            {"avss": {64: (1.2, 200)}},
            "AVSS takes 1.20 bare passes and 20.0\u00a0% of the weights as extra memory at width 64",
        ),
        (
            {"avss": {1024: (0.94, 2), 64: (1.2, 200)}, "kept": {64: (3, 3)}},
            "AVSS takes 1.20 bare passes and 20.0\u00a0% of the weights as extra memory at width 64, "
            "0.94 and 0.2\u00a0% at width 1024",
        ),
    ],
)
def test_the_title_tells_what_scoring_costs_in_the_narrowest_and_the_widest_model(ways, told):
    data = scored("width", **ways)
    assert figures.of_widths(data) == told
    assert figures.of_widths(on_two_machines(data)) == f"{told} (slate)"
    assert figures.of_widths(scored("width", kept={64: (1, 1)})) == "AVSS is not measured"


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        ({"avss": {128: (1, 2.3)}}, "AVSS needs 2.3 MiB for 128 documents"),
        ({"avss": {1024: (1, 2.4), 128: (1, 2.3)}}, "AVSS needs 2.3 MiB for 128 and 2.4 MiB for 1024 documents"),
        (
            {"avss": {128: (1, 2.3)}, "kept": {128: (1, 351.7), 1024: (1, 3151.7)}},
            "AVSS needs 2.3 MiB for 128 documents; "
            "hidden states kept need 351.7 MiB for 128 and 3151.7 MiB for 1024 documents",
        ),
    ],
)
def test_the_title_tells_how_extra_memory_grows_with_the_documents(ways, told):
    data = scored("samples", **ways)
    assert figures.of_documents(data) == f"Beyond a bare pass, {told}"
    assert figures.of_documents(on_two_machines(data)) == f"Beyond a bare pass, {told} (slate)"
    assert figures.of_documents(data.assign(sweep="blocks")) == (
        "Extra memory is not measured by the number of documents"
    )


def test_the_title_tells_the_time_at_all_shapes_on_all_machines():
    one = scored("shape", avss={"LLama-8B": (1.02, 1)})
    assert figures.of_shapes(one) == "At the shape of LLama-8B AVSS takes the time of 1.02 bare passes"
    two = on_two_machines(scored("shape", avss={"LLama-8B": (1.02, 1), "LLama-7B": (1.04, 1)}))
    told = "At the shapes of 2 models of the paper AVSS takes the time of 1.02 to 9.00 bare passes"
    assert figures.of_shapes(two) == told
    assert figures.of_shapes(one.assign(way="kept")) == "AVSS is not measured"


def test_the_title_tells_how_fast_methods_run_with_shared_prefixes():
    beside = "times as fast as with a whole pass for every mask"
    data = pd.DataFrame({"method": ["leave_one_out", "cim", "cim"], "speedup": [0.96, 1.5, 2]})
    assert figures.of_sharing(data) == f"With shared prefixes 2 methods run 0.96 to 2.00 {beside}"
    assert figures.of_sharing(data[:1]) == f"With shared prefixes leave one out runs 0.96 {beside}"


@pytest.mark.parametrize("function", [figures.cost_of_scoring, figures.growth_of_scoring, figures.shared_prefixes])
def test_small_print_names_the_machines_and_panels_their_quantities(store, tmp_path, function):
    rows = [line("width", at, way, ratio, 4) for at in (64, 512) for way, ratio in (("bare", 1.0), ("avss", 1.04))]
    for hardware in ({}, {"accelerator": "granite"}):
        if hardware:
            write(tmp_path, "scoring", rows, **hardware)
        with mpl.rc_context(style("light")):
            figure, data = function(Results(store))
            figure.draw_without_rendering()
        (legend,) = figure.legends
        shown = [legend.get_title().get_text(), *(text.get_text() for text in legend.texts)]
        assert any("slate" in text for text in shown)
        assert ("measured on slate and granite, from top to bottom" in shown) is (data["measured on"].nunique() > 1)
        titles = {panel.get_title("left") for panel in figure.axes} - {""}
        assert titles == ({"time", "extra memory"} if function is figures.cost_of_scoring else set())
        title = figure._suptitle.get_window_extent()
        boxes = [panel.get_tightbbox() for panel in figure.axes] + [legend.get_window_extent()]
        assert not [box for box in boxes if box.overlaps(title)]


def test_targets_are_judged_by_what_was_measured(store):
    table = tables.target_table(Results(store))
    assert "width 512 and more: at most 1.05 | 1.02 [1.01,\u00a01.03], holds |" in table
    assert "at most 0.01 | 0.0004, holds |" in table
    assert "times as fast: at least 1 | 1.08, holds |" in table
    assert "times less extra memory: at least 10 | 100, holds |" in table
    assert "the released scripts' way: times as fast: at least 3 | 1.47, does not hold |" in table
    assert "by shared prefixes: at least 1.8 | 1.7 [1.6,\u00a01.85], open |" in table
    assert "shape of LLama-8B: at most 1.03 | not measured |" in table


def test_tables_show_limits_load_and_counts(store):
    assert "| matrix products, GFLOP/s | 200 | 200 |" in tables.speed_basis(Results(store))
    assert "| load average before and after | 0.1 and 1.5 | 0.1 and 1.5 |" in tables.speed_basis(Results(store))
    assert "| width 512 | AVSS | 1.02 [1.01,\u00a01.03] |  | 0.40 | 0.04\u00a0% | 4 | 50\u00a0%, 1.0\u00a0% |" in (
        tables.scoring_table(Results(store), "width")
    )
    assert "| 528 and 1024 | 1.94 |" in tables.sharing_table(Results(store))


def test_a_sweep_from_several_files_is_one_line_in_order(store):
    rows = [line("samples", 2048, way, ratio, 4) for way, ratio in (("bare", 1.0), ("avss", 1.04))]
    content = {"setting": {}, "rows": rows, "provenance": PROVENANCE}
    (store.root.parent / "bench" / "results" / "scoring-cpu-more.json").write_text(json.dumps(content))
    with mpl.rc_context(style("light")):
        figure, _ = figures.growth_of_scoring(Results(store))
    drawn = [list(each.get_xdata()) for each in figure.axes[0].lines]
    assert [512, 1024, 2048] in drawn
    assert all(points == sorted(points) for points in drawn)


def test_a_single_round_has_no_quartiles(store, tmp_path):
    rows = [line("width", 64, way, ratio, 4) | {"repeats": 1} for way, ratio in (("bare", 1.0), ("avss", 1.04))]
    write(tmp_path, "scoring", rows)
    assert "| width 64 | AVSS | 1.04 |" in tables.scoring_table(Results(store), "width")
    with mpl.rc_context(style("light")):
        figure, data = figures.cost_of_scoring(Results(store))
        figure.savefig(tmp_path / "figure.svg")
    assert data[["low", "high"]].isna().all(axis=None)


def test_without_files_nothing_is_measured(tmp_path):
    nothing = Store(tmp_path / "results")
    functions = (
        figures.cost_of_scoring,
        figures.growth_of_scoring,
        figures.scoring_at_real_shapes,
        figures.shared_prefixes,
    )
    for function in functions:
        with mpl.rc_context(style("light")):
            figure, data = function(Results(nothing))
        assert [text.get_text() for text in figure.texts] == ["not measured"]
        assert data.empty
    assert {table(Results(nothing)) for table in tables.TABLES.values()} == {"Not measured.\n"}
