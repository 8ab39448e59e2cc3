"""Every figure of the book, from the results store alone, without torch.

`FIGURES` is the registry. A figure is about one row of Table 1 and comes with the data that it plots.
`python -m avss.figures RESULTS OUT` renders all of them for every row that has results, into a folder a row, and the
tables that pages include. The same results give the same bytes.
"""

import argparse
import io
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from avss import statistics, summaries
from avss.errors import InputError
from avss.files import write_whole
from avss.results import Store
from avss.summaries import (
    CLAIMED_RETENTION,
    FIRST_ROW,
    HEADINGS,
    METHODS,
    NAMES,
    PRINTED,
    agreement,
    current,
    label,
    layer_values,
    measured_rows,
    place,
    removals,
    summary,
)
from avss.tables import TABLES, percent, spell

# Colours are those of Okabe and Ito, which stay apart for colour-blind readers; C0 is the paper's, C1 the
# reference's, C2 the mini's.

WIDTH = 7.0
# Height of a line of text in a list of methods.
_LINE = 0.235
# A quantity that spans more than this is drawn on a logarithmic scale.
_DECADES = 50
_COLOURS = {PRINTED: "C0", "reference": "C1", "mini": "C2"}
_STYLE = {
    "axes.axisbelow": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 5.5,
    "pdf.fonttype": 42,
    "savefig.transparent": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "avss",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}
_INKS = {
    "light": ("#1f2328", "#8c959f", "#d0d7de", ["#57606a", "#0072b2", "#d55e00", "#009e73"]),
    "dark": ("#e6e6e6", "#8b949e", "#444c56", ["#b1bac4", "#56b4e9", "#e69f00", "#2fc79a"]),
}


def _style(theme: str) -> dict:
    ink, muted, faint, cycle = _INKS[theme]
    inks = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), ink)
    inks |= dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), muted)
    return _STYLE | inks | {"grid.color": faint, "axes.prop_cycle": mpl.cycler(color=cycle)}


def _colour(source: str) -> str:
    return _COLOURS.get(source, "C3")


def _spread(heights: list[float], gap: float) -> list[float]:
    """The heights, moved apart upwards where two are nearer than `gap`."""
    order, placed = np.argsort(heights, kind="stable"), list(heights)
    for lower, upper in pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    return placed


def variance_by_block(store: Store, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Eq. 1 of every block by reading, one panel a profile: mean over the seeds, bars from the lowest to highest."""
    data = layer_values(store, "variance", row)
    profiles = data["profile"].unique()
    figure = Figure(figsize=(WIDTH, 2.6))
    panels = figure.subplots(1, len(profiles), squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        part = data[data["profile"] == profile]
        depth, top, bottom = part["layer"].max() + 1, part["high"].max(), part["low"].min()
        wide = 0 < bottom * _DECADES < top
        span = (bottom / (top / bottom) ** 0.05, top * (top / bottom) ** 0.05) if wide else (0, top * 1.12)
        panel.set_yscale("log" if wide else "linear")
        panel.set(title=profile, xlabel="block", ylim=span)
        to_axes = panel.transScale.transform
        (_, floor), (_, ceiling) = to_axes([(0, span[0]), (0, span[1])])
        ends = part[part["layer"] == depth - 1]
        places = [(to_axes((0, value))[1] - floor) / (ceiling - floor) for value in ends["mean"]]
        for (reading, lines), height in zip(part.groupby("reading", sort=False), _spread(places, 0.085), strict=True):
            first = reading == ends["reading"].iloc[0]
            panel.errorbar(
                lines["layer"],
                lines["mean"],
                [lines["mean"] - lines["low"], lines["high"] - lines["mean"]],
                color=_colour(profile),
                marker="o" if first else "s",
                markersize=5.5 if depth <= 12 else 3,
                markerfacecolor=_colour(profile) if first else "none",
                linestyle="-" if first else (0, (3, 2)),
                elinewidth=1,
            )
            panel.text(depth * 1.02 - 0.75, height, reading, va="center", transform=panel.get_xaxis_transform())
        panel.set_xlim(-0.35, depth - 1 + 0.22 * depth * len(profiles))
        _block_ticks(panel, depth)
        panel.spines["bottom"].set_bounds(0, depth - 1)
        panel.yaxis.grid(True, linewidth=0.6)
    panels[0].set_ylabel("variance (Eq. 1)")
    return figure, data


def _block_ticks(panel, depth: int) -> None:
    panel.set_xticks(range(0, depth, max(1, depth // 8)))


def retention(store: Store, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Share of the original score that is left after removal, by method: the paper's numbers, then each profile's."""
    data = summary(store, row).query("method != 'original'").reset_index(drop=True)
    data.insert(1, "name", [label(line.method, line.reading) for line in data.itertuples()])
    observed = current(store, row)
    sources, names = data["source"].unique(), _methods(data)
    figure = Figure(figsize=(WIDTH, 0.95 + _LINE * len(names)))
    panels = figure.subplots(1, len(sources), sharex=True, sharey=True, squeeze=False)[0]
    for panel, source in zip(panels, sources, strict=True):
        part, colour = data[data["source"] == source], _colour(source)
        for line in part.itertuples():
            height = names.index(line.name)
            panel.plot([line.retention_low, line.retention_high], [height] * 2, color=colour, linewidth=1.6)
            panel.plot(line.retention, height, "o", color=colour)
            same = observed[["profile", "method", "reading"]].eq([source, line.method, line.reading]).all(axis=1)
            kept = {summaries.retention(s.metric, s.value, s.original) for s in observed[same].itertuples()}
            if len(kept) > 1:
                panel.plot(sorted(kept), [height] * len(kept), "|", color=colour, markersize=7)
            panel.text(1.02, height, spell(line.retention), transform=panel.get_yaxis_transform(), va="center_baseline")
        _list_methods(panel, names, HEADINGS.get(source, source))
        for share, dashes in ((1, "-"), (CLAIMED_RETENTION, (0, (4, 3)))):
            panel.axvline(share, color=mpl.rcParams["ytick.color"], linewidth=0.9, linestyle=dashes, zorder=0)
        panel.spines["left"].set_visible(False)
    metric = NAMES.get(data["metric"].iloc[0], data["metric"].iloc[0])
    share = f"share of the original {metric} that is kept"
    if not statistics.HIGHER_IS_BETTER[data["metric"].iloc[0]]:
        share = f"retention: original {metric} / {metric} after removal"
    lines = f"(lines: the original, and {percent(CLAIMED_RETENTION)} of it)"
    figure.supxlabel(f"{share} {lines}", fontsize=mpl.rcParams["axes.labelsize"])
    return figure, data


def _methods(data: pd.DataFrame) -> list[str]:
    """The names of all methods in the order of the tables, whichever sources have them."""
    order = data.drop_duplicates("name").sort_values(["method", "reading"], key=_rank, kind="stable")
    return list(order["name"])


def _rank(column: pd.Series) -> pd.Series:
    return column.map(lambda value: place(value, METHODS) if column.name == "method" else (value != "paper", value))


def _list_methods(panel, names: list[str], title: str) -> None:
    panel.set(title=title, ylim=(len(names) - 0.5, -0.5))
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(axis="y", length=0)


def removed_layers(store: Store, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Which blocks each method removed: the height of a bar is the share of the seeds that removed the block."""
    data = removals(store, row)
    data.insert(1, "name", [label(line.method, line.reading) for line in data.itertuples()])
    profiles, names = data["profile"].unique(), _methods(data)
    figure = Figure(figsize=(WIDTH, 0.85 + _LINE * len(names)))
    panels = figure.subplots(1, len(profiles), sharey=True, squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        part = data[data["profile"] == profile]
        depth = int(part["layers"].max())
        seeds = part.groupby("name")["seed"].nunique()
        times = part.groupby(["name", "layer"]).size().reset_index(name="times")
        share = 0.84 * times["times"] / times["name"].map(seeds)
        heights = times["name"].map(names.index)
        shown = [names.index(name) for name in seeds.index]
        panel.barh(shown, depth, left=-0.5, height=0.84, color=mpl.rcParams["grid.color"], alpha=0.35)
        panel.bar(times["layer"], -share, bottom=heights + 0.42, width=0.86, color=_colour(profile))
        _list_methods(panel, names, profile)
        panel.set(xlabel="block", xlim=(-0.5, depth - 0.5))
        _block_ticks(panel, depth)
        panel.spines[["left", "bottom"]].set_visible(False)
    return figure, data


def rank_agreement(store: Store, row: str = FIRST_ROW) -> tuple[Figure, pd.DataFrame]:
    """Kendall's tau of every two methods, and on the diagonal that of a method's own seeds; one panel a profile."""
    data = agreement(store, row)
    parts = dict(iter(data.groupby("source", sort=False)))
    sizes = [part[["method", "reading"]].drop_duplicates().shape[0] for part in parts.values()]
    figure = Figure(figsize=(WIDTH, sum(1.35 + _LINE * size for size in sizes)))
    panels = figure.subplots(len(parts), 1, squeeze=False, height_ratios=sizes)[:, 0]
    for panel, (profile, part) in zip(panels, parts.items(), strict=True):
        lines = [label(line.other, line.other_reading) for line in part.itertuples()]
        columns = [label(line.method, line.reading) for line in part.itertuples()]
        names = list(dict.fromkeys(columns))
        matrix = part.assign(line=lines, column=columns).pivot(index="line", columns="column", values="tau")
        seaborn.heatmap(
            # Without the sign of what rounds to 0.
            matrix.reindex(index=names, columns=names).round(2) + 0.0,
            ax=panel,
            vmin=-1,
            vmax=1,
            cmap="PuOr_r",
            cbar=False,
            annot=True,
            fmt=".2f",
            annot_kws={"fontsize": 7},
            linewidths=0.5,
            linecolor="none",
        )
        panel.set(title=profile, xlabel="", ylabel="")
        panel.tick_params(length=0)
        panel.tick_params(axis="x", rotation=40)
        for text in panel.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    return figure, data


FIGURES = {function.__name__: function for function in (variance_by_block, retention, removed_layers, rank_agreement)}


def _bytes(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None})
    return file.getvalue()


def svg(name: str, store: Store, row: str = FIRST_ROW, theme: str = "light") -> bytes:
    """The figure of this name about a row as an SVG file, `light` or `dark`."""
    with mpl.rc_context(_style(theme)):
        return _bytes(FIGURES[name](store, row)[0], "svg")


def render(store: Store, out: Path, parts: list[str] | None = None) -> list[Path]:
    """Write figures (light and dark SVG, PDF, CSV of its data) to `out/<row>/<figure>-<row>.*`, tables (Markdown) to
    `out/`.

    parts: ids of rows, or `tables` (None: every row that has results, and the tables). Raises `InputError` for a row
    without results.
    """
    files: dict[str, str | bytes] = {}
    for row in [*measured_rows(store), "tables"] if parts is None else parts:
        if row == "tables":
            files |= {f"{name}.md": table(store) for name, table in TABLES.items()}
            continue
        for name, draw in FIGURES.items():
            stem = f"{row}/{name}-{row}"
            with mpl.rc_context(_style("light")):
                figure, data = draw(store, row)
                files[f"{stem}.light.svg"], files[f"{stem}.pdf"] = _bytes(figure, "svg"), _bytes(figure, "pdf")
            files[f"{stem}.dark.svg"] = svg(name, store, row, "dark")
            files[f"{stem}.csv"] = data.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, content)
    return [out / name for name in files]


def main(arguments: list[str] | None = None) -> int:
    """Render everything, or some parts; 0 on success, 2 where results are missing."""
    parser = argparse.ArgumentParser(prog="python -m avss.figures", description="Figures and tables from results.")
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("out", type=Path, help="folder for the figures, created where it is missing")
    parser.add_argument("part", nargs="*", help="a row, or `tables` (default: every row with results, and the tables)")
    parsed = parser.parse_args(arguments)
    try:
        files = render(Store(parsed.results), parsed.out, parsed.part or None)
    except InputError as error:
        print(f"avss.figures: error: {error}", file=sys.stderr)
        return 2
    print(f"{parsed.out}: {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
