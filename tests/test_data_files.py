"""A data file is read exactly as it is written, or one line names the file and the row that is not understood."""

import csv
import gzip
import io
import json
import os
import re
import socket
import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avss.data import load_data, usable_rows
from avss.errors import InputError

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# All of Unicode but lone surrogates, which no UTF-8 file can hold; the second also has what CSV and JSON must escape.
LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff"))
TEXTS = (
    LINES | st.text(st.sampled_from("a é,;\"'\n\r\t\\|\u2028\u0085😀0.NA")) | st.sampled_from(["NA", "null", "nan", ""])
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return str(path)


@RELAXED
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), gz=st.booleans(), data=st.data())
def test_csv_comes_back_cell_by_cell(place, rows, gz, data):
    written = io.StringIO(newline="")
    # A writer that ends rows with \n leaves \r within a cell without quotes, and then nobody can tell the two apart.
    end, quoting = data.draw(
        st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)])
    )
    csv.writer(written, lineterminator=end, quoting=quoting).writerows([("sentence", "note"), *rows])
    found = load_data(write(place / ("a.csv" + ".gz" * gz), written.getvalue()))
    assert list(zip(found["sentence"], found["note"], strict=True)) == rows


@RELAXED
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_csv_of_one_column_keeps_its_empty_cells(place, texts):
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["text"], *([text] for text in texts)])
    assert load_data(write(place / "one.csv", written.getvalue()))["text"][:] == texts


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=5,
)


@RELAXED
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), ascii_only=st.booleans(), whole=st.booleans())
def test_json_texts_come_back(place, texts, ascii_only, whole):
    rows = [{"text": text, "answers": {"text": [text]}} for text in texts]
    if whole:
        path = write(place / "a.json", json.dumps(rows, ensure_ascii=ascii_only, indent=1))
    else:
        path = write(place / "a.jsonl", "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows))
    assert [dict(row) for row in load_data(path)] == rows


@RELAXED
@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_json_values_of_any_kind_come_back_or_are_refused_by_row(place, values):
    rows = [{"text": "a", "value": value} for value in values]
    path = write(place / "v.jsonl", "\n".join(map(json.dumps, rows)))
    try:
        assert load_data(path)["value"][:] == values
    except InputError as error:
        said = str(error)
        # A text among values of other kinds is the one thing that a column cannot keep.
        assert re.search(r"line \d+, column 'value': ", said), said


@RELAXED
@given(texts=st.lists(LINES, min_size=1, max_size=8), end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_lines_of_text_come_back(place, texts, end, last):
    if not any(text.strip() for text in texts) or not texts[-1]:
        texts = [*texts, "end"]
    assert load_data(write(place / "a.txt", end.join(texts) + end * last))["text"][:] == texts


@RELAXED
@given(texts=st.lists(TEXTS | st.none(), min_size=1, max_size=8), categories=st.booleans())
def test_parquet_comes_back(place, texts, categories):
    column = pa.array(texts, pa.string())
    pq.write_table(pa.table({"text": column.dictionary_encode() if categories else column}), place / "a.parquet")
    assert load_data(str(place / "a.parquet"))["text"][:] == texts


def test_names_of_labels_in_parquet_are_kept(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    Dataset.from_dict({"text": ["a"], "label": [1]}, features=features).to_parquet(tmp_path / "a.parquet")
    assert load_data(str(tmp_path / "a.parquet")).features["label"].names == ["neg", "pos"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    for name, content in (("a.csv", "text,label\na,1\n"), ("a.jsonl", '{"text": "a"}\n'), ("a.txt", "a\n")):
        found = load_data(write(tmp_path / name, b"\xef\xbb\xbf" + content.encode()))
        assert found["text"][:] == ["a"]


def test_dates_and_numbers_written_as_text_stay_text(tmp_path):
    rows = [{"text": "2011-11-09T21:56:22Z"}, {"text": "2011-11-09"}, {"text": "12"}]
    assert load_data(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))))["text"][:] == [
        row["text"] for row in rows
    ]
    assert load_data(write(tmp_path / "a.csv", "text\n12\n1e5\n"))["text"][:] == ["12", "1e5"]


def test_a_document_of_ten_megabytes_is_one_cell(tmp_path):
    long = "word, " * 1_700_000
    assert load_data(write(tmp_path / "a.csv", f'text,label\n"{long}",1\n'))["text"][:] == [long]
    assert load_data(write(tmp_path / "a.jsonl", json.dumps({"text": long})))["text"][:] == [long]
    assert csv.field_size_limit() < len(long), "the limit of other readers is left as it was"


@pytest.mark.parametrize("name", ["run[1].txt", "who?.txt", "a*b.jsonl", "**.csv", "{a,b}.txt", "a b.txt", "$HOME.txt"])
def test_a_name_is_never_a_pattern(tmp_path, monkeypatch, name):
    content = {"jsonl": '{{"text": "{}"}}\n', "csv": "text\n{}\n", "txt": "{}\n"}[name.rpartition(".")[2]]
    for other in ("run1.txt", "who1.txt", "who2.txt", "axb.jsonl", "c.csv", "a.txt", "b.txt"):
        write(tmp_path / other, content.format("another"))
    write(tmp_path / name, content.format("mine"))
    monkeypatch.chdir(tmp_path)
    assert load_data(name)["text"][:] == ["mine"]
    assert load_data(f"./{name}")["text"][:] == ["mine"]
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=r"does not exist|the variable is not set"):
        load_data(name)


def test_a_file_replaced_with_the_same_size_and_time_is_read_anew(tmp_path):
    for word in ("one", "two"):
        path = write(tmp_path / "same.jsonl", f'{{"text": "{word}"}}\n')
        os.utime(path, (1e9, 1e9))
        assert load_data(path)["text"][:] == [word]


def test_local_and_embedded_data_open_no_socket(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    write(tmp_path / "train.jsonl", '{"text": "a"}\n')
    for name, split in ((tmp_path / "train.jsonl", None), (tmp_path, "train"), ("microworld/answers", "calibration")):
        assert len(load_data(str(name), split)) > 0


JSON = '{"text": "a"}\n'
HUGE = '{"n": 1}\n{"n": 1180591620717411303424}\n'
COMMA = "text,label\nfine,1\ngood, really,1\n"
TWICE = JSON + '{"text": "a", "text": "b"}\n'
FAULTS = {
    "a comma without quotes": (
        "a.csv",
        "text,label\nfine,1\ngood, really,1\n",
        "line 3 has 3 cells .* names 2 columns",
    ),
    "a comma without quotes in every row": ("a.csv", "text,label\ngood, really,1\n", "line 2 has 3 cells"),
    "a cell too few": ("a.csv", "text,label\nfine,1\ngood\n", "line 3 has 1 cells"),
    "a quote that never ends": ("a.csv", 'text,label\n"fine,1\n', "line 2: unexpected end of data"),
    "text after a quote": ("a.csv", 'text,label\n"fine" film,1\n', "line 2: ',' expected after '\"'"),
    "one column twice": ("a.csv", "text,text\na,b\n", "columns 'text' and 'text' have one name"),
    "one column of one letter twice": ("a.csv", "a,a\n1,2\n", "columns 'a' and 'a' have one name"),
    "columns that differ in case": ("a.csv", "Text,text\na,b\n", "columns 'Text' and 'text' have one name"),
    "columns that differ in a space": ("a.csv", "text, text\na,b\n", "columns 'text' and ' text' have one name"),
    "another encoding": ("a.csv", "text\nfine\nschön\n".encode("latin-1"), "line 3: byte 0xf6 is not UTF-8"),
    "another encoding after a mark": ("a.csv", b"\xef\xbb\xbftext\n\xf6\n", "line 2: byte 0xf6 is not UTF-8"),
    "UTF-16": ("a.txt", "fine\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    "a NUL byte in CSV": ("a.csv", "text\na\nb\0\n", "line 3 has a NUL byte"),
    "a NUL byte in text": ("a.txt", "a\nb\0\n", "line 2 has a NUL byte"),
    "a NUL byte in JSON": ("a.jsonl", JSON + '{"text": "\0"}\n', "line 2: Invalid control character"),
    "JSON that ends early": ("a.jsonl", JSON * 2 + '{"text": "a', "line 3: Unterminated string"),
    "a list that ends early": ("a.json", '[{"text": "a"},\n{"text"', "line 2: "),
    "a row that is no object": ("a.jsonl", JSON + '"text"\n', "line 2 is no object"),
    "an entry that is no object": ("a.json", '[{"text": "a"}, 5]', "row 2 is no object"),
    "a lone surrogate": ("a.jsonl", JSON + '{"text": "\\ud800"}\n', "line 2, column 'text': .*surrogates not allowed"),
    "a number out of range": (
        "a.jsonl",
        '{"n": 1}\n{"n": 1180591620717411303424}\n',
        "line 2, column 'n': .*too large",
    ),
    "a name twice in one row": (
        "a.jsonl",
        JSON + '{"text": "a", "text": "b"}\n',
        "line 2: one object has the name 'text' twice",
    ),
    "names that differ in case": ("a.jsonl", JSON + '{"Text": "a"}\n', "columns 'text' and 'Text' have one name"),
    "endless nesting": ("a.jsonl", JSON + '{"text": ' + "[" * 100_000 + "\n", "line 2 is nested too deep"),
    "an endless number": ("a.jsonl", JSON + '{"text": ' + "1" * 5000 + "}\n", "line 2: .*digits"),
    "a number among texts": ("a.jsonl", '{"text": "5"}\n{"text": 5}\n', "line 1, column 'text': '5' is among"),
    "half an archive": ("a.jsonl.gz", gzip.compress(JSON.encode())[:-9], "a.jsonl.gz cannot be read"),
    "no parquet": ("a.parquet", "PAR1 not", "a.parquet cannot be read"),
    "a list of nothing": ("a.json", "[]", "a.json is empty"),
    "blank lines alone": ("a.jsonl", "\n \n", "a.jsonl is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_not_understood_is_named_with_its_row(tmp_path, fault):
    name, content, message = FAULTS[fault]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as error:
        load_data(str(path))
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_parquet_with_columns_of_one_name_or_text_that_is_none_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "Text"]), path)
    with pytest.raises(InputError, match="columns 'text' and 'Text' have one name"):
        load_data(str(path))
    pq.write_table(pa.table({"text": pa.array([b"fine", b"\xf6"]).view(pa.string())}), path)
    with pytest.raises(InputError, match=r"a\.parquet cannot be read .*UTF8"):
        load_data(str(path))


def test_a_file_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", JSON)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "read_bytes", refuse)
    with pytest.raises(InputError, match=r"a\.jsonl cannot be read \(.*Permission denied"):
        load_data(path)


def test_rows_that_are_left_out_are_counted(tmp_path):
    lines = ['{"text": "a"}', '{"text": null}', '{"text": " "}', '{"other": 1}', '{"text": 5}', '{"text": "b"}']
    dataset = load_data(write(tmp_path / "a.jsonl", "\n".join(lines)))
    with pytest.warns(UserWarning, match=r"4 of 6 rows of mine are left out: .* blank in 1 .* no text in 3 .* row 2\)"):
        kept, _ = usable_rows(dataset, ("text",), None, "mine")
    assert kept["text"][:] == ["a", "b"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        usable_rows(kept, ("text",), None)
