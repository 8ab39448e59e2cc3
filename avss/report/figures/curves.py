"""The figure of a row's curve: what is kept against the share of blocks that go, one panel a method."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from avss.report.comparisons import FIRST_ROW
from avss.report.curves import compensation, curve
from avss.report.figures.row_titles import entitled_on
from avss.report.figures.style import WIDTH, colour, nothing_measured, whole_and_claimed, wrapped
from avss.report.snapshot import Results

_COLUMNS = 4
# Drawn thin in every panel: a choice without a score, and the order that a greedy search finds.
_BESIDE = {"random": (0, (1, 1.5)), "greedy": (0, (4, 2))}
_POINT, _KEPT = ["source", "name", "removed"], ["retention", "low", "high"]


def retention_curve(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Retention against the share of removed blocks, one panel a method and reading, one colour a profile.

    A profile whose original is too weak to judge has no line. Hollow squares are the same removals with compensation;
    triangles are blocks that go one by one, with the rest scored again.
    """
    twins = compensation(results, row).rename(columns={name: f"compensated_{name}" for name in _KEPT})
    data = curve(results, row).merge(twins[[*_POINT, *(f"compensated_{name}" for name in _KEPT)]], "left", on=_POINT)
    data = data[~data["too_weak"].astype(bool)].reset_index(drop=True)
    if data.empty:
        return nothing_measured(data)
    names = list(data.loc[data["rule"] == "lowest", "name"].unique())
    columns = min(_COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH, 0.85 + 1.23 * lines))
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for panel, name in zip(grid.flat, names, strict=False):
        for profile in data["source"].unique():
            _lines(panel, data[data["source"] == profile], name)
        whole_and_claimed(panel.axhline, linewidth=0.7, zorder=0)
        panel.set_title(wrapped(name, 18), fontsize=mpl.rcParams["font.size"])
        panel.tick_params(labelbottom=True)
    for panel in grid.flat[len(names) :]:
        panel.set_visible(False)
    top = np.nanmax([1.0, data["retention"].replace(np.inf, np.nan).max()])
    grid[0, 0].set(ylim=(0, 1.08 * min(top, 2.0)), xlim=(0, None))
    size = mpl.rcParams["axes.labelsize"]
    figure.supxlabel("share of the blocks that are removed", fontsize=size)
    figure.supylabel("retention", fontsize=size)
    sources = list(data["source"].unique())
    if len(sources) > 1:
        keys = [Line2D([], [], color=colour(source), marker="o", markersize=2.5) for source in sources]
        figure.legend(keys, sources, loc="outside lower left", ncols=len(keys), frameon=False)
    entitled_on(figure, results, row, sources, lambda source: finding(data[data["source"] == source]))
    return figure, data


def finding(part: pd.DataFrame) -> str:
    """At how many points AVSS keeps less, or more, than random removal, beyond the intervals of both.

    part: the lines of `curve` of one source.
    """
    lowest = part[(part["rule"] == "lowest") & part["reading"].isin(["none", "paper"])]
    avss, random = (lowest[lowest["method"] == method] for method in ("avss", "random"))
    pairs = avss.merge(random, on="removed", suffixes=("", "_random"))
    if pairs.empty:
        return "AVSS and random removal have no curves to compare"
    less = (pairs["high"] < pairs["low_random"]).sum()
    more = (pairs["low"] > pairs["high_random"]).sum()
    points = f"of {len(pairs)} numbers of removed blocks"
    if not less and not more:
        return f"AVSS and random removal are told apart at none {points}"
    return (
        f"AVSS keeps less than random removal at {less} {points} and more at {more}, by intervals without a correction"
    )


def _lines(panel, part: pd.DataFrame, name: str) -> None:
    """The method's own curve of one profile with its interval, and thin ones to compare it with."""
    ink = colour(part["source"].iloc[0])
    for method, dashes in _BESIDE.items():
        beside = part[(part["method"] == method) & (part["rule"] == "lowest")]
        if beside["name"].ne(name).all():
            panel.plot(*_from_whole(beside, "retention"), color=ink, linewidth=0.8, linestyle=dashes, alpha=0.7)
    own = part[part["name"] == name]
    again = part[
        (part["rule"] == "iterative") & part["method"].isin(own["method"]) & part["reading"].isin(own["reading"])
    ]
    panel.plot(*_from_whole(own, "retention"), color=ink, marker="o", markersize=2.5)
    panel.plot(*_from_whole(again, "retention"), color=ink, marker="^", markersize=3, linewidth=0.8)
    hollow = {"markerfacecolor": "none", "markersize": 6, "markeredgewidth": 0.8}
    panel.plot(own["share_of_layers"], own["compensated_retention"], "s", color=ink, **hollow)
    shares, low = _from_whole(own, "low")
    panel.fill_between(shares, low, _from_whole(own, "high")[1], color=ink, alpha=0.2, linewidth=0)


def _from_whole(points: pd.DataFrame, column: str) -> tuple[list[float], list[float]]:
    """Shares and values of a curve that starts at the whole model, of which everything is kept."""
    if points.empty:
        return [], []
    return [0.0, *points["share_of_layers"]], [1.0, *points[column]]


FIGURES = (retention_curve,)
