"""Every figure of the book, from the results store alone, without torch.

`FIGURES` is the registry; `python -m avss.figures RESULTS OUT` renders all of them, and the tables that pages include.
A figure comes with the data that it plots. The same results give the same bytes.
"""

import argparse
import io
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avss import statistics
from avss.errors import InputError
from avss.files import write_whole
from avss.results import Store
from avss.summaries import CLAIMED_RETENTION, HEADINGS, PRINTED, current, label, layer_values, removals, summary
from avss.tables import TABLES, percent

# Colours are those of Okabe and Ito, which stay apart for colour-blind readers; C0 is the paper's, C1 the
# reference's, C2 the mini's.

WIDTH = 6.3
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


def variance_by_block(store: Store) -> tuple[Figure, pd.DataFrame]:
    """Eq. 1 of every block by reading, one panel a profile: mean over the seeds, bars from the lowest to highest."""
    data = layer_values(store, "variance")
    profiles = data["profile"].unique()
    figure = Figure(figsize=(WIDTH, 2.5))
    panels = figure.subplots(1, len(profiles), squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        part = data[data["profile"] == profile]
        top, depth = part["high"].max() * 1.12, part["layer"].max() + 1
        ends = part[part["layer"] == depth - 1]
        heights = _spread(list(ends["mean"]), 0.085 * top)
        for (reading, lines), height in zip(part.groupby("reading", sort=False), heights, strict=True):
            first = reading == ends["reading"].iloc[0]
            panel.errorbar(
                lines["layer"],
                lines["mean"],
                [lines["mean"] - lines["low"], lines["high"] - lines["mean"]],
                color=_colour(profile),
                marker="o" if first else "s",
                markerfacecolor=_colour(profile) if first else "none",
                linestyle="-" if first else (0, (3, 2)),
                elinewidth=1,
            )
            panel.text(depth - 0.75, height, reading, va="center")
        panel.set(title=profile, xlabel="block", ylim=(0, top), xlim=(-0.35, depth - 1 + 0.22 * depth * len(profiles)))
        panel.set_xticks(range(0, depth, max(1, depth // 8)))
        panel.spines["bottom"].set_bounds(0, depth - 1)
        panel.yaxis.grid(True, linewidth=0.6)
    panels[0].set_ylabel("variance (Eq. 1)")
    return figure, data


def first_row(store: Store) -> tuple[Figure, pd.DataFrame]:
    """Share of the original score that is left after removal, by method: the paper's numbers, then each profile's."""
    data = summary(store).query("method != 'original'").reset_index(drop=True)
    observed = current(store)
    sources = data["source"].unique()
    counts = [int((data["source"] == source).sum()) for source in sources]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * len(sources) + 0.235 * sum(counts)))
    panels = figure.subplots(len(sources), 1, sharex=True, squeeze=False, height_ratios=counts)[:, 0]
    for panel, source in zip(panels, sources, strict=True):
        part, colour = data[data["source"] == source], _colour(source)
        for place, line in enumerate(part.itertuples()):
            panel.plot([line.retention_low, line.retention_high], [place] * 2, color=colour, linewidth=1.6)
            panel.plot(line.retention, place, "o", color=colour)
            same = observed[["profile", "method", "reading"]].eq([source, line.method, line.reading]).all(axis=1)
            kept = {statistics.retention(s.metric, s.value, s.original) for s in observed[same].itertuples()}
            if len(kept) > 1:
                panel.plot(sorted(kept), [place] * len(kept), "|", color=colour, markersize=8)
            beside = panel.get_yaxis_transform()
            panel.text(1.015, place, f"{line.retention:.3f}", transform=beside, va="center_baseline")
        panel.set_yticks(range(len(part)), [label(line.method, line.reading) for line in part.itertuples()])
        panel.set(title=HEADINGS.get(source, source), ylim=(len(part) - 0.5, -0.5))
        panel.tick_params(axis="y", length=0)
        for share, dashes in ((1, "-"), (CLAIMED_RETENTION, (0, (4, 3)))):
            panel.axvline(share, color=mpl.rcParams["ytick.color"], linewidth=0.9, linestyle=dashes, zorder=0)
        panel.spines["left"].set_visible(False)
        if panel is not panels[-1]:
            panel.spines["bottom"].set_visible(False)
            panel.tick_params(axis="x", length=0)
    above = panels[0].get_xaxis_transform()
    for share, text in ((1, "original"), (CLAIMED_RETENTION, percent(CLAIMED_RETENTION))):
        panels[0].text(share, 1.03, text, transform=above, ha="center")
    panels[-1].set_xlabel(f"share of the original {data['metric'].iloc[0]} that is kept")
    return figure, data


def removed_layers(store: Store) -> tuple[Figure, pd.DataFrame]:
    """Which blocks each method removed, one square a seed."""
    data = removals(store)
    data.insert(1, "name", [label(line.method, line.reading) for line in data.itertuples()])
    profiles, names, seeds = data["profile"].unique(), list(data["name"].unique()), data["seed"].max() + 1
    figure = Figure(figsize=(WIDTH, 0.85 + 0.42 * len(names)))
    panels = figure.subplots(1, len(profiles), sharey=True, squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        part = data[data["profile"] == profile]
        depth = int(part["layers"].max())
        heights = part["name"].map(names.index) + (part["seed"] - (seeds - 1) / 2) * (0.72 / seeds)
        panel.barh(range(len(names)), depth, left=-0.5, height=0.84, color=mpl.rcParams["grid.color"], alpha=0.35)
        size = 20 * (6 / max(6, depth)) ** 0.5
        panel.scatter(part["layer"], heights, marker="s", s=size, color=_colour(profile), linewidths=0)
        panel.set(title=profile, xlabel="block", xlim=(-0.5, depth - 0.5), ylim=(len(names) - 0.5, -0.5))
        panel.set_xticks(range(0, depth, max(1, depth // 8)))
        panel.set_yticks(range(len(names)), names)
        panel.tick_params(axis="y", length=0)
        panel.spines[["left", "bottom"]].set_visible(False)
    return figure, data


FIGURES = {function.__name__: function for function in (variance_by_block, first_row, removed_layers)}


def _bytes(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None})
    return file.getvalue()


def svg(name: str, store: Store, theme: str = "light") -> bytes:
    """The figure of this name as an SVG file, `light` or `dark`."""
    with mpl.rc_context(_style(theme)):
        return _bytes(FIGURES[name](store)[0], "svg")


def render(store: Store, out: Path) -> list[Path]:
    """Write every figure (light and dark SVG, PDF, CSV of its data) and every table (Markdown) to `out`."""
    files: dict[str, str | bytes] = {}
    for name, draw in FIGURES.items():
        with mpl.rc_context(_style("light")):
            figure, data = draw(store)
            files[f"{name}.light.svg"], files[f"{name}.pdf"] = _bytes(figure, "svg"), _bytes(figure, "pdf")
        files[f"{name}.dark.svg"] = svg(name, store, "dark")
        files[f"{name}.csv"] = data.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    files |= {f"{name}.md": table(store) for name, table in TABLES.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(out / name, content)
    return [out / name for name in files]


def main(arguments: list[str] | None = None) -> int:
    """Render everything; 0 on success, 2 where results are missing."""
    parser = argparse.ArgumentParser(prog="python -m avss.figures", description="Figures and tables from results.")
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("out", type=Path, help="folder for the figures, created where it is missing")
    parsed = parser.parse_args(arguments)
    try:
        files = render(Store(parsed.results), parsed.out)
    except InputError as error:
        print(f"avss.figures: error: {error}", file=sys.stderr)
        return 2
    print(f"{parsed.out}: {len(files)} files of {len(FIGURES)} figures and {len(TABLES)} tables")
    return 0


if __name__ == "__main__":
    sys.exit(main())
