"""Commands on hostile inputs: they end with success or one line, and no code of an input makes a canary."""

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

from avss.cli import main
from tests.faults.damage import apart

CANARY = "canary"


def files_under(folder: Path) -> dict[str, tuple]:
    """Every name under a folder, with its size and time, links not followed."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            facts = path.lstat()
            folder_size = (facts.st_mode,) if path.is_dir() else (facts.st_mode, facts.st_size, facts.st_mtime_ns)
            found[str(path.relative_to(folder))] = folder_size
    return found


def command(*words: object, seconds: int = 60) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, run in a process of its own as `apart` runs it."""

    def work():
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([str(word) for word in words])
            except SystemExit as error:
                code = error.code
        return code, out.getvalue(), err.getvalue()

    found = apart(work, seconds)
    if isinstance(found, BaseException):
        raise AssertionError(f"{type(found).__name__}: {found}")
    return found


def check_ends_well(world: Path, words: Sequence[object], written: Sequence[str] = (), seconds: int = 60) -> bool:
    """Whether the command succeeded; it ran no code, wrote nothing but `written`, and failed, if so, in one line."""
    before = files_under(world)
    code, _, err = command(*words, seconds=seconds)
    errors = [line for line in err.splitlines() if not line.startswith("avss: warning: ")]
    assert code in (0, 2), f"exit {code}: {err[-300:]}"
    assert not list(world.rglob(f"{CANARY}*")), "code of the input was run"
    if code == 2:
        assert len(errors) == 1, f"not one line: {err[-500:]}"
        assert errors[0].startswith("avss: error: ")
        assert len(errors[0]) < 1000, f"a line of {len(errors[0])} characters"
    after = files_under(world)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    surplus = {name for name in changed if not any(name == own or name.startswith(f"{own}/") for own in written)}
    assert not surplus, f"written beside the output: {sorted(surplus)}"
    return code == 0
