"""Processes that are killed while they write: before any step that changes a file or a folder, or after some time."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# What changes files and folders, or waits for the disk.
STEPS = ("replace", "rename", "mkdir", "fsync", "unlink", "rmdir")


@contextmanager
def interrupted_after(monkeypatch, module, name: str, calls: int) -> Iterator[None]:
    """Inside, this function of the module raises as Ctrl-C does at the end of so many calls."""
    function, made = getattr(module, name), []

    def counted(*arguments):
        function(*arguments)
        made.append(1)
        if len(made) == calls:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, name, counted)
        yield


def forked(work: Callable[[], object], begin: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1), os.dup2(silent, 2)
        begin()
        work()
        code = 0
    finally:
        os._exit(code)


def killed_before(step: int, work: Callable[[], object], steps: tuple[str, ...] = STEPS) -> bool:
    """Run `work` in a process that is killed before this of its steps; False where it has fewer and ended well."""

    def begin() -> None:
        left = step

        def counted(function):
            def counting(*args, **kwargs):
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                return function(*args, **kwargs)

            return counting

        for name in steps:
            setattr(os, name, counted(getattr(os, name)))

    _, status = os.waitpid(forked(work, begin), 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the work itself failed"
    return os.WIFSIGNALED(status)


def every_kill(
    prepare: Callable[[], object], work: Callable[[], object], steps: tuple[str, ...] = STEPS
) -> Iterator[int]:
    """Prepare, run and kill `work` before its first step, then its second, and so on; the step is what is yielded."""
    step = 0
    prepare()
    while killed_before(step, work, steps):
        yield step
        step += 1
        prepare()
    assert step >= 3, "the work has no steps to be killed at"


def killed_after(seconds: float, work: Callable[[], object]) -> None:
    """Run `work` in a process that is killed after this time."""
    child = forked(work, lambda: None)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]
