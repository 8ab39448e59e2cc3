"""The paper's Table 1 beside what was measured."""

from typing import NamedTuple

import pandas as pd

from avss.metrics import METRICS
from avss.report.cases import row_name
from avss.report.comparisons import NAMES, label
from avss.report.markdown import ABSENT, NOT_MEASURED, Text, markdown, percent, spell
from avss.report.snapshot import Results
from avss.report.sources import SHOWN, scores
from avss.report.table1 import PRINTED, printed_table


def table_1_table(results: Results) -> Text:
    """The paper's Table 1, and under each line what ran in its place, with 95 % intervals over documents and seeds.

    A line's name ends in what was removed: the printed parameter reduction, or shares of the layers and parameters. A
    note names the lines that nothing stands for.
    """
    data, table, lacking = scores(results), [], []
    for number, line in printed_table().iterrows():
        printed = f"**{row_name(line)}**, {NAMES.get(line['metric'], line['metric'])}, {line['parameter_reduction']}"
        measured = data[data["line"] == number]
        for source, part in measured.groupby("source", sort=False):
            cells = dict(zip(part["method"], map(_score, part.itertuples()), strict=True))
            ran = f"{part['ran'].iloc[0]} ({source}), {_removed(part)}"
            table.append({"the paper's line, and what ran": printed if source == PRINTED else ran})
            absent = ABSENT if source == PRINTED else NOT_MEASURED
            table[-1] |= {label(method): cells.get(method, absent) for method in SHOWN}
        if set(measured["source"]) == {PRINTED}:
            lacking.append(row_name(line))
    note = f"Lines that no measured row stands for: {'; '.join(lacking)}." if lacking else ""
    return markdown(pd.DataFrame(table), note=note)


def _score(line: NamedTuple) -> str:
    if line.source == PRINTED:
        return spell(line.value, digits=METRICS[line.metric].digits)
    # An interval may break, so that seven columns of them fit the page.
    return spell(line.value, line.low, line.high).replace("\u00a0", " ")


def _removed(part: pd.DataFrame) -> str:
    shares = part.loc[part["method"] != "original", ["share_of_layers", "share_of_parameters"]]
    return "{} ({} of the parameters)".format(*(percent(share, 2) for share in shares.mean()))


# The table that a page includes, by the name of its file.
TABLES = {"table_1_table": table_1_table}
