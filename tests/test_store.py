"""The store: keyed, append-only, whole after a kill."""

import json
import multiprocessing

import numpy as np
import pandas as pd
import pytest

from avss.errors import InputError
from avss.report.snapshot import Results
from avss.store import OBSERVATIONS, Store, key_of, layers_text

WHEN = "2026-01-02T03:04:05Z"


def observation(key, **changes):
    row = dict.fromkeys(OBSERVATIONS, "") | {"metric": "accuracy"}
    return row | {"key": key, "profile": "p", "row": "r", "value": 0.5, "status": "ok", "removed": "none"} | changes


def started(store):
    return store.start("p", "r", WHEN, {"git_revision": "abc"})


def test_what_was_added_comes_back_with_its_run(tmp_path):
    store = Store(tmp_path)
    run = started(store)
    run.add([observation("a", removed="1+4", value=0.25)])
    run.add(
        [observation("b")],
        [{"row": "r", "method": "avss", "reading": "paper", "seed": 0, "layer": 1, "quantity": "avss", "value": 2.0}],
    )
    table = store.observations("p", "r")
    assert list(table.columns) == list(OBSERVATIONS)
    assert table["key"].tolist() == ["a", "b"]
    assert table["removed"].tolist() == ["1+4", "none"]
    assert table["value"].tolist() == [0.25, 0.5]
    assert set(table["run"]) == {run.name}
    assert store.layers()["value"].tolist() == [2.0]
    assert store.provenance(run.name)["git_revision"] == "abc"
    assert store.provenance(run.name)["created"] == WHEN


def test_its_folder_may_be_named_by_a_text(tmp_path):
    store = Store(str(tmp_path))
    started(store).add([observation("a")])
    assert store == Store(tmp_path)
    assert Results(store).observations["key"].tolist() == ["a"]


def test_runs_only_ever_add_files(tmp_path):
    store = Store(tmp_path)
    started(store).add([observation("a")])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    second = started(store)
    second.add([observation("b")])
    assert all(path.read_bytes() == content for path, content in before.items())
    assert store.finished("p", "r") == {"a", "b"}


def test_a_key_counts_once_and_success_wins_over_failure(tmp_path):
    store = Store(tmp_path)
    started(store).add([observation("a", status="failed: out of memory", value=""), observation("b", value=1.0)])
    assert store.finished("p", "r") == {"b"}
    started(store).add([observation("a", value=0.75), observation("b", value=2.0)])
    table = store.observations()
    assert sorted(zip(table["key"], table["value"], strict=True)) == [("a", 0.75), ("b", 1.0)]


def test_a_failed_cell_is_a_row_with_its_reason(tmp_path):
    store = Store(tmp_path)
    started(store).add([observation("a", status="failed: layer 2 has NaN", value="")])
    table = store.observations()
    assert table["status"].tolist() == ["failed: layer 2 has NaN"]
    assert np.isnan(table["value"].iloc[0])


def test_outcomes_come_back_by_coalition_across_runs(tmp_path):
    store = Store(tmp_path)
    started(store).add_outcomes({"x-none": ([1.0, 0.0], [1.0, 1.0])})
    started(store).add_outcomes({"x-1+2": ([0.125, 3.5], [2.0, 4.0])})
    found = store.outcomes("p", "r")
    assert found["x-none"][0].tolist() == [1.0, 0.0]
    assert found["x-1+2"][0].tolist() == [0.125, 3.5]
    assert found["x-1+2"][1].tolist() == [2.0, 4.0]


def test_the_same_outcomes_give_the_same_bytes(tmp_path):
    contents = []
    for part in ("one", "two"):
        run = started(Store(tmp_path / part))
        run.add_outcomes({"x-none": ([1.0], [1.0])})
        contents.append((run.folder / f"{run.name}.outcomes.csv.gz").read_bytes())
    assert contents[0] == contents[1]


def test_an_empty_store_has_empty_tables(tmp_path):
    store = Store(tmp_path / "nowhere")
    assert len(store.observations()) == len(store.layers()) == 0
    assert store.finished("p", "r") == set()
    assert store.outcomes("p", "r") == {}


def test_nothing_half_written_is_left_or_read(tmp_path):
    store = Store(tmp_path)
    run = started(store)
    run.add([observation("a")])
    (run.folder / f".{run.name}.csv.123.part").write_text("key,ru")
    assert store.finished("p", "r") == {"a"}


def test_keys_depend_on_everything_and_on_no_order():
    assert key_of(a=1, b=[2, 3]) == key_of(b=[2, 3], a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(b=1), key_of(a="1"), key_of(a=None)}) == 5


def test_sets_of_layers_have_one_name():
    assert layers_text([4, 1]) == layers_text((1, 4)) == "1+4"
    assert layers_text([]) == "none"


def test_unknown_columns_and_unusable_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="unknown columns colour"):
        started(Store(tmp_path)).add([observation("a", colour="red")])
    with pytest.raises(InputError, match=r"'\.\./up' cannot name"):
        Store(tmp_path).folder("p", "../up")
    with pytest.raises(InputError, match="run 'ghost' has no provenance"):
        Store(tmp_path).provenance("ghost")


def test_the_tables_are_plain_csv(tmp_path):
    run = started(Store(tmp_path))
    run.add([observation("a")])
    assert list(pd.read_csv(run.folder / f"{run.name}.csv").columns) == list(OBSERVATIONS)
    assert json.loads((run.folder / f"{run.name}.json").read_text())["row"] == "r"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nan", "failed: accuracy is not a number"),
        (float("inf"), "failed: accuracy is above 1e308, the most that is stored"),
        ("1e999", "failed: accuracy is above 1e308, the most that is stored"),
    ],
)
def test_a_value_that_is_not_finite_is_stored_as_failed_and_tried_again(tmp_path, value, reason):
    store = Store(tmp_path)
    started(store).add([observation("a", value=value)])
    assert store.observations()["status"].tolist() == [reason]
    assert np.isnan(store.observations()["value"].item())
    assert store.finished("p", "r") == set()


def write_three(root, worker, barrier):
    barrier.wait()
    run = Store(root).start("p", "r", WHEN, {"worker": worker})
    for turn in range(3):
        run.add([observation(f"{worker}-{turn}")])
        run.add_outcomes({f"{worker}-{turn}": ([1.0], [1.0])})


def test_writers_that_begin_in_the_same_second_lose_nothing(tmp_path):
    """As on two machines that share a file system: no lock is held, and no file has two writers."""
    fork = multiprocessing.get_context("fork")
    for trial in range(10):
        barrier = fork.Barrier(4)
        workers = [fork.Process(target=write_three, args=(tmp_path / str(trial), n, barrier)) for n in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        store = Store(tmp_path / str(trial))
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert (
            store.finished("p", "r")
            == set(store.outcomes("p", "r"))
            == {f"{n}-{t}" for n in range(4) for t in range(3)}
        )
        assert len(store.provenances("p", "r")) == 4


def test_the_newest_run_is_known_although_the_clock_was_set_back(tmp_path):
    store = Store(tmp_path)
    for created, keys in (("2026-01-02T03:04:05Z", ["a"]), ("2020-01-01T00:00:00Z", ["b"])):
        store.start("p", "r", created, {"asked": keys})
    # A run that keeps measurements of its own beside those of the row asks for nothing.
    store.start("p", "r", "2026-01-03T03:04:05Z", {})
    assert store.asked_for("p", "r") == {"b"}
    assert store.asked_for("p", "other") == set()


def test_a_run_that_was_killed_as_it_began_stops_nobody(tmp_path):
    store = Store(tmp_path)
    run = started(store)
    (run.folder / f"{run.name}.json").write_text("")
    assert store.provenances("p", "r") == []
    started(store).add([observation("a")])
    assert store.finished("p", "r") == {"a"}


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda text: text[:-3], "its last line is not whole"),
        (lambda text: text.replace("0.5", "0.5,1"), "line 2 has 30 entries, not 29"),
        (lambda text: text.replace("0.5", "half"), "half"),
        (lambda text: text.replace("value", "worth"), "its header is not that of this kind of file"),
        (lambda text: text[:-9] + "\0" * 8 + "\n", "it holds zero bytes"),
        (lambda text: "", "its last line is not whole"),
    ],
)
def test_a_damaged_table_is_never_read_in_part(tmp_path, harm, reason):
    run = started(Store(tmp_path))
    run.add([observation("a")])
    path = run.folder / f"{run.name}.csv"
    path.write_text(harm(path.read_text()))
    with pytest.raises(InputError, match=f"file {path} is damaged .*{reason}.*; move it away"):
        Store(tmp_path).observations()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": "x"}', "null"])
def test_a_damaged_provenance_is_named(tmp_path, text):
    run = started(Store(tmp_path))
    run.add([observation("a")])
    path = run.folder / f"{run.name}.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"file {path} is damaged"):
        Store(tmp_path).provenances("p", "r")


def test_a_digit_that_changed_in_a_table_is_never_another_number(tmp_path):
    store = Store(tmp_path)
    run = store.start("mini", "r", "2026-01-01T00:00:00Z", {})
    run.add([{"key": "a", "status": "ok", "value": "0.81", "metric": "accuracy"}])
    [path] = tmp_path.glob("mini/r/*[0-9a-f].csv")
    path.write_text(path.read_text().replace("0.81", "0.91"))
    with pytest.raises(InputError, match=r"its content is not what its run wrote.*move it away"):
        store.observations()


def test_a_run_that_was_killed_before_it_wrote_a_table_keeps_the_table_before(tmp_path):
    store = Store(tmp_path)
    run = store.start("mini", "r", "2026-01-01T00:00:00Z", {})
    run.add([{"key": "a", "status": "ok", "value": "0.81", "metric": "accuracy"}])
    [path] = tmp_path.glob("mini/r/*[0-9a-f].csv")
    before = path.read_bytes()
    run.add([{"key": "b", "status": "ok", "value": "0.5", "metric": "accuracy"}])
    path.write_bytes(before)
    assert store.observations()["key"].tolist() == ["a"]
