"""The table of a row's curve: up to how many removed blocks each method keeps most of the score."""

import numpy as np
import pandas as pd

from avss.report.comparisons import FIRST_ROW
from avss.report.curves import KEPT, curve, still_kept
from avss.report.markdown import Text, markdown, percent
from avss.report.snapshot import Results


def curve_table(results: Results, row: str = FIRST_ROW) -> Text:
    """The largest number of removed blocks up to which all measured points keep 90 %, by method and profile."""
    data, lines = curve(results, row), []
    for (profile, name), points in data.groupby(["source", "name"], sort=False):
        blocks, most = points["blocks"].iloc[0], still_kept(points, "retention")
        sure = "not measured" if points["low"].isna().all() else f"{still_kept(points, 'low')}"
        share = points.loc[points["removed"] == most, "share_of_parameters"]
        lines.append(
            {
                "profile": profile,
                "method": name,
                f"keeps {percent(KEPT)} up to": f"{most} of {blocks} blocks",
                "parameters": percent(share.iloc[0]) if len(share) else percent(0),
                "whole interval above": sure,
                "points": ", ".join(f"{count}" for count in np.unique(points["removed"])),
                "seeds": f"{points['seeds'].min()}",
            }
        )
    if not lines:
        return Text("This row has no curve. It was measured at one share of the blocks.\n")
    return markdown(pd.DataFrame(lines))
