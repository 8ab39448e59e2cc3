"""The figure of healing: the share of the whole model's score against the tokens seen, a line a score."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from avss.report.comparisons import FIRST_ROW
from avss.report.figures.style import LOOKS, WIDTH, entitled, nothing_measured
from avss.report.recovery import OBJECTIVES, WHOLE, finding, recovered
from avss.report.snapshot import Results

# The whole model, trained alike.
_BESIDE = {"linewidth": 0.9, "marker": ".", "linestyle": "-"}


def recovery(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """The share kept before, during and after healing, one panel a profile and objective; bands over documents."""
    data = recovered(results, row).drop(columns=["ran", "coalition"])
    if data.empty or data["kept"].isna().all():
        return nothing_measured(data)
    groups = list(data.groupby(["source", "objective"], sort=False))
    figure = Figure(figsize=(WIDTH, 0.9 + 2.3 * -(-len(groups) // 2)))
    grid = figure.subplots(-(-len(groups) // 2), min(2, len(groups)), squeeze=False, sharey=True)
    names = list(dict.fromkeys(data.loc[data["method"] != WHOLE, "name"]))
    keys = {}
    for panel, ((source, objective), part) in zip(grid.flat, groups, strict=False):
        for name, own in part.groupby("name", sort=False):
            look = _look(names.index(name)) if name in names else _BESIDE | {"color": mpl.rcParams["ytick.color"]}
            (keys[name],) = panel.plot(own["tokens"], own["kept"], label=name, markersize=3.5, **look)
            panel.fill_between(
                own["tokens"], own["kept_low"], own["kept_high"], color=look["color"], alpha=0.15, linewidth=0
            )
        panel.axhline(1, color=mpl.rcParams["ytick.color"], linewidth=0.7, zorder=0)
        panel.set_title(f"{source}, {OBJECTIVES[objective]}", fontsize=mpl.rcParams["font.size"])
        panel.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens / 1000:g}"))
        panel.set(xlim=(0, None), xlabel="thousand tokens seen in training")
    for panel in grid.flat[len(groups) :]:
        panel.set_visible(False)
    grid[0, 0].set_yscale("log")
    grid[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    figure.supylabel("share of the whole model's score", fontsize=mpl.rcParams["axes.labelsize"])
    figure.legend(keys.values(), keys.keys(), loc="outside lower center", ncols=len(keys), frameon=False)
    entitled(figure, finding(groups[0][1]))
    return figure, data


def _look(place: int) -> dict:
    """Of the line of a score, by its place in the legend: a colour of the page, and another shape once all are used."""
    colours = ["C1", "C2", "C3", mpl.rcParams["text.color"]]
    return {"color": colours[place % len(colours)]} | LOOKS[place % len(LOOKS)]


FIGURES = (recovery,)
