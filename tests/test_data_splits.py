"""Which file of a folder is a split is decided by rule, never by the alphabet."""

import json

import pytest
from datasets import Dataset

from avss.data import load_data
from avss.errors import InputError


def fill(folder, *names):
    """Each file holds its own name as its one text."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            Dataset.from_dict({"text": [name]}).to_parquet(path)
        elif name.endswith(".csv"):
            path.write_text(f"text\n{name}\n")
        elif name.endswith((".jsonl", ".json")):
            path.write_text(json.dumps({"text": name}) + "\n")
        else:
            path.write_text(name + "\n")
    return str(folder)


def texts(folder, *args, **options):
    return load_data(folder, *args, **options)["text"][:]


@pytest.mark.parametrize("about", ["LICENSE.txt", "README.txt", "AUTHORS.txt", "dataset_infos.json", "a_first_one.csv"])
def test_a_text_about_the_data_is_never_a_split(tmp_path, about):
    folder = fill(tmp_path, about, "test.jsonl", "train.jsonl")
    assert texts(folder) == ["test.jsonl"]
    assert texts(folder, purpose="calibration") == ["train.jsonl"]


@pytest.mark.parametrize("name", ["reviews.csv", "valid.txt", "dev.jsonl", "data-00000-of-00001.parquet"])
def test_the_only_data_file_of_a_folder_is_taken(tmp_path, name):
    assert texts(fill(tmp_path, "LICENSE.txt", "readme.md", ".hidden.csv", name)) == [name]


def test_a_folder_without_names_of_splits_lists_its_files_and_the_next_step(tmp_path):
    folder = fill(tmp_path, "stories.jsonl", "comments.jsonl")
    with pytest.raises(InputError, match=r"holds comments.jsonl, stories.jsonl: name one of .* with --split"):
        load_data(folder)
    assert texts(folder, "stories") == ["stories.jsonl"]
    with pytest.raises(InputError, match="no split 'train'; it has comments, stories"):
        load_data(folder, "train")


def test_other_names_of_a_split_are_known(tmp_path):
    folder = fill(tmp_path, "training.csv", "dev.csv", "Test.csv")
    assert texts(folder) == texts(folder, "validation") == texts(folder, "dev") == ["dev.csv"]
    assert texts(folder, purpose="calibration") == texts(folder, "train") == ["training.csv"]
    assert texts(folder, "test") == ["Test.csv"]


@pytest.mark.parametrize(
    "pair",
    [
        ("train.csv", "train.jsonl"),
        ("train.txt", "train-00000-of-00001.parquet"),
        ("train-00000-of-00001.parquet", "train-00000-of-00002.parquet"),
        ("train-00000-of-00001.jsonl", "train-00000-of-00001.parquet"),
        ("train.csv", "training.csv"),
    ],
)
def test_two_files_of_one_split_are_refused(tmp_path, pair):
    folder = fill(tmp_path, *pair, "test.csv")
    with pytest.raises(InputError, match="are files of one split; remove or rename all but one") as error:
        load_data(folder, purpose="calibration")
    assert all(name in str(error.value) for name in pair)
    assert texts(folder, "test") == ["test.csv"]


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv", "txt"])
def test_shards_are_joined_in_order_and_a_missing_one_is_named(tmp_path, ending):
    names = [f"train-{index:05}-of-00012.{ending}" for index in range(12)]
    folder = fill(tmp_path, *reversed(names))
    assert texts(folder) == texts(folder, "train") == names
    (tmp_path / names[3]).unlink()
    with pytest.raises(InputError, match=rf"{names[3]} is missing \(11 of 12 shards are there\)"):
        load_data(folder)


def test_a_shard_beyond_the_count_is_refused(tmp_path):
    folder = fill(tmp_path, "train-00000-of-00001.csv", "train-00001-of-00001.csv")
    with pytest.raises(InputError, match=r"train-00001-of-00001\.csv has a number above its count"):
        load_data(folder)


def test_shards_with_other_columns_are_refused(tmp_path):
    (tmp_path / "train-00000-of-00002.csv").write_text("text,label\na,1\n")
    (tmp_path / "train-00001-of-00002.csv").write_text("label,sentence\n1,b\n")
    with pytest.raises(InputError, match="give files of the same columns"):
        load_data(str(tmp_path))


def test_a_snapshot_of_the_hub_is_read_from_its_folder_data(tmp_path):
    folder = fill(
        tmp_path,
        *("README.md", "dataset_infos.json", "data/train-00000-of-00001.parquet"),
        "data/validation-00000-of-00001-a09b74b3ef9c3b56.parquet",
    )
    assert texts(folder) == ["data/validation-00000-of-00001-a09b74b3ef9c3b56.parquet"]
    assert texts(folder, "train") == ["data/train-00000-of-00001.parquet"]
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        load_data(folder, "test")


def test_a_folder_of_configurations_names_them(tmp_path):
    folder = fill(tmp_path, "README.md", "sst2/train-00000-of-00001.parquet", "cola/train.csv", "images/a.png")
    with pytest.raises(InputError, match=r"file; give one of its folders cola, sst2$"):
        load_data(folder)
    assert texts(f"{folder}/cola") == ["cola/train.csv"]


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(InputError, match=r"cannot be read .Permission denied.; give a folder that you may read"):
        load_data(str(tmp_path))
