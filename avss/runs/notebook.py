"""A notebook executed for one row.

python -m avss.runs.notebook NOTEBOOK OUTPUT LOG [--title TITLE] [--threads N] [--parameter NAME=VALUE ...]
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import papermill
from traitlets.config import Config

from avss.errors import InputError
from avss.runs import kernels
from avss.runs.page import retitle, write


def execute(
    notebook: Path, output: Path, log: Path, parameters: Mapping[str, str], title: str = "", threads: int = 1
) -> None:
    """Execute a notebook and write it to `output`, with `title` in place of its own heading.

    Raises `InputError` with the last line of the reason where the notebook fails. The log then has the whole reason,
    and `output` is not written.
    """
    os.environ |= {"OMP_NUM_THREADS": str(threads), "MPLBACKEND": "agg"}
    output, log = Path(output), Path(log)
    output.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    # Sockets that are files in a folder of their own. Of two kernels that start at once, both may be told the same free
    # port, and one of them dies.
    with (
        open(log, "w", encoding="utf-8", errors="backslashreplace") as file,
        _errors_to(file),
        tempfile.TemporaryDirectory(prefix="avss-") as sockets,
        _kernels_of_server(Path(sockets)),
    ):
        kernel = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
        try:
            executed = papermill.execute_notebook(
                str(notebook), None, dict(parameters), progress_bar=False, config=kernel
            )
        # A cell that fails, a kernel that dies, a notebook that cannot be read.
        except Exception as error:
            reason = str(error).rstrip() or type(error).__name__
            print(reason, file=file)
            raise InputError(f"{output}: {reason.splitlines()[-1]} (all of it in {log})") from None
    if title:
        retitle(executed, title)
    write(executed, output)


@contextmanager
def _kernels_of_server(folder: Path) -> Iterator[None]:
    """Where the build has a server of kernels, notebooks get theirs from it."""
    before = os.environ.get("JUPYTER_PATH")
    if kernels.SERVER in os.environ:
        kernels.specification(folder)
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    try:
        yield
    finally:
        os.environ.pop("JUPYTER_PATH", None)
        if before is not None:
            os.environ["JUPYTER_PATH"] = before


@contextmanager
def _errors_to(file: TextIO) -> Iterator[None]:
    """Send the standard error of this process and of its kernel to a file."""
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("notebook", "output", "log"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--title", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    parameters = dict(each.split("=", 1) for each in given.parameter)
    try:
        execute(given.notebook, given.output, given.log, parameters, given.title, given.threads)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
