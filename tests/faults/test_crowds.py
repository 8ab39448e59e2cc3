"""Two and four processes on one row, one cache and one output: nothing is lost, doubled or mixed."""

import os
import shutil
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest

import avss
from avss.engine import coalitions
from avss.engine.ablation import ablate
from avss.runs.experiment import run_row
from avss.scores import LayerScores
from avss.store import Store
from tests.conftest import ragged, tiny
from tests.faults.tally import size
from tests.faults.test_kills import MASKS, comparable, run, state, tiny_row
from tests.killing import forked


def together(*works: Callable[[], object]) -> list[int]:
    """The exit codes of processes that begin their works in the same moment."""
    begin = time.monotonic() + 0.1

    def started(work):
        time.sleep(max(0, begin - time.monotonic()))
        return work()

    children = [forked(lambda work=work: started(work), lambda: None) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.parametrize("writers", [2, 4])
def test_writers_of_one_store_lose_nothing(tmp_path, tally, writers):
    def writer(store, number):
        def work():
            run = store.start("p", "r", "2026-01-01T00:00:00Z", {"writer": number})
            for turn in range(4):
                run.add([{"key": f"{number}-{turn}", "status": "ok", "value": "0.5", "metric": "accuracy"}])

        return work

    with tally.row(f"crowd-store-{writers}") as row:
        for turn in range(size(20, 3)):
            store = Store(tmp_path / str(turn))
            with row.trial(turn):
                assert together(*(writer(store, number) for number in range(writers))) == [0] * writers
                wanted = {f"{number}-{turn}" for number in range(writers) for turn in range(4)}
                assert store.finished("p", "r") == wanted
                assert len(store.observations()) == len(wanted)


@pytest.mark.parametrize("writers", [2, 4])
def test_processes_on_one_row_end_with_its_numbers(world, tally, writers):
    row_of, whole = tiny_row(world), Store(world / "whole")
    run_row(row_of, "p", whole, None)
    expected = comparable(whole.observations())
    with tally.row(f"crowd-row-{writers}") as row:
        for turn in range(size(6, 1)):
            store, cache = Store(world / f"store{turn}"), world / f"cache{turn}"
            with row.trial(turn):
                assert together(*[partial(run_row, row_of, "p", store, cache)] * writers) == [0] * writers
                pd.testing.assert_frame_equal(comparable(store.observations()), expected)
                assert run_row(row_of, "p", store, cache) == 0
                assert not [path for folder in (store.root, cache) for path in folder.rglob(".*")]


@pytest.mark.parametrize("writers", [2, 4])
def test_processes_on_one_cache_keep_what_each_of_them_found(tmp_path, tally, monkeypatch, writers):
    monkeypatch.setattr(coalitions, "SAVE_EVERY", 0.0)
    model, batches = tiny("llama"), [ragged()]
    expected = ablate(model, batches, MASKS)
    with tally.row(f"crowd-cache-{writers}") as row:
        for turn in range(size(10, 2)):
            cache = tmp_path / str(turn)
            with row.trial(turn):
                parts = [MASKS[number::writers] for number in range(writers)]
                works = [partial(ablate, model, batches, part, cache=cache, key="k") for part in parts]
                assert together(*works) == [0] * writers
                found = ablate(model, batches, MASKS, cache=cache, key="k")
                np.testing.assert_array_equal(found.loss, expected.loss)
                assert not list(cache.rglob(".*"))


@pytest.mark.parametrize("writers", [2, 4])
def test_processes_on_one_output_leave_that_of_one_of_them(world, tally, writers):
    out = world / "out"

    def score(method):
        return lambda: run(
            "score", world / "lm", "--data", world / "text.txt", "--method", method, "--out", out / "s.csv", "--force"
        )

    def prune(layers):
        return lambda: run(
            "prune", world / "lm", "--scores", world / "s.csv", "--layers", layers, "--out", out / "p", "--force"
        )

    methods, counts = ["avss", "magnitude", "taylor", "random"][:writers], [1, 2, 3, 1][:writers]
    with tally.row(f"crowd-output-{writers}") as row:
        for turn in range(size(6, 1)):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            score("avss")()
            with row.trial(f"scores {turn}"):
                codes = together(*map(score, methods))
                assert 0 in codes
                assert LayerScores.load(out / "s.csv").method in methods
                score("magnitude")()
                assert sorted(state(out)) == ["s.csv", "s.json"]
            shutil.rmtree(out)
            out.mkdir()
            prune(1)()
            with row.trial(f"pruned folders {turn}"):
                codes = together(*map(prune, counts))
                assert 0 in codes
                avss.load_model(str(out / "p"))
                prune(1)()
                assert os.listdir(out) == ["p"]
