"""The paper's Table 1 as printed: the one reader of `avss/report/table1.csv`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from avss.records import read_table

TABLE_1 = Path(__file__).parent / "report" / "table1.csv"
# The columns that hold a measured number.
MEASURED = ("original", "gbis", "lrp", "cim", "avss")
COLUMNS = ("id", "task", "metric", "direction", "dataset", "model", *MEASURED, "parameter_reduction")


def table_1(numbers: Sequence[str] = MEASURED) -> pd.DataFrame:
    """The table, one line a row, as text but for the columns `numbers`. Raises `InputError` for a damaged file."""
    return read_table(TABLE_1, COLUMNS, numbers, "install the package again")


def lines_of_table_1() -> list[dict[str, str]]:
    """The lines as printed, each with its `id`. Raises `InputError` as `table_1`."""
    return table_1(()).to_dict("records")
