"""The numbers of the printed table and of each profile for the rows of Table 1, in the form that checks take."""

from functools import cache

import numpy as np
import pandas as pd

from avss import intervals
from avss.methods.catalogue import BASELINES
from avss.metrics import METRICS
from avss.report.cases import FAILS, HOLDS, OPEN, Margin, Source, above
from avss.report.comparisons import NAMES, PROFILES, differences, label, sort_key, summary
from avss.report.losses import beside_losses
from avss.report.markdown import spell
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
    shares = [intervals.retention(line.metric, line.value, original[line.line]) for line in table.itertuples()]
    return table.assign(source=PRINTED, reading="none", retention=shares)


@cache
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
            metric = METRICS[score.metric]
            margin = metric.lead(printed[line, "avss"].value, score.value)
            margins[line, method] = Margin(margin, margin, margin, above(margin, margin), np.nan, unit=metric.unit)
    return Source(PRINTED, printed, margins)


def _add_measured(profiles: dict[str, Source], results: Results, row: str, line: int) -> None:
    """Add to the profiles that measured a row: what ran, its margins and its blocks."""
    for part in summary(results, row).query("source != @PRINTED and method == 'original'").itertuples():
        source = profiles[part.source]
        source.ran[line], source.models[line] = part.ran, part.checkpoint
        if part.too_weak:
            source.weak[line] = f"{NAMES[part.metric]} {spell(part.value, digits=2)}"
    outcomes = {"worse": HOLDS, "better": FAILS, "same outcomes": FAILS}
    compared = differences(results, row)
    for pair in compared[(compared["against"] == AVSS) & compared["method"].isin(BASELINES)].itertuples():
        # They are the leads of the baseline over AVSS; 0 is added so that none is -0.
        ends = (0.0 - pair.lead, 0.0 - pair.high, 0.0 - pair.low)
        settled = outcomes.get(pair.verdict, OPEN), pair.n, pair.p_holm, METRICS[pair.metric].unit
        profiles[pair.source].margins[line, pair.method] = Margin(*ends, *settled)
    for (profile, method, reading, quantity), pair in beside_losses(results, row).items():
        if (method, reading) == ("avss", "paper"):
            profiles[profile].blocks[line, quantity] = pair
