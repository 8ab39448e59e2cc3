"""The curve of a row: how much of the original score is kept at each number of removed blocks, by method and rule.

And what compensation adds, with and without it on the same sets of blocks; and what scoring again after each block
changes, beside removing all blocks at once.

Pure functions of the results, without torch. Means, shares and intervals are those of `avss.intervals.Seeds`, as on all
other pages.
"""

from functools import cache

import numpy as np
import pandas as pd

from avss.intervals import Estimate
from avss.report.comparisons import FIRST_ROW, METHODS, PROFILES, ProfileLines, label, sort_key
from avss.report.snapshot import Results
from avss.report.table1 import CLAIMED_RETENTION
from avss.store import COMPENSATED, CURVE, layers_of

COLUMNS = (
    *("source", "method", "reading", "rule", "name", "blocks", "removed", "share_of_layers", "share_of_parameters"),
    *("metric", "original", "too_weak", "retention", "low", "high", "seeds", "n", "run"),
)
TWINS = (
    *("source", "method", "reading", "rule", "name", "blocks", "removed", "share_of_layers", "metric", "original"),
    *("too_weak", "plain", "plain_low", "plain_high", "retention", "low", "high", "gain", "gain_low", "gain_high"),
    *("of_row", "seeds", "n", "run"),
)
BOTH_WAYS = (
    *("source", "ran", "method", "reading", "name", "blocks", "removed", "metric", "original", "too_weak"),
    *("plain", "plain_low", "plain_high", "retention", "low", "high", "gain", "gain_low", "gain_high"),
    *("same", "seeds", "n", "run"),
)
_POINT = ["method", "reading", "rule", "removed_blocks"]
# The suffix of the columns of the paired observation.
_OTHER = "_other"


@cache
def curve(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, rule and number of removed blocks, where a profile has a curve.

    removed: how many of the `blocks` go. retention: mean over the seeds; low, high: its 95 % interval over documents
    and seeds, nan for a single document. All three are nan where the original is `too_weak` to judge. The points of the
    row's own share are part of its curve. Empty where no profile has a curve, or the whole model was not measured.
    """
    lines = []
    for kept, table in _profiles(results, row):
        table = table[~table["compensated"]]
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


@cache
def compensation(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, rule and number of removed blocks that was also compensated.

    plain, retention: what is kept without and with compensation of the same sets of blocks, means over the seeds that
    have both. gain: their difference, in shares of the original; its interval is paired over documents and seeds. All
    are nan where the original is `too_weak` to judge. of_row: so many blocks go as the row itself says. Empty where
    nothing was compensated.
    """
    lines = []
    for kept, table in _profiles(results, row):
        pairs = table[~table["compensated"]].merge(
            table[table["compensated"]], on=[*_POINT, "seed"], suffixes=("", _OTHER)
        )
        for (method, reading, rule, _), part in pairs.groupby(_POINT, sort=False):
            of_row = not part[f"selection{_OTHER}"].str.startswith(COMPENSATED + CURVE).any()
            named = {"rule": rule, "name": _name(method, reading, rule), "of_row": of_row}
            lines.append(_beside(kept, part) | named)
    return pd.DataFrame(sorted(lines, key=_rank), columns=list(TWINS))


@cache
def iteration(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading and number of blocks that were removed both at once and one by one.

    Columns as in `compensation`: plain where the blocks of the lowest scores go at once, retention where one goes, the
    rest is scored again, and so on. same: on so many of the `seeds` both remove the same blocks. Empty where the row
    has no rule `iterative`.
    """
    lines, place = [], ["method", "reading", "removed_blocks"]
    for kept, table in _profiles(results, row):
        table = table[~table["compensated"]]
        once, again = (table[table["rule"] == rule] for rule in ("lowest", "iterative"))
        pairs = once.merge(again, on=[*place, "seed"], suffixes=("", _OTHER))
        for (method, reading, _), part in pairs.groupby(place, sort=False):
            same = int((part["removed"] == part[f"removed{_OTHER}"]).sum())
            named = {"rule": "iterative", "name": label(method, reading), "same": same}
            lines.append(_beside(kept, part) | named)
    return pd.DataFrame(sorted(lines, key=_rank), columns=list(BOTH_WAYS))


def _beside(kept: ProfileLines, pairs: pd.DataFrame) -> dict:
    """What is kept in the first observation of each pair (`plain`) and in the second, and by how much more (`gain`)."""
    method, reading = pairs["method"].iloc[0], pairs["reading"].iloc[0]
    other = pairs.assign(coalition=pairs[f"coalition{_OTHER}"], run=pairs[f"run{_OTHER}"])
    plain, found, gain = kept.line(method, reading, pairs), kept.line(method, reading, other), Estimate(np.nan)
    if not kept.too_weak:
        gain = kept.of(other).kept_beside(kept.of(pairs), kept.original)
    return (
        found
        | {"plain": plain["retention"], "low": found["retention_low"], "high": found["retention_high"]}
        | {"plain_low": plain["retention_low"], "plain_high": plain["retention_high"]}
        | dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
        | {"removed": int(pairs["removed_blocks"].iloc[0]), "blocks": int(pairs["layers"].iloc[0])}
    )


@cache
def _profiles(results: Results, row: str) -> list[tuple[ProfileLines, pd.DataFrame]]:
    """Each profile that measured this row, and an original: its outcomes, and its observations.

    The observations are those of the row's own share and of its curve, by the rules that take a number of blocks. What
    stands twice, as the row's own share on its curve, comes once.
    """
    found, points = [], pd.concat([results.in_use, results.curves, results.compensated], ignore_index=True)
    for (profile, _), table in results.of(points, row).groupby(["profile", "row"], sort=False):
        table = table[table["status"] == "ok"]
        if not (table["method"] == "original").any():
            continue
        kept, chosen = ProfileLines(results, profile, table), table["selection"]
        table = table.assign(
            compensated=chosen.str.startswith(COMPENSATED),
            rule=chosen.str.removeprefix(COMPENSATED).str.removeprefix(CURVE).str.extract(r"^(\w+)", expand=False),
            removed_blocks=[len(layers_of(removed)) for removed in table["removed"]],
        )
        table = table[table["rule"].isin(["lowest", "iterative"])]
        found.append((kept, table.drop_duplicates([*_POINT, "seed", "compensated"])))
    return found


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
