"""A row with `compensate`: the same blocks go with and without compensation, and the book shows both side by side."""

import json
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

import avss
from avss import intervals
from avss.models import load_model
from avss.report.curves import compensation, curve, iteration
from avss.report.figures.curves import retention_curve
from avss.report.figures.style import style
from avss.report.snapshot import Results
from avss.report.tables import compensation_table, iteration_table
from avss.runs.cells import cells
from avss.runs.context import loaded
from avss.runs.evaluation import scales_of
from avss.runs.experiment import run_row
from avss.runs.plan import Rate, scoring_seconds, size_of
from avss.runs.profile import Row
from avss.selection import runs_of
from avss.store import Store, layers_of
from tests.conftest import WORDS
from tests.stores import cells as cells_of_line
from tests.test_removals import counting

SAME = ["removed", "original", "share_of_layers", "share_of_parameters", "n"]


def row_of(folder, checkpoint, **facts) -> Row:
    """Ten documents of words, and a model of four blocks."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "validation"):
        texts = [" ".join(WORDS[(i * j + len(split)) % 13] for j in range(1, 6 + i % 3)) for i in range(10)]
        lines = [json.dumps({"sentence": text, "label": i % 2}) for i, text in enumerate(texts)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    facts = {
        "task": "language_modeling",
        "seeds": 2,
        "samples": 4,
        "methods": ("avss", "random"),
        "curve": (1, 3),
    } | facts
    return Row("r", checkpoint=str(checkpoint), data=str(folder), remove=2, compensate=True, **facts)


@pytest.fixture
def row(saved, tmp_path) -> Row:
    return row_of(tmp_path / "data", saved("llama"), selections={"avss": ("iterative", "cumulative(0.5)")})


@pytest.mark.long
def test_every_removal_of_a_number_of_blocks_has_a_twin_that_lost_the_same_blocks(row, tmp_path, monkeypatch):
    plain, both = Store(tmp_path / "plain"), Store(tmp_path / "both")
    run_row(replace(row, compensate=False), "p", plain, None)
    run_row(row, "p", both, None)
    found = both.observations()
    assert (found["status"] == "ok").all(), found["status"].unique()
    twins = found["selection"].str.startswith("compensated:")
    columns = ["key", "method", "reading", "selection", "seed", "coalition", "value", "low", "high", *SAME]
    assert found.loc[~twins, columns].to_numpy().tolist() == plain.observations()[columns].to_numpy().tolist()
    assert twins.sum() == 3 * 2 * 3, "three rules, two seeds, three numbers of blocks; a mass has no twin"
    pairs = found[twins].assign(selection=found["selection"].str.removeprefix("compensated:"))
    pairs = pairs.merge(found[~twins], on=["method", "reading", "selection", "seed"], suffixes=("", "_plain"))
    assert len(pairs) == twins.sum()
    assert all((pairs[name] == pairs[f"{name}_plain"]).all() for name in SAME)
    assert (pairs["value"] != pairs["value_plain"]).any()
    # Added to a row that was measured before, no block is scored again.
    monkeypatch.setattr("avss.runs.experiment.score", None)
    assert run_row(row, "p", plain, None) == twins.sum()
    assert run_row(row, "p", plain, None) == 0


@pytest.mark.parametrize(("family", "task"), [("llama", "question_answering"), ("bert", "sentiment")])
def test_the_score_of_a_twin_is_that_of_the_folded_model(saved, tmp_path, family, task):
    row = row_of(tmp_path / "data", saved(family), task=task, methods=("random",), curve=(3,), seeds=1)
    if task == "question_answering":
        for split in ("train", "validation"):
            texts = [" ".join(WORDS[(i * j + 5) % 13] for j in range(1, 9)) for i in range(6)]
            lines = [
                json.dumps(
                    {
                        "context": text,
                        "question": "was it good",
                        "answers": {"text": [text.split()[0]], "answer_start": [0]},
                    }
                )
                for text in texts
            ]
            (tmp_path / "data" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    store = Store(tmp_path / "results")
    run_row(row, "p", store, None)
    twins = Results(store).compensated
    assert len(twins) == 2
    context, outcomes = loaded(row, None), store.outcomes("p", "r")
    for line in twins.drop_duplicates("removed").itertuples():
        model, tokenizer = load_model(row.checkpoint)
        avss.prune(model, layers_of(line.removed), compensate=context.calibration_text(0)(4))
        outcome = context.task.measure(
            model, tokenizer, context.evaluation, context.column, context=context.task.context, batch_size=4
        )
        np.testing.assert_allclose(outcomes[line.coalition][0], outcome.numerator, rtol=1e-4)
        assert line.value == pytest.approx(
            intervals.value(context.task.metric, outcome.numerator, outcome.denominator), rel=1e-4
        )


@pytest.mark.long
def test_twins_that_begin_alike_share_their_first_blocks(row, tmp_path, monkeypatch):
    row, ran, tables = replace(row, curve=(1, 3), seeds=3), [], []
    for together in (1, 32):
        store = Store(tmp_path / f"{together}")
        run_row(replace(row, compensate=False), "p", store, None)
        monkeypatch.setattr("avss.runs.experiment.TOGETHER", together)
        context = loaded(row, None)
        monkeypatch.setattr("avss.runs.experiment.loaded", lambda row, coalitions, context=context: context)
        with counting(context.model) as blocks:
            run_row(row, "p", store, None)
        monkeypatch.undo()
        ran.append(len(blocks))
        tables.append(store.observations())
    assert ran[1] < 0.8 * ran[0]
    assert tables[0]["value"].to_numpy() == pytest.approx(tables[1]["value"].to_numpy(), rel=1e-6)
    assert (tables[0]["removed"] == tables[1]["removed"]).all()


def test_a_set_of_blocks_has_one_factor_a_cut_whichever_seed_chose_it(row):
    context = loaded(row, None)
    scales = scales_of(context, [[0], [0, 1, 3], [3]])
    assert {name: len(own) for name, own in scales.items()} == {"0": 1, "0+1+3": 2, "3": 1}
    assert scales["0+1+3"][1] == scales["3"][0]
    assert [len(runs_of(layers_of(name))) for name in scales] == [1, 2, 1]
    assert context.coalition([0], compensated=True) != context.coalition([0])
    other = replace(context, calibrated_on="other")
    assert other.coalition([0], True) != context.coalition([0], True)
    assert other.coalition([0]) == context.coalition([0])


def test_a_model_that_cannot_be_compensated_keeps_its_plain_results(tmp_path, saved, monkeypatch):
    def refused(*_):
        raise avss.InputError("this model cannot be compensated")

    row = row_of(tmp_path / "data", saved("llama"), methods=("random",), curve=())
    monkeypatch.setattr("avss.runs.evaluation.factors", refused)
    store = Store(tmp_path / "results")
    run_row(row, "p", store, None)
    results = Results(store)
    assert set(results.compensated["status"]) == {"failed: this model cannot be compensated"}
    assert (results.in_use["status"] == "ok").all()
    assert compensation(results, "r").empty
    assert "No removal of this row was compensated" in compensation_table(results, "r")


def test_a_plan_scores_no_twin_and_evaluates_each(row):
    size, rate = size_of(load_model(row.checkpoint)[0]), Rate(1e9, 1e9)
    assert scoring_seconds(row, size, rate) == scoring_seconds(replace(row, compensate=False), size, rate)
    assert len(cells(row)) == len(cells(replace(row, compensate=False))) + 3 * 2 * 3


def test_the_book_shows_what_compensation_adds_with_a_paired_interval(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(row, "mini", store, None)
    results, outcomes = Results(store), store.outcomes("mini", "r")
    data = compensation(results, "r")
    assert data["name"].unique().tolist() == ["AVSS", "AVSS, iterative", "random"]
    assert data.groupby("name")["removed"].agg(list).tolist() == [[1, 2, 3]] * 3
    assert data.groupby("removed")["of_row"].agg(set).tolist() == [{False}, {True}, {False}]
    assert not data.isna().any(axis=None)
    # By hand: two seeds, the geometric mean of perplexity, pairs of seeds and documents drawn together.
    line = data.query("name == 'random' and removed == 3").iloc[0]
    sets = {
        kind: [results.store.observations().set_index("key").loc[key, "coalition"] for key in keys]
        for kind, keys in keys_of(row).items()
    }
    nats = {kind: [top.sum() / bottom.sum() for top, bottom in map(outcomes.get, own)] for kind, own in sets.items()}
    shares = {kind: np.exp(nats["whole"][0] - np.mean(own)) for kind, own in nats.items()}
    assert line["plain"] == pytest.approx(shares["plain"], rel=1e-6)
    assert line["retention"] == pytest.approx(shares["compensated"], rel=1e-6)
    assert line["gain"] == pytest.approx(shares["compensated"] - shares["plain"], abs=1e-6)
    assert line["gain_low"] <= line["gain"] <= line["gain_high"]
    same = curve(results, "r").query("name == 'random' and removed == 3").iloc[0]
    assert (line["plain"], line["plain_low"], line["plain_high"]) == (same["retention"], same["low"], same["high"])

    table = compensation_table(results, "r")
    assert table.count("| 2 of 4 |") == 3
    assert "3 of 4" not in table
    assert "+" in cells_of_line(table, "mini")[4] or "−" in cells_of_line(table, "mini")[4]
    with mpl.rc_context(style("light")):
        figure, drawn = retention_curve(results, "r")
        figure.draw_without_rendering()
    assert drawn["compensated_retention"].notna().all()
    assert len(drawn) == len(data)
    # The other pages see the row without compensation alone.
    assert not results.in_use["selection"].str.contains("compensated").any()


def test_the_book_shows_what_scoring_again_after_each_block_changes_with_a_paired_interval(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(row, "mini", store, None)
    results, outcomes = Results(store), store.outcomes("mini", "r")
    data = iteration(results, "r")
    assert data["name"].unique().tolist() == ["AVSS"]
    assert data["removed"].tolist() == [1, 2, 3]
    # The first block to go is the same.
    assert data["same"].tolist()[0] == data["seeds"].tolist()[0] == 2
    assert data["gain"].tolist()[0] == 0
    # By hand, for three blocks: two seeds, the geometric mean of perplexity.
    table, sets = store.observations().query("method in ('avss', 'original')"), {}
    for kind, selection in {"whole": "none", "once": "curve:lowest(3)", "again": "curve:iterative(3)"}.items():
        sets[kind] = table[table["selection"] == selection].sort_values("seed")
    nats = {
        kind: np.mean([top.sum() / bottom.sum() for top, bottom in map(outcomes.get, own["coalition"])])
        for kind, own in sets.items()
    }
    line = data.iloc[-1]
    assert line["plain"] == pytest.approx(np.exp(nats["whole"] - nats["once"]), rel=1e-6)
    assert line["retention"] == pytest.approx(np.exp(nats["whole"] - nats["again"]), rel=1e-6)
    assert line["gain"] == pytest.approx(line["retention"] - line["plain"], abs=1e-6)
    assert line["gain_low"] <= line["gain"] <= line["gain_high"]
    assert line["same"] == sum(sets["once"]["removed"].to_numpy() == sets["again"]["removed"].to_numpy())
    table = iteration_table(results, "r")
    assert table.count("| AVSS |") == 3
    assert table.count(f"**{data['ran'].iloc[0]}**") == 1
    assert "| 2 of 2 |" in table


def test_without_the_rule_nothing_is_beside_the_removal_at_once(row, tmp_path):
    store = Store(tmp_path / "results")
    run_row(replace(row, selections={}, compensate=False), "mini", store, None)
    assert iteration(Results(store), "r").empty
    assert iteration_table(Results(store), "r") == "Not measured.\n"


def keys_of(row: Row) -> dict[str, list[str]]:
    context = loaded(row, None)
    three = [cell for cell in cells(row) if (cell.method, cell.at) == ("random", 3)]
    return {
        "whole": [context.key(cells(row)[0])],
        "plain": [context.key(cell) for cell in three if not cell.compensated],
        "compensated": [context.key(cell) for cell in three if cell.compensated],
    }
