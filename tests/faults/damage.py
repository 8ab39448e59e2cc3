"""Files that were damaged at seeded random places, and readers that run in a process of their own."""

import os
import pickle
import random
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

# Above what reading a tiny file needs, far below what a test machine has.
MEMORY = 4 << 30
# So many times its limit of processor time may a process take by the clock: others may need the processor too.
PATIENCE = 10


def damaged(generator: random.Random, content: bytes) -> tuple[str, bytes]:
    """The damage in words, and the content with it. Half of all damage is near the beginning, where headers are."""
    size = len(content)
    place = generator.randrange(min(size, 1000) if generator.random() < 0.5 else size)
    length = generator.randint(1, min(64, size))
    kinds = {
        "one bit changed": lambda: _put(content, place, bytes([content[place] ^ 1 << generator.randrange(8)])),
        "one byte changed": lambda: _put(content, place, bytes([generator.randrange(256)])),
        "cut off": lambda: content[:place],
        "a part missing": lambda: content[:place] + content[place + length :],
        "a part twice": lambda: content[: place + length] + content[place:],
        "a part of zeros": lambda: _put(content, place, bytes(min(length, size - place))),
        "a part of noise": lambda: _put(content, place, generator.randbytes(min(length, size - place))),
        "surplus at the end": lambda: content + generator.randbytes(length),
        "empty": lambda: b"",
    }
    kind = generator.choice(list(kinds))
    return f"{kind} at {place} of {size}", kinds[kind]()


def _put(content: bytes, place: int, part: bytes) -> bytes:
    return content[:place] + part + content[place + len(part) :]


def apart(work: Callable[[], object], seconds: int = 60) -> object:
    """What `work` returns in a process of its own, or the exception that it raises there.

    Raises `AssertionError` where that process dies, needs more than so many seconds of processor time, or waits
    until `PATIENCE` times as many are over.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1), os.dup2(silent, 2)
            pages = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (pages + MEMORY, pages + MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            with open(writer, "wb") as out:
                out.write(pickle.dumps(_outcome(work)))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    content, end = b"", time.monotonic() + PATIENCE * seconds
    with open(reader, "rb", buffering=0) as source:
        while select.select([source], [], [], max(0, end - time.monotonic()))[0]:
            part = source.read(1 << 20)
            if not part:
                break
            content += part
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"it hangs for more than {PATIENCE * seconds} s")
    _, status = os.waitpid(child, 0)
    assert status != signal.SIGXCPU, f"it needs more than {seconds} s of processor time"
    assert not status, f"the process died ({status})"
    return pickle.loads(content)


def _outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except BaseException as error:
        error.__cause__ = error.__context__ = None
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error.with_traceback(None)
