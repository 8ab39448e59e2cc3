"""Checks, before long work, of the file or folder that a command is asked to write.

An output is never an input, and `--force` replaces only what the program itself wrote before.
"""

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from avss.errors import InputError
from avss.files import clear_leftovers, sha256, try_writing

# The file of a pruned model that records how it was made and lists all other files.
FACTS = "pruning.json"
# The keys of a result of `avss evaluate`.
RESULT = {"task", "metric", "value", "n", "low", "high", "also", "data", "protocol", "model", "avss"}
# The keys of a result of `avss check`.
CHECKED = {"blocks", "removed", "tau_depth", "tau_block_influence", "tau_losses", "first_token", "documents", "tokens"}
CHECKED |= {"recommended", "reason", "model", "data", "task", "avss"}


def checked_output(
    path: str | os.PathLike,
    force: bool = False,
    *,
    folder: bool = False,
    inputs: Iterable[str | os.PathLike] = (),
    own: Callable[[Path], None] | None = None,
) -> Path:
    """The path, if a file, or a `folder`, may be written there.

    inputs: files and folders that are read; other names, such as hub ids, are ignored. own: a check that raises
    `InputError` for an existing path that the program did not write (None: no existing path is replaced). Raises
    `InputError` where the parent folder does not exist; where the path is, holds or lies in one of the inputs; where
    it exists and `force` is not given; where it is a link, a device or of the other kind.
    """
    path = Path(path)
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist; create it first")
    if path.name in ("", ".."):
        raise InputError(f"{path} has no name of its own; give the name of a {'folder' if folder else 'file'}")
    for given in inputs:
        if _overlap(path, Path(given)):
            raise InputError(f"{path} is, holds or lies in {given}, which is read; give another name")
    clear_leftovers(parent)
    if not os.path.lexists(path):
        return path
    if not force:
        raise InputError(f"{path} exists already; give another name, or --force to replace it")
    if path.is_symlink():
        raise InputError(f"{path} is a link, which is not replaced; give the name of what it points to")
    if path.is_dir() and not folder:
        raise InputError(f"{path} is a folder; give the name of a file")
    if not (path.is_dir() if folder else path.is_file()):
        raise InputError(f"{path} is no {'folder' if folder else 'regular file'}, so it is not replaced; give another")
    if own is None:
        raise InputError(f"{path} exists already; give another name")
    own(path)
    return path


def check_space(path: Path, size: int = 0) -> None:
    """Raises `InputError` where `size` bytes cannot be written beside `path`: full or read-only folder, long name."""
    try:
        try_writing(path)
        free = shutil.disk_usage(path.absolute().parent).free
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); free some space, or give another name or folder"
        ) from error
    if free < size:
        raise InputError(
            f"{path} needs {size / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free; "
            f"free some space, or give another folder"
        )


def _overlap(output: Path, given: Path) -> bool:
    """Whether writing `output` could change `given`, also through links and `..`."""
    if not os.path.exists(given):
        return False
    # Not `Path.resolve`, which raises an error for a link to itself.
    output = Path(os.path.realpath(output))
    # A folder of weights may consist of links, as the cache of the hub does.
    links = [path for path in given.iterdir() if path.is_symlink()] if given.is_dir() else []
    for path in (given, *links):
        real = Path(os.path.realpath(path))
        if output == real or output in real.parents or (real.is_dir() and real in output.parents):
            return True
    return output.exists() and output.samefile(given)


def check_own_folder(folder: Path) -> None:
    """Raises `InputError` unless `save_pruned` wrote all that is in the folder, and nothing was changed since."""
    try:
        stated = json.loads((folder / FACTS).read_text(encoding="utf-8"))["files"]
        stated = dict(stated)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} was not written by `avss prune`, so it is not replaced; give another name, or remove it"
        ) from error
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == FACTS or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not path.is_file() or sha256(path) != stated.get(name):
            raise InputError(
                f"{folder} holds {name}, which `avss prune` did not write or which was changed since, so nothing is "
                f"replaced; move it, or give another name"
            )


def check_own_result(path: Path, keys: Collection[str] = RESULT, command: str = "evaluate") -> None:
    """Raises `InputError` unless the file is a result of this command, with nothing added."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        result = None
    if not isinstance(result, dict) or set(result) != set(keys):
        raise InputError(f"{path} was not written by `avss {command}`; give another name, or remove it")
