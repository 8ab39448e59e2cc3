"""CSV with commas or semicolons, and TSV, to rows of text: each cell as it is written, or an error that names the line.

The separator of CSV and the quotes of TSV follow from the file by exact rules. Where two rules give different rows, the
file is refused.
"""

import csv
import io
import re
import sys
from collections.abc import Callable

import pyarrow as pa

from avss.data.decoded import Unreadable, check_columns, text_of, without_nul

Rows = list[list[str]]


def read_csv(content: bytes) -> pa.Table:
    """The rows of CSV, whose first line names the columns.

    The separator is the comma or the semicolon that stands outside of quotes in the first line. Where both stand there,
    it is the one by which all lines have as many cells as the first. Raises `Unreadable` where both are, for tabs in
    place of them, and for lines of another number of cells.
    """
    text = without_nul(text_of(content))
    bare = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").partition("\n")[0])
    commas, semicolons = "," in bare, ";" in bare
    if not (commas or semicolons) and "\t" in bare:
        raise Unreadable("the first line has tabs and no comma; give it a name that ends in .tsv")
    if not semicolons:
        return _table(_parsed(content, ","))
    found, problems = {}, {}
    for separator in (";", ","):
        try:
            found[separator] = _parsed(content, separator)
        except Unreadable as error:
            problems[separator] = error
    if not found:
        raise problems["," if commas else ";"]
    if len(found) == 2 and commas:
        raise Unreadable("commas and semicolons both separate it into even rows; put quotes around cells with either")
    return _table(found.get(";") or found[","])


def read_tsv(content: bytes) -> pa.Table:
    """The rows of tab-separated values, whose first line names the columns.

    Some writers enclose cells in quotes and others never do. Quotes enclose cells if all cells have them. They also do
    if no other cell holds a quote and every enclosed cell needs them: for a doubled quote, or for a tab or a line break
    that would leave the rows uneven. Otherwise they are text if an open cell holds a quote and no enclosed one needs
    them, or if a cell starts with a quote that ends nowhere. Raises `Unreadable` where none of this holds, and for
    lines of another number of cells.
    """
    text = without_nul(text_of(content))
    cells, plain = _cells(text), _plain(text)
    if cells is None:
        if any(map(ENCLOSED.fullmatch, (cell for row in plain for cell in row))):
            raise Unreadable("some cells are in quotes and others start with one; save it as .csv or .jsonl")
        return _table(_even(plain))
    enclosed = [value for row in cells for value, quoted in row if quoted]
    bare = [value for row in cells for value, quoted in row if not quoted]
    needing = [value for value in enclosed if any(sign in value for sign in '\t\n\r"')]
    literal = any('"' in value for value in bare)
    # A quote that starts a text on one line may meet one that ends a text on another.
    spread = len({len(row) for row in plain}) == 1 and any(sign in value for value in enclosed for sign in "\t\n\r")
    if not any(bare) or (len(needing) == len(enclosed) and not literal and not spread):
        return _table(_even([[value for value, _ in row] for row in cells]))
    if literal and not needing:
        return _table(_even(plain))
    raise Unreadable("quotes around some cells may be part of the text; save it as .csv or .jsonl")


# Possessive, so that a text of megabytes takes no memory for ways back.
ENCLOSED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
CELL = re.compile(r'("[^"]*+(?:""[^"]*+)*+"|[^"\t\r\n][^\t\r\n]*|)(\t|\r\n|\n|\r|\Z)')


def _cells(text: str) -> list[list[tuple[str, bool]]] | None:
    """All rows, where quotes may enclose a cell: each cell and whether it is enclosed; None where one is not closed.

    The end of the last line begins no other.
    """
    rows, place = [[]], 0
    while place < len(text):
        found = CELL.match(text, place)
        if found is None:
            return None
        cell, end = found.groups()
        enclosed = cell.startswith('"')
        rows[-1].append((cell[1:-1].replace('""', '"') if enclosed else cell, enclosed))
        place = found.end()
        if end == "\t" and place == len(text):
            rows[-1].append(("", False))
        elif end != "\t":
            rows.append([])
    return _without_blank(rows[:-1] if not rows[-1] else rows, lambda row: row == [("", False)])


def _plain(text: str) -> Rows:
    """All rows, where quotes are text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rows = [line.split("\t") for line in (lines if lines[-1] else lines[:-1])]
    return _without_blank(rows, lambda row: row == [""])


def _without_blank(rows: list, blank: Callable[[list], bool]) -> list:
    """The rows from the first line that is not blank on; in a file of one column, an empty line is an empty cell."""
    start = next((index for index, row in enumerate(rows) if not blank(row)), 0)
    rows = rows[start:]
    return rows if rows and len(rows[0]) == 1 else [row for row in rows if not blank(row)]


def _even(rows: Rows) -> Rows:
    for number, cells in enumerate(rows, 1):
        if len(cells) != len(rows[0]):
            raise Unreadable(
                f"row {number} has {len(cells)} cells and the first line names {len(rows[0])} columns; a tab separates "
                f"cells"
            )
    return rows


def _parsed(content: bytes, separator: str) -> Rows:
    """All rows, the header first, of as many cells each."""
    limit = csv.field_size_limit(sys.maxsize)
    # Not a StringIO, which takes four bytes a character.
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    reader = csv.reader(text, strict=True, delimiter=separator)
    rows: Rows = []
    named = {",": "comma", ";": "semicolon"}[separator]
    try:
        rows.append(next(cells for cells in reader if cells))
        for cells in reader:
            if not cells and len(rows[0]) > 1:
                continue
            # In a file of one column, an empty line is an empty cell.
            cells = cells or [""]
            if len(cells) != len(rows[0]):
                raise Unreadable(
                    f"line {reader.line_num} has {len(cells)} cells and the first line names {len(rows[0])} columns; "
                    f"a {named} within a cell needs quotes around the cell"
                )
            rows.append(cells)
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)
    return rows


def _table(rows: Rows) -> pa.Table:
    header, *rows = rows
    # Before the table: it would keep the last of two columns with one name.
    check_columns(header)
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return pa.table({column: pa.array(cells, pa.string()) for column, cells in zip(header, columns, strict=True)})
