"""The curve of a row: how much of the original score is kept at each number of removed blocks, by method and rule.

Pure functions of the results, without torch. Means, shares and intervals are those of `avss.intervals.Seeds`, as on all
other pages.
"""

from collections.abc import Iterator
from functools import cache

import pandas as pd

from avss.report.comparisons import FIRST_ROW, METHODS, PROFILES, ProfileLines, label, sort_key
from avss.report.snapshot import Results
from avss.report.table1 import CLAIMED_RETENTION
from avss.store import CURVE

COLUMNS = (
    *("source", "method", "reading", "rule", "name", "blocks", "removed", "share_of_layers", "share_of_parameters"),
    *("metric", "original", "too_weak", "retention", "low", "high", "seeds", "n", "run"),
)
_POINT = ["method", "reading", "rule", "removed_blocks"]


@cache
def curve(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, rule and number of removed blocks, where a profile has a curve.

    removed: how many of the `blocks` go. retention: mean over the seeds; low, high: its 95 % interval over documents
    and seeds, nan for a single document. All three are nan where the original is `too_weak` to judge. The points of the
    row's own share are part of its curve. Empty where no profile has a curve, or the whole model was not measured.
    """
    lines = []
    for kept, table in _profiles(results, results.curves, row):
        with_curve = table.loc[table["selection"].str.startswith(CURVE), ["method", "reading"]].drop_duplicates()
        for (method, reading, rule, removed), part in table.merge(with_curve).groupby(_POINT, sort=False):
            found = kept.line(method, reading, part)
            lines.append(
                found
                | {"rule": rule, "name": _name(method, reading, rule), "removed": removed}
                | {"low": found["retention_low"], "high": found["retention_high"]}
                | {"blocks": int(part["layers"].iloc[0])}
            )
    return pd.DataFrame(sorted(lines, key=_rank), columns=list(COLUMNS))


def _profiles(results: Results, points: pd.DataFrame, row: str) -> Iterator[tuple[ProfileLines, pd.DataFrame]]:
    """Each profile that has some of these points of the row and an original: its outcomes, and its observations.

    The observations are those of the row's own share and the points, by the rules that take a number of blocks, once.
    """
    for (profile, name), own in results.of(points, row).groupby(["profile", "row"], sort=False):
        asked = results.in_use[(results.in_use["profile"] == profile) & (results.in_use["row"] == name)]
        table = pd.concat([asked, own], ignore_index=True)
        table = table[table["status"] == "ok"]
        if not (table["method"] == "original").any():
            continue
        kept = ProfileLines(results, profile, table)
        table = table.assign(
            rule=table["selection"].str.removeprefix(CURVE).str.extract(r"^(\w+)", expand=False),
            removed_blocks=table["removed"].map(lambda layers: 0 if layers == "none" else 1 + layers.count("+")),
        )
        table = table[table["rule"].isin(["lowest", "iterative"])]
        yield kept, table.drop_duplicates([*_POINT, "seed"])


def _name(method: str, reading: str, rule: str) -> str:
    return label(method, reading) + (", iterative" if rule == "iterative" else "")


def _rank(line: dict) -> tuple:
    reading = line["reading"]
    method = sort_key(line["method"], METHODS), reading not in ("none", "paper"), reading, line["rule"] != "lowest"
    return sort_key(line["source"], PROFILES), *method, line["removed"]


def still_kept(points: pd.DataFrame, column: str) -> int:
    """The largest number of removed blocks up to which every measured point keeps the share that the paper claims.

    0 where the first does not. points: lines of `curve` about one method. column: `retention`, or `low` for a number
    that the interval supports.
    """
    ordered = points.sort_values("removed")
    lost = ~(ordered[column] >= CLAIMED_RETENTION)
    kept = ordered.loc[~lost.cummax(), "removed"]
    return 0 if kept.empty else int(kept.iloc[-1])
