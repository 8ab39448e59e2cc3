"""Write every figure and table of the book to files, from the results alone. The same results give the same bytes."""

from pathlib import Path

from avss.files import write_whole
from avss.report.figures import BOOK_FIGURES, ROW_FIGURES, as_file, drawn
from avss.report.figures.font import families
from avss.report.figures.style import darkened
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows
from avss.report.tables import TABLES


def render(results: Results, out: Path, parts: list[str] | None = None) -> list[Path]:
    """Write figures (light and dark SVG, PDF, CSV of its data) to `out/<row>/<figure>-<row>.*`, those that are about
    no row to `out/book/<figure>.*`, and tables (Markdown) to `out/`.

    parts: ids of rows, `book` or `tables` (None: every row that has results, and both). Raises `InputError` for a row
    without results.
    """
    files: dict[str, str | bytes] = {}
    for part in [*measured_rows(results), "book", "tables"] if parts is None else parts:
        if part == "tables":
            files |= {f"{name}.md": table(results) for name, table in TABLES.items()}
            continue
        for name in BOOK_FIGURES if part == "book" else ROW_FIGURES:
            stem = f"book/{name}" if part == "book" else f"{part}/{name}-{part}"
            figure, data = drawn(name, results, part, "light", families())
            light = as_file(figure, "svg", "light")
            # Laying the axes out again would take as long as the first time, and move them a little.
            figure.set_layout_engine("none")
            files |= {f"{stem}.light.svg": light, f"{stem}.pdf": as_file(figure, "pdf", "light")}
            # Not drawn once more: that takes a third of the time.
            files[f"{stem}.dark.svg"] = darkened(light)
            files[f"{stem}.csv"] = data.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    if parts is None or "book" in parts:
        # Also where there is nothing to draw.
        (out / "book").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, content)
    return [out / name for name in files]
