"""AVSS beside random removal in everything that was measured: the difference of the shares that the two keep."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from avss.report.audit import tally, verdict
from avss.report.cases import FAILS, HOLDS, OPEN
from avss.report.comparisons import TOO_WEAK, by_profile, over_random, weak_text
from avss.report.figures.style import WIDTH, colour, entitled, list_rows, nothing_measured
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows, of_rows

_ROW = 0.24
# Of the claim that AVSS keeps less.
_OUTCOMES = {"worse": HOLDS, "better": FAILS, TOO_WEAK: TOO_WEAK}


def avss_less_random(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share that AVSS keeps less the share that random removal keeps, in every row that ran.

    Bars: 95 % intervals over documents and seeds; ticks: single seeds. A dot is filled where p, adjusted by Holm's
    correction, is at most 0.05.
    """
    data = of_rows(over_random, results, measured_rows(results))
    if data.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
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
    list_rows(panel, data)
    panel.xaxis.grid(True, linewidth=0.5)
    panel.set_xlabel("share kept by AVSS less share kept by random removal")
    entitled(figure, finding(data))
    data["singles"] = [" ".join(f"{single:.4g}" for single in singles) for singles in data["singles"]]
    return figure, data


def outcomes_of(data: pd.DataFrame) -> list[str]:
    """The outcome in each line of `over_random` of the claim that AVSS keeps less than random removal."""
    return [_OUTCOMES.get(verdict, OPEN) for verdict in data["verdict"]]


def finding(data: pd.DataFrame) -> str:
    """In how many models and rows AVSS keeps less than random removal, beyond chance; most rows of a model decide."""
    outcomes = data.assign(outcome=outcomes_of(data))
    models = [
        verdict([each for each in part if each != TOO_WEAK] or list(part), "most")
        for _, part in outcomes.groupby(["source", "checkpoint"], sort=False)["outcome"]
    ]
    by_model, by_row = tally(models), tally(outcomes["outcome"])
    if not by_row.judged:
        return "AVSS beside random removal: all models are too weak to judge"
    return (
        "Beyond chance, AVSS keeps less than random removal in most rows of "
        f"{by_model.holds} of {by_model.judged} models ({by_row.holds} of {by_row.judged} rows; more in {by_row.fails})"
    )


# The figures of this page, in the order of the gallery.
FIGURES = (avss_less_random,)
