"""A row computed anew, from nothing, in a store of its own: `make book FRESH=1` compares it with the stored results."""

import shutil
import tempfile
from pathlib import Path

import torch

from avss.runs.experiment import run_row
from avss.runs.profile import Row
from avss.store import Store


def run_again(row: Row, profile: str, root: Path, threads: int = 1) -> None:
    """Compute the whole row into the store under `root`, whose own results of the row are removed first.

    Raises `InputError` as `run_row`.
    """
    store = Store(Path(root))
    shutil.rmtree(store.folder(profile, row.id), ignore_errors=True)
    torch.set_num_threads(threads)
    # A cache of its own: an older one would answer for what is to be computed, and without any, methods that need the
    # same losses would each compute them.
    with tempfile.TemporaryDirectory(prefix="avss-") as coalitions:
        run_row(row, profile, store, Path(coalitions))
