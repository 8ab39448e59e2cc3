"""Healing against its controls: the same budget for all, outcomes a question, and nothing trained twice."""

import json
from dataclasses import replace

import pytest

import avss
from avss.data import sample
from avss.hallucination.healing import Recipe
from avss.report import tables
from avss.report.hallucination import elsewhere, healed
from avss.report.snapshot import Results
from avss.runs import healing
from avss.runs.healing import Study, run_study, trainings_of
from avss.runs.profile import Row
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


@pytest.fixture
def checkpoint(tmp_path):
    model, tokenizer = tiny("llama"), word_tokenizer()
    tokenizer.save_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def row_of(checkpoint: str) -> Row:
    told = {"id": "posts", "task": "language_modeling", "dataset": "posts", "model": "tiny", "checkpoint": checkpoint}
    told |= {"data": "microworld/posts", "calibration": "train", "evaluation": "validation", "remove": 1, "samples": 2}
    return Row(**told, documents=5, context=12)


@pytest.mark.long
def test_each_training_is_measured_on_the_tasks_of_other_rows(data, checkpoint, tmp_path):
    store, row = Store(tmp_path / "results/healing"), row_of(checkpoint)
    study = Study((data,), 1, draws=2, seeds=1, reading="paper,epsilon=0.5")
    arguments = (lambda: avss.load_model(checkpoint), "tiny", store)
    assert run_study(*arguments, study, RECIPE) == 7
    before = {name: tuple(map(tuple, values)) for name, values in store.outcomes("tiny", "healing").items()}
    # The answers are known, so only the other task is measured; that needs the trained models once more.
    study = replace(study, elsewhere=(row,))
    assert run_study(*arguments, study, RECIPE) == 7
    assert run_study(*arguments, study, RECIPE) == 0
    after = store.outcomes("tiny", "healing")
    assert before == {name: tuple(map(tuple, after[name])) for name in before}
    results = Results(Store(tmp_path / "results"))
    (place, controls), *others = elsewhere(results).items()
    assert not others
    assert place == ("tiny", "posts", "perplexity")
    assert {name: len(own.whole) for name, own in controls.items()} == {
        **dict.fromkeys(["none", "highest", "lowest", "all", "likelihood"], 1),
        "random": 2,
    }
    model, tokenizer = avss.load_model(checkpoint, device="cpu")
    rows = avss.load_data("microworld/posts", "validation")
    untrained = avss.evaluate(model, tokenizer, "language_modeling", sample(rows, 5, 0), context=12)
    assert controls["none"].mean() == pytest.approx(untrained["value"], rel=1e-6)
    assert controls["all"].mean() != pytest.approx(untrained["value"], rel=1e-6)
    table = tables.hallucination.elsewhere_table(results)
    assert table.count("\n| ") == 1 + 6
    assert "nan" not in table
    assert set(healed(results)["metric"]) == {"margin", "mc1"}


def test_what_a_killed_study_lacks_is_not_measured(data, checkpoint, tmp_path, monkeypatch):
    heal, made = healing.heal, []

    def killed(*given, **options):
        made.append(1)
        # The draws of random layers come last.
        if len(made) == 5:
            raise KeyboardInterrupt
        return heal(*given, **options)

    monkeypatch.setattr(healing, "heal", killed)
    study = Study((data,), 1, draws=2, seeds=1, reading="paper,epsilon=0.5", elsewhere=(row_of(checkpoint),))
    with pytest.raises(KeyboardInterrupt):
        run_study(lambda: avss.load_model(checkpoint), "tiny", Store(tmp_path / "results/healing"), study, RECIPE)
    table = tables.hallucination.elsewhere_table(Results(Store(tmp_path / "results")))
    assert table.count("not measured") == 4
    assert "random |" not in table


def test_a_row_of_another_model_is_refused(data, checkpoint, tmp_path):
    study = Study((data,), 1, draws=2, seeds=1, reading="paper,epsilon=0.5", elsewhere=(row_of("mini/llama-7b"),))
    with pytest.raises(avss.InputError, match="row posts is of another model than tiny"):
        run_study(lambda: avss.load_model(checkpoint), "tiny", Store(tmp_path), study, RECIPE)


def test_nothing_healed_is_said(tmp_path):
    assert "Not measured" in tables.hallucination.healing_table(Results(Store(tmp_path)))
    assert "Not measured" in tables.hallucination.elsewhere_table(Results(Store(tmp_path)))
