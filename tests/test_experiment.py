"""A row from profile to store on a tiny model, killed and resumed; and the committed profiles."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import avss
from avss import mini
from avss.data import batches, load_data, sample
from avss.errors import InputError
from avss.experiment import Profile, Row, cells, load_profile, run_row
from avss.methods import METHODS
from avss.results import Store
from tests.conftest import WORDS

ROOT = Path(__file__).parent.parent


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
    from dataclasses import replace

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
    from dataclasses import replace

    store = Store(tmp_path / "results")
    run_row(replace(row, documents=7, methods=("last",), seeds=1), "p", store)
    assert store.observations()["n"].tolist() == [7, 7]


def test_a_set_of_layers_is_evaluated_once_whoever_chose_it(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(row, "p", store)
    removed = set(store.observations()["removed"])
    assert len(store.outcomes("p", "r")) == len(removed)


def test_a_second_run_adds_nothing_and_a_new_seed_only_its_own_cells(row, tmp_path):
    from dataclasses import replace

    store = Store(tmp_path / "results")
    run_row(row, "p", store)
    files = sorted((tmp_path / "results").rglob("*"))
    assert run_row(row, "p", store) == 0
    assert sorted((tmp_path / "results").rglob("*")) == files
    assert run_row(replace(row, seeds=4), "p", store) == 4
    assert store.observations()["key"].is_unique


def test_a_cell_that_fails_is_a_row_with_its_reason_and_is_tried_again(row, tmp_path):
    from dataclasses import replace

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
from avss.experiment import Row, run_row
from avss.results import Run, Store
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
    from dataclasses import asdict

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


@pytest.mark.parametrize("name", ["mini", "reference"])
def test_committed_profiles_load(name):
    profile = load_profile(ROOT / "profiles" / f"{name}.yaml")
    assert profile.name == name
    assert profile.row("sst2-distilbert").remove == 1
    assert {row.seeds for row in profile.rows} == {5}


def test_rows_of_mini_are_rows_of_table_1_with_their_shares():
    table = pd.read_csv(ROOT / "book" / "table1.csv").set_index(["dataset", "model"])
    for row in load_profile(ROOT / "profiles" / "mini.yaml").rows:
        printed = table.loc[row.dataset, row.model]
        assert row.task == printed["task"].replace("sentiment classification", "sentiment").replace(" ", "_")
        layers = json.loads((mini.folder(row.checkpoint.removeprefix("mini/")) / "card.json").read_text())["blocks"]
        # The nearest whole number of layers.
        assert abs(row.remove / layers - float(printed["parameter_reduction"].rstrip("%")) / 100) < 0.5 / layers


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
