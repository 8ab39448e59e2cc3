"""Processes that are killed at seeded random moments: after a time, at a step of writing, or in a torn write."""

import mmap
import os
import random
import signal
import struct
import time
from collections.abc import Callable, Iterator

from tests.killing import STEPS, forked

Work = Callable[[], object]


def _died(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the work itself failed"
    return os.WIFSIGNALED(status)


def _hook(at_step: Callable[[int, str, tuple], None]) -> Callable[[], None]:
    """Calls `at_step` with number, name and arguments before every step that changes files."""

    def begin() -> None:
        done = 0

        def hooked(name, function):
            def step(*args, **kwargs):
                nonlocal done
                at_step(done, name, args)
                done += 1
                return function(*args, **kwargs)

            return step

        for name in STEPS:
            setattr(os, name, hooked(name, getattr(os, name)))

    return begin


def measured(work: Work) -> tuple[float, int]:
    """The seconds and the steps of an undisturbed run."""
    shared = mmap.mmap(-1, 8)
    began = time.monotonic()
    assert not _died(
        forked(work, _hook(lambda number, *_: shared.__setitem__(slice(0, 8), struct.pack("q", number + 1))))
    )
    return time.monotonic() - began, struct.unpack("q", shared[:8])[0]


def killed_at_random(generator: random.Random, work: Work, seconds: float, steps: int) -> str | None:
    """Run `work` and kill it; the moment in words, or None where the work ended first."""
    kind = generator.choice(("time", "step", "torn"))
    if kind == "time":
        wait = generator.uniform(0, seconds)
        child = forked(work, lambda: None)
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
        return f"after {wait:.3f} s" if _died(child) else None
    chosen, share = generator.randrange(steps), generator.random()

    def at_step(number: int, name: str, args: tuple) -> None:
        if number < chosen:
            return
        if kind == "torn":
            # What a machine leaves that stops: a file of which only a part has reached the disk.
            if name != "fsync":
                return
            path = f"/proc/self/fd/{args[0]}"
            if os.path.isfile(path):
                os.truncate(path, int(share * os.path.getsize(path)))
        os.kill(os.getpid(), signal.SIGKILL)

    return f"{kind} at step {chosen}" if _died(forked(work, _hook(at_step))) else None


def kills(generator: random.Random, count: int, prepare: Work, work: Work) -> Iterator[str]:
    """Prepare, run and kill `work` until `count` kills met it alive; the moment of each is yielded."""
    prepare()
    seconds, steps = measured(work)
    landed = tried = 0
    while landed < count:
        tried += 1
        assert tried < 10 * count + 20, "the work ends before it is killed"
        prepare()
        moment = killed_at_random(generator, work, seconds, steps)
        if moment:
            landed += 1
            yield moment
