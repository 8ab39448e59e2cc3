"""The pages of the book that show rows: which rows, in which order, under which names. It needs no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from avss import mini
from avss.errors import InputError
from avss.files import ROOT
from avss.report.recovery import FOLDER as RECOVERY
from avss.report.snapshot import Results
from avss.runs.profile import Row, load_profile, path_of
from avss.store import Store

# The profile whose rows stand in for the lines of Table 1 that another profile lacks.
FALLBACK = "mini"
# The folder of all profiles; an installed package has none.
DEFINED = ROOT / "profiles"


@dataclass(frozen=True)
class Entry:
    """A row of the book. profile: the name of its profile. source: the profile's file."""

    profile: str
    source: Path
    row: Row

    @property
    def task(self) -> str:
        """The name of the task's notebook and page."""
        return self.row.task.replace("_", "-")

    @property
    def run(self) -> str:
        """The executed notebook."""
        return f"book/executed/runs/{self.profile}/{self.row.id}.ipynb"

    @property
    def log(self) -> str:
        return f"build/logs/{self.profile}-{self.row.id}.log"

    def weights(self) -> list[str]:
        """The files of the model where they lie inside the repository."""
        name = self.row.checkpoint
        folder = Path("avss", name) if name.startswith(mini.PREFIX) else Path(name)
        if folder.is_absolute() or not folder.is_dir():
            return []
        return sorted(str(path) for path in folder.iterdir() if path.is_file())


def rows_of_book(profile: str) -> dict[str, Entry]:
    """The rows of a profile by id, and those of `mini` for the lines of Table 1 that it lacks, in order of the table.

    profile: as in `load_profile`. Raises `InputError` for a wrong profile, and for a variable that is not set.
    """
    own, fallback = (
        [Entry(loaded.name, path_of(source), row) for row in loaded.rows]
        for source in (profile, FALLBACK)
        for loaded in [load_profile(source)]
    )
    for entry in own:
        for name in (entry.row.checkpoint, entry.row.data):
            if "$" in os.path.expandvars(name):
                raise InputError(f"profile {profile}: row {entry.row.id}: {name} names a variable that is not set")
    by_line = {entry.row.stands_for: entry for entry in own if entry.row.stands_for}
    rows = [by_line.get(entry.row.stands_for, entry) for entry in fallback]
    taken = {entry.row.id for entry in own}
    rows = [entry for entry in rows if entry in own or entry.row.id not in taken]
    return {entry.row.id: entry for entry in [*rows, *(entry for entry in own if entry not in rows)]}


def pages_of(rows: Mapping[str, Entry]) -> dict[str, str]:
    """The row of every page. The first row of a task is on the task's own page, the others are at `rows/<id>`."""
    first = {entry.task: row for row, entry in reversed(rows.items())}
    return {entry.task if first[entry.task] == row else f"rows/{row}": row for row, entry in rows.items()}


def pages_by_line(profile: str) -> dict[str, str]:
    """The page of each line of Table 1, and of each row that stands for none, by its id. Raises as `rows_of_book`."""
    rows = rows_of_book(profile)
    return {rows[row].row.stands_for or row: page for page, row in pages_of(rows).items()}


def results_beside(entry: Entry, root: Path = Path("results")) -> list[str]:
    """The files of all stored rows that the page of this row shows: those that stand for the same line of Table 1.

    Those on healing are among them.
    """
    line_of, line = Results(Store(root)).line_of, entry.row.stands_for or entry.row.id
    every = [*root.glob("*/*"), *root.glob(f"{RECOVERY}/*/*")]
    folders = [folder for folder in every if folder.is_dir() and line_of(folder.name) == line]
    return sorted(str(path) for folder in folders for path in folder.iterdir() if path.is_file())


def contents(path: Path, rows: Mapping[str, Entry]) -> str:
    """The table of contents in `path` with the pages of these rows below those of their tasks."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    pages = pages_of(rows)
    for part in content["parts"]:
        for chapter in part["chapters"]:
            task = chapter["file"].removeprefix("book/executed/")
            own = [page for page, row in pages.items() if rows[row].task == task and page != task]
            if task in pages:
                chapter.pop("sections", None)
                chapter |= {"sections": [{"file": f"book/executed/{page}"} for page in own]} if own else {}
    return yaml.safe_dump(content, sort_keys=False)
