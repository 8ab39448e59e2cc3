"""A row computed anew, from nothing, in a store of its own: `make book FRESH=1` compares it with the stored results.

python -m avss.runs.again PROFILE ROW ROOT
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from avss.errors import InputError
from avss.runs.experiment import run_row
from avss.runs.profile import Row, load_profile
from avss.store import Store


def run_again(row: Row, profile: str, root: str | os.PathLike) -> None:
    """Compute the whole row into the store under `root`, whose own results of the row are removed first.

    Raises `InputError` as `run_row`.
    """
    store = Store(Path(root))
    shutil.rmtree(store.folder(profile, row.id), ignore_errors=True)
    # A cache of its own: an older one would answer for what is to be computed, and without any, methods that need the
    # same losses would each compute them.
    with tempfile.TemporaryDirectory(prefix="avss-") as coalitions:
        run_row(row, profile, store, Path(coalitions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("profile", "row", "root"):
        parser.add_argument(name)
    given = parser.parse_args()
    try:
        profile = load_profile(given.profile)
        run_again(profile.row(given.row), profile.name, given.root)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
