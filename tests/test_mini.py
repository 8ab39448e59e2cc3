"""The embedded models: what their cards say is what they do."""

import json
from pathlib import Path

import pytest

import avss
from avss import microworld, mini
from avss.experiment import load_profile

ROWS = load_profile(Path(__file__).parent.parent / "profiles" / "mini.yaml").rows
SENTIMENT = [row.checkpoint.removeprefix("mini/") for row in ROWS if row.task == "sentiment"]


def card(name: str) -> dict:
    return json.loads((mini.folder(name) / mini.CARD).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SENTIMENT)
def test_sentiment_on_a_held_out_world_is_what_the_card_says(name):
    facts = card(name)
    assert facts["accuracy"] >= 0.9
    model, tokenizer = avss.load_model(f"mini/{name}")
    reviews = microworld.load("reviews", "validation", 200)
    measured = avss.evaluate(model, tokenizer, "sentiment", reviews)
    # Four standard errors of so few documents.
    assert measured["value"] == pytest.approx(facts["accuracy"], abs=4 * (0.05 / len(reviews)) ** 0.5)


@pytest.mark.parametrize("name", mini.names())
def test_the_card_tells_how_the_model_was_made(name):
    facts, text = card(name), (mini.folder(name) / "README.md").read_text(encoding="utf-8")
    assert {"data_seed", "tokens_seen", "steps", "loss", "hardware", "seconds", "sha256", "torch"} <= set(facts)
    assert facts["sha256"] in text
    assert f"{facts['tokens_seen']:,} tokens" in text


def test_weights_fit_into_the_package():
    assert sum(card(name)["bytes"] for name in mini.names()) < 25_000_000
