"""AVSS beside random removal in everything that was measured: the difference of the shares that the two keep."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from avss.report.audit import tally, verdict
from avss.report.cases import FAILS, HOLDS, OPEN
from avss.report.comparisons import TOO_WEAK, by_profile, over_random, weak_text
from avss.report.figures.style import WIDTH, colour, entitled, nothing_measured
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows

_ROW = 0.24
# Of the claim that AVSS keeps less.
_OUTCOMES = {"worse": HOLDS, "better": FAILS, TOO_WEAK: TOO_WEAK}


def avss_less_random(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share that AVSS keeps less the share that random removal keeps, in every row that ran.

    Bars: 95 % intervals over documents and seeds; ticks: single seeds. A dot is filled where p, adjusted by Holm's
    correction, is at most 0.05.
    """
    parts = [part for row in measured_rows(results) if len(part := over_random(results, row))]
    if not parts:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    data = pd.concat(parts, ignore_index=True)
    data = data.sort_values("source", key=by_profile, kind="stable", ignore_index=True)
    figure = Figure(figsize=(WIDTH, 1.1 + _ROW * len(data)))
    panel = figure.subplots()
    for height, line in enumerate(data.itertuples()):
        ink = colour(line.source)
        if line.too_weak:
            weak = weak_text(line.metric, line.original)
            panel.text(0.01, height, weak, va="center", fontsize=7.5, transform=panel.get_yaxis_transform())
            continue
        panel.hlines(height, line.low, line.high, color=ink, linewidth=1.6)
        panel.plot(line.difference, height, "o", color=ink, fillstyle="full" if line.verdict in _OUTCOMES else "none")
        panel.plot(line.singles, [height] * len(line.singles), "|", color=ink, markersize=6, markeredgewidth=0.8)
    panel.axvline(0, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
    panel.set_yticks(range(len(data)), data["ran"], fontsize=7.5)
    for tick, source in zip(panel.get_yticklabels(), data["source"], strict=True):
        tick.set_color(colour(source))
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.xaxis.grid(True, linewidth=0.5)
    panel.set_ylim(len(data) - 0.5, -0.5)
    panel.set_xlabel("share kept by AVSS less share kept by random removal")
    entitled(figure, finding(data))
    data["singles"] = [" ".join(f"{single:.4g}" for single in singles) for singles in data["singles"]]
    return figure, data


def finding(data: pd.DataFrame) -> str:
    """In how many models and rows AVSS keeps less than random removal; a model counts by most of its rows."""
    outcomes = data.assign(outcome=[_OUTCOMES.get(verdict, OPEN) for verdict in data["verdict"]])
    models = [
        verdict([each for each in part if each != TOO_WEAK] or list(part), "most")
        for _, part in outcomes.groupby(["source", "checkpoint"], sort=False)["outcome"]
    ]
    by_model, by_row = tally(models), tally(outcomes["outcome"])
    if not by_row.judged:
        return "AVSS beside random removal: all models are too weak to judge"
    return (
        f"AVSS keeps less than random removal in most rows of {by_model.holds} of {by_model.judged} models "
        f"({by_row.holds} of {by_row.judged} rows; more in {by_row.fails})"
    )


# The figures of this page, in the order of the gallery.
FIGURES = (avss_less_random,)
