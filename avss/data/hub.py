"""Data of the hub: one split of one configuration at one commit, stored to be read again without a network.

A split is stored in `avss/NAME/CONFIG/COMMIT/SPLIT` of the cache of `datasets`, as Arrow files; `splits.json` beside
the splits names all that the commit has. The layout of `datasets` itself holds all splits of a configuration in one
folder.
"""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import datasets
from datasets import Dataset, DownloadConfig, concatenate_datasets, load_dataset_builder
from datasets.data_files import DataFilesDict
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from avss.data.splits import chosen_split
from avss.errors import InputError
from avss.files import write_whole

COMMIT = re.compile(r"[0-9a-f]{40}")
# `datasets` writes it when a split is complete.
COMPLETE = "dataset_info.json"


def at_hand(
    name: str, config: str | None = None, revision: str | None = None, splits: Sequence[str | None] = ()
) -> bool:
    """Whether these splits of hub data have been downloaded before and need no network.

    revision: a commit; None for any commit. The answer for a branch or a tag is False, because it may have moved. A
    split of None asks for none. Raises no error.
    """
    folder = _kept(name, config, revision)
    return folder is not None and all((folder / split / COMPLETE).is_file() for split in splits if split)


def load_hub(name: str, split: str | None, purpose: str, revision: str | None, config: str | None) -> Dataset:
    """The rows of one split, which is downloaded if it is not stored yet. No other split is downloaded.

    split, purpose, revision, config: as in `load_data`. Without a revision the newest commit is taken. If the hub
    cannot be reached, the commit stored last is taken, with a warning. Raises `InputError` if the hub has no such data.
    """
    kept = _kept(name, config, revision)
    if revision is not None and kept is not None:
        chosen = chosen_split(name, split, _splits(kept), purpose)
        if (kept / chosen / COMPLETE).is_file():
            return _open(kept / chosen)
    try:
        return _open(_download(name, split, purpose, revision, config))
    except (DatasetNotFoundError, DatasetGenerationError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        reason = (str(error.__cause__ or error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        if revision is None and kept is not None and isinstance(error, OSError):
            chosen = chosen_split(name, split, _splits(kept), purpose)
            if (kept / chosen / COMPLETE).is_file():
                warnings.warn(
                    f"the hub cannot be reached ({reason}); {name} is read as of commit {kept.name}", stacklevel=3
                )
                return _open(kept / chosen)
        raise InputError(
            f"data {name} cannot be loaded from the hub ({reason}); check the name and the network, or give a file"
        ) from error


def _download(name: str, split: str | None, purpose: str, revision: str | None, config: str | None) -> Path:
    """Download the split; return the folder that holds it."""
    builder = load_dataset_builder(name, config, revision=revision, download_config=DownloadConfig(max_retries=1))
    files = builder.config.data_files
    available = [str(known) for known in (builder.info.splits if files is None else files)]
    chosen = chosen_split(name, split, available, purpose)
    if files is not None:
        builder.config.data_files = DataFilesDict({chosen: files[chosen]})
    folder = _folder(name, config) / builder.hash
    # The card of the data counts all splits, and one is prepared.
    builder.download_and_prepare(str(folder / chosen), verification_mode="no_checks")
    write_whole(folder / "splits.json", json.dumps(available))
    return folder / chosen


def _folder(name: str, config: str | None) -> Path:
    return Path(datasets.config.HF_DATASETS_CACHE) / "avss" / quote(name, safe="") / quote(config or "default", safe="")


def _kept(name: str, config: str | None, revision: str | None) -> Path | None:
    """The folder of this commit, or of the commit stored last if revision is None."""
    folder = _folder(name, config)
    if revision is not None:
        commits = [folder / revision] if COMMIT.fullmatch(revision) else []
    else:
        commits = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    whole = [commit for commit in commits if (commit / "splits.json").is_file()]
    return whole[-1] if whole else None


def _splits(folder: Path) -> list[str]:
    return json.loads((folder / "splits.json").read_text(encoding="utf-8"))


def _open(folder: Path) -> Dataset:
    return concatenate_datasets(
        [Dataset.from_file(str(path)) for path in sorted(folder.iterdir()) if path.suffix == ".arrow"]
    )
