"""A folder to the files of one split, by rules on names alone."""

import re
from collections.abc import Sequence
from pathlib import Path

from avss.data.rows import FORMATS, suffix_of
from avss.errors import InputError, first_of

# The order in which splits are tried if none is named.
PREFERRED = {
    "calibration": ("calibration", "train", "validation", "test"),
    "evaluation": ("validation", "test", "train", "calibration"),
}
# Other names of splits, as in `datasets`.
ALSO = {
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
STANDARD = ALSO | {name: name for name in PREFERRED["calibration"]}
# `train-00000-of-00002.parquet`, in older repositories with a digest at the end.
SHARD = re.compile(r"(?P<split>.+?)-(?P<index>\d+)-of-(?P<count>\d+)(-[0-9a-f]{8,})?")
# Files that describe data and hold none.
ABOUT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|changelog|authors|requirements|dataset_infos?|dataset_dict|state)"
    r"([-_. ].*)?",
    re.IGNORECASE,
)


def chosen_split(name: str, split: str | None, available: Sequence[str], purpose: str) -> str:
    """The split asked for, or the one that suits the purpose. Raises `InputError` where the data have no such split."""
    if split is None:
        return next((known for known in PREFERRED[purpose] if known in available), available[0])
    if split not in available:
        raise InputError(f"data {name} has no split {split!r}; it has {first_of(available)}")
    return split


def files_of_split(name: str, folder: Path, split: str | None, purpose: str) -> list[Path]:
    """The file of a split, or its shards in order, from a folder (`_groups` says where in it).

    A file is a split where its name without ending is train, validation, test or calibration, or one of `ALSO`. A file
    with another name is taken where `split` names it, or where it is the only data file. Raises `InputError` where no
    file or several files could be meant, and where a shard is missing.
    """
    groups = _groups(name, folder)
    standard = {stem: STANDARD.get(stem.casefold()) for stem in groups}
    if split is None:
        wanted = next((known for known in PREFERRED[purpose] if known in standard.values()), None)
        if wanted is None and len(groups) > 1:
            held = sorted(path.name for files in groups.values() for path in files)
            raise InputError(
                f"data folder {name} has no file named as a split (train, validation, test, calibration); it holds "
                f"{first_of(held)}: name one of {first_of(groups)} with --split, or give the file itself"
            )
        stems = [stem for stem in groups if standard[stem] == wanted]
    elif split in groups:
        stems = [split]
    else:
        wanted = STANDARD.get(split.casefold())
        stems = [stem for stem in groups if wanted and standard[stem] == wanted]
        if not stems:
            raise InputError(f"data {name} has no split {split!r}; it has {first_of(groups)}")
    return _in_order(name, [path for stem in stems for path in groups[stem]])


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _shard(path: Path) -> re.Match | None:
    return SHARD.fullmatch(_stem(path))


def _holds_rows(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return bool(suffix_of(path)) and path.is_file() and not hidden and not ABOUT.fullmatch(_stem(path))


def _listed(name: str, folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise InputError(
            f"data folder {name} cannot be read ({error.strerror}); give a folder that you may read"
        ) from error


def _groups(name: str, folder: Path) -> dict[str, list[Path]]:
    """The data files of a folder by the name of their split.

    They are in the folder itself, in its subfolder `data` where only that one has splits, in subfolders named as splits
    that hold the shards of one each, or in the only subfolder with data files.
    """
    found, inside = [], _listed(name, folder)
    for place in (folder, folder / "data") if folder / "data" in inside else (folder,):
        groups = _by_split(_listed(name, place)) or _split_folders(name, place)
        if any(stem.casefold() in STANDARD for stem in groups):
            return groups
        if groups:
            found.append(groups)
    if found:
        return found[0]
    inner = [place for place in inside if place.is_dir() and any(map(_holds_rows, _listed(name, place)))]
    if len(inner) == 1:
        return _by_split(_listed(name, inner[0]))
    names = ", ".join(place.name for place in inner[:10])
    step = f"give one of its folders {names}" if inner else "give a folder with one file a split"
    raise InputError(f"data folder {name} holds no {', '.join(FORMATS)} file; {step}")


def _by_split(files: list[Path]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in filter(_holds_rows, files):
        match = _shard(path)
        groups.setdefault(match["split"] if match else _stem(path), []).append(path)
    return groups


def _split_folders(name: str, folder: Path) -> dict[str, list[Path]]:
    held = {place.name: _listed(name, place) for place in _listed(name, folder) if place.name.casefold() in STANDARD}
    held = {split: [path for path in files if _holds_rows(path)] for split, files in held.items()}
    return {split: files for split, files in held.items() if files}


def _in_order(name: str, files: list[Path]) -> list[Path]:
    """One file, or all shards of one split by their number."""
    shards = {path: match for path in files if (match := _shard(path))}
    counts = {int(match["count"]) for match in shards.values()}
    by_index = {int(match["index"]): path for path, match in shards.items()}
    if not shards and all(_stem(path).isdecimal() for path in files):
        return _numbered(name, files)
    if len(files) == 1 and not shards:
        return files
    if len(shards) < len(files) or len(counts) > 1 or len(by_index) < len(files):
        listed = " and ".join(path.name for path in files[:5])
        raise InputError(f"data {name}: {listed} are files of one split; remove or rename all but one")
    (count,) = counts
    missing = next((index for index in range(count) if index not in by_index), None)
    if missing is not None:
        path, match = next(iter(shards.items()))
        number = str(missing).zfill(len(match["index"]))
        absent = f"{match['split']}-{number}-of-{match['count']}{''.join(path.suffixes[-2:])}"
        raise InputError(
            f"data {name}: {absent} is missing ({len(by_index)} of {count} shards are there); add the missing ones"
        )
    if len(by_index) > count:
        raise InputError(f"data {name}: {by_index[max(by_index)].name} has a number above its count; rename it")
    return [by_index[index] for index in sorted(by_index)]


def _numbered(name: str, files: list[Path]) -> list[Path]:
    """The files of one split in the order of their names, which are whole numbers from 0 on."""
    by_number = {int(_stem(path)): path for path in files}
    first = files[0]
    for number in range(max(by_number) + 1):
        if number not in by_number:
            absent = f"{first.parent.name}/{str(number).zfill(len(_stem(first)))}{''.join(first.suffixes)}"
            raise InputError(f"data {name}: {absent} is missing ({len(files)} files are there); add the missing ones")
    return [by_number[number] for number in sorted(by_number)]
