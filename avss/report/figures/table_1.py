"""Table 1 as a figure: what the paper printed beside what was measured."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from avss.report.cases import row_name
from avss.report.comparisons import label
from avss.report.figures.style import WIDTH, colour
from avss.report.markdown import NOT_MEASURED, percent
from avss.report.snapshot import Results
from avss.report.sources import scores
from avss.report.table1 import CLAIMED_RETENTION, HEADINGS, printed_table

# A shape for each method, in the order in which they stand in a row; AVSS alone is filled.
_SHAPES = {"gbis": "^", "lrp": "s", "cim": "D", "avss": "o", "random": "x"}
# Height of a row in inches, and the share of it that its methods take.
_ROW, _SPREAD = 0.44, 0.64


def table_1(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Share of the original score that each method keeps in each row, one panel for the paper and each profile."""
    data = scores(results)
    data = data[data["method"].isin(_SHAPES)].reset_index(drop=True)
    rows = printed_table()
    data.insert(1, "name", [row_name(rows.loc[line]) for line in data["line"]])
    sources = data["source"].unique()
    figure = Figure(figsize=(WIDTH, 1.1 + _ROW * len(rows)))
    panels = figure.subplots(1, len(sources), sharex=True, sharey=True, squeeze=False)[0]
    for panel, source in zip(panels, sources, strict=True):
        part = data[data["source"] == source]
        _points(panel, part, colour(source))
        _rows(panel, rows, set(part["line"]))
        panel.set_title(HEADINGS.get(source, source))
    panels[0].set_yticks(rows.index, [row_name(line) for _, line in rows.iterrows()])
    ink = mpl.rcParams["text.color"]
    keys = [Line2D([], [], color=ink, linestyle="none", label=label(name), **_marker(name)) for name in _SHAPES]
    figure.legend(handles=keys, loc="outside upper right", ncols=len(keys), frameon=False, handletextpad=0.2)
    lines = f"(lines: the original, and {percent(CLAIMED_RETENTION)} of it)"
    figure.supxlabel(f"retention {lines}", fontsize=mpl.rcParams["axes.labelsize"])
    return figure, data


def _marker(method: str) -> dict:
    return {"marker": _SHAPES[method], "markersize": 4, "fillstyle": "full" if method == "avss" else "none"}


def _points(panel, part: pd.DataFrame, ink: str) -> None:
    """Each method at a height of its own within the row, with its interval."""
    methods = list(_SHAPES)
    for line in part.itertuples():
        height = line.line + _SPREAD * (methods.index(line.method) / (len(methods) - 1) - 0.5)
        panel.plot([line.retention_low, line.retention_high], [height] * 2, color=ink, linewidth=0.9)
        panel.plot(line.retention, height, color=ink, **_marker(line.method))


def _rows(panel, rows: pd.DataFrame, measured: set[int]) -> None:
    """The frame of the rows: bands that tell them apart, a line between the tasks, and which are not measured."""
    muted = mpl.rcParams["ytick.color"]
    for number, line in rows.iterrows():
        if number % 2:
            panel.axhspan(number - 0.5, number + 0.5, color=mpl.rcParams["grid.color"], alpha=0.35, linewidth=0)
        if number and line["task"] != rows.loc[number - 1, "task"]:
            panel.axhline(number - 0.5, color=muted, linewidth=0.9)
        if number not in measured:
            panel.text(0.5, number, NOT_MEASURED, transform=panel.get_yaxis_transform(), ha="center", va="center")
            continue
        for share, dashes in ((1, "-"), (CLAIMED_RETENTION, (0, (4, 3)))):
            panel.vlines(share, number - 0.5, number + 0.5, color=muted, linewidth=0.9, linestyle=dashes, zorder=0.6)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


# The figures of this page, in the order of the gallery.
FIGURES = (table_1,)
