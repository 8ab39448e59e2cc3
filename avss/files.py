"""Files and folders that are written whole or not at all, and the leftovers of processes that were killed.

A new file or folder is made beside its place, under a hidden name that states the process. It takes its own name in one
step. A killed process leaves hidden names behind, and the next process that writes into the folder removes them.
"""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The folder that holds the package and, in a checkout, notebooks, profiles and results.
ROOT = Path(__file__).parent.parent

# `.NAME.MACHINE-PID-TOKEN.part` is being made, `.NAME.MACHINE-PID-TOKEN.old` is being replaced.
HIDDEN = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{12}\.(?P<kind>part|old)", re.DOTALL
)
# Processes of other machines cannot be seen. Files that are a day old are taken as abandoned.
ABANDONED = 24 * 3600


def _machine() -> str:
    """Eight digits for this machine, or this container: process ids are unique in it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(6)}.{kind}")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@contextmanager
def reachable(folder: Path) -> Iterator[Path]:
    """The folder, or a link to it where its own path is not UTF-8: libraries written in Rust open no such path."""
    try:
        str(folder).encode()
        known = True
    except UnicodeEncodeError:
        known = False
    if known:
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        link = Path(place, "folder")
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def _remove(path: Path) -> None:
    """Remove a file or folder of our own, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def clear_leftovers(folder: Path) -> None:
    """Remove the leftovers of killed processes in a folder.

    A folder that was about to be replaced, and whose place is empty, gets its name back.
    """
    for path in sorted(folder.glob(".*.part")) + sorted(folder.glob(".*.old")):
        found = HIDDEN.fullmatch(path.name)
        if not found:
            continue
        here = found["machine"] == _machine()
        if here and _runs(int(found["pid"])):
            continue
        target = path.with_name(found["name"])
        with suppress(OSError):
            if found["kind"] == "old" and not os.path.lexists(target):
                os.rename(path, target)
            elif here or found["kind"] == "old" or time.time() - path.stat().st_mtime > ABANDONED:
                _remove(path)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Some file systems cannot do it for folders."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole: a reader sees the old content or the new, never a part.

    Raises `OSError` where it cannot be written; the old content is then still there.
    """
    path = Path(path)
    clear_leftovers(path.parent)
    part = _beside(path, "part")
    try:
        with open(part, "xb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        _remove(part)
        raise
    _sync(path.parent)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other process is inside this context for the same folder; a process that is killed leaves it.

    Some file systems have no locks for folders. The context is then entered at once.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new, hidden folder to fill, which takes the place of `folder` at the end of the context.

    On an error the new folder is removed, and `folder` is as it was. A process that is killed between the two renames
    leaves the old folder under a hidden name; `clear_leftovers` gives it its name back. Raises `OSError` where it
    cannot be written.
    """
    clear_leftovers(folder.parent)
    made, aside = _beside(folder, "part"), _beside(folder, "old")
    try:
        made.mkdir()
        yield made
        for path in sorted(made.rglob("*")):
            _sync(path)
        _sync(made)
        if folder.exists():
            os.replace(folder, aside)
        os.replace(made, folder)
    except BaseException:
        if aside.exists() and not os.path.lexists(folder):
            os.rename(aside, folder)
        _remove(made)
        raise
    _sync(folder.parent)
    _remove(aside)


def try_writing(path: Path) -> None:
    """Raises `OSError` where a file beside `path` cannot be written, as in a folder that is full or read-only."""
    clear_leftovers(path.parent)
    trial = _beside(path, "part")
    try:
        with open(trial, "xb") as file:
            file.write(bytes(1 << 12))
            os.fsync(file.fileno())
    finally:
        _remove(trial)


def expanded(name: str) -> str:
    """The name itself where there is such a file or folder, otherwise with its variables expanded."""
    return name if os.path.lexists(name) else os.path.expanduser(os.path.expandvars(name))


def may_be_hub_id(name: str) -> bool:
    """Whether a name that is no file here can mean the hub: `name` or `owner/name`, owner being no folder."""
    owner, slash, _ = name.rpartition("/")
    return bool(re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name)) and not (slash and Path(owner).is_dir())


def sha256(path: Path) -> str:
    """The file's SHA-256, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
