"""Every figure of the book, from the results alone, without torch: one module a page, as in `tables`.

`ROW_FIGURES` are about one row of results, `BOOK_FIGURES` about all that is stored. A figure comes with the data that
it plots.
"""

import io
import re
from collections.abc import Callable

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from avss.report.comparisons import FIRST_ROW
from avss.report.figures import (
    against_random,
    cost,
    curves,
    diagram,
    equations,
    front,
    hallucination,
    losses,
    massive,
    pareto,
    readings,
    recovery,
    rows,
    speed,
    table_1,
)
from avss.report.figures.font import WHOLE
from avss.report.figures.style import style
from avss.report.snapshot import Results

ROW_FIGURES: dict[str, Callable[[Results, str], tuple[Figure, pd.DataFrame]]] = {
    function.__name__: function for function in (*rows.FIGURES, *curves.FIGURES, *recovery.FIGURES, *losses.ROW_FIGURES)
}
BOOK_FIGURES: dict[str, Callable[[Results], tuple[Figure, pd.DataFrame]]] = {
    function.__name__: function
    for page in (
        front,
        diagram,
        against_random,
        losses,
        equations,
        readings,
        massive,
        hallucination,
        table_1,
        cost,
        pareto,
        speed,
    )
    for function in page.FIGURES
}


# Where an SVG file has coordinates, in points, and numbers with more than two decimals.
_PLACES = re.compile(rb' d="[^"]*"| (?:x|y|width|height)="[^"]*"|translate\([^)]*\)')
_LONG = re.compile(rb"-?\d+\.\d{3,}")
# The steps of a path need no space around them.
_PATH, _STEP = re.compile(rb'(?<= d=")[^"]*'), re.compile(rb"\s*([A-Za-z])\s*")
_STYLE, _GAP = re.compile(rb'(?<= style=")[^"]*'), re.compile(rb"(?<=[:;]) ")
# Nothing refers to a group.
_GROUP = re.compile(rb'(?<=<g) id="[^"]*"')
# The shape of a letter, by the name of its font and its place in it.
_LETTER = re.compile(rb'<path id="([^"]+-)[0-9a-f]+"')
# Where a letter of a line of text stands.
_ALONG = re.compile(rb'(<use [^>]*") transform="translate\((-?[0-9.]+) 0\)"(?=/>)')


def drawn(
    name: str, results: Results, row: str, theme: str, family: str | list[str] = WHOLE
) -> tuple[Figure, pd.DataFrame]:
    """The figure of this name (about a row, where it is about one), and the data that it plots."""
    with mpl.rc_context(style(theme) | {"font.family": family}):
        return BOOK_FIGURES[name](results) if name in BOOK_FIGURES else ROW_FIGURES[name](results, row)


def as_file(figure: Figure, kind: str, theme: str) -> bytes:
    """The figure as an `svg` or `pdf` file, the same bytes every time."""
    file = io.BytesIO()
    with mpl.rc_context(style(theme)):
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None})
    return _short(file.getvalue()) if kind == "svg" else file.getvalue()


def _short(svg: bytes) -> bytes:
    """The same picture in 30 % fewer bytes: coordinates to a hundredth of a point, no needless space or name."""
    rounded = _PLACES.sub(lambda place: _LONG.sub(lambda number: b"%g" % round(float(number[0]), 2), place[0]), svg)
    short = _PATH.sub(lambda path: _STEP.sub(rb"\1", path[0].strip()), rounded)
    short = _GROUP.sub(b"", _STYLE.sub(lambda style: _GAP.sub(b"", style[0]), short))
    short = _ALONG.sub(rb'\1 x="\2"', short)
    # The longest first, as the name of a font may begin like another's.
    for number, font in enumerate(sorted(set(_LETTER.findall(short)), key=lambda name: (-len(name), name))):
        short = short.replace(b'id="' + font, b'id="f%d-' % number).replace(b'"#' + font, b'"#f%d-' % number)
    return re.sub(rb"\n +(?=<)", b"\n", short)


def svg(name: str, results: Results, row: str = FIRST_ROW, theme: str = "light") -> bytes:
    """The figure of this name (about a row, where it is about one) as an SVG file, `light` or `dark`."""
    return as_file(drawn(name, results, row, theme)[0], "svg", theme)
