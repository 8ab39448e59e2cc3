"""`python -m avss.report`: render the figures and tables of the book, or list their names."""

import argparse
import sys
from pathlib import Path

from avss.errors import InputError
from avss.report.figures import BOOK_FIGURES, ROW_FIGURES
from avss.report.pages import FALLBACK, pages_by_line
from avss.report.rendering import render
from avss.report.snapshot import Results
from avss.report.tables import TABLES
from avss.store import Store


class _List(argparse.Action):
    """Print the names of all figures and tables, and end."""

    def __call__(self, parser, *_):
        for kind, names in (("row figure", ROW_FIGURES), ("book figure", BOOK_FIGURES), ("table", TABLES)):
            print("\n".join(f"{kind}\t{name}" for name in names))
        parser.exit()


def main(arguments: list[str] | None = None) -> int:
    """Render everything, or some parts; 0 on success, 2 where results are missing."""
    parser = argparse.ArgumentParser(prog="python -m avss.report", description="Figures and tables from results.")
    parser.add_argument("--list", nargs=0, action=_List, help="print the kind and name of every figure and table")
    parser.add_argument("--profile", help=f"the profile of the book that tables link to (default: {FALLBACK})")
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("out", type=Path, help="folder for the figures, created where it is missing")
    parser.add_argument("part", nargs="*", help="a row, `book` or `tables` (default: every row with results, and both)")
    parsed = parser.parse_args(arguments)
    try:
        results = Results(Store(parsed.results), pages_by_line(parsed.profile) if parsed.profile else None)
        files = render(results, parsed.out, parsed.part or None)
    except InputError as error:
        print(f"avss.report: error: {error}", file=sys.stderr)
        return 2
    print(f"{parsed.out}: {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
