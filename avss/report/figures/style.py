"""How all figures of the book look: sizes that fit its page, and colours for light and dark pages."""

import re
import textwrap
from collections.abc import Callable

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from avss.report.markdown import NOT_MEASURED
from avss.report.table1 import CLAIMED_RETENTION, PRINTED

WIDTH = 7.0
# Of the lines in a panel: the first is filled and solid, the others hollow and broken.
LOOKS = (
    {"marker": "o", "linestyle": "-"},
    {"marker": "s", "linestyle": (0, (3, 2)), "markerfacecolor": "none"},
    {"marker": "^", "linestyle": (0, (1, 1.5)), "markerfacecolor": "none"},
    {"marker": "D", "linestyle": (0, (5, 1, 1, 1)), "markerfacecolor": "none"},
    {"marker": "v", "linestyle": (0, (5, 3)), "markerfacecolor": "none"},
)
# Colours are those of Okabe and Ito, which stay apart for colour-blind readers; C0 is the paper's, C1 the
# reference's, C2 the mini's.
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


def style(theme: str) -> dict:
    """Matplotlib's settings for pages in `light` or `dark` mode; each is drawn for its own background."""
    ink, muted, faint, cycle = _INKS[theme]
    inks = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), ink)
    inks |= dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), muted)
    return _STYLE | inks | {"grid.color": faint, "axes.prop_cycle": mpl.cycler(color=cycle)}


def darkened(svg: bytes) -> bytes:
    """The file of a figure for light pages, for dark ones: each colour of the one style gives way to the other's."""
    light, dark = ([*map(str.encode, (*inks, *cycle))] for *inks, cycle in (_INKS["light"], _INKS["dark"]))
    partner = dict(zip(light, dark, strict=True))
    return re.sub(b"|".join(light), lambda found: partner[found[0]], svg)


def colour(source: str) -> str:
    """The colour of the paper's numbers or of those of a profile."""
    return _COLOURS.get(source, "C3")


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most so many letters, for titles and labels that would be cut.

    A longer word is broken behind its hyphens alone, as in the name of a model.
    """
    lines = []
    for line in textwrap.wrap(text, width, break_long_words=False):
        while len(line) > width and "-" in line[:width]:
            end = line.rindex("-", 0, width) + 1
            lines.append(line[:end])
            line = line[end:]
        lines.append(line)
    return "\n".join(lines)


def entitled(figure: Figure, finding: str, letters: int = 78, size: float = 10) -> None:
    """Give a figure its finding as title, at the left, in as many lines as it needs.

    letters: how many fit into a line of this size, in points; as given those of a figure of the width `WIDTH`.
    """
    figure.suptitle(wrapped(finding, letters), x=0.01, ha="left", fontsize=size, fontweight="bold")


def whole_and_claimed(draw: Callable, **look) -> None:
    """Lines at the whole model and at the share of it that the paper claims. draw: a panel's `axvline` or `axhline`."""
    for share, dashes in ((1, "-"), (CLAIMED_RETENTION, (0, (4, 3)))):
        draw(share, color=mpl.rcParams["ytick.color"], linestyle=dashes, **look)


def list_rows(panel, rows: pd.DataFrame) -> None:
    """One line a row of results from top to bottom, named after what ran in the colour of its profile."""
    panel.set_yticks(range(len(rows)), rows["ran"], fontsize=7.5)
    for tick, source in zip(panel.get_yticklabels(), rows["source"], strict=True):
        tick.set_color(colour(source))
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.set_ylim(len(rows) - 0.5, -0.5)


def block_ticks(panel, blocks: int) -> None:
    """About eight ticks, on the numbers of blocks."""
    panel.set_xticks(range(0, blocks, max(1, blocks // 8)))


def nothing_measured(data: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """A figure that says that nothing is measured, and the empty data."""
    figure = Figure(figsize=(WIDTH, 0.6))
    figure.text(0.5, 0.5, NOT_MEASURED, ha="center", va="center")
    return figure, data
