"""What pruned models write: the stored texts of `recipes/generations.py` beside the methods that chose the blocks.

A file belongs to a row, and holds one text for each set of removed blocks. Nothing here needs torch.
"""

from pathlib import Path

import pandas as pd

from avss.errors import InputError
from avss.records import read_json
from avss.report.comparisons import label, lowest_removals
from avss.report.snapshot import Results

FOLDER = "generations"
# The seed whose removed blocks are shown.
SEED = 0
_NEEDED = ("row", "profile", "title", "index", "prompt_sha256", "prompt", "prompt_tokens", "new_tokens", "texts")


def stored(root: Path) -> list[dict]:
    """The content of every file under the folder of all results, by name. Raises `InputError` for a damaged file."""
    return [read_json(path, _NEEDED) for path in sorted((root / FOLDER).glob("*.json"))]


def chosen_sets(results: Results, profile: str, row: str) -> dict[str, list[str]]:
    """The sets of blocks that the row removes on seed 0, each with the names of the methods that chose it.

    The whole model, `none`, comes first, the others by method. Raises `InputError` where the row has no result.
    """
    table = lowest_removals(results, row)
    table = table[(table["profile"] == profile) & (table["row"] == row) & (table["seed"] == SEED)]
    if table.empty:
        raise InputError(f"results of row {row} of profile {profile} are missing under {results.store.root}; run it")
    sets: dict[str, list[str]] = {}
    for line in table.itertuples():
        sets.setdefault(line.removed, []).append(label(line.method, line.reading))
    return sets


def generations(results: Results, facts: dict) -> pd.DataFrame:
    """The texts of one stored file: `methods` that chose the blocks, `removed`, `text`; those still chosen alone."""
    chosen = chosen_sets(results, facts["profile"], facts["row"])
    lines = [
        (", ".join(names), removed, facts["texts"][removed])
        for removed, names in chosen.items()
        if removed in facts["texts"]
    ]
    return pd.DataFrame(lines, columns=["methods", "removed", "text"])
