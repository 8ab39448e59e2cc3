"""Data by any name to rows, samples and batches; what cannot be used is named before any long work."""

import gzip
import json

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from avss.data import batches, fingerprint, load_data, pad, sample, usable_rows
from avss.errors import InputError
from tests.conftest import word_tokenizer

ROWS = [{"text": f"row {i}", "label": i % 2} for i in range(5)]


def write(path, kind):
    if kind == "jsonl":
        content = "".join(json.dumps(row) + "\n" for row in ROWS)
    elif kind == "csv":
        content = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS)
    else:
        content = "".join(row["text"] + "\n" for row in ROWS)
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return str(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.txt", "a.txt.gz", "a.parquet"])
def test_files_of_every_kind_give_the_same_texts(tmp_path, name):
    if name.endswith("parquet"):
        Dataset.from_list(ROWS).to_parquet(tmp_path / name)
        where = str(tmp_path / name)
    else:
        where = write(tmp_path / name, name.split(".")[1])
    assert load_data(where)["text"][:] == [row["text"] for row in ROWS]


def test_a_folder_has_one_split_a_file(tmp_path, monkeypatch):
    write(tmp_path / "train.jsonl.gz", "jsonl")
    (tmp_path / "validation.txt").write_text("held out\n")
    monkeypatch.setenv("AVSS_DATA", str(tmp_path.parent))
    folder = f"$AVSS_DATA/{tmp_path.name}"
    assert load_data(folder)["text"][:] == ["held out"]
    assert len(load_data(folder, purpose="calibration")) == 5
    assert len(load_data(folder, "train")) == 5
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        load_data(folder, "test")


def test_only_rows_with_a_value_are_kept(tmp_path):
    rows = [{"text": f"document {i}", "meta": {"set": "AB"[i % 2]}, "n": i % 3} for i in range(6)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = load_data(str(tmp_path / "a.jsonl"), where={"meta.set": "B", "n": 0})
    assert kept["text"][:] == ["document 3"]
    with pytest.raises(InputError, match=r"no row whose meta\.set is 'C'; its values are 'A', 'B'"):
        load_data(str(tmp_path / "a.jsonl"), where={"meta.set": "C"})
    with pytest.raises(InputError, match="no column kind to look for 'B' in; it has"):
        load_data(str(tmp_path / "a.jsonl"), where={"kind": "B"})


def test_embedded_data_has_its_splits():
    assert {"sentence", "label"} <= set(load_data("microworld/reviews", "validation").column_names)
    with pytest.raises(InputError, match="no split 'test'"):
        load_data("microworld/reviews", "test")
    with pytest.raises(InputError, match="novels"):
        load_data("microworld/novels")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, r"none\.jsonl does not exist"),
        ("a/b/c", None, "does not exist"),
        ("./here", None, "does not exist"),
        ("a.bin", b"x", "of no known kind"),
        ("a.jsonl", b"", "a.jsonl is empty"),
        ("a.jsonl", b"{not json\n", "a.jsonl cannot be read"),
        ("a.jsonl.gz", b"not gzip", "a.jsonl.gz cannot be read"),
        ("a.csv", b"text\n", "is empty"),
        ("folder", "folder", "holds no .jsonl"),
        ("", None, "data '' is no name; give a file"),
        ("a" * 5000, None, "does not exist"),
        ("a" * 5000 + "/b", None, "does not exist"),
        ("$NOT_SET_ANYWHERE/sst2", None, "the variable is not set"),
    ],
)
def test_unusable_data_is_named(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_data(name)
    assert "\n" not in str(error.value)


def test_rows_without_text_are_left_out():
    dataset = Dataset.from_dict({"text": ["a", "", "  ", None, "b"], "other": list("vwxyz")})
    with pytest.warns(UserWarning, match="3 of 5 rows of data are left out"):
        kept, column = usable_rows(dataset, ("sentence", "text"), None)
    assert (kept["text"][:], column) == (["a", "b"], "text")
    assert usable_rows(dataset, ("text",), "other")[1] == "other"
    with pytest.raises(InputError, match="has no column words; it has text, other"):
        usable_rows(dataset, ("text",), "words")
    with pytest.raises(InputError, match="no usable rows: column text holds no text in any of 2 rows"):
        usable_rows(Dataset.from_dict({"text": ["", " "]}), ("text",), None)


def test_samples_are_drawn_by_seed_without_replacement():
    dataset = Dataset.from_dict({"i": list(range(100))})
    first = sample(dataset, 30, 1)["i"][:]
    assert len(set(first)) == 30
    assert first == sample(dataset, 30, 1)["i"][:]
    assert first != sample(dataset, 30, 2)["i"][:]
    assert sample(dataset, None, 1) is dataset
    assert len(sample(dataset, 1000, 1)) == 100
    with pytest.raises(InputError, match="number of samples is 0"):
        sample(dataset, 0, 1)


def test_the_fingerprint_follows_the_content_alone():
    first = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    assert fingerprint(first, ["text"]) == fingerprint(Dataset.from_dict({"text": ["a", "b"]}), ["text"])
    assert fingerprint(first, ["text"]) != fingerprint(first, ["text", "label"])
    assert fingerprint(first, ["text"]) != fingerprint(Dataset.from_dict({"text": ["b", "a"]}), ["text"])


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.integers(1, 7), st.booleans())
def test_batches_hold_every_token_once_and_mask_the_rest(lengths, batch_size, fill):
    texts = [" ".join(["good"] * length) for length in lengths]
    made = batches(texts, word_tokenizer(), context=10, batch_size=batch_size, fill=fill)
    assert sum(int(batch["attention_mask"].sum()) for batch in made) == sum(min(length, 10) for length in lengths)
    assert sum(len(batch["input_ids"]) for batch in made) == len(lengths)
    for batch in made:
        assert (batch["input_ids"].shape[1] == 10) if fill else batch["attention_mask"].any(0).all()
        assert (batch["input_ids"][batch["attention_mask"] == 0] == 0).all()


def test_padding_is_on_the_right():
    batch = pad([[5, 6], [7]], filler=9)
    assert batch["input_ids"].tolist() == [[5, 6], [7, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["input_ids"].dtype == torch.int64
