"""Files that are written whole or not at all, and checks before long work that they can be written."""

import hashlib
import os
import re
from pathlib import Path

from avss.errors import InputError

# The folder that holds the package and, in a checkout, notebooks, profiles and results.
ROOT = Path(__file__).parent.parent


def checked_output(path: str | os.PathLike, force: bool = False, *, folder: bool = False) -> Path:
    """The path, if a file, or a `folder`, can be written there.

    Raises `InputError` where its folder does not exist, where it exists itself and `force` is not given, and where it
    is a folder and a file is to be written.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist; create it first")
    if path.exists() and not force:
        raise InputError(f"{path} exists already; give another name, or --force to replace it")
    if path.is_dir() and not folder:
        raise InputError(f"{path} is a folder; give the name of a file")
    return path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def may_be_hub_id(name: str) -> bool:
    """Whether a name that is no file here can mean the hub: `name` or `owner/name`, owner being no folder."""
    owner, slash, _ = name.rpartition("/")
    return bool(re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name)) and not (slash and Path(owner).is_dir())


def sha256(path: Path) -> str:
    """The file's SHA-256, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
