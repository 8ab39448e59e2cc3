"""Figures of the notebooks on Eqs. 4 to 9: every measured model in a panel of its own, on the first of its rows."""

import math
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from avss.intervals import kendall_tau
from avss.report.block_scores import layer_values
from avss.report.comparisons import by_profile, lowest_removals, reading_label
from avss.report.figures.style import LOOKS, WIDTH, colour, entitled, nothing_measured, wrapped
from avss.report.losses import taus_of_each
from avss.report.markdown import percent, spell
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows
from avss.selection import MASS_TOLERANCE

# The share that the paper and the authors' scripts prune to.
MASS = 0.25
# From this tau on, scores count as ordered by depth (ours), and from this ratio on a logarithmic scale shows them.
DEPTH, _WIDE = 0.9, 20
# The two lines of a figure that sets the paper's formula beside ours.
_PRINTED_DEVIATION, _OUR_DEVIATION = "Eq. 6 as printed", "distance from 1/M (ours)"
_DEPTH_FIRST, _LOWEST_FIRST = "depth order (Eq. 9)", "lowest score first (ours)"


def sparsity_by_block(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Eq. 5 of every block by reading: mean over the seeds, bars from lowest to highest; the level line is 1/M."""
    data = _layers(results, "normalized_sparsity").rename(columns={"reading": "line"})
    return _draw(data, along_depth(data), "normalised sparsity (Eq. 5)", _equal_share), data


def along_depth(data: pd.DataFrame) -> str:
    """In how many models sparsity, reading `paper`, falls or rises with depth, whichever is more: the sign of tau."""
    parts = data[data["line"] == "paper"].groupby("model")
    taus = [kendall_tau(part["layer"], part["mean"]) for _, part in parts]
    falls, rises = sum(tau < 0 for tau in taus), sum(tau > 0 for tau in taus)
    seen = f"rise with depth (τ > 0) in {rises}" if rises > falls else f"fall with depth (τ < 0) in {falls}"
    return f"Sparsity (reading paper) tends to {seen} of {len(taus)} models"


def deviation_by_block(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Eq. 6 of every block as printed, and the distance of Eq. 5 from 1/M; reading `paper`, means over the seeds."""
    printed, shares = (_paper(results, quantity) for quantity in ("sparsity_deviation", "normalized_sparsity"))
    blocks = shares.groupby("model")["layer"].transform("size")
    ours = shares.assign(line=_OUR_DEVIATION, mean=(shares["mean"] - 1 / blocks).abs())
    data = pd.concat([printed.assign(line=_PRINTED_DEVIATION), ours], ignore_index=True)
    return _draw(data, by_distance(data), "deviation of sparsity"), data


def by_distance(data: pd.DataFrame) -> str:
    """In how many models Eq. 6 as printed orders the blocks as their distance from the mean share, all but exactly."""
    taus = [kendall_tau(both[_PRINTED_DEVIATION], both[_OUR_DEVIATION]) for both in _side_by_side(data)]
    known = [tau for tau in taus if tau == tau]
    highest = f"; the highest τ is {spell(max(known), digits=2)}" if known else ""
    return (
        f"Eq. 6 as printed orders the blocks by their distance from the mean share (τ at least {DEPTH}) in "
        f"{sum(tau >= DEPTH for tau in known)} of {len(known)} models{highest}"
    )


def _side_by_side(data: pd.DataFrame) -> list[pd.DataFrame]:
    """A table for each model, with the `mean` of each `line` as a column."""
    return [part.pivot(index="layer", columns="line", values="mean") for _, part in data.groupby("model")]


def score_by_block(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Eq. 8 of every block by reading: mean over the seeds, bars from lowest to highest; the level line is 1/M.

    Beside each model: Kendall's tau of the reading `paper` with depth, mean over the seeds.
    """
    data = _layers(results, "normalized_avss").rename(columns={"reading": "line"})
    taus = {model: _tau_with_depth(results, *cell) for (model, *cell), _ in data.groupby(["model", "row", "profile"])}
    return _draw(data, by_depth(taus.values()), "normalised AVSS (Eq. 8)", _equal_share, taus), data


def _tau_with_depth(results: Results, row: str, profile: str) -> float:
    table = taus_of_each(results, row).query("other == 'with depth' and method == 'avss' and reading == 'paper'")
    return next(iter(table.loc[table["source"] == profile, "tau"]), float("nan"))


def by_depth(taus: Iterable[float]) -> str:
    """In how many models AVSS orders the blocks by depth, all but exactly."""
    known = [tau >= DEPTH for tau in taus if tau == tau]
    return f"AVSS orders the blocks by depth (τ at least {DEPTH}) in {sum(known)} of {len(known)} models"


def cumulative_by_block(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Eq. 9 of every block in depth order, as printed, and where the blocks are summed from the lowest score upwards.

    Reading `paper`, of the means over the seeds; the level line is a quarter.
    """
    shares = _paper(results, "normalized_avss")
    orders = {
        _DEPTH_FIRST: shares.sort_values("layer"),
        _LOWEST_FIRST: shares.sort_values(["mean", "layer"], ascending=[True, False]),
    }
    sums = {line: order.groupby("model")["mean"].cumsum() for line, order in orders.items()}
    data = pd.concat([shares.assign(line=line, mean=mean) for line, mean in sums.items()], ignore_index=True)
    return _draw(data, by_sum(data), "cumulative AVSS", lambda blocks: MASS), data


def by_sum(data: pd.DataFrame) -> str:
    """In how many models the two orders of summation leave the same blocks below the level, and any at all."""
    tables = _side_by_side(data)
    below = [table <= MASS + MASS_TOLERANCE for table in tables]
    same = [both.any(axis=None) and both[_DEPTH_FIRST].equals(both[_LOWEST_FIRST]) for both in below]
    return (
        f"{percent(MASS)} of the score covers the same blocks in depth order (Eq. 9) as from the lowest score up "
        f"in {sum(same)} of {len(same)} models"
    )


def _layers(results: Results, quantity: str) -> pd.DataFrame:
    """`layer_values` of each model on the first of its rows, real models first; `model`: its name with the profile."""
    parts = []
    for row in measured_rows(results):
        names = lowest_removals(results, row).groupby("profile")["model"].first()
        part = layer_values(results, quantity, row)
        models = [f"{Path(names[profile]).name} ({profile})" for profile in part["profile"]]
        parts.append(part.assign(row=row, model=models))
    data = pd.concat(parts, ignore_index=True).astype({"mean": float})
    data = data[data["row"] == data.groupby("model")["row"].transform("first")]
    return data.sort_values("profile", key=by_profile, kind="stable", ignore_index=True)


def _paper(results: Results, quantity: str) -> pd.DataFrame:
    """The means of the reading `paper` alone."""
    return _layers(results, quantity).query("reading == 'paper'").drop(columns=["reading", "low", "high"])


def _equal_share(blocks: int) -> float:
    return 1 / blocks


def _draw(
    data: pd.DataFrame,
    finding: str,
    ylabel: str,
    level: Callable[[int], float] | None = None,
    taus: dict[str, float] | None = None,
) -> Figure:
    """A panel a model: `mean` by block, one line for each `line`, and the level that suits its number of blocks.

    taus: by model, a number for the title of its panel; with them, a wide range is drawn on a logarithmic scale.
    """
    if data.empty:
        return nothing_measured(data)[0]
    models, looks = data["model"].unique(), dict(zip(data["line"].unique(), cycle(LOOKS), strict=False))
    columns = min(3, len(models))
    rows = math.ceil(len(models) / columns)
    figure = Figure(figsize=(WIDTH, 0.75 + 2.25 * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(models) :]:
        panel.remove()
    for panel, (model, part) in zip(panels.flat, data.groupby("model", sort=False), strict=False):
        blocks, ink = part["layer"].nunique(), colour(part["profile"].iloc[0])
        size = 5 if blocks <= 12 else 2.5
        for name, look in looks.items():
            line = part[part["line"] == name]
            panel.plot(line["layer"], line["mean"], color=ink, markersize=size, **look)
            if "low" in line:
                panel.vlines(line["layer"], line["low"], line["high"], color=ink, linewidth=1)
        if level:
            panel.axhline(level(blocks), color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        tau = (taus or {}).get(model, float("nan"))
        title = model if tau != tau else f"{model} τ\u00a0{spell(tau, digits=2)}"
        panel.set(title=wrapped(title, 22), xlabel="block")
        if taus and 0 < _WIDE * part["mean"].min() < part["mean"].max():
            panel.set_yscale("log")
        else:
            panel.set_ylim(bottom=0)
        # The first and the last block stand at the same places in all panels, so depth can be compared.
        panel.set_xlim(-0.03 * blocks, 1.03 * blocks - 1)
        panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        panel.yaxis.grid(True, linewidth=0.6)
    figure.supylabel(ylabel, fontsize=mpl.rcParams["axes.labelsize"])
    ink = mpl.rcParams["text.color"]
    handles = [Line2D([], [], color=ink, label=reading_label(name), **look) for name, look in looks.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(3, len(looks)), frameon=False)
    entitled(figure, finding)
    return figure


# The figures of this page, in the order of the gallery.
FIGURES = (sparsity_by_block, deviation_by_block, score_by_block, cumulative_by_block)
