"""The figures about what the equations leave open, from the runs with varied readings (`avss.report.readings`)."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import erf

from avss.report.figures.style import WIDTH, colour, nothing_measured
from avss.report.readings import PAPER, axis_label, compared, measured, stored_curve
from avss.report.snapshot import Results
from avss.report.table1 import of_rows

_LINE = 0.27
# Rows are told apart by the shape of their points, as colours stand for profiles.
_MARKS = (("o", None), ("s", "none"), ("^", None), ("D", "none"))


def _all_rows(results: Results, table) -> pd.DataFrame:
    """The tables of all rows that have runs with varied readings, one under the other."""
    varied = results.readings
    return of_rows(lambda _, row: table(varied, row).assign(row=row), varied, measured(varied))


def varied_readings(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Order and retention under each reading: tau with `paper` (bars: lowest and highest seed), retention (95 %)."""
    data = _all_rows(results, compared)
    if data.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    lines = data.drop_duplicates("reading")
    # A gap between the axes.
    steps = [0, *(1 if one == other else 1.7 for one, other in pairwise(lines["axis"]))]
    heights = dict(zip(lines["reading"], np.cumsum(steps), strict=True))
    sources = list(dict.fromkeys(zip(data["source"], data["row"], strict=True)))
    figure = Figure(figsize=(WIDTH, 1.1 + _LINE * max(heights.values())))
    panels = figure.subplots(1, 2, sharey=True)
    for index, ((profile, row), mark) in enumerate(zip(sources, _MARKS, strict=False)):
        part = data[(data["source"] == profile) & (data["row"] == row)]
        places = part["reading"].map(heights) + 0.36 * (index - (len(sources) - 1) / 2) / max(len(sources) - 1, 1)
        for panel, name in zip(panels, ("tau", "retention"), strict=True):
            if name == "retention":
                for end in ("worst", "best"):
                    panel.plot(part[end], places, "|", color=colour(profile), markersize=5, markeredgewidth=0.8)
            panel.hlines(places, part[f"{name}_low"], part[f"{name}_high"], color=colour(profile), linewidth=1.2)
            panel.plot(
                part[name],
                places,
                mark[0],
                color=colour(profile),
                markersize=4.5,
                markerfacecolor=mark[1] or colour(profile),
                label=f"{row} ({profile})",
            )
    panels[0].set(title="order of the blocks", xlabel="Kendall's τ with the reading paper", xlim=(-1.05, 1.05))
    panels[1].set(title="what pruning keeps", xlabel="retention")
    panels[0].set_yticks(list(heights.values()), [axis_label(line.axis, line.choice) for line in lines.itertuples()])
    panels[0].set_ylim(max(heights.values()) + 0.6, -0.6)
    for panel, whole in zip(panels, (0, 1), strict=True):
        panel.axvline(whole, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.yaxis.grid(True, linewidth=0.5)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(sources), frameon=False)
    return figure, data


def sparsity_curves(results: Results) -> tuple[Figure, pd.DataFrame]:
    """S(epsilon) of every block, and AVSS against the scale, both in units of epsilon; one line of panels a row.

    Dashed: a Gaussian centred at 0, whose AVSS grows with the third power of its scale where epsilon is small.
    """
    data = _all_rows(results, stored_curve)
    if data.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    data["scale"] = data["std"] / data["epsilon"]
    data["scaled_avss"] = data["scale"] ** 2 / data["sparsity"]
    sources = list(dict.fromkeys(zip(data["profile"], data["row"], strict=True)))
    figure = Figure(figsize=(WIDTH, 0.3 + 2.6 * len(sources)))
    panels = figure.subplots(len(sources), 2, squeeze=False)
    for (curves, scales), (profile, row) in zip(panels, sources, strict=True):
        part = data[(data["profile"] == profile) & (data["row"] == row)]
        depth = part["layer"].max() + 1
        for layer, line in part.groupby("layer"):
            ink = mpl.colormaps["viridis"](0.1 + 0.8 * layer / max(depth - 1, 1))
            curves.plot(line["epsilon"], line["sparsity"], color=ink, linewidth=1)
            scales.plot(line["scale"], line["scaled_avss"], color=ink, linewidth=1)
        curves.axvline(PAPER.epsilon, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        scale = np.geomspace(part["scale"].min(), part["scale"].max(), 100)
        gaussian = scale**2 / erf(1 / (scale * np.sqrt(2)))
        scales.plot(scale, gaussian, linestyle=(0, (3, 2)), color=mpl.rcParams["text.color"], linewidth=1)
        curves.set(title=f"{row} ({profile})", xlabel="ε", ylabel="S (Eq. 4)", xscale="log", yscale="log")
        scales.set(xlabel="σ / ε", ylabel="AVSS / ε² (Eq. 7)", xscale="log", yscale="log")
        for panel in (curves, scales):
            panel.grid(True, linewidth=0.5)
    shades = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), "viridis")
    bar = figure.colorbar(shades, ax=panels, location="right", shrink=0.5, aspect=30, pad=0.01)
    bar.set_ticks([0.1, 0.9], labels=["first block", "last"])
    bar.outline.set_visible(False)
    return figure, data


# The figures of this page, in the order of the gallery.
FIGURES = (varied_readings, sparsity_curves)
