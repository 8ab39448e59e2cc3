"""The table of healing: what each score's choice of blocks keeps before and after the same training."""

import numpy as np

from avss.report.comparisons import FIRST_ROW
from avss.report.markdown import Text, runs_or_none, spell, table_or_note, thousands
from avss.report.recovery import CHANCE, OBJECTIVES, WHOLE, last_less_random, recovered
from avss.report.snapshot import Results
from avss.store import layers_of


def recovery_table(results: Results, row: str = FIRST_ROW) -> Text:
    """The metric and the share kept before and after healing, and the share less that of a random choice."""
    data, lines = recovered(results, row), []
    for (profile, objective), part in data.groupby(["source", "objective"], sort=False):
        less = last_less_random(results, part)
        for method, own in part.groupby("method", sort=False):
            first, last = own.iloc[0], own.iloc[-1]
            line = {
                "profile": profile,
                "objective": OBJECTIVES[objective],
                "score": first["name"],
                "removed blocks": runs_or_none(layers_of(first["removed"])),
                f"{first['metric']} before": spell(first["value"], digits=2),
                "after": spell(last["value"], digits=2),
                "kept before": spell(first["kept"], first["kept_low"], first["kept_high"]),
                "kept after": spell(last["kept"], last["kept_low"], last["kept_high"]),
                "less random": "–" if method in (CHANCE, WHOLE) else spell(*less.get(method, (np.nan,)), sign="+"),
                "tokens": thousands(last["tokens"]),
            }
            lines.append(line)
    return table_or_note(lines, below=["profile", "objective", "tokens"])
