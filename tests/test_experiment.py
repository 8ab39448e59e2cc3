"""A row from profile to store on a tiny model, killed and resumed; and the committed profiles."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import wraps
from pathlib import Path

import pandas as pd
import pytest
import torch

import avss
from avss import mini
from avss.data import batches, load_data, sample
from avss.errors import InputError
from avss.methods import METHODS
from avss.runs import experiment
from avss.runs.experiment import Profile, Row, cells, load_profile, run_row
from avss.store import Store
from tests.conftest import WORDS

ROOT = Path(__file__).parent.parent
ROW = "id: a, task: sentiment, dataset: d, model: m, checkpoint: c, data: x, remove: 1"


@pytest.fixture
def row(saved, tmp_path) -> Row:
    """Forty documents of known words and a tiny encoder."""
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "validation"):
        lines = [
            json.dumps(
                {"sentence": " ".join(WORDS[(i * j + len(split)) % 13] for j in range(1, 3 + i % 5)), "label": i % 2}
            )
            for i in range(40)
        ]
        (data / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return Row("r", "sentiment", "SST-2", "BERT", str(saved("bert")), str(data), remove=1, seeds=3, samples=10)


def test_every_cell_is_an_observation_with_its_facts(row, tmp_path):
    store = Store(tmp_path / "results")
    assert run_row(row, "p", store) == len(cells(row)) == 1 + 4 * 3
    table = store.observations()
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


def test_a_value_equals_pruning_and_evaluating_by_hand(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(row, "p", store)
    chosen = store.observations().query("method == 'magnitude' and seed == 0").iloc[0]
    model, tokenizer = avss.load_model(row.checkpoint)
    avss.prune(model, avss.score(model, None, "magnitude").lowest(1))
    result = avss.evaluate(model, tokenizer, "sentiment", row.data, split="validation")
    assert chosen["value"] == pytest.approx(result["value"])
    assert (chosen["low"], chosen["high"]) == pytest.approx((result["low"], result["high"]))


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


def test_a_set_of_layers_is_evaluated_once_whoever_chose_it(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(row, "p", store)
    removed = set(store.observations()["removed"])
    assert len(store.outcomes("p", "r")) == len(removed)


def test_a_second_run_adds_nothing_and_a_new_seed_only_its_own_cells(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(row, "p", store)
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
    assert run_row(failing, "p", store) == 1
    assert len(store.observations()) == 2


CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
from avss.runs.experiment import Row, run_row
from avss.store import Run, Store
import json, time
add = Run.add
def slow_add(self, *rest):
    add(self, *rest)
    print("added", flush=True)
    time.sleep(0.05)
Run.add = slow_add
run_row(Row(**json.loads(sys.argv[1])), "p", Store(Path(sys.argv[2])))
"""


def test_a_killed_run_resumes_and_no_row_is_lost_or_doubled(row, tmp_path):
    root = tmp_path / "results"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(asdict(row)), str(root)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    for _ in range(4):
        child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store = Store(root)
    survived = store.observations()
    assert 4 <= len(survived) < len(cells(row))
    bytes_before = {path: path.read_bytes() for path in root.rglob("*.csv")}

    time.sleep(1)
    assert run_row(row, "p", store) == len(cells(row)) - len(survived)
    table = store.observations()
    assert len(table) == len(cells(row))
    assert table["key"].is_unique
    assert set(survived["key"]) <= set(table["key"])
    assert all(path.read_bytes() == content for path, content in bytes_before.items())
    uninterrupted = Store(tmp_path / "other")
    run_row(row, "p", uninterrupted)
    columns = ["key", "method", "seed", "removed", "value", "low", "high"]
    first, second = (
        s.observations()[columns].sort_values("key").reset_index(drop=True) for s in (store, uninterrupted)
    )
    pd.testing.assert_frame_equal(first, second)


def allocate(bytes_wanted: int = 1 << 60) -> None:
    torch.empty(bytes_wanted, dtype=torch.uint8)


def lack_cublas() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize("fail", [allocate, lack_cublas])
def test_a_batch_that_does_not_fit_is_halved_and_the_result_is_the_same(row, tmp_path, monkeypatch, capsys, fail):
    row = replace(row, methods=("avss", "last"), seeds=1)
    whole, halved, refused = Store(tmp_path / "whole"), Store(tmp_path / "halved"), []
    run_row(row, "p", whole)

    def with_little_memory(*args, **options):
        model, tokenizer = avss.load_model(*args, **options)

        def refuse(module, args, kwargs):
            size = len(args[0] if args else kwargs["input_ids"])
            if size > 10:
                refused.append(size)
                fail()

        model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
        return model, tokenizer

    monkeypatch.setattr(experiment, "load_model", with_little_memory)
    run_row(row, "p", halved)
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    # Forty documents are evaluated, no size of batch twice; ten are scored, which fit.
    assert refused == [32, 16]
    assert said == [f"r: evaluation ran out of memory and goes on with {size} documents at a time" for size in (16, 8)]
    columns = ["key", "removed", "value", "status"]
    pd.testing.assert_frame_equal(whole.observations()[columns], halved.observations()[columns])


def test_a_row_placed_by_accelerate_on_a_part_of_the_data_resumes(row, tmp_path):
    stated = {"dtype": "bfloat16", "device_map": "auto", "attn_implementation": "sdpa", "where": {"label": 1}}
    placed, store = replace(row, methods=("avss", "last"), seeds=1, **stated), Store(tmp_path / "results")
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

    monkeypatch.setattr(experiment, "load_model", without_memory)
    with pytest.raises(InputError, match="row r: evaluation runs out of memory with one document at a time"):
        run_row(row, "p", Store(tmp_path / "results"))


@pytest.mark.parametrize("name", ["mini", "reference", "paper"])
def test_committed_profiles_load(name):
    profile = load_profile(ROOT / "profiles" / f"{name}.yaml")
    assert profile.name == name
    assert profile.row("sst2-distilbert").remove == 1
    assert {row.seeds for row in profile.rows} == {5}


def test_the_paper_profile_has_all_rows_of_table_1_pinned_and_with_their_shares():
    printed = pd.read_csv(ROOT / "avss/report/table1.csv").set_index(["dataset", "model"])
    rows = load_profile(ROOT / "profiles" / "paper.yaml").rows
    assert [(row.dataset, row.model) for row in rows] == list(printed.index)
    for row in rows:
        layers = row.shape.get("num_hidden_layers") or row.shape["n_layers"]
        share = float(printed.loc[row.dataset, row.model]["parameter_reduction"].rstrip("%")) / 100
        assert row.remove == round(share * layers), row.id
        assert re.fullmatch("[0-9a-f]{40}", row.revision), row.id
        assert re.fullmatch("[0-9a-f]{40}", row.data_revision), row.id
        assert bool(row.alternative) == row.checkpoint.startswith("meta-llama/"), row.id


def test_mini_has_the_twelve_rows_of_table_1_with_their_shares():
    table = pd.read_csv(ROOT / "avss/report/table1.csv")
    profile = load_profile(ROOT / "profiles" / "mini.yaml")
    assert [(row.dataset, row.model) for row in profile.rows] == list(
        zip(table["dataset"], table["model"], strict=True)
    )
    for row, task, printed in zip(profile.rows, table["task"], table["parameter_reduction"], strict=True):
        assert row.task == task.replace("sentiment classification", "sentiment").replace(" ", "_")
        layers = json.loads((mini.folder(row.checkpoint.removeprefix("mini/")) / "card.json").read_text())["blocks"]
        # The nearest whole number of layers.
        assert abs(row.remove / layers - float(printed.rstrip("%")) / 100) < 0.5 / layers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("rows: [{id: a, colour: red}]", "row a has unknown fields colour"),
        ("rows: [{id: a, task: t, dataset: d, model: m, checkpoint: c, data: x, remove: 1}]", "task 't' is not known"),
        (
            "rows: [{id: a, task: sentiment, dataset: d, model: m, checkpoint: c, data: x, remove: 1, methods: [b]}]",
            "method 'b' is not known",
        ),
        (
            "rows: [{id: a, task: sentiment, dataset: d, model: m, checkpoint: c, data: x, remove: 1, readings: [b]}]",
            "reading 'b' is not known",
        ),
        ("rows: [{id: a, task: sentiment}]", "row a lacks"),
        (
            "rows: [{id: a, task: sentiment, dataset: d, model: m, checkpoint: c, data: x, remove: 1,"
            " selections: {avss: [best]}}]",
            "selection 'best' is not a rule",
        ),
        (
            "rows: [{id: a, task: sentiment, dataset: d, model: m, checkpoint: c, data: x, remove: 1,"
            " selections: {lrp: [iterative]}}]",
            "selections for lrp, which is none of its methods",
        ),
        ("- a", "is not a profile"),
        (f"rows: [{{{ROW}, revision: 1234567}}]", "revision of row a is 1234567; give a commit, in quotes"),
        (f"rows: [{{{ROW}, batch_size: 0}}]", "batch_size of row a is 0; give a number"),
        (f"rows: [{{{ROW}, where: text}}]", "where of row a is 'text'; give a value for each column"),
        (f"rows: [{{{ROW}, shape: {{n_layers: 2}}}}]", "shape of row a is .* give what config.json says"),
        (f"rows: [{{{ROW}, dtype: bf16}}]", "row a: dtype 'bf16' is not known; choose one of float32"),
        (f"rows: [{{{ROW}, device_map: cuda}}]", "row a: device_map 'cuda' is not known; choose one of auto"),
        (f"rows: [{{{ROW}, attn_implementation: fast}}]", "attn_implementation 'fast' is not known"),
    ],
)
def test_bad_profiles_are_named(tmp_path, content, message):
    path = tmp_path / "profile.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_profile(path)


def test_an_unknown_row_is_named():
    with pytest.raises(InputError, match="profile mini has no row 'x'; it has"):
        Profile("mini", ()).row("x")


def test_a_row_is_found_by_the_names_of_the_papers_table_and_takes_another_number_of_seeds():
    profile = load_profile(ROOT / "profiles" / "mini.yaml")
    row = profile.row_of("SST-2", "LLama-1B")
    assert (row.id, row.seeds) == ("sst2-llama-1b", 5)
    assert profile.row_of("SST-2", "LLama-1B", seeds=2) == replace(row, seeds=2)
    with pytest.raises(InputError, match="profile mini has no row of 'SST-2' and 'llama'; it has SST-2, DistilBERT; "):
        profile.row_of("SST-2", "llama")
    with pytest.raises(InputError, match="seeds is 0; give how many, from 1, or None"):
        profile.row_of("SST-2", "LLama-1B", seeds=0)
