"""The scores of the blocks against the loss without each: which score predicts it, in all rows and in one."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import rankdata

from avss.methods import catalogue
from avss.methods.catalogue import CONTROLS, column_of
from avss.report.block_scores import own_scores
from avss.report.comparisons import FIRST_ROW, METHODS, label, lowest_removals, sort_key
from avss.report.figures.style import WIDTH, block_ticks, colour, entitled, nothing_measured, wrapped
from avss.report.losses import TRUTH, all_predictions, beside_losses, prediction
from avss.report.markdown import spell
from avss.report.snapshot import Results

_COLUMNS = 5
# A depth at which to compare the work of methods.
_ANY_DEPTH = 12


def loss_prediction(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Kendall's tau of each score with the loss without each block, a dot for every row that ran; bars: the median.

    Thin lines are 95 % intervals over the seeds, each of which is a calibration sample of its own.
    """
    data = all_predictions(results)
    if data.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    medians = data.groupby("name")["tau"].median().sort_values(ascending=False)
    names, sources = list(medians.index), list(dict.fromkeys(data["source"]))
    figure = Figure(figsize=(WIDTH, 1.1 + 0.3 * len(names)))
    panel = figure.subplots()
    rows = data.groupby("source", sort=False)["row"].unique()
    most = sum(map(len, rows))
    for number, (source, row) in enumerate([(name, row) for name in sources for row in rows[name]]):
        part = data[(data["source"] == source) & (data["row"] == row)]
        heights = part["name"].map(names.index) + 0.7 * ((number + 0.5) / most - 0.5)
        panel.hlines(heights, part["low"], part["high"], color=colour(source), linewidth=0.6, alpha=0.7)
        panel.plot(part["tau"], heights, "o", color=colour(source), markersize=2.6)
    panel.vlines(medians, np.arange(len(names)) - 0.42, np.arange(len(names)) + 0.42, color=mpl.rcParams["text.color"])
    panel.axvline(0, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
    panel.set_yticks(range(len(names)), names)
    panel.set(xlim=(-1.05, 1.05), ylim=(len(names) - 0.5, -0.5), xlabel="Kendall's τ with the loss without each block")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.yaxis.grid(True, linewidth=0.4)
    keys = [Line2D([], [], color=colour(source), marker="o", linestyle="", markersize=4) for source in sources]
    keys.append(Line2D([], [], color=mpl.rcParams["text.color"], marker="|", linestyle="", markersize=8))
    figure.legend(keys, [*sources, "median"], loc="outside lower left", ncols=len(keys), frameon=False)
    entitled(figure, finding(data))
    return figure, data


def finding(data: pd.DataFrame) -> str:
    """Of the scores that need one pass, the one with the highest median tau over the rows, and AVSS."""
    medians = data.groupby(["method", "name"], sort=False)["tau"].median().reset_index()
    rows = len(data[["source", "row"]].drop_duplicates())
    over = f"over {rows} row{'' if rows == 1 else 's'}"
    # Medians over different rows cannot be compared.
    everywhere = data.groupby(["method", "name"], sort=False).size().reset_index(drop=True) == rows
    cheap = medians[medians["method"].map(_needs_one_pass) & everywhere]
    if cheap.empty:
        return f"Kendall's τ of the scores with the loss without each block, {over}"
    best, own = cheap.loc[cheap["tau"].idxmax()], medians[medians["name"] == "AVSS"]["tau"]
    others = "" if best["name"] == "AVSS" or own.empty else f"; AVSS: {spell(own.item(), digits=2)}"
    return (
        f"Of the scores that need one pass, {best['name']} has the highest median τ with the loss "
        f"({over}: {spell(best['tau'], digits=2)}{others})"
    )


def _needs_one_pass(method: str) -> bool:
    """Whether a method runs every block once at most, forwards and backwards, and is no control."""
    if method in CONTROLS or method not in catalogue.METHODS:
        return False
    work = catalogue.METHODS[method].work(_ANY_DEPTH, 1)
    return max(work.forwards, work.backwards) <= _ANY_DEPTH


def score_against_loss(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """The rank of each block by each score against its rank by the loss without it, one panel a score.

    Ranks are of the means over the seeds, 1 for the block that goes first. Above each panel: Kendall's tau, mean over
    the seeds, with its 95 % interval over seeds. Of the first profile that measured the losses.
    """
    taus = prediction(results, row)
    if taus.empty:
        return nothing_measured(pd.DataFrame(columns=["method"]))
    taus = taus[taus["source"] == taus["source"].iloc[0]]
    pairs, source = beside_losses(results, row), taus["source"].iloc[0]
    count = len(taus)
    figure = Figure(figsize=(WIDTH, 0.8 + 1.5 * math.ceil(count / _COLUMNS)))
    panels = figure.subplots(math.ceil(count / _COLUMNS), min(_COLUMNS, count), squeeze=False, sharex=True, sharey=True)
    parts = []
    for panel, line in zip(panels.flat, taus.itertuples(), strict=False):
        scores, losses = (
            rankdata(each.mean(0)) for each in pairs[source, line.method, line.reading, column_of(line.method)]
        )
        panel.plot(losses, scores, "o", color=colour(source), markersize=3 if len(scores) <= 16 else 2)
        panel.set_title(f"{wrapped(line.name, 22)}\nτ {spell(line.tau, line.low, line.high, digits=2)}", fontsize=6.5)
        panel.set_box_aspect(1)
        panel.set_xticks([1, len(scores)])
        panel.set_yticks([1, len(scores)])
        parts.append(
            pd.DataFrame({"layer": range(len(scores)), "rank": scores, "rank of the loss": losses}).assign(
                source=source, method=line.method, reading=line.reading, tau=line.tau, low=line.low, high=line.high
            )
        )
    for panel in panels.flat[count:]:
        panel.remove()
    figure.supxlabel("rank by the loss without the block", fontsize=mpl.rcParams["axes.labelsize"])
    figure.supylabel("rank by the score", fontsize=mpl.rcParams["axes.labelsize"])
    entitled(figure, _of_row(taus))
    return figure, pd.concat(parts, ignore_index=True).assign(run=taus["run"].iloc[0])


def _of_row(taus: pd.DataFrame) -> str:
    title = f"{taus['dataset'].iloc[0]}, {taus['model'].iloc[0]}"
    own = taus[(taus["method"] == "avss") & (taus["reading"] == "paper")]
    if own.empty:
        return title
    line = own.iloc[0]
    return f"{title}: τ of AVSS with the loss without each block is {spell(line['tau'], digits=2)}"


def rank_map(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """The rank of every block under every method, dark for the blocks that go first; one panel a profile.

    Ranks are of the means over the seeds. Methods are in order of their tau with the loss, where it was measured.
    """
    scores = own_scores(results, row)
    if not scores:
        return nothing_measured(pd.DataFrame(columns=["method"]))
    known = prediction(results, row)
    taus = {(line.source, line.method, line.reading): line.tau for line in known.itertuples()}
    parts = [
        pd.DataFrame({"source": source, "method": method, "reading": reading, "layer": table.columns}).assign(
            rank=rankdata(table.to_numpy().mean(0)),
            tau=1.0 if method == TRUTH else taus.get((source, method, reading), np.nan),
        )
        for (source, method, reading), table in scores.items()
    ]
    data = pd.concat(parts, ignore_index=True)
    data.insert(3, "name", [label(line.method, line.reading) for line in data.itertuples()])
    sources = list(dict.fromkeys(data["source"]))
    sizes = [data.loc[data["source"] == source, "name"].nunique() for source in sources]
    figure = Figure(figsize=(WIDTH, 0.7 + sum(0.75 + 0.17 * size for size in sizes)))
    panels = figure.subplots(len(sources), 1, squeeze=False, height_ratios=sizes)[:, 0]
    ran = lowest_removals(results, row).drop_duplicates("profile").set_index("profile")["row"]
    for panel, source in zip(panels, sources, strict=True):
        part = data[data["source"] == source]
        wide = part.pivot(index="name", columns="layer", values="rank")
        order = part.drop_duplicates("name").sort_values(
            ["tau", "method"], key=lambda column: column.map(lambda value: _place(column.name, value)), kind="stable"
        )["name"]
        drawn = panel.imshow(wide.loc[order], aspect="auto", cmap="viridis", vmin=1, vmax=wide.shape[1])
        panel.set_yticks(range(len(order)), order, fontsize=7)
        block_ticks(panel, wide.shape[1])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        names = results.newest(source, ran[source])["configuration"]
        panel.set_title(f"{names['dataset']}, {names['model']} ({source})", fontsize=8)
    panels[-1].set_xlabel("block")
    bar = figure.colorbar(drawn, ax=list(panels), location="right", shrink=0.6, aspect=30, pad=0.01)
    bar.set_ticks([1, wide.shape[1]], labels=["goes first", "goes last"])
    bar.outline.set_visible(False)
    entitled(figure, _of_first_block(data))
    return figure, data


def _place(column: str, value) -> tuple:
    return sort_key(value, METHODS) if column == "method" else (np.isnan(value), -value if value == value else 0)


def _of_first_block(data: pd.DataFrame) -> str:
    """The ranks of the first block by AVSS and by the loss without it."""
    first = data[(data["layer"] == 0) & (data["source"] == data["source"].iloc[0])]
    ranks = first.set_index(["method", "reading"])["rank"]
    told = [
        f"{ranks[cell]:.0f} by {name}"
        for cell, name in ((("avss", "paper"), "AVSS"), ((TRUTH, "none"), "the loss without it"))
        if cell in ranks
    ]
    blocks = data.loc[data["source"] == data["source"].iloc[0], "layer"].nunique()
    return f"The first of {blocks} blocks has rank {', '.join(told)}" if told else "The ranks of the blocks"


# The figures of this page about all rows, and about one, in the order of the gallery.
FIGURES = (loss_prediction,)
ROW_FIGURES = (score_against_loss, rank_map)
