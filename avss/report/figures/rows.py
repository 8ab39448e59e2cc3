"""The figures about one row of Table 1."""

from itertools import cycle

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from avss import intervals
from avss.methods.catalogue import BASELINES
from avss.metrics import METRICS
from avss.report.block_scores import layer_values
from avss.report.comparisons import (
    FIRST_ROW,
    METHODS,
    NAMES,
    label,
    lowest_removals,
    over_random,
    reading_label,
    removals,
    sort_key,
    summary,
    weak_text,
)
from avss.report.figures import row_titles
from avss.report.figures.style import (
    LOOKS,
    WIDTH,
    block_ticks,
    colour,
    entitled,
    nothing_measured,
    whole_and_claimed,
    wrapped,
)
from avss.report.losses import taus_of_each
from avss.report.markdown import percent
from avss.report.snapshot import Results
from avss.report.table1 import CLAIMED_RETENTION, HEADINGS, PRINTED

# Height of a line of text in a list of methods.
_LINE = 0.205
# The paper's methods and the control, which every row has.
CARD = (*BASELINES, "avss", "random")
# A quantity that spans more than this is drawn on a logarithmic scale.
_DECADES = 50
# What the order of each method is compared with, by the marks for it.
_OTHERS = {
    "with depth": {"marker": "D", "markerfacecolor": "none"},
    "with the loss": {"marker": "o"},
    "among its seeds": {"marker": "|"},
}


def variance_by_block(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Eq. 1 of every block by reading, one panel a profile: mean over the seeds, bars from the lowest to highest."""
    data = layer_values(results, "variance", row)
    if data.empty:
        return nothing_measured(data)
    profiles = data["profile"].unique()
    ran = _ran(results, row, len(profiles))
    looks = dict(zip(data["reading"].unique(), cycle(LOOKS), strict=False))
    figure = Figure(figsize=(WIDTH, 3.25 + 0.15 * (len(looks) > 3)))
    panels = figure.subplots(1, len(profiles), squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        part = data[data["profile"] == profile]
        depth, top, bottom = part["layer"].max() + 1, part["high"].max(), part["low"].min()
        wide = 0 < bottom * _DECADES < top
        span = (bottom / (top / bottom) ** 0.05, top * (top / bottom) ** 0.05) if wide else (0, top * 1.12)
        panel.set_yscale("log" if wide else "linear")
        panel.set(title=ran[profile], xlabel="block", ylim=span)
        for reading, lines in part.groupby("reading", sort=False):
            panel.errorbar(
                lines["layer"],
                lines["mean"],
                [lines["mean"] - lines["low"], lines["high"] - lines["mean"]],
                color=colour(profile),
                markersize=5 if depth <= 12 else 2.5,
                elinewidth=1,
                **looks[reading],
            )
        panel.set_xlim(-0.5, depth - 0.5)
        block_ticks(panel, depth)
        panel.yaxis.grid(True, linewidth=0.6)
    panels[0].set_ylabel("variance (Eq. 1)")
    ink = mpl.rcParams["text.color"]
    keys = [Line2D([], [], color=ink, label=reading_label(reading), **look) for reading, look in looks.items()]
    figure.legend(handles=keys, loc="outside lower left", ncols=3, frameon=False)
    row_titles.entitled_on(
        figure, results, row, profiles, lambda source: row_titles.of_variance(data[data["profile"] == source])
    )
    return figure, data


def _ran(results: Results, row: str, panels: int) -> dict[str, str]:
    """The title of each source's panel, the model that ran and its profile, in lines that fit so many panels."""
    lines = summary(results, row).query("source != @PRINTED").drop_duplicates("source")
    return HEADINGS | {
        line.source: wrapped(f"{line.model} ({line.source})", 52 // panels) for line in lines.itertuples()
    }


def retention(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Share of the original score that is left after removal, by method: the paper's numbers, then each profile's."""
    data = summary(results, row).query("method != 'original'").reset_index(drop=True)
    if data.empty:
        return nothing_measured(data)
    data.insert(1, "name", [label(line.method, line.reading) for line in data.itertuples()])
    seeds = lowest_removals(results, row)
    sources, names = data["source"].unique(), _methods(data)
    ran = _ran(results, row, len(sources))
    figure = Figure(figsize=(WIDTH, 1.5 + _LINE * len(names)))
    panels = figure.subplots(1, len(sources), sharex=True, sharey=True, squeeze=False)[0]
    for panel, source in zip(panels, sources, strict=True):
        _points(panel, data[data["source"] == source], seeds, names)
        _list_methods(panel, names, ran[source])
    metric = NAMES.get(data["metric"].iloc[0], data["metric"].iloc[0])
    share = f"share of the original {metric} that is kept"
    if not METRICS[data["metric"].iloc[0]].higher_is_better:
        share = f"retention: original {metric} / {metric} after removal"
    lines = f"(lines: the original, and {percent(CLAIMED_RETENTION)} of it)"
    figure.supxlabel(f"{share} {lines}", fontsize=mpl.rcParams["axes.labelsize"])
    pairs = over_random(results, row)
    row_titles.entitled_on(
        figure,
        results,
        row,
        sources,
        lambda source: row_titles.beside_random(data[data["source"] == source], pairs[pairs["source"] == source]),
    )
    return figure, data


def _points(panel, part: pd.DataFrame, seeds: pd.DataFrame, names: list[str]) -> None:
    """The retention of each method of one source, with its interval, and a tick for each value that a seed gave."""
    if part["too_weak"].any():
        weak = weak_text(part["metric"].iloc[0], part["original"].iloc[0])
        where = {"transform": panel.transAxes, "ha": "center", "va": "center"}
        panel.text(0.5, 0.5, wrapped(weak, 14), **where)
        part = part.iloc[:0]
    for line in part.itertuples():
        height, ink = names.index(line.name), colour(line.source)
        panel.plot([line.retention_low, line.retention_high], [height] * 2, color=ink, linewidth=1.6)
        panel.plot(line.retention, height, "o", color=ink)
        same = seeds[["profile", "method", "reading"]].eq([line.source, line.method, line.reading]).all(axis=1)
        shares = {intervals.retention(s.metric, s.value, s.original) for s in seeds[same].itertuples()}
        if len(shares) > 1:
            panel.plot(sorted(shares), [height] * len(shares), "|", color=ink, markersize=7)
        kept = row_titles.share_of_score(line.retention, "<")
        panel.text(1.02, height, kept, transform=panel.get_yaxis_transform(), va="center_baseline")
    whole_and_claimed(panel.axvline, linewidth=0.9, zorder=0)
    panel.spines["left"].set_visible(False)


def _methods(data: pd.DataFrame) -> list[str]:
    """The names of all methods in the order of the tables, whichever sources have them."""
    order = data.drop_duplicates("name").sort_values(["method", "reading"], key=_rank, kind="stable")
    return list(order["name"])


def _rank(column: pd.Series) -> pd.Series:
    return column.map(lambda value: sort_key(value, METHODS) if column.name == "method" else (value != "paper", value))


def _list_methods(panel, names: list[str], title: str) -> None:
    panel.set(title=title, ylim=(len(names) - 0.5, -0.5))
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(axis="y", length=0)


def removed_layers(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Which blocks each method removed: the height of a bar is the share of the seeds that removed the block."""
    data = removals(results, row)
    if data.empty:
        return nothing_measured(data)
    data.insert(1, "name", [label(line.method, line.reading) for line in data.itertuples()])
    profiles, names = data["profile"].unique(), _methods(data)
    ran = _ran(results, row, len(profiles))
    figure = Figure(figsize=(WIDTH, 1.4 + _LINE * len(names)))
    panels = figure.subplots(1, len(profiles), sharey=True, squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        _strips(panel, data[data["profile"] == profile], names)
        _list_methods(panel, names, ran[profile])
    row_titles.entitled_on(
        figure, results, row, profiles, lambda source: row_titles.of_removals(data[data["profile"] == source])
    )
    return figure, data


def _strips(panel, part: pd.DataFrame, names: list[str]) -> None:
    """A strip of blocks for each method of one profile, filled as high as the share of its seeds that removed it."""
    depth, ink = int(part["layers"].max()), colour(part["profile"].iloc[0])
    seeds = part.groupby("name")["seed"].nunique()
    times = part.groupby(["name", "layer"]).size().reset_index(name="times")
    heights, shown = times["name"].map(names.index), [names.index(name) for name in seeds.index]
    panel.barh(shown, depth, left=-0.5, height=0.84, color=mpl.rcParams["grid.color"], alpha=0.35)
    share = 0.84 * times["times"] / times["name"].map(seeds)
    panel.bar(times["layer"], -share, bottom=heights + 0.42, width=0.86, color=ink)
    panel.set(xlabel="block", xlim=(-0.5, depth - 0.5))
    block_ticks(panel, depth)
    panel.spines[["left", "bottom"]].set_visible(False)


def card(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """The paper's methods and a random choice at a glance: the blocks that they removed, and the retention.

    Of the profile that the row belongs to, and else of the first that measured its line: removals as in
    `removed_layers`, retention as in `retention`.
    """
    data = summary(results, row)
    data = data[(data["source"] != PRINTED) & data["method"].isin(CARD) & data["reading"].isin(["none", "paper"])]
    if set(data["method"]) <= {"original"}:
        return nothing_measured(data)
    source = row_titles.own_source(results, row, data["source"])
    data = data[data["source"] == source].reset_index(drop=True)
    data.insert(1, "name", [label(line.method) for line in data.itertuples()])
    gone = removals(results, row).merge(
        data[["source", "method", "reading", "name"]].rename(columns={"source": "profile"})
    )
    names = _methods(data)
    figure = Figure(figsize=(0.42 * WIDTH, 1.2 + _LINE * len(names)))
    strips, scores = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _strips(strips, gone, names)
    _list_methods(strips, names, "removed")
    depth = int(gone["layers"].max())
    strips.set_xticks([0, depth // 2, depth - 1])
    strips.set_xlabel(f"block, {data['source'].iloc[0]}")
    _points(scores, data, lowest_removals(results, row), names)
    _list_methods(scores, names, "kept")
    pairs = over_random(results, row)
    entitled(figure, row_titles.at_a_glance(data, pairs[pairs["source"] == source]), letters=36, size=8.5)
    return figure, data


def rank_agreement(results: Results, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Kendall's tau of each method with depth, with the loss without each block, and among its own seeds.

    Means over the seeds, or pairs of seeds; lines run from the lowest to the highest. One panel a profile.
    """
    data = taus_of_each(results, row)
    if data.empty:
        return nothing_measured(data)
    sources, names = data["source"].unique(), _methods(data)
    ran = _ran(results, row, len(sources))
    figure = Figure(figsize=(WIDTH, 1.6 + _LINE * len(names)))
    panels = figure.subplots(1, len(sources), sharex=True, sharey=True, squeeze=False)[0]
    for panel, source in zip(panels, sources, strict=True):
        for number, (other, look) in enumerate(_OTHERS.items()):
            part = data[(data["source"] == source) & (data["other"] == other)]
            heights = [names.index(name) + 0.25 * (number - 1) for name in part["name"]]
            panel.hlines(heights, part["low"], part["high"], color=colour(source), linewidth=0.8)
            panel.plot(part["tau"], heights, linestyle="", color=colour(source), markersize=4, **look)
        panel.axvline(0, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        panel.yaxis.grid(True, linewidth=0.4)
        panel.spines["left"].set_visible(False)
        panel.set(xlim=(-1.08, 1.08), xlabel="Kendall's τ")
        _list_methods(panel, names, ran[source])
    ink = mpl.rcParams["text.color"]
    keys = [
        Line2D([], [], color=ink, linestyle="", markersize=4, label=other, **look) for other, look in _OTHERS.items()
    ]
    figure.legend(
        handles=keys,
        loc="outside lower left",
        ncols=len(keys),
        frameon=False,
        title="means; lines from the lowest to the highest seed",
        title_fontsize=mpl.rcParams["font.size"],
        alignment="left",
    )
    row_titles.entitled_on(
        figure, results, row, sources, lambda source: row_titles.of_taus(data[data["source"] == source])
    )
    return figure, data


# The figures of this page, in the order of the gallery.
FIGURES = (variance_by_block, retention, removed_layers, rank_agreement, card)
