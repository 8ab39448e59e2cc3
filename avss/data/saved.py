"""Folders that `save_to_disk` of `datasets` wrote: one data set, or a dictionary of splits."""

import json
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from avss.data.splits import PREFERRED, STANDARD
from avss.errors import InputError, first_of

# What `save_to_disk` writes beside the rows of one data set, and beside the folders of several splits.
ONE = ("state.json", "dataset_info.json")
SEVERAL = "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / SEVERAL).is_file() or all((folder / name).is_file() for name in ONE)


def read_saved(name: str, folder: Path, split: str | None, purpose: str) -> Dataset:
    """The rows of a split. split, purpose: as in `avss.load_data`.

    Raises `InputError` for a folder that is damaged, one without splits where `split` names one, a split that is not
    there, and where several may be meant; `MemoryError` where the rows do not fit into memory.
    """
    if not (folder / SEVERAL).is_file():
        if split is not None:
            raise InputError(f"data folder {name} has no splits; leave --split {split} out")
        return _rows(name, folder)
    try:
        available = [str(known) for known in json.loads((folder / SEVERAL).read_text(encoding="utf-8"))["splits"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(name, error) from error
    return _rows(name, folder / _chosen(name, split, available, purpose))


def _chosen(name: str, split: str | None, available: Sequence[str], purpose: str) -> str:
    standard = {STANDARD.get(known.casefold(), known): known for known in reversed(available)}
    if split is not None:
        wanted = split if split in available else standard.get(STANDARD.get(split.casefold(), split))
        if wanted is None:
            raise InputError(f"data {name} has no split {split!r}; it has {first_of(available)}")
        return wanted
    found = next((standard[known] for known in PREFERRED[purpose] if known in standard), None)
    if found is None and len(available) != 1:
        raise InputError(
            f"data folder {name} has no split named train, validation, test or calibration; name one of "
            f"{first_of(available)} with --split"
        )
    return found or available[0]


def _rows(name: str, folder: Path) -> Dataset:
    try:
        found = Dataset.load_from_disk(str(folder))
        # Otherwise a damaged file would fail in the middle of the work.
        found.data.table.validate(full=True)
        # A selection of rows is kept as their numbers, which nothing here expects.
        return found.flatten_indices() if found._indices is not None else found
    except MemoryError:
        # No fault of the folder: to save it again would not help.
        raise
    except Exception as error:
        # Damaged folders make `datasets` raise errors of many types.
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    return InputError(f"data folder {name} cannot be read ({reason}); save it again with save_to_disk")
