"""Scores on disk: the column that is meant, facts that belong to it, and what a killed process leaves of both."""

import json
import multiprocessing
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from avss.errors import InputError
from avss.scores import LayerScores, checked_scores_output, from_values
from tests.killing import every_kill, hidden

VALUES = np.array([3.0, 1.0, 2.0, 4.0])


@pytest.fixture
def path(tmp_path):
    from_values("magnitude", VALUES, documents=7).save(tmp_path / "s.csv", model="m")
    return tmp_path / "s.csv"


def rewrite(path, change, **options):
    """Change the CSV as a user would, with pandas."""
    table = change(pd.read_csv(path))
    table.to_csv(path, **({"index": False} | options))


FIRST = [("index", [0, 1, 2, 3]), ("note", list("abcd")), ("score", [9, 8, 7, 6]), ("random", [0.4, 0.3, 0.2, 0.1])]


@pytest.mark.parametrize(("name", "entries"), FIRST)
def test_a_further_column_does_not_matter_wherever_it_stands(path, name, entries):
    for place in (0, 1, 2):
        rewrite(path, lambda table, place=place: table.drop(columns=name, errors="ignore"))

        def add(table, place=place):
            table.insert(place, name, entries)
            return table

        rewrite(path, add)
        scores = LayerScores.load(path)
        assert (scores.method, scores.values.tolist(), scores.documents) == ("magnitude", VALUES.tolist(), 7)


def test_a_table_saved_with_its_index_or_in_another_order_is_the_same(path):
    rewrite(path, lambda table: table.sample(frac=1, random_state=3), index=True)
    assert LayerScores.load(path).values.tolist() == VALUES.tolist()
    assert LayerScores.load(path).lowest(1) == [1]


def test_without_facts_the_header_names_the_method(path):
    rewrite(path, lambda table: table.assign(note="fine"), index=True)
    path.with_suffix(".json").unlink()
    scores = LayerScores.load(path)
    assert (scores.method, scores.values.tolist()) == ("magnitude", VALUES.tolist())


@settings(max_examples=30, deadline=None)
@given(npst.arrays(np.float64, st.integers(2, 12), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_comes_back_exactly(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("scores") / "s.csv"
    from_values("taylor", values).save(path)
    for _ in range(2):
        assert LayerScores.load(path).values.tolist() == values.tolist()
        path.with_suffix(".json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("layer,index,rank\n0,1,1\n1,2,2\n", "names its method .*methods among them: none"),
        ("layer,my score\n0,1\n1,2\n", "names its method"),
        ("layer,magnitude,taylor\n0,1,2\n1,2,1\n", "methods among them: taylor, magnitude"),
        ("layer,magnitude,magnitude\n0,1,2\n1,2,1\n", "two columns 'magnitude'"),
        ("layer,magnitude\n0,1\n0,2\n", "layer 0 is not one of 0 to 1, or is there twice"),
        ("layer,magnitude\n0,1\n3,2\n", "layer 3 is not one of 0 to 1"),
        ("layer,magnitude\n0,1\n1.5,2\n", r"layer 1\.5 is not one of"),
        ("layer,magnitude\n0,1\nend,2\n", "not a table of layer scores"),
        ("layer,magnitude\n0,1\n,2\n", "layer nan is not one of"),
        ("layer,magnitude\n0,1\n1,nan\n", r"s\.csv: magnitude of layer 1 is not finite"),
        ("layer,magnitude\n0,1\n1,\n", r"s\.csv: magnitude of layer 1 is not finite"),
        ("layer,magnitude\n0,1\n1,-inf\n", r"s\.csv: magnitude of layer 1 is not finite"),
        ("layer,magnitude\n0,1\n1,1e999\n", r"s\.csv: magnitude of layer 1 is not finite"),
        ("layer,magnitude\n0,1\n1,1_0\n", r"s\.csv: magnitude of layer 1 is not finite"),
        ("layer,magnitude\n0,1\n1,2,3\n", "row 2 has 3 fields and there are 2 columns"),
        ("layer,magnitude\n0,1\n1\n", "row 2 has 1 fields"),
        ("layer;magnitude\n0;1,5\n", "not a table of layer scores"),
        ("layer,magnitude\n", "not a table of layer scores"),
        (b"layer,magnitude\n0,\xff\n", "not a table of layer scores"),
        (b"\x00\x01\x02", "not a table of layer scores"),
    ],
)
def test_a_table_that_is_not_clear_is_refused(tmp_path, content, message):
    path = tmp_path / "s.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        LayerScores.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.assign(magnitude=[3.0, 1.5, 2.0, 4.0]),
        lambda table: table.iloc[:3],
        lambda table: table.drop(columns="magnitude"),
        lambda table: table.rename(columns={"magnitude": "taylor"}),
        lambda table: table.assign(layer=[1, 0, 2, 3]),
    ],
)
def test_scores_that_were_changed_do_not_pass_for_those_of_their_facts(path, change):
    rewrite(path, change)
    with pytest.raises(InputError, match=r"s\.csv and .*s\.json do not belong together"):
        LayerScores.load(path)


@pytest.mark.parametrize(
    "change", [{"reading": "released-code"}, {"documents": 8}, {"model": "another"}, {"method": "taylor"}, {"note": ""}]
)
def test_facts_that_were_changed_do_not_pass_for_those_of_their_scores(path, change):
    facts = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(facts | change))
    with pytest.raises(InputError, match=r"s\.csv and .*s\.json do not belong together"):
        LayerScores.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"{oops",
        b"[1]",
        b"",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"method": "magnitude"}',
        b'{"method": 1, "checksum": 2}',
        b'{"method": "magnitude", "checksum": "x", "columns": 3}',
        b'{"method": "magnitude", "checksum": "x", "columns": ["layer"]}',
        b'{"method": "magnitude", "checksum": "x", "columns": ["layer"], "replaces": 4}',
    ],
)
def test_damaged_facts_are_named(path, content):
    path.with_suffix(".json").write_bytes(content)
    with pytest.raises(InputError, match=r"s\.json does not hold the facts of|do not belong together"):
        LayerScores.load(path)


def test_scores_and_facts_belong_together_whenever_their_writer_is_killed(tmp_path):
    folder = tmp_path / "run"
    path, seen = folder / "s.csv", set()
    old = from_values("magnitude", VALUES, reading="paper", documents=1)
    new = from_values("taylor", VALUES[::-1], reading="released-code", documents=2)

    def prepare():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        old.save(path, seed=1)

    for _ in every_kill(prepare, lambda: new.save(path, seed=2)):
        found = LayerScores.load(path)
        wanted = {"magnitude": old, "taylor": new}[found.method]
        assert (found.reading, found.documents) == (wanted.reading, wanted.documents)
        assert found.values.tolist() == wanted.values.tolist()
        seen.add(found.method)
        checked_scores_output(path, True, [])
        new.save(path, seed=2)
        assert LayerScores.load(path).method == "taylor"
        assert "replaces" not in json.loads(path.with_suffix(".json").read_text())
        assert hidden(folder) == []
    assert seen == {"magnitude", "taylor"}


def test_the_same_command_runs_again_when_its_first_run_was_killed(tmp_path):
    folder = tmp_path / "run"
    path = folder / "s.csv"

    def prepare():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    for _ in every_kill(prepare, lambda: from_values("taylor", VALUES).save(path)):
        if path.exists():
            assert LayerScores.load(path).values.tolist() == VALUES.tolist()
            continue
        checked_scores_output(path, False, [])
        from_values("taylor", VALUES).save(path)
        assert hidden(folder) == []


def test_force_replaces_only_scores_that_were_saved_here(path):
    facts = path.with_suffix(".json")
    whole = path.read_bytes(), facts.read_bytes()
    assert checked_scores_output(path, True, []) == path

    def refused(message="were not written by `avss score`, or were changed since"):
        before = [file.read_bytes() for file in (path, facts) if file.exists()]
        with pytest.raises(InputError, match=message):
            checked_scores_output(path, True, [])
        assert [file.read_bytes() for file in (path, facts) if file.exists()] == before

    rewrite(path, lambda table: table.assign(note="mine"))
    refused()
    path.write_text("sentence,label\nfine,1\n")
    refused()
    path.write_bytes(whole[0]), facts.unlink()
    refused()
    facts.write_text('{"notes": "mine"}')
    refused()
    path.unlink()
    refused()
    facts.write_bytes(whole[1])
    assert checked_scores_output(path, False, []) == path
    with pytest.raises(InputError, match=r"s\.json exists already"):
        checked_scores_output(path.with_name("s.tsv"), False, [])


def test_writers_of_one_file_leave_scores_and_facts_of_one_of_them(path):
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(4, timeout=30)

    def write(number):
        for turn in range(20):
            barrier.wait()
            from_values("magnitude", VALUES + number + turn, documents=number).save(path)
            barrier.wait()
            found = LayerScores.load(path)
            assert found.values.tolist() == (VALUES + found.documents + turn).tolist()

    writers = [fork.Process(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]


def test_the_root_is_no_file_of_scores():
    with pytest.raises(InputError, match="has no name of its own"):
        checked_scores_output("/", True, [])


def test_a_table_of_very_many_columns_is_refused_in_a_line_of_some(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(",".join(f"column{index}" for index in range(100_000)) + "\n")
    with pytest.raises(InputError, match=r"column0, column1, .* and 99990 more") as refused:
        LayerScores.load(path)
    assert len(str(refused.value)) < 1000
