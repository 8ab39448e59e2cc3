"""A study of healing: the blocks of the stored row, one budget, nothing trained twice, no evaluated text trained on."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import avss
from avss.engine import training
from avss.recovery.recovering import Recipe
from avss.runs import recovery
from avss.runs.context import loaded
from avss.runs.experiment import run_row
from avss.runs.profile import Row
from avss.runs.recovery import Study, removed_by, run_study
from avss.store import Store
from tests.conftest import WORDS, tiny, word_tokenizer
from tests.killing import interrupted_after

RECIPE = Recipe(steps=4, windows=2, context=12, learning_rate=1e-2, rank=2)
SCORES = ("original", "avss", "last", "random")


def sentence(number: int, words: int) -> str:
    """Words of their own for every number, far more than the model has tokens for."""
    return " ".join(f"{WORDS[(number * place) % 14]} {number}x{place}" for place in range(1, words))


@pytest.fixture(scope="module")
def row(tmp_path_factory) -> Row:
    """A tiny Llama on documents of which two of the calibration split repeat evaluated ones."""
    folder = tmp_path_factory.mktemp("row")
    tiny("llama").save_pretrained(folder / "model")
    word_tokenizer().save_pretrained(folder / "model")
    texts = {"validation": [sentence(number, 12) for number in range(6)]}
    texts["train"] = [texts["validation"][2], *(sentence(number, 12) for number in range(20, 40))]
    texts["train"].append("and " + texts["validation"][4])
    for split, lines in texts.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in lines))
    facts = {"remove": 2, "seeds": 1, "samples": 4, "context": 16, "methods": ("avss", "last", "random")}
    facts["readings"] = ("paper,epsilon=0.5", "paper")
    return Row("r", "language_modeling", str(folder / "model"), str(folder), **facts)


@pytest.fixture(scope="module")
def store(row, tmp_path_factory) -> Store:
    made = Store(tmp_path_factory.mktemp("results"))
    run_row(row, "p", made, None)
    return made


@pytest.fixture
def into(tmp_path) -> Store:
    return Store(tmp_path / "recovery")


def test_every_score_has_the_same_budget_and_starts_where_the_row_ends(row, store, into):
    study = Study(SCORES, points=2)
    removed = removed_by(store, "p", row, SCORES)
    assert removed["last"] == [2, 3]
    assert removed["original"] == []
    choices = {tuple(layers) for layers in removed.values()}
    assert run_study(row, "p", store, into, study, RECIPE) == 2 * len(choices) - 1
    table = into.observations()
    assert (table["status"] == "ok").all()
    assert set(table["key"]) == into.asked_for("p", "r")
    tokens = [0, 2 * 2 * 12, 4 * 2 * 12]
    for score in SCORES:
        for objective in ("next_token", "distillation") if score != "original" else ("next_token",):
            part = table[(table["method"] == score) & table["selection"].str.startswith(objective)]
            assert part["selection"].tolist() == [f"{objective}({count})" for count in tokens], (score, objective)
            rest = store.observations()
            rest = rest[(rest["method"] == score) & (rest["seed"] == 0) & rest["reading"].isin(["none", "paper"])]
            assert part["value"].iloc[0] == pytest.approx(rest["value"].item())
            assert part["value"].nunique() == 3
    facts = store.provenances("p", "r")[-1], into.provenances("p", "r")[-1]
    assert facts[1]["recipe"] == {name: value for name, value in vars(RECIPE).items() if name != "objective"}
    assert facts[1]["configuration"] == facts[0]["configuration"]


def test_nothing_that_is_measured_was_trained_on(row, store, into, monkeypatch):
    trained = []

    def noted(model, tokenizer, texts, *arguments, **options):
        trained.append(list(texts))
        return recover(model, tokenizer, texts, *arguments, **options)

    recover = recovery.recover
    monkeypatch.setattr(recovery, "recover", noted)
    run_study(row, "p", store, into, Study(("last",), ("next_token",), points=1), RECIPE)
    measured = " | ".join(loaded(row, None).evaluation["text"])
    assert len(trained[0]) == 20
    for text in trained[0]:
        words = re.findall(r"\w+", text)
        runs = [" ".join(words[start : start + 13]) for start in range(len(words) - 12)]
        assert runs
        assert not [run for run in runs if run in measured]
    facts = into.provenances("p", "r")[-1]["trained_on"]
    assert list(facts.values())[1:] == [20, 2]


def test_a_killed_study_goes_on_and_trains_nothing_twice(row, store, into, tmp_path, monkeypatch):
    study, states = Study(("last", "random"), points=2), tmp_path / "states"
    assert run_study(row, "p", store, Store(tmp_path / "whole"), study, RECIPE) == 4
    monkeypatch.setattr(recovery, "EVERY", 1)
    with interrupted_after(monkeypatch, training, "_keep", 7), pytest.raises(KeyboardInterrupt):
        run_study(row, "p", store, into, study, RECIPE, states)
    measured, measure = [], recovery.Prepared.measure

    def counted(*arguments):
        measured.append(1)
        return measure(*arguments)

    monkeypatch.setattr(recovery.Prepared, "measure", counted)
    assert run_study(row, "p", store, into, study, RECIPE, states) == 4 - 1
    # Two measurements on the way for each of four trainings; what is before them is known from the row.
    assert len(measured) == 8 - 3
    assert run_study(row, "p", store, into, study, RECIPE, states) == 0
    columns = ["key", "method", "selection", "value", "low", "high"]
    one, other = (each.observations()[columns].sort_values("key") for each in (into, Store(tmp_path / "whole")))
    assert one.to_numpy().tolist() == other.to_numpy().tolist()
    assert not list(states.iterdir())
    names = into.observations()["coalition"]
    outcomes = into.outcomes("p", "r")
    assert all(np.isfinite(outcomes[name][0]).all() for name in names)


def test_a_training_that_fails_is_stored_with_its_reason(row, store, into, monkeypatch):
    study, recover = Study(("last", "random"), ("next_token",), points=2), recovery.recover

    def failing(model, *arguments, watch, **options):
        def stopped(model, step):
            watch(model, step)
            if step == 2 and watch.args[3] == ["last"]:
                raise avss.InputError("the loss of step 2 is nan")

        return recover(model, *arguments, watch=stopped, **options)

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "recover", failing)
        assert run_study(row, "p", store, into, study, RECIPE) == 2
    table = into.observations()
    told = table.loc[table["method"] == "last", "status"].tolist()
    assert told == ["ok", "ok", "failed: the loss of step 2 is nan"]
    assert (table.loc[table["method"] == "random", "status"] == "ok").all()
    assert run_study(row, "p", store, into, study, RECIPE) == 1
    assert (into.observations()["status"] == "ok").all()


def test_fewer_documents_are_measured_anew(row, store, into):
    study = Study(("original", "last"), ("next_token",), documents=4, points=1)
    run_study(row, "p", store, into, study, RECIPE)
    table = into.observations()
    assert set(table["n"]) == {4}
    assert not set(table["coalition"]) & set(store.observations()["coalition"])


@pytest.mark.parametrize(
    ("changes", "recipe", "message"),
    [
        ({"scores": ("taylor",)}, RECIPE, "has no result of score 'taylor'"),
        ({"objectives": ("next",)}, RECIPE, "objective 'next' is not known"),
        ({"points": 0}, RECIPE, "measurements on the way are 0 of 4 steps"),
        ({"points": 5}, RECIPE, "measurements on the way are 5 of 4 steps"),
        ({}, replace(RECIPE, steps=0), "steps of the recipe is 0"),
        ({}, replace(RECIPE, context=2000), "context of the recipe is 2000 tokens and the model has 64"),
    ],
)
def test_what_cannot_be_studied_is_one_line(row, store, into, changes, recipe, message):
    with pytest.raises(avss.InputError, match=message) as error:
        run_study(row, "p", store, into, replace(Study(("last",)), **changes), recipe)
    assert "\n" not in str(error.value)
    assert not into.root.exists()


def test_a_row_that_did_not_run_is_said(row, tmp_path):
    with pytest.raises(avss.InputError, match="run the row first"):
        run_study(row, "p", Store(tmp_path / "none"), Store(tmp_path / "out"), Study(), RECIPE)
