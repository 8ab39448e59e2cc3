"""The files of stored runs: where each run lies, and on which lines of its table an observation is written."""

import csv
from functools import cache
from pathlib import Path

from avss.report.snapshot import Results
from avss.store import Store

# The folder of the results, as it lies in the repository and in the book.
FOLDER = "results"


def runs_of(results: Results) -> dict[str, dict]:
    """The provenance of every run, also of those in stores inside the main one, with its `folder` in the book."""
    root = results.store.root
    # A run lies in <profile>/<row>/ of its store, and a store is the main one or a folder inside it.
    stores = {path.parents[2] for path in root.glob("**/*/*/*.json") if path.parents[2].is_relative_to(root)}
    return {
        facts["run"]: facts | {"folder": str(Path(FOLDER, place.relative_to(root), facts["profile"], facts["row"]))}
        for place in sorted(stores)
        for facts in Store(place).provenances("*", "*")
    }


@cache
def _keys(path: Path, changed: int) -> dict[str, int]:
    """The line of each observation in a run's CSV file, from 1, by its key. changed: when the file was."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return {entry["key"]: reader.line_num for entry in reader}


def lines_of(folder: Path, run: str, keys: list[str]) -> list[int]:
    """The lines of these observations in the CSV file of a run; others are left out."""
    path = folder / f"{run}.csv"
    if not path.is_file():
        return []
    known = _keys(path, path.stat().st_mtime_ns)
    return sorted(known[key] for key in keys if key in known)
