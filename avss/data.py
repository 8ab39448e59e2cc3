"""A data set's name (hub id, folder, file, embedded) to a `datasets.Dataset`, and its text to batches of token ids."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, DownloadConfig, load_dataset
from datasets.config import HF_DATASETS_CACHE
from datasets.exceptions import DatasetNotFoundError
from datasets.naming import camelcase_to_snakecase
from datasets.utils.logging import CRITICAL, disable_progress_bar, get_verbosity, set_verbosity

from avss import microworld
from avss.engine.gold import UNSCORED
from avss.errors import InputError, look_up
from avss.files import may_be_hub_id

EMBEDDED = "microworld/"
# File name endings, and the packaged loader of `datasets` that reads each; all may be gzipped.
LOADERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet", ".txt": "text"}
# Where no split is named: the first of these that the data has.
PREFERRED = {
    "calibration": ("calibration", "train", "validation", "test"),
    "evaluation": ("validation", "test", "train"),
}


def _loader(path: Path) -> str | None:
    return LOADERS.get(Path(path.name.removesuffix(".gz")).suffix.lower())


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _chosen(name: str, split: str | None, available: list[str], purpose: str) -> str:
    if split is None:
        return next((known for known in PREFERRED[purpose] if known in available), available[0])
    if split not in available:
        raise InputError(f"data {name} has no split {split!r}; it has {', '.join(available)}")
    return split


def _read_file(name: str, path: Path) -> Dataset:
    empty = InputError(f"data {name}: {path.name} is empty; give a file with at least one row")
    if path.stat().st_size == 0:
        raise empty
    # The loaders draw a bar for every file; ours are enough.
    disable_progress_bar()
    # What they log of a file that cannot be read, the error says too.
    verbosity = get_verbosity()
    set_verbosity(CRITICAL)
    try:
        return load_dataset(_loader(path), data_files=str(path), split="train")
    except Exception as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        if "corresponds to no data" in reason:
            raise empty from error
        raise InputError(
            f"data {name}: {path.name} cannot be read ({reason}); check that it is {_loader(path)}, in UTF-8"
        ) from error
    finally:
        set_verbosity(verbosity)


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

    name: hub id, folder (one file a split), file (.jsonl, .csv, .parquet, .txt, also with .gz), or embedded
    (`microworld/reviews`); variables such as $AVSS_DATA are expanded. split: by default the one that suits `purpose`,
    calibration or evaluation. revision, config: the commit and the configuration of data on the hub. where: keeps the
    rows that have these values, by column, or by `column.field` where a column holds fields. Raises `InputError` for
    anything missing, unreadable or empty.
    """
    look_up("purpose", purpose, PREFERRED)
    expanded = os.path.expanduser(os.path.expandvars(name))
    if "$" in expanded:
        raise InputError(f"data {name}: the variable is not set; set it to the folder that holds the data")
    path = Path(expanded)
    if expanded.startswith(EMBEDDED):
        genre = expanded.removeprefix(EMBEDDED)
        dataset = microworld.load(genre, _chosen(name, split, list(microworld.SPLITS), purpose))
    elif path.is_dir():
        files = {_stem(file): file for file in sorted(path.iterdir()) if _loader(file)}
        if not files:
            raise InputError(
                f"data folder {name} holds no {', '.join(LOADERS)} file; give a folder with one file a split"
            )
        dataset = _read_file(name, files[_chosen(name, split, list(files), purpose)])
    elif path.is_file():
        if not _loader(path):
            raise InputError(f"data file {name} is of no known kind; give one of {', '.join(LOADERS)}, also with .gz")
        if split is not None:
            raise InputError(f"data file {name} has no splits; leave --split {split} out, or give its folder")
        dataset = _read_file(name, path)
    elif _loader(path) or not may_be_hub_id(expanded):
        raise InputError(f"data {name} does not exist; give a file, a folder, a hub id, or {EMBEDDED}reviews")
    else:
        dataset = _load_hub(name, split, purpose, revision, config)
    for path, value in (where or {}).items():
        dataset = _having(dataset, path, value, name)
    if len(dataset) == 0:
        raise InputError(f"data {name} is empty; give data with at least one row")
    return dataset


def _load_hub(name: str, split: str | None, purpose: str, revision: str | None, config: str | None) -> Dataset:
    try:
        found = load_dataset(name, config, revision=revision, download_config=DownloadConfig(max_retries=1))
    except (DatasetNotFoundError, ConnectionError, OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        raise InputError(
            f"data {name} cannot be loaded from the hub ({reason}); check the name and the network, or give a file"
        ) from error
    return found[_chosen(name, split, list(found), purpose)]


def _having(dataset: Dataset, path: str, value: object, name: str) -> Dataset:
    column, *inner = path.split(".")
    if column not in dataset.column_names:
        raise InputError(f"data {name} has no column {column} to look for {value!r} in; it has {dataset.column_names}")
    held = dataset[column][:]
    for field in inner:
        held = [entry.get(field) if isinstance(entry, dict) else None for entry in held]
    keep = [index for index, entry in enumerate(held) if entry == value]
    if not keep:
        seen = ", ".join(sorted({repr(entry) for entry in held})[:5])
        raise InputError(f"data {name} has no row whose {path} is {value!r}; its values are {seen}")
    return dataset.select(keep)


def on_hub(name: str) -> bool:
    """Whether this names data of the hub, as it is neither embedded nor a file or folder."""
    path = Path(os.path.expanduser(os.path.expandvars(name)))
    return not (name.startswith(EMBEDDED) or path.exists() or _loader(path)) and may_be_hub_id(str(path))


def at_hand(name: str) -> bool:
    """Whether data of the hub has been downloaded before, and needs no network."""
    owner, _, short = name.rpartition("/")
    return (Path(HF_DATASETS_CACHE) / "___".join(filter(None, (owner, camelcase_to_snakecase(short))))).is_dir()


def usable_rows(
    dataset: Dataset, columns: tuple[str, ...], column: str | None, name: str = "data"
) -> tuple[Dataset, str]:
    """The rows whose text is not blank, and the name of the text column.

    columns: where the text may be, in order of preference; column: the user's own choice. Raises `InputError` where
    there is no such column, or no row with text.
    """
    candidates = (column,) if column else columns
    chosen = next((known for known in candidates if known in dataset.column_names), None)
    if chosen is None:
        raise InputError(
            f"{name} has no column {' or '.join(candidates)}; it has {', '.join(dataset.column_names)}: "
            f"name the one that holds the text (--column)"
        )
    texts = dataset[chosen]
    keep = [index for index, text in enumerate(texts) if isinstance(text, str) and text.strip()]
    if not keep:
        raise InputError(f"{name} has no usable rows: column {chosen} holds no text in any of {len(dataset)} rows")
    return (dataset if len(keep) == len(dataset) else dataset.select(keep)), chosen


def sample(dataset: Dataset, size: int | None, seed: int) -> Dataset:
    """`size` rows drawn without replacement by `seed` (all where there are fewer, or size is None)."""
    if size is not None and size <= 0:
        raise InputError(f"number of samples is {size}; give at least 1")
    if size is None or size >= len(dataset):
        return dataset
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(dataset))
    return dataset.select(order[:size])


def fingerprint(dataset: Dataset, columns: list[str]) -> str:
    """Twelve digits that pin the content of these columns, in order, whatever file or hub they came from."""
    digest = hashlib.sha256()
    for row in dataset.select_columns(columns):
        digest.update(json.dumps([row[column] for column in columns], ensure_ascii=False).encode())
    return digest.hexdigest()[:12]


def context_of(model, tokenizer, context: int | None) -> int:
    """Tokens a document or window may have: `context`, at most what the model has positions for.

    Raises `InputError` where `context` is below 2.
    """
    if context is not None and context < 2:
        raise InputError(f"context is {context} tokens; give at least 2")
    limits = [context or 512, getattr(model.config, "max_position_embeddings", None), tokenizer.model_max_length]
    return min(limit for limit in limits if limit)


def pad(
    sequences: list[list[int]], filler: int, length: int | None = None, *, left: bool = False
) -> dict[str, torch.Tensor]:
    """Padded `input_ids` and `attention_mask`, (B, T) int64 each; T is the longest sequence, or `length`.

    Padding is on the right, or on the left where `left`.
    """
    width = length or max(map(len, sequences))
    ids = torch.full((len(sequences), width), filler, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        real = slice(width - len(sequence), width) if left else slice(len(sequence))
        ids[row, real] = torch.tensor(sequence, dtype=torch.int64)
        mask[row, real] = 1
    return {"input_ids": ids, "attention_mask": mask}


def padding_id(tokenizer) -> int:
    """The id that fills up a batch; where a tokenizer has no padding token any will do, as the mask covers it."""
    return next(known for known in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if known is not None)


def beginning(tokenizer) -> list[int]:
    """The token that starts a text: BOS where the tokenizer adds one of itself, otherwise none."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def usable_size(batch_size: int) -> None:
    """Raises `InputError` for a batch size below 1."""
    if batch_size < 1:
        raise InputError(f"batch size is {batch_size}; give at least 1")


def by_length(sequences: Sequence[Sequence], batch_size: int) -> list[list[int]]:
    """The indices of the sequences, shortest first, in groups of `batch_size`: so a batch has little padding.

    Raises `InputError` as `usable_size`.
    """
    usable_size(batch_size)
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def batches(
    texts: list[str], tokenizer, *, context: int, batch_size: int = 32, fill: bool = False
) -> list[dict[str, torch.Tensor]]:
    """Token ids of whole documents, cut at `context` tokens, in batches of similar length.

    fill pads every batch to `context`, as the released scripts do, for readings in which padding counts.
    Raises `InputError` where no text has a token, for one text in place of a list, a context below 1 and a batch size
    below 1.
    """
    if isinstance(texts, str):
        raise InputError(f"texts is one string ({texts[:20]!r}); give a list of them")
    if context < 1:
        raise InputError(f"context is {context} tokens; give at least 1")
    texts = list(texts)
    encoded = tokenizer(texts, truncation=True, max_length=context)["input_ids"] if texts else []
    encoded = [ids for ids in encoded if ids]
    if not encoded:
        raise InputError("no usable rows: no text has a single token; check the text column and the tokenizer")
    filler = padding_id(tokenizer)
    return [
        pad([encoded[index] for index in chosen], filler, context if fill else None)
        for chosen in by_length(encoded, batch_size)
    ]


@dataclass(frozen=True)
class Example:
    """One document with what is to be predicted.

    labels: the class (a classifier), or one token id for each of `input_ids`, not shifted, -100 where nothing is
    scored (a causal language model; the convention of `avss.engine.gold`).
    """

    input_ids: list[int]
    labels: list[int] | int


def batched(
    examples: list[Example], filler: int, batch_size: int, length: int | None = None
) -> list[dict[str, torch.Tensor]]:
    """Examples in batches of similar length, padded on the right with `filler` (labels with -100).

    Each batch has `input_ids`, `attention_mask`, (B, T) int64, and `labels`, (B,) or (B, T) int64; T is the longest
    example of the batch, or `length`. Raises `InputError` where there is no example.
    """
    if not examples:
        raise InputError("no usable rows: there is no example with labels; check the columns and the tokenizer")
    result = []
    for chosen in by_length([example.input_ids for example in examples], batch_size):
        labels = [examples[index].labels for index in chosen]
        batch = pad([examples[index].input_ids for index in chosen], filler, length)
        of_tokens = isinstance(labels[0], list)
        batch["labels"] = pad(labels, UNSCORED, length)["input_ids"] if of_tokens else torch.tensor(labels)
        result.append(batch)
    return result
