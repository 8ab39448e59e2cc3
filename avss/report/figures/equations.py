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

from avss.report.block_scores import layer_values
from avss.report.comparisons import lowest_removals, reading_label
from avss.report.figures.style import LOOKS, WIDTH, colour, entitled, nothing_measured, wrapped
from avss.report.losses import taus_of_each
from avss.report.markdown import spell
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows

# The share that the paper and the authors' scripts prune to.
MASS = 0.25
# From this tau on, scores count as ordered by depth (ours), and from this ratio on a logarithmic scale shows them.
DEPTH, _WIDE = 0.9, 20


def sparsity_by_block(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Eq. 5 of every block by reading: mean over the seeds, bars from lowest to highest; the level line is 1/M."""
    data = _layers(results, "normalized_sparsity").rename(columns={"reading": "line"})
    return _draw(data, "normalised sparsity (Eq. 5)", _equal_share), data


def deviation_by_block(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Eq. 6 of every block as printed, and the distance of Eq. 5 from 1/M; reading `paper`, means over the seeds."""
    printed, shares = (_paper(results, quantity) for quantity in ("sparsity_deviation", "normalized_sparsity"))
    blocks = shares.groupby("model")["layer"].transform("size")
    ours = shares.assign(line="distance from 1/M (ours)", mean=(shares["mean"] - 1 / blocks).abs())
    data = pd.concat([printed.assign(line="Eq. 6 as printed"), ours], ignore_index=True)
    return _draw(data, "deviation of sparsity"), data


def score_by_block(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Eq. 8 of every block by reading: mean over the seeds, bars from lowest to highest; the level line is 1/M.

    Beside each model: Kendall's tau of the reading `paper` with depth, mean over the seeds.
    """
    data = _layers(results, "normalized_avss").rename(columns={"reading": "line"})
    taus = {model: _tau_with_depth(results, *cell) for (model, *cell), _ in data.groupby(["model", "row", "profile"])}
    figure = _draw(data, "normalised AVSS (Eq. 8)", _equal_share, taus)
    if len(data):
        entitled(figure, by_depth(taus.values()))
    return figure, data


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
        "depth order (Eq. 9)": shares.sort_values("layer"),
        "lowest score first (ours)": shares.sort_values(["mean", "layer"], ascending=[True, False]),
    }
    sums = {line: order.groupby("model")["mean"].cumsum() for line, order in orders.items()}
    data = pd.concat([shares.assign(line=line, mean=mean) for line, mean in sums.items()], ignore_index=True)
    return _draw(data, "cumulative AVSS", lambda blocks: MASS), data


def _layers(results: Results, quantity: str) -> pd.DataFrame:
    """`layer_values` of each model on the first of its rows; `model` is its name with the profile."""
    parts = []
    for row in measured_rows(results):
        names = lowest_removals(results, row).groupby("profile")["model"].first()
        part = layer_values(results, quantity, row)
        models = [f"{Path(names[profile]).name} ({profile})" for profile in part["profile"]]
        parts.append(part.assign(row=row, model=models))
    data = pd.concat(parts, ignore_index=True).astype({"mean": float})
    return data[data["row"] == data.groupby("model")["row"].transform("first")].reset_index(drop=True)


def _paper(results: Results, quantity: str) -> pd.DataFrame:
    """The means of the reading `paper` alone."""
    return _layers(results, quantity).query("reading == 'paper'").drop(columns=["reading", "low", "high"])


def _equal_share(blocks: int) -> float:
    return 1 / blocks


def _draw(
    data: pd.DataFrame, ylabel: str, level: Callable[[int], float] | None = None, taus: dict[str, float] | None = None
) -> Figure:
    """A panel a model: `mean` by block, one line for each `line`, and the level that suits its number of blocks.

    taus: by model, a number for the title of its panel; with them, a wide range is drawn on a logarithmic scale.
    """
    if data.empty:
        return nothing_measured(data)[0]
    models, looks = data["model"].unique(), dict(zip(data["line"].unique(), cycle(LOOKS), strict=False))
    columns = min(3, len(models))
    rows = math.ceil(len(models) / columns)
    figure = Figure(figsize=(WIDTH, 0.4 + 2.25 * rows))
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
        panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        panel.yaxis.grid(True, linewidth=0.6)
    figure.supylabel(ylabel, fontsize=mpl.rcParams["axes.labelsize"])
    ink = mpl.rcParams["text.color"]
    handles = [Line2D([], [], color=ink, label=reading_label(name), **look) for name, look in looks.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(3, len(looks)), frameon=False)
    return figure


# The figures of this page, in the order of the gallery.
FIGURES = (sparsity_by_block, deviation_by_block, score_by_block, cumulative_by_block)
