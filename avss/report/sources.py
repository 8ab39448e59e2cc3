"""The numbers of the printed table and of each profile for the rows of Table 1, in the form that checks take."""

import numpy as np
import pandas as pd

from avss.methods.catalogue import BASELINES
from avss.report.cases import FAILS, HOLDS, OPEN, Margin, Source, above, direction
from avss.report.checks import TRUTH
from avss.report.comparisons import PROFILES, differences, label, lowest_removals, share_kept, sort_key, summary
from avss.report.snapshot import Results
from avss.report.table1 import PRINTED, printed_table, rows_of_table

# The methods of Table 1, and the control that it lacks.
SHOWN = ("original", *BASELINES, "avss", "random")
AVSS = label("avss", "paper")


def scores(results: Results) -> pd.DataFrame:
    """Table 1 as printed and as measured: a line for each row, source (`printed`, then the profiles) and method.

    line: the row's place in Table 1; row: its id in the results. The other columns are those of `comparisons.summary`.
    AVSS is in its reading `paper`. A score that is not measured has no line.
    """
    measured = [summary(results, row).assign(line=line, row=row) for row, line in rows_of_table(results).items()]
    measured = [table[table["source"] != PRINTED] for table in measured]
    table = pd.concat([_printed_scores(), *measured], ignore_index=True)
    table = table[table["method"].isin(SHOWN) & table["reading"].isin(["none", "paper"])]
    order = [(line.line, _source_key(line.source), SHOWN.index(line.method)) for line in table.itertuples()]
    return table.iloc[sorted(range(len(order)), key=order.__getitem__)].reset_index(drop=True)


def _source_key(source: str) -> tuple[int, str]:
    return sort_key(source, (PRINTED, *PROFILES))


def _printed_scores() -> pd.DataFrame:
    table = printed_table().reset_index(names="line")
    original = table["original"]
    table = table.melt(["line", "metric"], [name for name in SHOWN if name in table], "method", "value")
    shares = [share_kept(line.metric, line.value, original[line.line]) for line in table.itertuples()]
    return table.assign(source=PRINTED, reading="none", retention=shares)


def sources(results: Results) -> list[Source]:
    """The printed table, then every profile that has results."""
    table = scores(results)
    names = table.loc[table["source"] != PRINTED, "source"].unique()
    profiles = {
        name: Source(name, {(line.line, line.method): line for line in table[table["source"] == name].itertuples()})
        for name in sorted(names, key=_source_key)
    }
    for row, line in table[["row", "line"]].dropna().drop_duplicates().itertuples(index=False):
        _add_measured(profiles, results, row, line)
    return [printed_source(), *profiles.values()]


def printed_source() -> Source:
    """The printed table: every number is its own interval."""
    table = _printed_scores().assign(n=np.nan)
    for part in ("value", "retention"):
        bounds = ("low", "high") if part == "value" else ("retention_low", "retention_high")
        table = table.assign(**dict.fromkeys(bounds, table[part]))
    printed, margins = {(line.line, line.method): line for line in table.itertuples()}, {}
    for (line, method), score in printed.items():
        if method in BASELINES:
            margin = direction(score.metric) * (printed[line, "avss"].value - score.value)
            margins[line, method] = Margin(margin, margin, margin, above(margin, margin), np.nan)
    return Source(PRINTED, printed, margins)


def _add_measured(profiles: dict[str, Source], results: Results, row: str, line: int) -> None:
    """Add a row's margins and blocks to the profiles that measured it."""
    outcomes = {"worse": HOLDS, "better": FAILS, "same outcomes": FAILS}
    compared = differences(results, row)
    for pair in compared[(compared["against"] == AVSS) & compared["method"].isin(BASELINES)].itertuples():
        # They are the baseline less AVSS; 0 is added so that none is -0.
        sign = -direction(pair.metric)
        low, high = sorted((sign * pair.wide_low + 0.0, sign * pair.wide_high + 0.0))
        margin = Margin(sign * pair.difference + 0.0, low, high, outcomes.get(pair.verdict, OPEN), pair.n)
        profiles[pair.source].margins[line, pair.method] = margin
    cells = lowest_removals(results, row)
    cells = cells[cells["method"].isin(["avss", TRUTH]) & cells["reading"].isin(["none", "paper"])]
    # By run too: an older model's blocks may lie beside those in use.
    blocks = cells[["profile", "run", "method", "reading", "seed"]].merge(results.layers)
    means = blocks.groupby(["profile", "quantity", "layer"])["value"].mean()
    for (profile, quantity), values in means.groupby(["profile", "quantity"]):
        profiles[profile].blocks[line, quantity] = values.to_numpy()
