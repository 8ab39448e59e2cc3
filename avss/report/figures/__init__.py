"""Every figure of the book, from the results store alone, without torch.

`ROW_FIGURES` are about one row of Table 1, `BOOK_FIGURES` about all that is stored. A figure comes with the data that
it plots. `python -m avss.report.figures RESULTS OUT` renders all of them, and the tables that pages include. The same
results give the same bytes.
"""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from avss.errors import InputError
from avss.files import write_whole
from avss.report import audit, benchmarks, coverage, tables
from avss.report.comparisons import FIRST_ROW, measured_rows
from avss.report.figures import speed
from avss.report.figures.cost import cost_of_methods, cost_of_pruning
from avss.report.figures.equations import cumulative_by_block, deviation_by_block, score_by_block, sparsity_by_block
from avss.report.figures.readings import sparsity_curves, varied_readings
from avss.report.figures.rows import card, rank_agreement, removed_layers, retention, variance_by_block
from avss.report.figures.style import style
from avss.report.figures.table_1 import table_1
from avss.store import Store

ROW_FIGURES = {
    function.__name__: function for function in (variance_by_block, retention, removed_layers, rank_agreement, card)
}
BOOK_FIGURES: dict[str, Callable[[Store], tuple[Figure, pd.DataFrame]]] = {
    function.__name__: function
    for function in (
        sparsity_by_block,
        deviation_by_block,
        score_by_block,
        cumulative_by_block,
        varied_readings,
        sparsity_curves,
        table_1,
        cost_of_pruning,
        cost_of_methods,
        speed.cost_of_scoring,
        speed.growth_of_scoring,
        speed.scoring_at_real_shapes,
        speed.shared_prefixes,
    )
}
TABLES = tables.TABLES | audit.TABLES | coverage.TABLES | benchmarks.TABLES | speed.TABLES


def _bytes(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None})
    return file.getvalue()


def _drawn(name: str, store: Store, row: str) -> tuple[Figure, pd.DataFrame]:
    return BOOK_FIGURES[name](store) if name in BOOK_FIGURES else ROW_FIGURES[name](store, row)


def svg(name: str, store: Store, row: str = FIRST_ROW, theme: str = "light") -> bytes:
    """The figure of this name (about a row, where it is about one) as an SVG file, `light` or `dark`."""
    with mpl.rc_context(style(theme)):
        return _bytes(_drawn(name, store, row)[0], "svg")


def render(store: Store, out: Path, parts: list[str] | None = None) -> list[Path]:
    """Write figures (light and dark SVG, PDF, CSV of its data) to `out/<row>/<figure>-<row>.*`, those that are about
    no row to `out/book/<figure>.*`, and tables (Markdown) to `out/`.

    parts: ids of rows, `book` or `tables` (None: every row that has results, and both). Raises `InputError` for a row
    without results.
    """
    files: dict[str, str | bytes] = {}
    for part in [*measured_rows(store), "book", "tables"] if parts is None else parts:
        if part == "tables":
            files |= {f"{name}.md": table(store) for name, table in TABLES.items()}
            continue
        for name in BOOK_FIGURES if part == "book" else ROW_FIGURES:
            stem = f"book/{name}" if part == "book" else f"{part}/{name}-{part}"
            with mpl.rc_context(style("light")):
                figure, data = _drawn(name, store, part)
                files[f"{stem}.light.svg"], files[f"{stem}.pdf"] = _bytes(figure, "svg"), _bytes(figure, "pdf")
            files[f"{stem}.dark.svg"] = svg(name, store, part, "dark")
            files[f"{stem}.csv"] = data.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    if parts is None or "book" in parts:
        # Also where there is nothing to draw.
        (out / "book").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, content)
    return [out / name for name in files]


def main(arguments: list[str] | None = None) -> int:
    """Render everything, or some parts; 0 on success, 2 where results are missing."""
    parser = argparse.ArgumentParser(
        prog="python -m avss.report.figures", description="Figures and tables from results."
    )
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("out", type=Path, help="folder for the figures, created where it is missing")
    parser.add_argument("part", nargs="*", help="a row, `book` or `tables` (default: every row with results, and both)")
    parsed = parser.parse_args(arguments)
    try:
        files = render(Store(parsed.results), parsed.out, parsed.part or None)
    except InputError as error:
        print(f"avss.report.figures: error: {error}", file=sys.stderr)
        return 2
    print(f"{parsed.out}: {len(files)} files")
    return 0
