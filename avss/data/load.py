"""A data set's name (hub id, folder, file, embedded) to a `datasets.Dataset`, and the rows of it that are used."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset

from avss import microworld
from avss.data.columns import holds, listed, values_at
from avss.data.hub import load_hub
from avss.data.rows import FORMATS, read_files, suffix_of
from avss.data.saved import is_saved, read_saved
from avss.data.splits import PREFERRED, chosen_split, files_of_split
from avss.errors import InputError, look_up
from avss.files import expanded, may_be_hub_id

EMBEDDED = "microworld/"


def _may_be_on_hub(name: str) -> bool:
    # An id of the hub has at most 96 characters, and a file system may refuse to look for a longer name.
    return len(name) <= 96 and may_be_hub_id(name)


def load_data(
    name: str,
    split: str | None = None,
    *,
    purpose: str = "evaluation",
    revision: str | None = None,
    config: str | None = None,
    where: Mapping[str, object] | None = None,
) -> Dataset:
    """The rows of a data set.

    name: hub id, folder, file (.jsonl, .json, .csv, .tsv, .parquet, .txt, also with .gz), or embedded
    (`microworld/reviews`). A folder may also be one of `save_to_disk`, or a snapshot of the hub.
    Variables such as $AVSS_DATA are expanded. A name is never a pattern. split: by default the one that suits
    `purpose`, calibration or evaluation. revision, config: the commit and the configuration of data on the hub. where:
    keeps the rows that have these values, by column, or by `column.field` where a column holds fields.

    A file is read whole at each call. A cell of CSV is text, also "NA" and "1"; `avss.data.delimited` says how
    semicolons in place of commas, and quotes in TSV, are known. JSON may be in SQuAD's own layout. A line of a .txt
    file is a row with the column `text`. A row of JSON that lacks a column has None there. In a folder the files named
    train, validation (or valid, val, dev), test and calibration are the splits; another file is a split where `split`
    names it, or where it is the only data file. Shards such as `train-00000-of-00002.parquet` or `train/0000.parquet`
    are one split.

    Raises `InputError` for anything missing, unreadable or empty, and for a folder in which several files may be meant;
    the message names the file, and the line or row.
    """
    if not name.strip():
        raise InputError(f"data {name!r} is no name; give a file, a folder, a hub id, or {EMBEDDED}reviews")
    look_up("purpose", purpose, PREFERRED)
    place = expanded(name)
    path = Path(place)
    if "$" in place and not os.path.exists(path):
        raise InputError(f"data {name}: the variable is not set; set it to the folder that holds the data")
    if place.startswith(EMBEDDED):
        genre = place.removeprefix(EMBEDDED)
        dataset = microworld.load(genre, chosen_split(name, split, list(microworld.SPLITS), purpose))
    elif os.path.isdir(path) and is_saved(path):
        dataset = read_saved(name, path, split, purpose)
    elif os.path.isdir(path):
        dataset = read_files(name, files_of_split(name, path, split, purpose))
    elif os.path.isfile(path):
        if not suffix_of(path):
            raise InputError(f"data file {name} is of no known kind; give one of {', '.join(FORMATS)}, also with .gz")
        if split is not None:
            raise InputError(f"data file {name} has no splits; leave --split {split} out, or give its folder")
        dataset = read_files(name, [path])
    elif suffix_of(path) or not _may_be_on_hub(place):
        raise InputError(f"data {name} does not exist; give a file, a folder, a hub id, or {EMBEDDED}reviews")
    else:
        dataset = load_hub(name, split, purpose, revision, config)
    for column, value in (where or {}).items():
        dataset = _having(dataset, column, value, name)
    if len(dataset) == 0:
        raise InputError(f"data {name} is empty; give data with at least one row")
    return dataset


def _having(dataset: Dataset, path: str, value: object, name: str) -> Dataset:
    if not holds(dataset, path):
        raise InputError(f"data {name} has no column {path} to look for {value!r} in; it has {listed(dataset)}")
    held = values_at(dataset, path)
    keep = [index for index, entry in enumerate(held) if entry == value]
    if not keep:
        seen = ", ".join(sorted({repr(entry) for entry in held})[:5])
        raise InputError(f"data {name} has no row whose {path} is {value!r}; its values are {seen}")
    return dataset.select(keep)


def on_hub(name: str) -> bool:
    """Whether this names data of the hub, as it is neither embedded nor a file or folder."""
    path = Path(expanded(name))
    return not (name.startswith(EMBEDDED) or os.path.exists(path) or suffix_of(path)) and _may_be_on_hub(str(path))


def sample(dataset: Dataset, size: int | None, seed: int) -> Dataset:
    """`size` rows drawn without replacement by `seed` (all where there are fewer, or size is None)."""
    if size is not None and size <= 0:
        raise InputError(f"number of samples is {size}; give at least 1")
    if size is None or size >= len(dataset):
        return dataset
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(dataset))
    return dataset.select(order[:size])


def fingerprint(dataset: Dataset, columns: list[str]) -> str:
    """Twelve digits of the content of these columns, in order. They do not depend on the file or hub it came from."""
    digest = hashlib.sha256()
    for row in dataset.select_columns(columns):
        digest.update(json.dumps([row[column] for column in columns], ensure_ascii=False).encode())
    return digest.hexdigest()[:12]
