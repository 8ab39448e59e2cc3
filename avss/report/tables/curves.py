"""The tables of a row's curve: up to how many removed blocks each method keeps most, what compensation adds, and what
scoring again after each block changes.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from avss.report.comparisons import FIRST_ROW, weak_text
from avss.report.curves import compensation, curve, iteration, still_kept
from avss.report.markdown import Text, markdown, percent, spell, table_or_note
from avss.report.snapshot import Results
from avss.report.table1 import CLAIMED_RETENTION


def curve_table(results: Results, row: str = FIRST_ROW) -> Text:
    """The largest number of removed blocks up to which all measured points keep 90 %, by method and profile."""
    data, lines = curve(results, row), []
    for (profile, name), points in data.groupby(["source", "name"], sort=False):
        first, most = points.iloc[0], still_kept(points, "retention")
        sure = "not measured" if points["low"].isna().all() else f"{still_kept(points, 'low')}"
        share = points.loc[points["removed"] == most, "share_of_parameters"]
        kept = f"{most} of {first['blocks']} blocks", percent(share.iloc[0]) if len(share) else percent(0), sure
        if first["too_weak"]:
            kept = weak_text(first["metric"], first["original"]), "", ""
        lines.append(
            {
                "profile": profile,
                "method": name,
                f"keeps {percent(CLAIMED_RETENTION)} up to": kept[0],
                "parameters": kept[1],
                "whole interval above": kept[2],
                "points": ", ".join(f"{count}" for count in np.unique(points["removed"])),
                "seeds": f"{points['seeds'].min()}",
            }
        )
    if not lines:
        return Text("This row has no curve. It was measured at one share of the blocks.\n")
    return markdown(pd.DataFrame(lines))


def points_table(results: Results, row: str, profile: str) -> Text:
    """The share that each method keeps at every measured number of removed blocks, one column a number."""
    data, lines = curve(results, row), []
    for name, points in data[data["source"] == profile].groupby("name", sort=False):
        shares = {f"without {line.removed}": spell(line.retention, line.low, line.high) for line in points.itertuples()}
        lines.append({"method": name} | shares)
    return table_or_note(lines)


def compensation_table(results: Results, row: str = FIRST_ROW) -> Text:
    """What is kept without and with compensation of the same blocks, as many as the row removes, by method."""
    data = compensation(results, row)
    data = data[data["of_row"].astype(bool)]
    if data.empty:
        return Text("No removal of this row was compensated.\n")
    return markdown(
        pd.DataFrame(
            [
                {"profile": line.source}
                | _compared(line, "kept", "kept with compensation")
                | {"seeds": f"{line.seeds}"}
                for line in data.itertuples()
            ]
        )
    )


def iteration_table(results: Results, *rows: str) -> Text:
    """What is kept where blocks go at once, and where the rest is scored again after each: a table a row that ran."""
    parts = []
    for row in rows:
        for ran, lines in iteration(results, row).groupby("ran", sort=False):
            compared = [
                _compared(line, "at once", "one by one") | {"same blocks, seeds": f"{line.same} of {line.seeds}"}
                for line in lines.itertuples()
            ]
            parts.append(f"**{ran}**\n\n{markdown(pd.DataFrame(compared))}")
    return Text("\n".join(parts)) if parts else table_or_note([])


def _compared(line: NamedTuple, plain: str, other: str) -> dict[str, str]:
    """The cells of a line of `compensation` or `iteration`; plain, other: the headings of what is compared."""
    kept = (
        spell(line.plain, line.plain_low, line.plain_high),
        spell(line.retention, line.low, line.high),
        spell(line.gain, line.gain_low, line.gain_high, sign="+"),
    )
    if line.too_weak:
        kept = weak_text(line.metric, line.original), "", ""
    return {
        "method": line.name,
        "removed": f"{line.removed} of {line.blocks}",
        **dict(zip((plain, other, "difference"), kept, strict=True)),
    }
