"""The table of a row's curve: up to how many removed blocks each method keeps most of the score."""

import numpy as np
import pandas as pd

from avss.report.comparisons import FIRST_ROW, weak_text
from avss.report.curves import curve, still_kept
from avss.report.markdown import Text, markdown, percent
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
