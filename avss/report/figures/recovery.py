"""The figure of healing: the share of the whole model's score against the tokens seen, a line a score."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from avss.report.comparisons import FIRST_ROW
from avss.report.figures.style import LOOKS, WIDTH, entitled, nothing_measured
from avss.report.recovery import OBJECTIVES, WHOLE, finding, recovered
from avss.report.snapshot import Results


def recovery(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """The share kept before, during and after healing, one panel a profile and objective; bands over documents."""
    data = recovered(results, row).drop(columns=["ran", "coalition"])
    if data.empty or data["kept"].isna().all():
        return nothing_measured(data)
    groups = list(data.groupby(["source", "objective"], sort=False))
    figure = Figure(figsize=(WIDTH, 0.9 + 2.3 * -(-len(groups) // 2)))
    grid = figure.subplots(-(-len(groups) // 2), min(2, len(groups)), squeeze=False, sharey=True)
    names = list(dict.fromkeys(data["name"]))
    keys = {}
    for panel, ((source, objective), part) in zip(grid.flat, groups, strict=False):
        for name, own in part.groupby("name", sort=False):
            look = _look(own["method"].iloc[0], names.index(name))
            (keys[name],) = panel.plot(own["tokens"], own["kept"], label=name, markersize=3.5, **look)
            panel.fill_between(
                own["tokens"], own["kept_low"], own["kept_high"], color=look["color"], alpha=0.15, linewidth=0
            )
        panel.axhline(1, color=mpl.rcParams["ytick.color"], linewidth=0.7, zorder=0)
        panel.set_title(f"{source}, {OBJECTIVES[objective]}", fontsize=mpl.rcParams["font.size"])
        panel.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens / 1000:g}"))
        panel.set_xlim(0, None)
    for panel in grid.flat[len(groups) :]:
        panel.set_visible(False)
    grid[0, 0].set_yscale("log")
    grid[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    size = mpl.rcParams["axes.labelsize"]
    figure.supxlabel("thousand tokens seen in training", fontsize=size)
    figure.supylabel("share of the whole model's score", fontsize=size)
    figure.legend(keys.values(), keys.keys(), loc="outside lower center", ncols=len(keys), frameon=False)
    entitled(figure, finding(groups[0][1]))
    return figure, data


def _look(method: str, place: int) -> dict:
    """Of a line: the whole model thin and grey, the scores in the order of the legend."""
    if method == WHOLE:
        return {"color": mpl.rcParams["ytick.color"], "linewidth": 0.9, "marker": ".", "linestyle": "-"}
    return {"color": f"C{place % 4}"} | LOOKS[place % len(LOOKS)]


FIGURES = (recovery,)
