"""The figure of what is kept against the time that is saved, with the cost of choosing as size."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from avss.report.figures.style import WIDTH, colour, entitled, nothing_measured, whole_and_claimed, wrapped
from avss.report.pareto import pareto
from avss.report.snapshot import Results

# Costs of scoring that the legend shows, in bare forward passes.
_COSTS = (0, 1, 10, 50)
# The height of all panels, in inches, that a sheet of paper has room for.
_PANELS = 8.4
# More panels than these stand in two columns.
_IN_ONE_COLUMN = 4


def kept_against_saved(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Retention against the saved share of the time of a token, one panel a row and profile, one mark a choice.

    The area of a mark grows with the logarithm of the cost of scoring; a cross has no measured cost. AVSS, reading
    `paper`, is filled. The line joins the choices that keep most and is labelled where the best choice changes.
    Choices of as many blocks save the same time and stand side by side.
    """
    data = pareto(results)
    if data.empty:
        return nothing_measured(data)
    parts = list(data.groupby(["source", "row"], sort=False))
    columns = 1 if len(parts) <= _IN_ONE_COLUMN else 2
    lines = -(-len(parts) // columns)
    figure = Figure(figsize=(WIDTH, 1.0 + min(2.9 * lines, _PANELS)))
    panels = figure.subplots(lines, columns, squeeze=False)
    for panel, ((source, _), part) in zip(panels.flat, parts, strict=False):
        _choices(panel, part, colour(source))
        panel.set_title(wrapped(part["ran"].iloc[0], 70 // columns))
    for panel in panels.flat[len(parts) :]:
        panel.remove()
    for panel in panels[:, 0]:
        panel.set_ylabel("retention")
    for panel in panels.flat[: len(parts)][-columns:]:
        panel.set_xlabel("share of the time of a token that is saved")
    _legend(figure, crosses=bool(data["scoring"].isna().any()))
    entitled(figure, finding(data))
    return figure, data


def _choices(panel, part: pd.DataFrame, ink: str) -> None:
    most = part["saved"].max()
    place = part["saved"] + 0.008 * most * (part.groupby("removed").cumcount() - part["name"].nunique() / 2)
    area, unknown = _area(part["scoring"]), part["scoring"].isna()
    own = _is_avss(part)
    for chosen, looks in (
        (~own & ~unknown, {"facecolors": "none", "edgecolors": ink, "linewidths": 0.9}),
        (own, {"color": ink}),
        (unknown, {"color": ink, "marker": "x", "linewidths": 0.9}),
    ):
        panel.scatter(place[chosen], part["retention"][chosen], s=area[chosen], **looks)
    best = part[part["best"]].drop_duplicates("removed").sort_values("saved")
    panel.plot([0, *place[best.index]], [1, *best["retention"]], color=ink, linewidth=0.9, zorder=0)
    for line in best[best["name"] != best["name"].shift()].itertuples():
        # The name of the last mark ends at it, inside of the panel.
        end, side = (place[line.Index], line.retention), "right" if line.saved == most else "left"
        panel.annotate(line.name, end, (0, 8), textcoords="offset points", ha=side, fontsize=7.5)
    whole_and_claimed(panel.axhline, linewidth=0.7, zorder=0)
    panel.set(xlim=(0, 1.15 * most), ylim=(0, 1.15 * max(1, part["retention"].max())))
    panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _area(passes: pd.Series) -> pd.Series:
    """The area of a mark in square points."""
    return 10 + 40 * np.log10(1 + passes.fillna(0))


def _legend(figure: Figure, crosses: bool) -> None:
    ink, sizes = mpl.rcParams["text.color"], _area(pd.Series(_COSTS)) ** 0.5
    marks = [Line2D([], [], marker="o", ls="", color=ink, fillstyle="none", markersize=size) for size in sizes]
    marks.append(Line2D([], [], marker="o", ls="", color=ink, markersize=sizes[1]))
    names = [f"{cost} pass{'es' if cost != 1 else ''}" for cost in _COSTS] + ["AVSS"]
    if crosses:
        marks.append(Line2D([], [], marker="x", ls="", color=ink, markersize=sizes[0]))
        names.append("not measured")
    figure.legend(
        marks, names, loc="outside lower center", ncols=len(marks), frameon=False, title="cost of scoring, in passes"
    )


def _is_avss(data: pd.DataFrame) -> pd.Series:
    return (data["method"] == "avss") & (data["reading"] == "paper") & (data["rule"] == "lowest")


def finding(data: pd.DataFrame) -> str:
    """At how many points AVSS keeps most, and at how many block influence, which costs as much, keeps more."""
    points = ["source", "row", "removed"]
    avss = data[_is_avss(data)]
    other = data[(data["method"] == "block_influence") & (data["rule"] == "lowest")]
    pairs = avss.merge(other, on=points, suffixes=("", "_other"))
    ahead = (pairs["retention_other"] > pairs["retention"]).sum()
    return (
        f"AVSS (reading paper) keeps most at {avss['best'].sum()} of {len(avss)} savings of time; "
        f"block influence, which costs as much, keeps more at {ahead} of {len(pairs)}"
    )


# The figures of this page, in the order of the gallery.
FIGURES = (kept_against_saved,)
