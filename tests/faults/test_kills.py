"""kill -9 at random moments: the next run completes, equals an undisturbed one, and leaves nothing behind."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import avss
from avss.cli import main
from avss.engine import coalitions
from avss.engine.ablation import ablate
from avss.runs.experiment import run_row
from avss.runs.profile import Row
from avss.scores import LayerScores
from avss.store import Store
from recipes.training import loop
from tests.conftest import ragged, tiny
from tests.faults.kills import kills
from tests.faults.tally import size


def run(*words) -> None:
    assert main([str(word) for word in words]) == 0


def state(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_scores_and_their_facts_belong_together_whenever_score_is_killed(world, tally):
    def old():
        run("score", world / "lm", "--data", world / "text.txt", "--method", "magnitude", "--out", out, "--force")

    def new():
        run("score", world / "lm", "--data", world / "text.txt", "--out", out, "--force")

    out = world / "out/scores.csv"
    out.parent.mkdir()
    new()
    undisturbed = state(out.parent)
    with tally.row("kill-score") as row:
        for moment in kills(row.random, size(30, 3), old, new):
            with row.trial(moment):
                found = LayerScores.load(out)
                assert (found.method, found.reading) in (("magnitude", None), ("avss", "paper"))
                new()
                assert state(out.parent) == undisturbed


def test_a_new_table_of_scores_is_written_by_the_same_command_whenever_it_was_killed(world, tally):
    out = world / "out/scores.csv"

    def clear():
        shutil.rmtree(out.parent, ignore_errors=True)
        out.parent.mkdir()

    def new():
        run("score", world / "lm", "--data", world / "text.txt", "--method", "leave_one_out", "--out", out)

    clear()
    new()
    undisturbed = state(out.parent)
    with tally.row("kill-score-new") as row:
        for moment in kills(row.random, size(15, 2), clear, new):
            with row.trial(moment):
                if not out.exists():
                    new()
                assert state(out.parent) == undisturbed


def test_a_pruned_folder_is_whole_whenever_prune_is_killed(world, tally):
    out = world / "out/pruned"
    out.parent.mkdir()

    def prune(layers):
        scores = world / "s.csv"
        run("prune", world / "lm", "--scores", scores, "--layers", layers, "--out", out, "--force")

    prune(1)
    old = state(out)
    prune(2)
    new = state(out)
    with tally.row("kill-prune") as row:
        for moment in kills(row.random, size(25, 3), lambda: prune(1), lambda: prune(2)):
            with row.trial(moment):
                avss.load_model(str(out))
                assert state(out) in (old, new), "old and new are mixed"
                prune(2)
                assert state(out.parent) == {f"pruned/{name}": content for name, content in new.items()}


def test_a_result_of_evaluate_is_whole_whenever_it_is_killed(world, tally):
    out = world / "out/result.json"
    out.parent.mkdir()

    def evaluate(samples):
        task = ("--task", "sentiment", "--data", world / "reviews.jsonl", "--samples", samples)
        run("evaluate", world / "classifier", *task, "--out", out, "--force")

    evaluate(2)
    old = state(out.parent)
    evaluate(5)
    new = state(out.parent)
    with tally.row("kill-evaluate") as row:
        for moment in kills(row.random, size(10, 1), lambda: evaluate(2), lambda: evaluate(5)):
            with row.trial(moment):
                assert json.loads(out.read_text())["n"] in (2, 5)
                evaluate(5)
                assert state(out.parent) == new
                assert old != new


MASKS = [tuple(float(number >> layer & 1) for layer in range(4)) for number in range(16)]


def orders(seed: int, count: int) -> list[tuple]:
    """The masks that permutations of four layers visit, as estimates of Shapley values do."""
    generator, found = random.Random(seed), []
    for _ in range(count):
        gates = [0.0] * 4
        for layer in generator.sample(range(4), 4):
            gates[layer] = generator.choice((0.25, 0.5, 1.0))
            found.append(tuple(gates))
    return found


@pytest.mark.parametrize(("name", "masks", "count"), [("whole", MASKS, 15), ("shapley", orders(0, 12), 35)])
def test_losses_under_masks_are_the_same_whenever_an_ablation_is_killed(
    tmp_path, tally, monkeypatch, name, masks, count
):
    # The file follows every outcome, so a kill meets a write as often as a pass.
    monkeypatch.setattr(coalitions, "SAVE_EVERY", 0.0)
    model, batches = tiny("llama"), [ragged(seed=seed) for seed in range(2)]
    cache = tmp_path / "cache"
    undisturbed = ablate(model, batches, masks)

    def clear():
        shutil.rmtree(cache, ignore_errors=True)

    with tally.row(f"kill-ablation-{name}") as row:
        for moment in kills(
            row.random, size(count, 2), clear, lambda: ablate(model, batches, masks, cache=cache, key="k")
        ):
            with row.trial(moment):
                kept = state(cache) if cache.exists() else {}
                for path, content in kept.items():
                    assert path.startswith(".") or json.loads(content)["masks"]
                found = ablate(model, batches, masks, cache=cache, key="k")
                np.testing.assert_array_equal(found.loss, undisturbed.loss)
                np.testing.assert_array_equal(found.probability, undisturbed.probability)
                if any(not path.startswith(".") for path in kept):
                    assert found.block_forwards < undisturbed.block_forwards, "what was kept is not used"
                assert not any(path.name.startswith(".") for path in cache.iterdir())
                again = ablate(model, batches, masks, cache=cache, key="k")
                assert again.block_forwards == 0


def test_a_training_ends_with_the_same_weights_whenever_it_is_killed(tmp_path, tally):
    def train(folder: Path) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3)

        def loss_at(step: int) -> torch.Tensor:
            return model(torch.randn(8, 4)).square().mean()

        steps = {"steps": 12, "warmup": 2, "checkpoint_every": 2, "log_every": 3}
        report = loop.train(model, loss_at, [loop.adamw(model.parameters(), 0.1)], folder=folder, seed=1, **steps)
        return model.state_dict() | {"losses": torch.tensor(report["losses"])}

    folder, whole = tmp_path / "killed", train(tmp_path / "whole")
    with tally.row("kill-training") as row:
        prepare = lambda: shutil.rmtree(folder, ignore_errors=True)  # noqa: E731
        for moment in kills(row.random, size(25, 2), prepare, lambda: train(folder)):
            with row.trial(moment):
                found = train(folder)
                assert all(torch.equal(found[name], whole[name]) for name in whole)
                assert sorted(path.name for path in folder.iterdir()) == [loop.STATE]


# What differs between two runs of the same row.
UNLIKE = ["run", "seconds", "peak_memory_mb"]


def tiny_row(world, **changes) -> Row:
    facts = {"id": "r", "task": "language_modeling", "dataset": "Pile", "model": "Tiny", "remove": 1, "seeds": 2}
    methods = ("avss", "leave_one_out", "random")
    places = {"checkpoint": str(world / "lm"), "data": str(world / "text.txt")}
    return Row(**facts | places | {"samples": 4, "methods": methods} | changes)


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=UNLIKE).sort_values("key", ignore_index=True)


def lines(folder: Path) -> list[str]:
    """The key of every observation in every file, those that the store shows once as often as they stand there."""
    files = [path for path in folder.rglob("*.csv") if not path.name.endswith(".layers.csv")]
    tables = [pd.read_csv(path, dtype=str) for path in files if not path.name.startswith(".")]
    return [key for table in tables for key in table.loc[table["status"] == "ok", "key"]]


def layers_of(store: Store) -> pd.DataFrame:
    """The scores of layers that belong to an observation of their own run."""
    cells = store.observations().query("selection.str.startswith('lowest')")[["run", "method", "reading", "seed"]]
    found = cells.merge(store.layers()).drop(columns="run")
    return found.sort_values(["method", "reading", "seed", "layer", "quantity"], ignore_index=True)


def test_a_row_loses_and_doubles_nothing_whenever_it_is_killed(world, tally):
    row_of, store, cache = tiny_row(world), Store(world / "store"), world / "cache"
    whole = Store(world / "whole")
    run_row(row_of, "p", whole, world / "other")
    observations, outcomes = comparable(whole.observations()), whole.outcomes("p", "r")
    layers = layers_of(whole)

    def clear():
        for folder in (store.root, cache):
            shutil.rmtree(folder, ignore_errors=True)

    with tally.row("kill-row") as row:
        for moment in kills(row.random, size(45, 3), clear, lambda: run_row(row_of, "p", store, cache)):
            with row.trial(moment):
                before = store.finished("p", "r")
                added = run_row(row_of, "p", store, cache)
                assert added == len(observations) - len(before), "what was finished is not computed again"
                pd.testing.assert_frame_equal(comparable(store.observations()), observations)
                assert sorted(lines(store.root)) == sorted(observations["key"]), "an observation is stored twice"
                found = store.outcomes("p", "r")
                assert found.keys() == outcomes.keys()
                assert all(np.array_equal(found[name], outcomes[name]) for name in outcomes)
                pd.testing.assert_frame_equal(layers_of(store), layers)
                left = [path for folder in (store.root, cache) for path in folder.rglob(".*")]
                assert not left, f"left behind: {left}"
                assert run_row(row_of, "p", store, cache) == 0
