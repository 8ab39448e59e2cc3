"""Runs of EAVSS on a set of questions: what the store keeps, and that nothing is computed twice."""

import json

import numpy as np
import pytest

import avss
from avss.hallucination.ratios import SUM_COLUMNS, PairSums
from avss.records import gzipped, table_text
from avss.runs import hallucination
from avss.runs.hallucination import ENDING, Plan, run_set
from avss.store import Store
from tests.conftest import tiny, word_tokenizer

PLAN = Plan(pairs=40, reading="paper,epsilon=0.5", context=56)


@pytest.fixture
def data(tmp_path):
    rows = [
        {"question": f"{one} {other}", "supported": "it was good", "hallucinated": ["bad film", "poor"]}
        for one in ("was", "and", "very", "not", "the")
        for other in ("good", "bad", "fine", "poor", "film")
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_run_keeps_all_measures_and_is_not_made_twice(data, tmp_path):
    model, tokenizer, store = tiny("llama"), word_tokenizer(), Store(tmp_path / "store")
    assert run_set(model, tokenizer, data, "tiny", store, PLAN) == ["scores", "answers", "generation"]
    assert run_set(model, tokenizer, data, "tiny", store, PLAN) == []
    table = store.observations("tiny", "own")
    assert {"margin", "mc1", "mc2", "calibration_error", "f1", "least_p_any"} <= set(table["metric"])
    assert (table["status"] == "ok").all()
    layers = store.layers("tiny", "own")
    values = layers[layers["quantity"] == "eavss"]["value"].to_numpy()
    assert {"eavss_low", "eavss_high", "p_any", "auroc", "auroc_low"} <= set(layers["quantity"])
    [path] = (tmp_path / "store/tiny/own").glob(f"*{ENDING}")
    facts = store.provenance(path.name.removesuffix(ENDING))
    sums = PairSums.read(path, PLAN.reading, [facts["sha256_of_sums"]])
    assert sums.ratios()[2] == pytest.approx(values, rel=1e-6)
    assert sums.questions == len(avss.load_pairs(data, "scoring"))


def test_a_killed_run_continues_with_the_stage_that_it_was_in(data, tmp_path, monkeypatch):
    model, tokenizer, store = tiny("llama"), word_tokenizer(), Store(tmp_path / "store")

    def killed(given, run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(hallucination.STAGES, "answers", killed)
        with pytest.raises(KeyboardInterrupt):
            run_set(model, tokenizer, data, "tiny", store, PLAN)
    assert run_set(model, tokenizer, data, "tiny", store, PLAN) == ["answers", "generation"]


def test_another_plan_or_other_weights_are_measured_anew(data, tmp_path):
    tokenizer, store = word_tokenizer(), Store(tmp_path / "store")
    run_set(tiny("llama"), tokenizer, data, "tiny", store, PLAN)
    assert len(run_set(tiny("llama", seed=1), tokenizer, data, "tiny", store, PLAN)) == 3
    other = Plan(pairs=6, reading=PLAN.reading, context=PLAN.context)
    assert len(run_set(tiny("llama"), tokenizer, data, "tiny", store, other)) == 3


def test_sums_that_were_changed_are_refused(data, tmp_path):
    sums = PairSums(np.random.default_rng(0).random((2, 4, 3, 2)), avss.Reading())

    path = tmp_path / f"run{ENDING}"
    path.write_bytes(gzipped(table_text(SUM_COLUMNS, sums.lines())))
    assert PairSums.read(path, "paper").sums == pytest.approx(sums.sums)
    with pytest.raises(avss.InputError, match="damaged"):
        PairSums.read(path, "paper", ["0" * 64])
