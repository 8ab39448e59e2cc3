"""The files of stored runs: where each run lies, and on which lines of its table an observation is written."""

import csv
from functools import cache
from pathlib import Path

from avss.report.snapshot import Results

# The folder of the results, as it lies in the repository and in the book.
FOLDER = "results"


def runs_of(results: Results) -> dict[str, dict]:
    """The provenance of every run, also of those that vary the reading or the rule, with its `folder` in the book."""
    found = {}
    for store in (results, results.readings, results.selections):
        if not store.store.root.is_dir():
            continue
        inside = store.store.root.relative_to(results.store.root)
        for name, facts in store.provenances.items():
            found[name] = facts | {"folder": str(Path(FOLDER, inside, facts["profile"], facts["row"]))}
    return found


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
