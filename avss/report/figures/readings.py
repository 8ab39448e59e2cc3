"""The figures about what the equations leave open, from the runs with varied readings (`avss.report.readings`)."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from avss.report.comparisons import by_profile, lowest_removals, sort_key
from avss.report.figures.style import WIDTH, colour, entitled, nothing_measured
from avss.report.readings import AXES, PAPER, axis_label, compared, measured, single_changes, stored_curve
from avss.report.snapshot import Results
from avss.report.table1 import of_rows
from avss.store import layers_of

_LINE = 0.27
# Rows are told apart by the shape of their points, as colours stand for profiles.
_MARKS = (("o", None), ("s", "none"), ("^", None), ("D", "none"))


def _all_rows(results: Results, table) -> pd.DataFrame:
    """The tables of all rows that have runs with varied readings, one under the other."""
    varied = results.readings
    return of_rows(lambda _, row: table(varied, row).assign(row=row), varied, measured(varied))


def varied_readings(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Order and retention under each reading: tau with `paper` (bars: lowest and highest seed), retention (95 %).

    Of each field the reading that changes the order most comes first, by the mean over the rows.
    """
    data = _all_rows(results, compared)
    if data.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    data = data.sort_values("source", key=by_profile, kind="stable", ignore_index=True)
    lines = by_effect(data)
    # A gap between the axes.
    steps = [0, *(1 if one == other else 1.7 for one, other in pairwise(lines["axis"]))]
    heights = dict(zip(lines["reading"], np.cumsum(steps), strict=True))
    sources = list(dict.fromkeys(zip(data["source"], data["row"], strict=True)))
    figure = Figure(figsize=(WIDTH, 1.45 + _LINE * max(heights.values())))
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
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower right", ncols=len(sources), frameon=False)
    entitled(figure, of_changes(data))
    return figure, data


def by_effect(data: pd.DataFrame) -> pd.DataFrame:
    """One line for each reading: axes in their order, and on each the lowest tau first."""
    lines = data.groupby(["reading", "axis", "choice"], sort=False, as_index=False)["tau"].mean()
    lines["place"] = [sort_key(axis, AXES) for axis in lines["axis"]]
    return lines.sort_values(["place", "tau"], kind="stable", ignore_index=True)


def of_changes(data: pd.DataFrame) -> str:
    """In each row, how many changes of one field move the order on every seed further than another sample does."""
    told = []
    for (_, row), part in data.groupby(["source", "row"], sort=False):
        if PAPER.name in set(part["axis"]):
            _, alone = single_changes(part)
            told.append(f"{alone['moves'].sum()} of {len(alone)} cases ({row})")
    if not told:
        return "How each reading orders the blocks, and what is kept"
    return f"A single change moves the order of the blocks more than another sample does in {', '.join(told)}"


def sparsity_curves(results: Results) -> tuple[Figure, pd.DataFrame]:
    """S(epsilon) of every block, and the rank of each by AVSS at each epsilon; one line of panels a row.

    Rank 1 is the lowest score. Ranks start where every block has an activation below epsilon, or at the epsilon of
    `paper` where that is lower. `goes`: the rank is among those that the row removes.
    """
    curves = _all_rows(results, stored_curve)
    if curves.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    curves = curves.sort_values("profile", key=by_profile, kind="stable", ignore_index=True)
    groups = list(curves.groupby(["profile", "row"], sort=False))
    figure = Figure(figsize=(WIDTH, 0.8 + 2.6 * len(groups)))
    panels = figure.subplots(len(groups), 2, squeeze=False, sharex="row")
    parts = []
    for (left, right), ((profile, row), curve) in zip(panels, groups, strict=True):
        part = _ranked(curve, _removed(results.readings, row, profile))
        parts.append(part)
        depth = part["layer"].nunique()
        inks = mpl.colors.ListedColormap(mpl.colormaps["viridis"](np.linspace(0.25, 0.9, depth)))
        for layer, line in part.groupby("layer"):
            known = line[line["sparsity"] > 0]
            left.plot(known["epsilon"], known["sparsity"], color=inks(layer), linewidth=1)
            right.plot(line["epsilon"], line["rank"], color=inks(layer), linewidth=1.4)
        if part["goes"].any():
            top = part.loc[part["goes"], "rank"].max() + 0.5
            right.axhspan(0.5, top, color=mpl.rcParams["grid.color"], linewidth=0, alpha=0.5, zorder=0)
        for panel in (left, right):
            panel.axvline(PAPER.epsilon, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0.5)
            panel.set(xscale="log", xlabel="ε")
        left.set(title=f"{row} ({profile})", ylabel="S (Eq. 4)", yscale="log")
        left.grid(True, linewidth=0.5)
        right.set(ylabel="rank by AVSS (Eq. 7)", ylim=(0.5, depth + 0.5))
        right.set_yticks(range(1, depth + 1, max(1, depth // 8)))
        shades = mpl.cm.ScalarMappable(mpl.colors.Normalize(-0.5, depth - 0.5), inks)
        bar = figure.colorbar(shades, ax=[left, right], location="right", aspect=25, pad=0.01, label="block")
        bar.set_ticks([0, depth - 1])
        bar.outline.set_visible(False)
    keys = [
        Line2D([], [], color=mpl.rcParams["ytick.color"], linewidth=0.9, label="ε of the reading paper"),
        Patch(color=mpl.rcParams["grid.color"], alpha=0.5, label="ranks that are removed"),
    ]
    figure.legend(handles=keys, loc="outside lower left", ncols=2, frameon=False)
    data = pd.concat(parts, ignore_index=True)
    entitled(figure, of_threshold(data))
    return figure, data


def _removed(results: Results, row: str, profile: str) -> int:
    """How many blocks the row removes by AVSS; 0 where it has no result."""
    runs = lowest_removals(results, row).query("method == 'avss'")
    return len(layers_of(next(iter(runs.loc[runs["profile"] == profile, "removed"]), "none")))


def _ranked(curve: pd.DataFrame, removed: int) -> pd.DataFrame:
    """The curve on one grid for all blocks, with the rank of each by AVSS."""
    known = curve.pivot(index="epsilon", columns="layer", values="sparsity")
    # Stored curves leave out the ends, where S is 0 or 1.
    shares = known.where(known.notna(), known.ffill().notna().astype(float))
    spread = curve.groupby("layer")["std"].first()
    # Without an activation below epsilon Eq. 7 divides by zero: such a block ranks highest, by its variance.
    scores = spread**2 / shares.clip(lower=1e-30)
    own = shares.index[shares.index <= PAPER.epsilon].max()
    start = np.fmin(own, shares.index[(shares > 0).all(axis=1)].min())
    ranks = scores.rank(axis=1)
    ranks.loc[ranks.index < start] = np.nan
    values = {"sparsity": shares, "rank": ranks, "goes": ranks <= removed}
    table = pd.concat({name: wide.stack() for name, wide in values.items()}, axis=1).reset_index()
    facts = curve[["profile", "row", "layer", "std", "run"]].drop_duplicates()
    return facts.merge(table).sort_values(["layer", "epsilon"], ignore_index=True)


def of_threshold(data: pd.DataFrame) -> str:
    """In how many rows the threshold decides which blocks go, and how many blocks go at some threshold."""
    told, deciding = [], 0
    for _, part in data.groupby(["profile", "row"], sort=False):
        going = part[part["goes"]]
        if len(going):
            at_once, ever = going.groupby("epsilon").size().max(), going["layer"].nunique()
            deciding += ever > at_once
            told.append(f"of {part['layer'].nunique()} blocks {ever} go at one ε or another, {at_once} at a time")
    if not told:
        return "Sparsity of every block, and its rank by AVSS, at each threshold ε"
    return f"The threshold ε decides which blocks go in {deciding} of {len(told)} rows: {'; '.join(told)}"


# The figures of this page, in the order of the gallery.
FIGURES = (varied_readings, sparsity_curves)
