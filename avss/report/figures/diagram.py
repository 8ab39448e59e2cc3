"""A diagram of a transformer block on its residual stream: the sites of a reading, and where Eqs. 1 and 4 are taken."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from avss.report.snapshot import Results

_STREAM, _BRANCHES = 0.0, 1.15
# Of each site: what it is, its point, and the place of its name.
SITES = {
    "attention_output": ("what the attention branch adds", (2.85, _BRANCHES), (2.75, 1.95)),
    "mlp_hidden": ("the hidden activation of the feed-forward branch", (5.42, _BRANCHES), (5.2, 1.95)),
    "mlp_output": ("what the feed-forward branch adds", (6.95, _BRANCHES), (7.05, 1.95)),
    "block_output": ("the hidden state behind the block", (8.25, _STREAM), (8.4, -1.3)),
    "block_update": ("output less input, u = h(i) - h(i-1)", None, (4.1, -1.3)),
}


def residual_stream(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Block i between its input and its output, with its two branches and the five sites. It shows no result."""
    ink = mpl.rcParams["text.color"]
    _, blue, orange, *_ = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    # Small, so that its letters stay legible on a phone.
    figure = Figure(figsize=(5.9, 2.45))
    panel = figure.subplots()
    panel.set(xlim=(-0.5, 10.4), ylim=(-1.6, 2.85), aspect="equal")
    panel.axis("off")
    _block(panel, ink)
    panel.annotate("", (7.6, -0.95), (0.6, -0.95), arrowprops={"arrowstyle": "<|-|>", "color": blue})
    for site, (_, point, (x, y)) in SITES.items():
        own, name = (orange if site == "block_output" else blue), site
        if point is None:
            name = f"{site}:  $u_i = h_i - h_{{i-1}}$"
        else:
            panel.plot(*point, "o", color=own, markersize=5.5, zorder=5)
            gap = 0.15 if y > point[1] else -0.2
            _arrow(panel, (x, y - gap), (point[0], point[1] + gap), own, 0.8, "-")
        panel.text(x, y, name, ha="center", va="center", fontsize=7.5, color=own)
    taken = "Eqs. 1 and 4 are\ntaken here: $\\sigma^2$ and $S$\nof the values of $h_i$"
    panel.text(8.05, 1.75, taken, fontsize=7.5, color=orange, va="center")
    _arrow(panel, (8.7, 1.2), (8.28, 0.12), orange, 0.9)
    lines = [(site, what) for site, (what, *_) in SITES.items()]
    return figure, pd.DataFrame(lines, columns=["site", "what"])


def _arrow(panel, start, end, colour: str, width: float = 1.2, style: str = "-|>") -> None:
    arrow = FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=8, color=colour, linewidth=width)
    panel.add_patch(arrow)


def _box(panel, left: float, low: float, width: float, height: float, colour: str, **style) -> None:
    shape = "round,pad=0.02,rounding_size=0.12"
    panel.add_patch(FancyBboxPatch((left, low), width, height, boxstyle=shape, fill=False, edgecolor=colour, **style))


def _block(panel, ink: str) -> None:
    """The stream, which each of the two branches reads and adds to, and a frame round the block."""
    _box(panel, 0.55, -0.5, 7.1, 2.95, mpl.rcParams["ytick.color"], linewidth=0.9, linestyle=(0, (4, 3)))
    panel.text(0.6, 2.57, "block $L_i$; without it only the line is left", fontsize=7.5, color=ink, va="bottom")
    _arrow(panel, (-0.4, _STREAM), (10.1, _STREAM), ink, 2)
    for left, width, name in ((1.1, 1.5, "attention"), (4.05, 1.0, "expand"), (5.72, 1.0, "contract")):
        _box(panel, left, _BRANCHES - 0.4, width, 0.8, ink, linewidth=1.2)
        panel.text(left + width / 2, _BRANCHES, name, ha="center", va="center", fontsize=7.5)
    for enter, start in ((0.85, 1.1), (3.8, 4.05)):
        _arrow(panel, (enter, _STREAM), (enter, _BRANCHES), ink, style="-")
        _arrow(panel, (enter, _BRANCHES), (start, _BRANCHES), ink)
    _arrow(panel, (5.05, _BRANCHES), (5.74, _BRANCHES), ink)
    disc = {"boxstyle": "circle,pad=0.12", "facecolor": "none", "edgecolor": ink, "linewidth": 1.1}
    for end, leave in ((2.6, 3.25), (6.72, 7.3)):
        _arrow(panel, (end, _BRANCHES), (leave, _BRANCHES), ink, style="-")
        _arrow(panel, (leave, _BRANCHES), (leave, _STREAM + 0.2), ink)
        panel.text(leave, _STREAM, "+", ha="center", va="center", fontsize=9, color=ink, bbox=disc)
    panel.text(-0.4, 0.17, "$h_{i-1}$", fontsize=9)
    panel.text(9.75, 0.17, "$h_i$", fontsize=9)


# The figures of this page, in the order of the gallery.
FIGURES = (residual_stream,)
