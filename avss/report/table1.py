"""The paper's Table 1, as printed, and the rows of results that stand for its lines."""

from collections.abc import Callable, Iterable
from functools import cache

import pandas as pd

from avss.errors import InputError
from avss.printed import table_1
from avss.report.snapshot import Results

PRINTED = "printed"
HEADINGS = {PRINTED: "paper, as printed"}
CLAIMED_RETENTION = 0.9


def printed_table() -> pd.DataFrame:
    """The table, one line a row; tasks by the names that they have in this package. Raises `InputError` if damaged."""
    table = table_1()
    return table.assign(task=table["task"].str.removesuffix(" classification").str.replace(" ", "_"))


@cache
def printed_line(results: Results, row: str) -> pd.Series | None:
    """The line that this row of results stands for, or None. Raises `InputError` for a row without results."""
    table = printed_table()
    lines = table[table["id"] == configuration(results, row).get("stands_for")]
    return None if lines.empty else lines.iloc[0]


def configuration(results: Results, row: str) -> dict:
    """The configuration of the row's newest run. Raises `InputError` for a row without results."""
    part = results.of(results.in_use, row)
    if part.empty:
        raise InputError(f"results of row {row} are missing under {results.store.root}; run `make book` first")
    return results.newest(*part[["profile", "row"]].iloc[-1])["configuration"]


def measured_rows(results: Results) -> dict[str, int | None]:
    """The rows that have results, each with the number of its line in `printed_table`, in the order of that table.

    Rows that stand for one line are one entry, by the id of the line. Rows that stand for none come last, with None.
    Raises `InputError` where there is no result at all.
    """
    names = results.in_use.loc[results.in_use["status"] == "ok", "row"].map(results.line_of).unique()
    if not len(names):
        raise InputError(f"results are missing under {results.store.root}; run `make book` first")
    lines = {row: printed_line(results, row) for row in names}
    numbers = {row: None if line is None else int(line.name) for row, line in lines.items()}
    return dict(sorted(numbers.items(), key=lambda item: (item[1] is None, item[1] or 0)))


def of_rows(table: Callable[[Results, str], pd.DataFrame], results: Results, rows: Iterable[str]) -> pd.DataFrame:
    """A table about one row, of each of these rows, one under the other; empty where nothing is measured."""
    parts = [part for row in rows if len(part := table(results, row))]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def rows_of_table(results: Results) -> dict[str, int]:
    """The measured rows that stand for a line of the table, each with the number of that line."""
    return {row: number for row, number in measured_rows(results).items() if number is not None}
