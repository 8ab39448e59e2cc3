"""Data as people keep it: TSV, semicolons, SQuAD's own JSON, folders of `datasets`, snapshots of the hub, shards."""

import contextlib
import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import avss
from avss.data import load_data
from avss.errors import InputError
from tests.conftest import tiny
from tests.prompts import prompt_tokenizer

RELAXED = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = st.text(st.sampled_from("a é,;\"'\n\t0.")) | st.sampled_from(["", "NA", '"', '""', '"fine"', '"fine" film'])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("layouts")


def rows_of(path, content, columns=("sentence", "note")):
    path.write_bytes(content.encode())
    found = load_data(str(path))
    assert found.column_names == list(columns)
    return list(zip(*(found[column] for column in columns), strict=True))


@RELAXED
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), quoting=st.sampled_from(["minimal", "all"]))
def test_semicolons_separate_where_the_first_line_has_them(place, rows, quoting):
    written = io.StringIO(newline="")
    style = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL}[quoting]
    csv.writer(written, delimiter=";", quoting=style).writerows([("sentence", "note"), *rows])
    if quoting == "all":
        # The names are in quotes, so the separator is what stands between them.
        assert written.getvalue().startswith('"sentence";"note"')
    assert rows_of(place / "a.csv", written.getvalue()) == rows


def test_a_semicolon_in_a_name_is_part_of_it_where_no_row_has_one(place):
    assert rows_of(place / "b.csv", "yes; no\nfine\nbad\n", ("yes; no",)) == [("fine",), ("bad",)]
    assert rows_of(place / "b.csv", '"yes; no",note\na;b,1\n', ("yes; no", "note")) == [("a;b", "1")]
    # By semicolons the second line has one cell, by commas all have two.
    assert rows_of(place / "b.csv", "yes; no,note\nfine,1\n", ("yes; no", "note")) == [("fine", "1")]


@RELAXED
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), writer=st.sampled_from(["never", "minimal"]))
def test_tsv_comes_back_as_written_or_is_refused(place, rows, writer):
    """By a writer that never encloses a cell in quotes, and by one that encloses those that need it."""
    if writer == "never":
        rows = [tuple(cell.replace("\t", " ").replace("\n", " ") for cell in row) for row in rows]
        content = "".join("\t".join(row) + "\n" for row in [("sentence", "note"), *rows])
    else:
        written = io.StringIO(newline="")
        csv.writer(written, delimiter="\t").writerows([("sentence", "note"), *rows])
        content = written.getvalue()
    if '"' not in content:
        assert rows_of(place / "a.tsv", content) == rows
        return
    with contextlib.suppress(InputError):
        found = rows_of(place / "a.tsv", content)
        # Without quotes around cells, only a doubled quote can look as if it stood inside of such.
        assert found == rows or (writer == "never" and any('""' in cell for row in rows for cell in row))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('sentence\tnote\na "good" film\t1\n', [('a "good" film', "1")]),
        ('sentence\tnote\n"good" film\t1\n', [('"good" film', "1")]),
        ('sentence\tnote\n"fine"\t1\na "good" film\t0\n', [('"fine"', "1"), ('a "good" film', "0")]),
        ('sentence\tnote\n"a ""good"" film"\t1\nbad\t0\n', [('a "good" film', "1"), ("bad", "0")]),
        ('sentence\tnote\n"two\nlines"\t1\n', [("two\nlines", "1")]),
        ('"sentence"\t"note"\n"fine"\t"1"\n', [("fine", "1")]),
        ("sentence\tnote\r\nfine\t\r\n\tx", [("fine", ""), ("", "x")]),
    ],
)
def test_quotes_in_tsv_enclose_cells_or_are_text_by_a_fixed_rule(place, content, expected):
    assert rows_of(place / "q.tsv", content) == expected


AMBIGUOUS = {
    "quotes that are not needed": ("a.tsv", 'sentence\tnote\n"fine"\t1\n', "may be part of the text; save it as"),
    "quotes of two lines": ("a.tsv", 'a\tb\n"fine film\t1\nbad film"\t0\n', "may be part of the text"),
    "quotes of both kinds": ("a.tsv", 'a\tb\n"x ""y"" z"\t"fine\n', "in quotes and others start with one"),
    "a row of TSV with too many cells": ("a.tsv", "a\tb\n1\t2\t3\n", "row 2 has 3 cells .* names 2 columns"),
    "one column of TSV twice": ("a.tsv", "a\tA\n1\t2\n", "columns 'a' and 'A' have one name"),
    "tabs in CSV": ("a.csv", "sentence\tlabel\nfine\t1\n", r"a name that ends in \.tsv"),
    "two separators": ("a.csv", "a;b,c\n1;2,3\n", "commas and semicolons both separate"),
    "uneven semicolons": ("a.csv", "a;b\n1;2;3\n1,5\n", "line 2 has 3 cells"),
    "a lone object": ("a.json", '{\n "text": "a"\n}\n', "holds one object; give a list of rows"),
    "SQuAD without a context": (
        "a.json",
        json.dumps({"data": [{"paragraphs": [{"qas": []}]}]}),
        "article 1, paragraph 1 has no context",
    ),
    "SQuAD without an answer": (
        "a.json",
        json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b"}]}]}]}),
        "article 1, paragraph 1, question 1 has no answers",
    ),
    "SQuAD with another article": (
        "a.json",
        json.dumps({"data": [{"paragraphs": []}, {"title": "b"}]}),
        "article 2 has no paragraphs",
    ),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_may_mean_two_things_or_lacks_a_part_is_one_line(tmp_path, case):
    name, content, message = AMBIGUOUS[case]
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        load_data(str(tmp_path / name))
    assert "\n" not in str(error.value)


def asked(question: str, *answers: str) -> dict:
    return {"id": question, "question": question, "answers": [{"text": a, "answer_start": 0} for a in answers]}


OFFICIAL = {
    "version": "v2.0",
    "data": [
        {"title": "Rome", "paragraphs": [{"context": "Rome is old", "qas": [asked("Where", "Rome", "old Rome")]}]},
        {
            "title": "Bell",
            "paragraphs": [
                {"context": "The bell rang", "qas": [asked("When"), asked("what", "bell")]},
                {"context": "at noon", "qas": []},
            ],
        },
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_the_official_layout_of_squad_has_a_row_a_question(tmp_path, indent):
    (tmp_path / "dev-v2.0.json").write_text(json.dumps(OFFICIAL, indent=indent) + "\n")
    found = load_data(str(tmp_path / "dev-v2.0.json"))
    assert found["title"][:] == ["Rome", "Bell", "Bell"]
    assert found["context"][:] == ["Rome is old", "The bell rang", "The bell rang"]
    assert found["question"][:] == ["Where", "When", "what"]
    assert [row["text"] for row in found["answers"]] == [["Rome", "old Rome"], [], ["bell"]]


def test_answers_may_be_a_list_of_texts():
    rows = [{"context": "Rome is old", "question": "Where", "answers": ["Rome", "old Rome"]}]
    rows.append({"context": "The bell rang at noon", "question": "When", "answers": ["at noon"]})
    whole = [row | {"answers": {"text": row["answers"]}} for row in rows]
    model, tokenizer = tiny("llama"), prompt_tokenizer("words", True)
    found, expected = (
        avss.evaluate(model, tokenizer, "question_answering", Dataset.from_list(each), context=60)
        for each in (rows, whole)
    )
    assert found == expected
    (batch,) = avss.task_batches(model, tokenizer, "question_answering", Dataset.from_list(rows), context=60)
    assert len(batch["labels"]) == 2


ROWS = Dataset.from_dict({"text": [f"row {i}" for i in range(5)], "label": [0, 1, 0, 1, 1]})
ROWS = ROWS.cast_column("label", ClassLabel(names=["neg", "pos"]))
OTHER = ROWS.select([4, 2])


def same(found: Dataset, expected: Dataset) -> bool:
    return found.features == expected.features and found[:] == expected[:]


def test_folders_of_save_to_disk_are_read(tmp_path):
    ROWS.save_to_disk(tmp_path / "one", num_shards=2)
    DatasetDict(train=ROWS, validation=OTHER).save_to_disk(tmp_path / "splits")
    DatasetDict(mine=ROWS).save_to_disk(tmp_path / "mine")
    DatasetDict(mine=ROWS, yours=OTHER).save_to_disk(tmp_path / "unnamed")
    assert same(load_data(str(tmp_path / "one")), ROWS)
    # Rows that a selection points to lie elsewhere in the file.
    OTHER.save_to_disk(tmp_path / "chosen")
    assert same(load_data(str(tmp_path / "chosen")), OTHER)
    assert same(load_data(str(tmp_path / "splits"), purpose="calibration"), ROWS)
    assert same(load_data(str(tmp_path / "splits")), OTHER)
    assert same(load_data(str(tmp_path / "splits"), "dev"), OTHER)
    assert same(load_data(str(tmp_path / "mine")), ROWS)
    for name, split, message in (
        ("one", "train", "has no splits; leave --split train out"),
        ("splits", "test", "no split 'test'; it has train, validation"),
        ("unnamed", None, "name one of mine, yours with --split"),
    ):
        with pytest.raises(InputError, match=message):
            load_data(str(tmp_path / name), split)
    assert same(load_data(str(tmp_path / "unnamed"), "yours"), OTHER)


def test_a_damaged_folder_of_save_to_disk_is_one_line(tmp_path):
    ROWS.save_to_disk(tmp_path / "one")
    (shard,) = (tmp_path / "one").glob("*.arrow")
    whole = shard.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", None):
        shard.unlink()
        if damage is not None:
            shard.write_bytes(damage)
        with pytest.raises(InputError, match=r"one cannot be read \(") as error:
            load_data(str(tmp_path / "one"))
        assert "\n" not in str(error.value)
        shard.write_bytes(whole)
    DatasetDict(train=ROWS).save_to_disk(tmp_path / "splits")
    (tmp_path / "splits" / "dataset_dict.json").write_text("{")
    with pytest.raises(InputError, match="splits cannot be read"):
        load_data(str(tmp_path / "splits"))


def test_memory_that_runs_out_is_no_fault_of_a_folder_of_save_to_disk(tmp_path, monkeypatch):
    def without_memory(*_):
        pa.allocate_buffer(1 << 60)

    ROWS.save_to_disk(tmp_path / "one")
    monkeypatch.setattr(Dataset, "load_from_disk", without_memory)
    # The command then says which of its options need less memory.
    with pytest.raises(MemoryError):
        load_data(str(tmp_path / "one"))


def shards(folder, split: str, rows: Dataset, count: int, name: str = "{split}-{index:05}-of-{count:05}.parquet"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        part = rows.shard(count, index, contiguous=True)
        part.to_parquet(folder / name.format(split=split, index=index, count=count))


@pytest.mark.parametrize("inner", ["data", "plain_text", "."])
def test_a_snapshot_of_the_hub_is_read(tmp_path, inner):
    shards(tmp_path / inner, "train", ROWS, 3)
    shards(tmp_path / inner, "validation", OTHER, 1)
    (tmp_path / "README.md").write_text("# card\n")
    assert load_data(str(tmp_path), "train")["text"][:] == ROWS["text"][:]
    assert load_data(str(tmp_path)).features["label"].names == ["neg", "pos"]
    (tmp_path / inner / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(InputError, match=r"train-00001-of-00003\.parquet is missing \(2 of 3 shards"):
        load_data(str(tmp_path), "train")


def test_a_snapshot_with_several_configurations_asks_for_one(tmp_path):
    shards(tmp_path / "en", "train", ROWS, 1)
    shards(tmp_path / "de", "train", OTHER, 1)
    with pytest.raises(InputError, match="give one of its folders de, en"):
        load_data(str(tmp_path))


def test_a_split_may_be_a_folder_of_numbered_files(tmp_path):
    shards(tmp_path / "train", "train", ROWS, 3, "{index:04}.parquet")
    shards(tmp_path / "test", "test", OTHER, 1, "{index:04}.parquet")
    assert load_data(str(tmp_path), "train")["text"][:] == ROWS["text"][:]
    assert load_data(str(tmp_path))["text"][:] == OTHER["text"][:]
    (tmp_path / "train" / "0001.parquet").unlink()
    with pytest.raises(InputError, match=r"train/0001\.parquet is missing"):
        load_data(str(tmp_path), "train")
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "train" / "more.parquet")
    with pytest.raises(InputError, match=r"0000\.parquet and .* are files of one split"):
        load_data(str(tmp_path), "train")
