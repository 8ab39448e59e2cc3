"""Disks that are full or read-only, file systems without hard links, and clocks that go back."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import avss.runs.experiment
from avss.engine.ablation import ablate
from avss.errors import InputError
from avss.runs.experiment import run_row
from avss.store import Store
from tests.conftest import ragged, tiny
from tests.faults.damage import apart
from tests.faults.hostile import check_ends_well, command, files_under
from tests.faults.tally import size
from tests.faults.test_kills import comparable, tiny_row


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system in memory at `folder`. Skips the test where it cannot be mounted."""
    folder.mkdir(exist_ok=True)
    made = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True
    )
    if not made or made.returncode:
        pytest.skip("no file system can be mounted here; it needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def outputs(world: Path, place: Path) -> dict[str, tuple]:
    return {
        "scores.csv": ("score", world / "lm", "--data", world / "text.txt", "--out", place / "scores.csv", "--force"),
        "pruned": (
            "prune",
            world / "lm",
            "--scores",
            world / "s.csv",
            "--layers",
            1,
            "--out",
            place / "pruned",
            "--force",
        ),
        "result.json": (
            *("evaluate", world / "classifier", "--task", "sentiment", "--data", world / "reviews.jsonl"),
            *("--out", place / "result.json", "--force"),
        ),
    }


def filled(place: Path, left: int) -> None:
    """Fill a file system up to so many bytes."""
    free = shutil.disk_usage(place).free
    with contextlib.suppress(OSError), open(place / "fill", "wb") as file:
        file.write(bytes(max(0, free - left)))


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_full_disk_is_one_line_and_leaves_the_old_output(world, tally):
    with mounted(world / "disk", "size=1m") as place, tally.row("full-disk") as row:
        for out, words in outputs(world, place).items():
            code, _, err = command(*words)
            assert code == 0, err
            old = contents(place)
            for _ in range(size(10, 1)):
                left = row.random.choice((0, 4096, 8192, 16384, row.random.randrange(1 << 16)))
                filled(place, left)
                with row.trial(f"{out} with {left} bytes left"):
                    check_ends_well(world, words, ["disk"])
                    (place / "fill").unlink()
                    assert contents(place).keys() == old.keys(), "something is left behind"
                    assert contents(place) == old, "the old output is not whole"
                (place / "fill").unlink(missing_ok=True)


def test_a_read_only_folder_is_one_line_before_the_work(world, tally):
    with mounted(world / "disk", "size=1m") as place, tally.row("read-only") as row:
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        for out, words in outputs(world, place).items():
            with row.trial(out):
                assert not check_ends_well(world, words)


def test_a_row_that_met_a_full_or_read_only_disk_is_completed_later(world, tally):
    row_of, whole = tiny_row(world), Store(world / "whole")
    run_row(row_of, "p", whole, None)
    expected = comparable(whole.observations())
    with mounted(world / "disk", "size=1m") as place, tally.row("full-disk-row") as row:
        for _ in range(size(15, 1)):
            store, cache = Store(place / "store"), place / "cache"
            left = row.random.randrange(1 << 17)
            filled(place, left)
            with row.trial(f"{left} bytes left"):
                found = apart(lambda store=store, cache=cache: run_row(row_of, "p", store, cache))
                if isinstance(found, BaseException):
                    assert isinstance(found, (OSError, InputError)), repr(found)
                (place / "fill").unlink()
                finished = store.finished("p", "r")
                assert run_row(row_of, "p", store, cache) == len(expected) - len(finished)
                pd.testing.assert_frame_equal(comparable(store.observations()), expected)
                assert not list(place.rglob(".*")), "something is left behind"
            for path in place.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_cache_on_a_full_disk_changes_no_number(tmp_path, tally):
    model, masks = tiny("llama"), [(1.0,) * 4, (0.0, 1.0, 1.0, 1.0), (0.5, 1.0, 0.0, 1.0)]
    expected = ablate(model, [ragged()], masks)
    with mounted(tmp_path / "disk", "size=64k") as place, tally.row("full-disk-cache") as row:
        for left in (0, 4096):
            filled(place, left)
            with row.trial(f"{left} bytes left"):
                found = apart(lambda: ablate(model, [ragged()], masks, cache=place / "cache", key="k").loss)
                if isinstance(found, BaseException):
                    assert isinstance(found, InputError), repr(found)
                else:
                    np.testing.assert_array_equal(found, expected.loss)
            shutil.rmtree(place / "cache", ignore_errors=True)
            (place / "fill").unlink()


def test_a_file_system_without_hard_links_is_enough(world, tally, monkeypatch):
    """Simulated: no call that makes a link succeeds."""

    def refused(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    for name in ("link", "symlink"):
        monkeypatch.setattr(os, name, refused)
    (world / "out").mkdir()
    with tally.row("no-links") as row:
        for out, words in outputs(world, world / "out").items():
            for turn in ("new", "replaced"):
                with row.trial(f"{out}, {turn}"):
                    assert check_ends_well(world, words, ["out"])
        with row.trial("row"):
            assert apart(lambda: run_row(tiny_row(world), "p", Store(world / "store"), world / "cache")) == 6 + 1


def test_a_clock_that_goes_back_loses_no_observation(world, tally, monkeypatch):
    """Simulated: the time that names a run is an hour, or a year, before that of the run before it."""
    row_of = tiny_row(world)
    changed = tiny_row(world, remove=2)
    with tally.row("clock-back") as row:
        for again in ("2026-01-01T11:00:00Z", "2025-01-01T12:00:00Z", "2026-01-01T12:00:00Z"):
            store = Store(world / f"store-{again[:13]}")
            with row.trial(again):
                monkeypatch.setattr(avss.runs.experiment, "now", lambda: "2026-01-01T12:00:00Z")
                first = run_row(row_of, "p", store, world / "cache")
                observed = set(store.observations()["key"])
                monkeypatch.setattr(avss.runs.experiment, "now", lambda again=again: again)
                run_row(changed, "p", store, world / "cache")
                assert run_row(row_of, "p", store, world / "cache") == 0, "finished cells are computed again"
                assert observed <= set(store.observations()["key"])
                assert len(observed) == first
            time_before = time.time() - 10**8
            with row.trial(f"files of {time_before:.0f}"):
                for path in store.root.rglob("*"):
                    os.utime(path, (time_before, time_before))
                assert run_row(row_of, "p", store, world / "cache") == 0
        assert files_under(world)
