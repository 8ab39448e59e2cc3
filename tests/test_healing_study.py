"""Healing against its controls: the same budget for all, outcomes a question, and nothing trained twice."""

import json
from dataclasses import replace

import pytest

import avss
from avss.hallucination.healing import Recipe
from avss.report import tables
from avss.report.hallucination import healed
from avss.report.snapshot import Results
from avss.runs import healing
from avss.runs.healing import Study, run_study, trainings_of
from avss.store import Store
from tests.conftest import tiny, word_tokenizer


@pytest.fixture
def data(tmp_path):
    words = "good bad fine poor film".split()
    rows = [
        {"question": f"{one} {other}", "supported": f"it was {other}", "hallucinated": f"{one} film"}
        for one in words
        for other in words
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


RECIPE = Recipe(steps=2, pairs=3, context=48)


def test_all_controls_have_the_same_recipe_but_for_the_loss_of_one():
    made = trainings_of([1, 4, 2, 3], Study(("a",), 2, draws=2, seeds=2), RECIPE)
    names = [each.control for each in made]
    assert names == ["none", *(["highest", "lowest", "all", "likelihood"] * 2), "random-0", "random-1"]
    assert {(each.recipe.steps, each.recipe.pairs, each.recipe.rank) for each in made} == {(2, 3, 8)}
    assert [each.control for each in made if each.recipe.objective == "likelihood"] == ["likelihood"] * 2
    with pytest.raises(avss.InputError, match="number of layers to train is 5 of 4"):
        trainings_of([1, 4, 2, 3], Study(("a",), 5), RECIPE)


def test_a_killed_study_trains_what_is_missing_and_its_table_pairs_questions(data, tmp_path, monkeypatch):
    store = Store(tmp_path / "results/healing")
    study = Study((data,), 1, draws=2, seeds=1, reading="paper,epsilon=0.5")
    arguments = (lambda: (tiny("llama"), word_tokenizer()), "tiny", store, study, RECIPE)
    heal, made = healing.heal, []

    def killed(*given, **options):
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt
        return heal(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(healing, "heal", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(*arguments)
    assert run_study(*arguments) == 7 - 3
    assert run_study(*arguments) == 0
    table = tables.hallucination.healing_table(Results(Store(tmp_path / "results")))
    assert table.count("\n| ") == 1 + 5
    assert "In all lines: model tiny." in table
    for name in ("highest", "lowest", "random", "all", "likelihood"):
        assert f"| {name} |" in table
    assert "nan" not in table
    # Another study of the same sets takes the place of the first.
    longer = replace(RECIPE, steps=3)
    assert run_study(*arguments[:-1], longer) == 7
    shown = healed(Results(Store(tmp_path / "results")))
    keys = store.asked_for("tiny", "healing")
    told = {name: values for name, (values, _) in store.outcomes("tiny", "healing").items()}
    newest = [list(values) for name, values in told.items() if json.loads(name)[0] in keys]
    assert len(told) == 2 * len(newest)
    assert sorted(shown["value"]) == sorted(value for values in newest for value in values)


def test_nothing_healed_is_said(tmp_path):
    assert "Not measured" in tables.hallucination.healing_table(Results(Store(tmp_path)))
