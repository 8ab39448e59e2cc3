"""The figure of the front page: which blocks a model cannot do without, which ones AVSS removes, and what is left.

One strip a measurement, the models of others before those made here. It shows a result and its cause together: AVSS
removes the first blocks, and the first block is the one that costs most.
"""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from avss import intervals
from avss.report.addresses import NotMeasured, observations, of_row
from avss.report.block_scores import scores_of
from avss.report.comparisons import label
from avss.report.counted import KINDS, measurements
from avss.report.figures.style import nothing_measured, whole_and_claimed
from avss.report.losses import TRUTH
from avss.report.snapshot import Results
from avss.store import layers_of

# Small, so that its letters stay legible on a phone.
_WIDTH = 5.4
_LINE = 0.152
COMPARED = (("avss", "paper"), ("block_influence", "none"), ("random", "none"))
COLUMNS = ["model", "dataset", "profile", "row", "method", "seed", "block", "quantity", "value", "run"]


def _shown(results: Results) -> list[tuple[str, str]]:
    """The measurements of real text whose shares the figure can draw, else those of any text; by model."""
    for group in ("reference", "all"):
        found = [pair for pair in measurements(results, group) if _complete(results, *pair)]
        if found:
            return sorted(found, key=lambda pair: _order(results, *pair))
    return []


def _complete(results: Results, profile: str, row: str) -> bool:
    try:
        return all(of_row(f"{profile}/{row}/{method}/retention", results) for method, _ in COMPARED)
    except NotMeasured:
        return False


def _order(results: Results, profile: str, row: str) -> tuple:
    facts = results.newest(profile, row)
    kinds = not KINDS["pretrained"](facts), KINDS["encoders"](facts)
    return *kinds, facts["configuration"]["model"], facts["configuration"]["dataset"]


def front(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Left: the blocks of each measurement, shaded by the loss without each, with those that AVSS removes outlined.
    Right: the share of the score that AVSS, block influence and each seed of a random choice keep.

    A block is outlined where AVSS removes it on at least half of the seeds. A strip is white at no loss, and darkest at
    its own highest; it has no shades where leave-one-out has not run.
    """
    pairs = _shown(results)
    if not pairs:
        return nothing_measured(pd.DataFrame(columns=COLUMNS))
    names = [results.newest(*pair)["configuration"] for pair in pairs]
    # A line for each model's name, and below it one for each of its data sets.
    models = list(dict.fromkeys(each["model"] for each in names))
    lines = [(model, None) for model in models]
    places = sorted([*lines, *((each["model"], number) for number, each in enumerate(names))], key=_by(models))
    heights = {number: height for height, (_, number) in enumerate(places) if number is not None}
    figure = Figure(figsize=(_WIDTH, 0.62 + _LINE * len(places)))
    strips, shares = figure.subplots(1, 2, width_ratios=(1.55, 1))
    data = []
    for number, pair in enumerate(pairs):
        data += _measurement(results, *pair, names[number])
    data = pd.DataFrame(data, columns=COLUMNS)
    for (profile, row), height in zip(pairs, heights.values(), strict=True):
        part = data[(data["profile"] == profile) & (data["row"] == row)]
        _strip(strips, part, height)
        _points(shares, part, height)
    ink = mpl.rcParams["text.color"]
    strips.set(xlim=(0, 1), xticks=[], ylim=(len(places) - 0.4, -0.6))
    strips.set_yticks(list(heights.values()), [each["dataset"] for each in names])
    for height, (model, number) in enumerate(places):
        if number is None:
            place = strips.get_yaxis_transform()
            strips.text(0, height, model, va="center", ha="left", fontsize=7, fontweight="bold", transform=place)
    strips.tick_params(axis="y", length=0, labelsize=7)
    strips.set_xlabel("first block → last block", fontsize=7.5)
    strips.spines[:].set_visible(False)
    shares.set(ylim=strips.get_ylim(), yticks=[], xlim=(-0.04, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1])
    shares.set_xticklabels(["0", "¼", "½", "¾", "1"], fontsize=7.5)
    shares.set_xlabel("share of the score kept", fontsize=7.5)
    shares.spines["left"].set_visible(False)
    whole_and_claimed(shares.axvline, linewidth=0.8, zorder=0.5)
    inks = _colours()
    keys = [
        Line2D([], [], color=inks["random"], marker="|", linestyle="", markersize=6, label="random, one a seed"),
        Line2D([], [], color=inks["block_influence"], marker="s", linestyle="", markersize=4, label="block influence"),
        Line2D([], [], color=inks["avss"], marker="o", linestyle="", markersize=4.5, label="AVSS"),
        Rectangle((0, 0), 1, 1, facecolor="none", edgecolor=inks["avss"], linewidth=1.4, label="removed by AVSS"),
        Rectangle((0, 0), 1, 1, facecolor=ink, edgecolor="none", label="costs most alone"),
    ]
    figure.legend(
        handles=keys[::-1],
        loc="outside upper center",
        ncols=5,
        fontsize=6.8,
        frameon=False,
        handlelength=1,
        handletextpad=0.4,
        columnspacing=1.1,
        borderpad=0.1,
    )
    return figure, data


def _by(models: list[str]):
    return lambda place: (models.index(place[0]), -1 if place[1] is None else place[1])


def _measurement(results: Results, profile: str, row: str, names: dict) -> list[tuple]:
    """The lines of the data about one measurement."""
    known = names["model"], names["dataset"], profile, row
    losses = scores_of(results, row, profile, TRUTH, "none")
    lines = []
    if not losses.empty:
        run = ", ".join(observations(results, row, profile, TRUTH, "none")["run"].unique())
        lines = [
            (*known, TRUTH, "mean", block, "loss without the block", value, run)
            for block, value in losses.mean().items()
        ]
    for method, reading in COMPARED:
        table = observations(results, row, profile, method, reading)
        if method == "avss":
            gone = table["removed"].map(layers_of).explode().astype(int).value_counts()
            lines += [
                (*known, method, "share", block, "removed", gone.get(block, 0) / len(table), table["run"].iloc[0])
                for block in range(int(table["layers"].iloc[0]))
            ]
        kept = intervals.retention(
            table["metric"].iloc[0], table["value"].to_numpy(float), table["original"].to_numpy()
        )
        lines += [
            (*known, method, line.seed, "", "share kept", share, line.run)
            for line, share in zip(table.itertuples(), kept, strict=True)
        ]
        mean = of_row(f"{profile}/{row}/{method}/retention", results).value
        lines.append((*known, method, "all", "", "share kept", mean, table["run"].iloc[0]))
    return lines


def _colours() -> dict[str, str]:
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return {"random": cycle[0], "block_influence": cycle[1], "avss": cycle[2]}


def _strip(panel, part: pd.DataFrame, height: int) -> None:
    losses = part[part["quantity"] == "loss without the block"]["value"].to_numpy(float)
    gone = part[part["quantity"] == "removed"]["value"].to_numpy(float)
    losses = losses if len(losses) else np.zeros(len(gone))
    shades = np.clip(losses, 0, None) / max(losses.max(), np.finfo(float).tiny)
    each, ink, faint = 1 / len(gone), mpl.rcParams["text.color"], mpl.rcParams["grid.color"]
    for block, (shade, share) in enumerate(zip(shades, gone, strict=True)):
        place, size = (block * each + 0.08 * each, height - 0.36), (0.84 * each, 0.72)
        panel.add_patch(Rectangle(place, *size, facecolor=faint, alpha=0.55, edgecolor="none"))
        panel.add_patch(Rectangle(place, *size, facecolor=ink, alpha=float(shade), edgecolor="none"))
        if share >= 0.5:
            colour = _colours()["avss"]
            panel.add_patch(Rectangle(place, *size, facecolor="none", edgecolor=colour, linewidth=1.4, zorder=3))


def _points(panel, part: pd.DataFrame, height: int) -> None:
    kept, inks = part[part["quantity"] == "share kept"], _colours()
    seeds = kept[(kept["method"] == "random") & (kept["seed"] != "all")]["value"]
    panel.plot(seeds, [height] * len(seeds), "|", color=inks["random"], markersize=6, clip_on=False)
    for method, shape, size in (("block_influence", "s", 4), ("avss", "o", 4.5)):
        [mean] = kept[(kept["method"] == method) & (kept["seed"] == "all")]["value"]
        panel.plot(mean, height, shape, color=inks[method], markersize=size, label=label(method), clip_on=False)


# The figures of this page, in the order of the gallery.
FIGURES = (front,)
