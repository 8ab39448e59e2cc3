"""A row from profile to store on a tiny model: killed and resumed, changed, broken, and damaged on disk."""

import json
import os
import shutil
import signal
import socket
import time
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path

import pandas as pd
import pytest
import torch

import avss
from avss.architectures import blocks_of
from avss.data import batches, load_data, sample
from avss.errors import InputError
from avss.methods import METHODS
from avss.runs import context, experiment
from avss.runs.cells import cells
from avss.runs.experiment import run_row
from avss.runs.profile import Row
from avss.store import Run, Store
from avss.tasks import sentiment
from tests.conftest import SENTENCES, WORDS, save
from tests.killing import forked


@pytest.fixture(scope="module")
def row(tmp_path_factory) -> Row:
    """Forty documents of known words and a tiny encoder."""
    folder = tmp_path_factory.mktemp("row")
    data = folder / "data"
    data.mkdir()
    for split in ("train", "validation"):
        lines = [
            json.dumps(
                {"sentence": " ".join(WORDS[(i * j + len(split)) % 13] for j in range(1, 3 + i % 5)), "label": i % 2}
            )
            for i in range(40)
        ]
        (data / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return Row("r", "sentiment", str(save(folder, "bert")), str(data), remove=1, seeds=3, samples=10)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> None:
    """By default a row keeps losses and choices below the current folder, where the next run would find them."""
    monkeypatch.chdir(tmp_path)


def stored(row: Row, folder: Path) -> Store:
    """A new store that holds all of a row."""
    store = Store(folder / "results")
    assert run_row(row, "p", store, None) == len(cells(row))
    return store


def copied(store: Store, folder: Path) -> Store:
    """A copy of a store that a test may change."""
    return Store(shutil.copytree(store.root, folder))


@pytest.fixture(scope="module")
def measured(row, tmp_path_factory) -> Store:
    """A store that holds all of the row. Tests only read it."""
    return stored(row, tmp_path_factory.mktemp("measured"))


@pytest.fixture(scope="module")
def short(row) -> Row:
    """The row with two methods and one seed."""
    return replace(row, methods=("avss", "last"), seeds=1)


@pytest.fixture(scope="module")
def measured_short(short, tmp_path_factory) -> Store:
    """A store that holds all of the short row. Tests only read it."""
    return stored(short, tmp_path_factory.mktemp("measured-short"))


@pytest.fixture(scope="module")
def two_seeds(short, tmp_path_factory) -> tuple[Row, Store]:
    """The short row with two seeds, and a store that holds all of it. Tests only read it."""
    row = replace(short, seeds=2)
    return row, stored(row, tmp_path_factory.mktemp("two-seeds"))


def test_every_cell_is_an_observation_with_its_facts(row, measured):
    store, table = measured, measured.observations()
    assert len(table) == len(cells(row)) == 1 + 4 * 3
    assert (table["status"] == "ok").all()
    assert table["n"].unique().tolist() == [40]
    assert table.groupby("method").size().to_dict() == {
        "original": 1,
        "avss": 3,
        "random": 3,
        "last": 3,
        "magnitude": 3,
    }
    original = table[table["method"] == "original"].iloc[0]
    assert (original["removed"], original["share_of_layers"]) == ("none", 0)
    pruned = table[table["method"] != "original"]
    assert (pruned["share_of_layers"] == 0.25).all()
    assert (pruned["original"] == original["value"]).all()
    assert (pruned[pruned["method"] == "last"]["removed"] == "3").all()
    assert {"git_revision", "lock_sha256", "versions", "hardware", "protocol"} <= set(store.provenance(original["run"]))
    layers = store.layers()
    assert set(layers[layers["method"] == "avss"]["quantity"]) >= {"variance", "sparsity", "normalized_avss"}


def test_a_value_equals_pruning_and_evaluating_by_hand(row, measured):
    chosen = measured.observations().query("method == 'magnitude' and seed == 0").iloc[0]
    model, tokenizer = avss.load_model(row.checkpoint)
    avss.prune(model, avss.score(model, None, "magnitude").lowest(1))
    result = avss.evaluate(model, tokenizer, "sentiment", row.data, split="validation")
    assert chosen["value"] == pytest.approx(result["value"])
    assert (chosen["low"], chosen["high"]) == pytest.approx((result["low"], result["high"]))


@pytest.mark.long
def test_every_method_and_selection_rule_runs_on_a_row(row, tmp_path):
    rules = ("iterative", "cumulative(0.4)", "released_code(0.4)")
    everything = replace(row, methods=tuple(METHODS), selections={"avss": rules}, seeds=2, remove=2)
    store, coalitions = Store(tmp_path / "results"), tmp_path / "coalitions"
    assert run_row(everything, "p", store, coalitions) == 1 + (len(METHODS) + len(rules)) * 2
    table = store.observations()
    assert (table["status"] == "ok").all(), table["status"].unique()
    assert set(table["coalition"]) == set(store.outcomes("p", "r"))
    assert set(table["selection"]) == {"none", "lowest(2)", "iterative(2)", "cumulative(0.4)", "released_code(0.4)"}
    assert list(coalitions.glob("*.json")), "losses under masks are kept for the next run"
    # By hand: score, remove the lowest, score what is left, remove the lowest again.
    model, tokenizer = avss.load_model(row.checkpoint)
    drawn = sample(load_data(row.data, "train"), 10, seed=1)
    left, text = list(range(4)), batches(drawn["sentence"], tokenizer, context=64)
    for _ in range(2):
        removed = [layer for layer in range(4) if layer not in left]
        pruned = avss.prune(avss.load_model(row.checkpoint)[0], removed) if removed else model
        left.pop(avss.score(pruned, text).lowest(1)[0])
    chosen = table.query("method == 'avss' and selection == 'iterative(2)' and seed == 1")["removed"].item()
    assert chosen == "+".join(str(layer) for layer in range(4) if layer not in left)


def test_only_so_many_documents_are_evaluated(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(replace(row, documents=7, methods=("last",), seeds=1), "p", store)
    assert store.observations()["n"].tolist() == [7, 7]


def test_a_set_of_layers_is_evaluated_once_whoever_chose_it(measured):
    removed = set(measured.observations()["removed"])
    assert len(measured.outcomes("p", "r")) == len(removed)


def test_a_second_run_adds_nothing_and_a_new_seed_only_its_own_cells(row, measured, tmp_path):
    store = copied(measured, tmp_path / "results")
    files = sorted((tmp_path / "results").rglob("*"))
    assert run_row(row, "p", store) == 0
    assert sorted((tmp_path / "results").rglob("*")) == files
    assert run_row(replace(row, seeds=4), "p", store) == 4
    assert store.observations()["key"].is_unique


def test_the_longest_documents_are_scored_first(row, tmp_path, monkeypatch):
    """So that memory that does not suffice runs out at once."""
    scored, widths = METHODS["avss"].function, []

    @wraps(scored)
    def watched(model, batches, **options):
        widths.extend(batch["input_ids"].shape[1] for batch in batches)
        return scored(model, batches, **options)

    monkeypatch.setattr("avss.methods.avss.score", watched)
    run_row(replace(row, methods=("avss",), seeds=1, batch_size=2), "p", Store(tmp_path / "results"))
    assert len(set(widths)) > 1
    assert widths == sorted(widths, reverse=True)


def test_an_operation_that_cannot_be_done_fails_its_cells_alone(row, tmp_path, monkeypatch):
    def undone(*_, **__):
        raise RuntimeError("no kernel for this\ndtype")

    monkeypatch.setattr("avss.methods.avss.score", undone)
    store = Store(tmp_path / "results")
    run_row(replace(row, methods=("avss", "last"), seeds=1), "p", store)
    status = store.observations().set_index("method")["status"]
    assert status["avss"] == "failed: no kernel for this dtype"
    assert status["last"] == "ok"


def test_a_cell_that_fails_is_a_row_with_its_reason_and_is_tried_again(row, tmp_path):
    store = Store(tmp_path / "results")
    failing = replace(row, methods=("avss",), readings=("paper,epsilon=1e-30,zero_sparsity=error",), seeds=1)
    run_row(failing, "p", store)
    table = store.observations()
    assert table[table["method"] == "avss"]["status"].str.startswith("failed: sparsity is 0 in layers").all()
    files = sorted((tmp_path / "results").rglob("*"))
    assert run_row(failing, "p", store) == 0
    assert len(store.observations()) == 2
    # The same failure is stored once: a build of the book leaves no new files behind.
    assert sorted((tmp_path / "results").rglob("*")) == files


def test_a_killed_run_resumes_and_no_row_is_lost_or_doubled(row, measured, tmp_path):
    root, (reading, writing) = tmp_path / "results", os.pipe()

    def begin() -> None:
        def slowly(self, *rest):
            add(self, *rest)
            os.write(writing, b"+")
            time.sleep(0.05)

        # Threads of the parent are not there in a fork.
        torch.set_num_threads(1)
        add, Run.add = Run.add, slowly
        # Every addition is of few cells then.
        experiment.TOGETHER = 1

    child = forked(lambda: run_row(row, "p", Store(root)), begin)
    os.close(writing)
    for _ in range(2):
        assert os.read(reading, 1) == b"+"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    store = Store(root)
    survived = store.observations()
    assert 2 <= len(survived) < len(cells(row))
    bytes_before = {path: path.read_bytes() for path in root.rglob("*.csv")}

    time.sleep(1)
    assert run_row(row, "p", store) == len(cells(row)) - len(survived)
    table = store.observations()
    assert len(table) == len(cells(row))
    assert table["key"].is_unique
    assert set(survived["key"]) <= set(table["key"])
    assert all(path.read_bytes() == content for path, content in bytes_before.items())
    columns = ["key", "method", "seed", "removed", "value", "low", "high"]
    first, second = (s.observations()[columns].sort_values("key").reset_index(drop=True) for s in (store, measured))
    pd.testing.assert_frame_equal(first, second)


def allocate(bytes_wanted: int = 1 << 60) -> None:
    torch.empty(bytes_wanted, dtype=torch.uint8)


def lack_cublas() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize("fail", [allocate, lack_cublas])
def test_a_batch_that_does_not_fit_is_halved_and_the_result_is_the_same(
    short, measured_short, tmp_path, monkeypatch, capsys, fail
):
    halved, refused = Store(tmp_path / "halved"), []

    def with_little_memory(*args, **options):
        model, tokenizer = avss.load_model(*args, **options)

        def refuse(module, args, kwargs):
            size = len(args[0] if args else kwargs["input_ids"])
            if size > 10:
                refused.append(size)
                fail()

        model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
        return model, tokenizer

    monkeypatch.setattr(context, "load_model", with_little_memory)
    run_row(short, "p", halved)
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    # Forty documents are evaluated, no size of batch twice; ten are scored, which fit.
    assert refused == [32, 16]
    assert said == [f"r: evaluation ran out of memory and goes on with {size} documents at a time" for size in (16, 8)]
    columns = ["key", "removed", "value", "status"]
    pd.testing.assert_frame_equal(measured_short.observations()[columns], halved.observations()[columns])


def test_a_row_placed_by_accelerate_on_a_part_of_the_data_resumes(short, tmp_path):
    stated = {"dtype": "bfloat16", "device_map": "auto", "attn_implementation": "sdpa", "where": {"label": 1}}
    placed, store = replace(short, **stated), Store(tmp_path / "results")
    assert run_row(placed, "p", store) == len(cells(placed))
    table = store.observations()
    assert (table["status"] == "ok").all()
    assert table["n"].unique().tolist() == [20]
    assert run_row(placed, "p", store) == 0
    assert run_row(replace(placed, seeds=2), "p", store) == 2


def test_one_document_that_does_not_fit_is_one_line(row, tmp_path, monkeypatch):
    def without_memory(*args, **options):
        model, tokenizer = avss.load_model(*args, **options)
        model.register_forward_pre_hook(lambda *_: torch.empty(1 << 60, dtype=torch.uint8) and None)
        return model, tokenizer

    monkeypatch.setattr(context, "load_model", without_memory)
    with pytest.raises(InputError, match="row r: evaluation runs out of memory with one document at a time"):
        run_row(row, "p", Store(tmp_path / "results"))


def shown(store: Store) -> pd.DataFrame:
    """The observations that the newest configuration asks for."""
    table = store.observations("p", "r")
    return table[table["key"].isin(store.asked_for("p", "r"))]


@pytest.mark.parametrize(
    "change",
    [
        {"remove": 2},
        {"samples": 5},
        {"context": 4},
        {"documents": 7},
        {"seeds": 1},
        {"methods": ("last", "random")},
        {"readings": ("released-code",)},
        {"selections": {"avss": ("iterative",)}},
        {"dtype": "bfloat16"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_shown_after_a_change_is_what_a_fresh_run_shows(two_seeds, tmp_path, change):
    """Otherwise two experiments are averaged as one."""
    row, store = two_seeds[0], copied(two_seeds[1], tmp_path / "both")
    changed, fresh = replace(row, **change), Store(tmp_path / "fresh")
    run_row(changed, "p", store)
    run_row(changed, "p", fresh)
    columns = ["key", "method", "reading", "selection", "seed", "removed", "value"]
    pd.testing.assert_frame_equal(
        *(shown(each)[columns].sort_values("key", ignore_index=True) for each in (store, fresh))
    )
    # Back again: nothing is missing, and the first configuration is the newest.
    assert run_row(row, "p", store) == 0
    assert len(shown(store)) == len(cells(row))
    assert {"lowest(1)", "none"} == set(shown(store)["selection"])


def test_another_model_under_the_same_name_replaces_the_first(row, measured, saved, tmp_path):
    store, first = copied(measured, tmp_path / "results"), shown(measured)
    row = replace(row, checkpoint=str(saved("bert")))
    assert run_row(row, "p", store) == 0
    shutil.rmtree(row.checkpoint)
    saved("bert", seed=1)
    assert run_row(row, "p", store) == len(cells(row))
    assert not set(shown(store)["key"]) & set(first["key"])


def test_the_run_records_class_and_parameters_of_the_model_itself(row, measured):
    model, _ = avss.load_model(row.checkpoint)
    facts = measured.provenances("p", "r")[-1]
    assert facts["class"] == "BertForSequenceClassification"
    assert facts["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert facts["configuration"]["id"] == "r"


def test_a_model_that_answers_nan_is_no_result(saved, tmp_path):
    folder = saved("llama")
    model, _ = avss.load_model(str(folder))
    with torch.no_grad():
        blocks_of(model)[1].mlp.down_proj.weight.fill_(float("nan"))
    model.save_pretrained(folder)
    (tmp_path / "text.txt").write_text("\n".join(SENTENCES) + "\n")
    store, text = Store(tmp_path / "results"), str(tmp_path / "text.txt")
    with pytest.raises(InputError):
        run_row(Row("r", "language_modeling", str(folder), text, remove=1, methods=("last",), seeds=1), "p", store)
    table = store.observations()
    assert table["method"].tolist() == ["original"]
    assert table["status"].str.startswith("failed: ").all()


def test_local_and_embedded_rows_ask_no_network(row, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    row = replace(row, methods=("last",), seeds=1)
    assert run_row(row, "p", Store(tmp_path / "results")) == 2
    mini = replace(row, checkpoint="mini/distilbert", data="microworld/reviews", documents=4, samples=2)
    assert run_row(mini, "q", Store(tmp_path / "results")) == 2


def test_a_number_of_layers_that_the_model_does_not_have_is_refused_before_any_result(row, saved, tmp_path):
    # As for a hub model, whose depth is not known before it is loaded.
    known = replace(row, checkpoint=str(saved("bert")), remove=3)
    config = Path(known.checkpoint, "config.json")
    content = config.read_text()
    config.unlink()
    row = replace(known, remove=4)
    config.write_text(content)
    with pytest.raises(InputError, match="4 of 4 layers means removing 4"):
        run_row(row, "p", Store(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def run_and_read(row: Row, store: Store) -> None:
    run_row(row, "p", store)
    store.layers()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeros(content: bytes) -> bytes:
    return content[:-9] + bytes(9)


@pytest.mark.parametrize("harm", [cut, zeros, lambda content: b"", lambda content: b"\xff" + content])
@pytest.mark.parametrize("ending", [".csv", ".layers.csv", ".outcomes.csv.gz", ".json"])
def test_a_damaged_file_is_named_and_moving_it_away_gives_the_same_numbers_again(
    short, measured_short, tmp_path, harm, ending
):
    row, store = short, copied(measured_short, tmp_path / "results")
    before = shown(store).sort_values("key", ignore_index=True)
    path = next(path for path in store.folder("p", "r").iterdir() if path.name == f"{before['run'][0]}{ending}")
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(InputError, match=f"file .*{path.name} is damaged .*; move it away, and what is") as caught:
        run_and_read(replace(row, seeds=2), store)
    assert "\n" not in str(caught.value)
    path.unlink()
    run_row(row, "p", store)
    columns = ["key", "removed", "value", "low", "high"]
    pd.testing.assert_frame_equal(before[columns], shown(store).sort_values("key", ignore_index=True)[columns])


COMPARED = ["key", "method", "seed", "removed", "value", "low", "high", "original", "status"]


def compared(store: Store) -> pd.DataFrame:
    return store.observations()[COMPARED].sort_values("key", ignore_index=True)


@pytest.mark.parametrize("together", [1, 2, 3])
def test_results_do_not_depend_on_how_many_sets_are_evaluated_together(row, measured, tmp_path, monkeypatch, together):
    other = Store(tmp_path / "other")
    monkeypatch.setattr(experiment, "TOGETHER", together)
    run_row(row, "p", other, tmp_path / "coalitions")
    pd.testing.assert_frame_equal(compared(measured), compared(other))
    assert not list((tmp_path / "coalitions" / "choices").iterdir()), "what is stored is not kept twice"


def test_the_tables_of_a_run_are_written_once_for_all_sets_evaluated_together(row, tmp_path, monkeypatch):
    written, write = [], Run._write
    monkeypatch.setattr(
        Run, "_write", lambda run, ending, content: (written.append(ending), write(run, ending, content))
    )
    stored(row, tmp_path)
    # The outcome of the whole model, then those of all sets.
    assert sorted(written) == [".csv", ".layers.csv", ".outcomes.csv.gz", ".outcomes.csv.gz"]


def test_a_walk_without_a_finite_score_writes_no_table(row, tmp_path, monkeypatch):
    """A run that has nothing to tell is discarded, and must have no tables then."""
    run = Store(tmp_path / "results").start("p", "r", "2026-01-01T00:00:00Z", {})
    evaluate = experiment.Evaluation(context.loaded(row, None), run, {})
    monkeypatch.setattr("avss.runs.evaluation._finite", lambda outcome: False)
    evaluate.together([[0], [1]])
    assert not evaluate.known
    assert [path.suffix for path in run.folder.iterdir()] == [".json"]


def test_sets_that_cannot_be_evaluated_together_are_evaluated_one_by_one(row, measured, tmp_path, monkeypatch):
    other = Store(tmp_path / "other")

    def unable(*_, **__):
        raise RuntimeError("no kernel for this")

    # The task's `measure` goes on with the function itself.
    alone = partial(sentiment.measure_each, removed=[[]])
    monkeypatch.setattr("avss.tasks.sentiment.measure", lambda *args, **options: alone(*args, **options)[0])
    monkeypatch.setattr("avss.tasks.sentiment.measure_each", unable)
    run_row(row, "p", other, None)
    pd.testing.assert_frame_equal(compared(measured), compared(other))


def test_what_was_scored_before_a_kill_is_not_scored_again(row, measured, tmp_path, monkeypatch):
    """A set of layers is evaluated only when others are there to go with it."""
    scored, coalitions = [], tmp_path / "coalitions"

    @wraps(experiment.score)
    def counted(*args, **options):
        scored.append(args[2])
        return methods_score(*args, **options)

    def killed(*_):
        raise KeyboardInterrupt

    methods_score = experiment.score
    monkeypatch.setattr(experiment, "score", counted)
    store = Store(tmp_path / "results")
    with monkeypatch.context() as dying:
        dying.setattr(experiment.Evaluation, "together", killed)
        with pytest.raises(KeyboardInterrupt):
            run_row(row, "p", store, coalitions)
    assert len(store.observations()) == 0
    assert len(scored) == len(cells(row)) - 1
    scored.clear()
    damaged = sorted((coalitions / "choices").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert run_row(row, "p", store, coalitions) == len(cells(row))
    assert len(scored) <= 1, "a damaged file is made again"
    pd.testing.assert_frame_equal(compared(store), compared(measured))
    facts = ["method", "reading", "seed", "layer", "quantity", "value"]
    tables = [each.layers()[facts].sort_values(facts, ignore_index=True) for each in (store, measured)]
    pd.testing.assert_frame_equal(*tables)
