"""The real commands, each a process of its own with all its imports, killed at random moments."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

import avss
from avss.files import ROOT
from avss.store import Store
from tests.checkout import checkout
from tests.faults.tally import QUICK, size
from tests.faults.test_kills import comparable, run, state

pytestmark = pytest.mark.skipif(QUICK, reason="not in the short part")


def started(words: list, folder: Path) -> subprocess.Popen:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "PYTHONPATH": str(folder if (folder / "avss").is_dir() else ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env=variables,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(words: list, folder: Path) -> float:
    """Run a command to its end; the seconds that it took."""
    began, process = time.monotonic(), started(words, folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-1000:]
    return time.monotonic() - began


def killed(generator: random.Random, words: list, folder: Path, seconds: float) -> str | None:
    """Kill a command and its children in the last two thirds of its time; None where it ended first."""
    wait = generator.uniform(seconds / 3, seconds)
    process = started(words, folder)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return f"after {wait:.1f} s" if process.returncode == -signal.SIGKILL else None


def test_the_command_prune_is_killed_at_any_moment(world, tally):
    out = world / "out/pruned"
    out.parent.mkdir()
    words = ["avss.cli", "prune", world / "lm", "--scores", world / "s.csv", "--layers", 2, "--out", out, "--force"]
    # The first run reads the libraries from disk. Its time would put all kills after the end of a warm one.
    seconds = min(ended(words, world) for _ in range(2))
    new = state(out.parent)
    with tally.row("kill-command-prune") as row:
        for _ in range(size(4, 0)):
            moment = killed(row.random, words, world, seconds)
            if moment:
                with row.trial(moment):
                    avss.load_model(str(out))
                    run(*words[1:])
                    assert state(out.parent) == new


def test_a_row_of_the_book_is_killed_at_any_moment(world, tally):
    """As `make row` and `make book` run it: Snakemake, papermill and a kernel, in a copy of the repository."""
    copy = checkout(world / "copy")
    methods = ["avss", "leave_one_out", "random", "last"]
    facts = {"id": "r", "task": "language_modeling", "remove": 1, "seeds": 3, "samples": 4, "methods": methods}
    facts |= {"checkpoint": str(world / "lm"), "data": str(world / "text.txt")}
    (copy / "profiles/tiny.yaml").write_text(yaml.safe_dump({"rows": [facts]}))
    words = ["snakemake", "--cores", "1", "--nolock", "--rerun-incomplete", "--quiet", "all"]
    words += ["--config", "profile=tiny", "row=r", "--", "one"]
    places = [copy / "results/tiny", copy / "build", copy / "book/executed"]
    seconds = ended(words, copy)
    expected = comparable(Store(copy / "results").observations("tiny", "r"))
    assert len(expected) == 13
    with tally.row("kill-command-row") as row:
        for _ in range(size(4, 0)):
            for place in places:
                shutil.rmtree(place, ignore_errors=True)
            moment = killed(row.random, words, copy, seconds)
            if moment:
                with row.trial(moment):
                    ended(words, copy)
                    pd.testing.assert_frame_equal(
                        comparable(Store(copy / "results").observations("tiny", "r")), expected
                    )
                    assert (copy / "book/executed/runs/tiny/r.ipynb").is_file()
                    assert not [path for place in places for path in place.rglob(".*")]
