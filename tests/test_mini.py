"""The embedded models: what their cards say is what they do, and good enough for the rows that run on them."""

import json
from pathlib import Path

import numpy as np
import pytest

import avss
from avss import microworld, mini
from avss.intervals import value
from avss.runs.profile import load_profile
from avss.tasks import TASKS

ROWS = load_profile(Path(__file__).parent.parent / "profiles" / "mini.yaml").rows
# The least that a model has to reach before anything is removed; of perplexity, the most in units of its floor.
LEAST = {"accuracy": 0.9, "f1": 0.8}
MOST = 1.25

every_row = pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])


def card(name: str) -> dict:
    return json.loads((mini.folder(name) / mini.CARD).read_text(encoding="utf-8"))


def told(row) -> float:
    """What the card of the row's model says of the row's task and data."""
    metric, genre = TASKS[row.task].metric, row.data.removeprefix("microworld/")
    return card(row.checkpoint.removeprefix("mini/"))[metric if metric in LEAST else f"{genre}_{metric}"]


@every_row
def test_the_model_of_a_row_is_good_at_its_task_on_a_held_out_world(row):
    metric = TASKS[row.task].metric
    if metric in LEAST:
        assert told(row) >= LEAST[metric]
    else:
        facts, genre = card(row.checkpoint.removeprefix("mini/")), row.data.removeprefix("microworld/")
        assert facts[f"{genre}_floor"] < told(row) <= MOST * facts[f"{genre}_floor"]


@pytest.mark.long
@every_row
def test_a_sample_of_the_held_out_world_agrees_with_the_card(row):
    task, documents = TASKS[row.task], 100
    model, tokenizer = avss.load_model(row.checkpoint)
    data = microworld.load(row.data.removeprefix("microworld/"), "validation", documents)
    found = task.measure(model, tokenizer, data, task.columns[0], context=row.context, batch_size=32)
    measured = value(task.metric, found.numerator, found.denominator)
    # Four standard errors of so few documents, by the jackknife.
    kept = [np.delete(np.arange(documents), left_out) for left_out in range(documents)]
    without = [value(task.metric, found.numerator[part], found.denominator[part]) for part in kept]
    assert measured == pytest.approx(told(row), abs=4 * np.std(without) * (documents - 1) ** 0.5)


@pytest.mark.parametrize("name", mini.names())
def test_the_card_tells_how_the_model_was_made(name):
    facts, text = card(name), (mini.folder(name) / "README.md").read_text(encoding="utf-8")
    assert {"data_seed", "tokens_seen", "steps", "loss", "hardware", "seconds", "sha256", "torch"} <= set(facts)
    assert facts["sha256"] in text
    assert f"{facts['tokens_seen']:,} tokens" in text


def test_weights_fit_into_the_package():
    assert sum(card(name)["bytes"] for name in mini.names()) < 25_000_000
