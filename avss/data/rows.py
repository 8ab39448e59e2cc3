"""The bytes of a data file to its rows: each cell as it is written, or an error that names the unreadable row.

The loaders of `datasets` are not used here: they take a file's name for a pattern, answer from a cache keyed by name,
size and time, read "NA" and "null" as nothing and strings such as "2011-11-09" as times.
"""

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from avss.errors import InputError


class _Unreadable(Exception):
    """The reason why a file cannot be read, with the place in it."""


def suffix_of(path: Path) -> str | None:
    """The ending that says how a data file is read, without `.gz`; None for a file of another kind."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    return suffix if suffix in FORMATS else None


def read_files(name: str, files: Sequence[Path]) -> Dataset:
    """The rows of these files, in order.

    A cell of CSV is text, always. A row of JSON that lacks a column holds None there. A line of a .txt file is a row
    with the column `text`; a byte order mark is no part of the text. name: the data, for the error messages. Raises
    `InputError` for a file that is empty or cannot be read, for columns that have the same name but for case and
    spaces, and where the files differ in their columns.
    """
    tables = [_read(name, path) for path in files]
    for path, table in zip(files, tables, strict=True):
        if set(table.column_names) != set(tables[0].column_names):
            raise InputError(
                f"data {name}: {path.name} has the columns {', '.join(table.column_names)}, and {files[0].name} has "
                f"{', '.join(tables[0].column_names)}; give files of the same columns"
            )
    try:
        return Dataset(tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive"))
    except (pa.ArrowException, ValueError, TypeError, NotImplementedError) as error:
        names = ", ".join(path.name for path in files)
        raise InputError(
            f"data {name}: {names} cannot be read ({_first_line(error)}); give columns of text, numbers or lists"
        ) from error


def _read(name: str, path: Path) -> pa.Table:
    kind, reader = FORMATS[suffix_of(path)]
    try:
        content = path.read_bytes()
        if path.name.endswith(".gz"):
            content = gzip.decompress(content)
        if not content.removeprefix(b"\xef\xbb\xbf").strip():
            raise InputError(f"data {name}: {path.name} is empty; give a file with at least one row")
        table = reader(content)
        _check_columns(table.column_names)
        return table
    except (_Unreadable, OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise InputError(
            f"data {name}: {path.name} cannot be read ({_first_line(error)}); check that it is {kind}, in UTF-8"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _check_columns(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for column in names:
        plain = column.strip().casefold()
        if plain in seen:
            raise _Unreadable(f"columns {seen[plain]!r} and {column!r} have one name; rename one")
        seen[plain] = column


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The position counts from after the byte order mark, as `error.object` does.
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _Unreadable(f"line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8") from error


def _without_nul(text: str) -> str:
    position = text.find("\0")
    if position >= 0:
        raise _Unreadable(f"line {text.count(chr(10), 0, position) + 1} has a NUL byte")
    return text


def _lines(content: bytes) -> pa.Table:
    lines = _without_nul(_text(content)).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # The end of the last line begins no other.
    return pa.table({"text": pa.array(lines if lines[-1] else lines[:-1], pa.string())})


def _csv(content: bytes) -> pa.Table:
    _without_nul(_text(content))
    limit = csv.field_size_limit(sys.maxsize)
    # Not a StringIO, which takes four bytes a character.
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    try:
        header = next(cells for cells in reader if cells)
        for cells in reader:
            if not cells and len(header) > 1:
                continue
            # In a file of one column, an empty line is an empty cell.
            cells = cells or [""]
            if len(cells) != len(header):
                raise _Unreadable(
                    f"line {reader.line_num} has {len(cells)} cells and the first line names {len(header)} columns; "
                    f"a comma within a cell needs quotes around the cell"
                )
            rows.append(cells)
    except csv.Error as error:
        raise _Unreadable(f"line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)
    # Before the table: it would keep the last of two columns with one name.
    _check_columns(header)
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return pa.table({column: pa.array(cells, pa.string()) for column, cells in zip(header, columns, strict=True)})


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Unreadable(f"one object has the name {twice!r} twice")
    return found


def _json(content: bytes) -> pa.Table:
    """Objects, one a line, or all in one list."""
    text, decoder = _text(content), json.JSONDecoder(object_pairs_hook=_unique)
    if text.lstrip()[:1] == "[":
        rows = _decoded(decoder, text, "the list")
        places = [f"row {number}" for number in range(1, len(rows) + 1)]
    else:
        lines = [(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        places = [place for place, _ in lines]
        rows = [_decoded(decoder, line, place) for place, line in lines]
    for place, row in zip(places, rows, strict=True):
        if not isinstance(row, dict):
            raise _Unreadable(f'{place} is no object such as {{"text": "..."}}')
    names = list({key: None for row in rows for key in row})
    _check_columns(names)
    return _table({column: [row.get(column) for row in rows] for column in names}, places)


def _decoded(decoder: json.JSONDecoder, text: str, place: str):
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}" if place == "the list" else place
        raise _Unreadable(f"{at}: {error.msg} at character {error.colno}") from error
    except (_Unreadable, ValueError) as error:
        raise _Unreadable(f"{place}: {error}") from error
    except RecursionError as error:
        raise _Unreadable(f"{place} is nested too deep") from error


UNFIT = (pa.ArrowException, ValueError, OverflowError, TypeError, RecursionError)


def _dataset(columns: dict[str, list]) -> Dataset:
    """A column of mixed kinds becomes one of JSON, in which each value keeps its kind."""
    return Dataset.from_dict(columns, on_mixed_types="use_json")


def _table(columns: dict[str, list], places: Sequence[str]) -> pa.Table:
    """Raises `_Unreadable` that names the first value which a table cannot hold as it is."""
    try:
        dataset = _dataset(columns)
    except UNFIT as error:
        for column, values in columns.items():
            _find_misfit(column, values, places)
        raise _Unreadable(_first_line(error)) from error
    for column, feature in dataset.features.items():
        if "Json" not in repr(feature):
            continue
        # A text that is JSON itself, such as "5", comes back as the number from a column of mixed kinds.
        for place, value, held in zip(places, columns[column], dataset[column], strict=True):
            if json.dumps(value) != json.dumps(held):
                raise _Unreadable(f"{place}, column {column!r}: {value!r} is among values of another kind")
    return dataset.data.table


def _find_misfit(column: str, values: list, places: Sequence[str]) -> None:
    """Raises `_Unreadable` for the end of the shortest beginning that a table cannot hold."""
    good, bad, reason = 0, len(values) + 1, ""
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            _dataset({column: values[:middle]})
            good = middle
        except UNFIT as error:
            bad, reason = middle, _first_line(error)
    if bad <= len(values):
        raise _Unreadable(f"{places[bad - 1]}, column {column!r}: {reason}")


def _parquet(content: bytes) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(content))
    # Before the table is read: Arrow reads neither of two columns with one name.
    _check_columns(file.schema_arrow.names)
    table = file.read()
    # Otherwise text that is not UTF-8 would fail in the middle of the work.
    table.validate(full=True)
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(index).cast(field.type.value_type)
            table = table.set_column(index, field.with_type(field.type.value_type), column)
    return table


# File name endings: the kind's name in messages, and its reader. All may be gzipped.
FORMATS: dict[str, tuple[str, Callable[[bytes], pa.Table]]] = {
    ".jsonl": ("json", _json),
    ".json": ("json", _json),
    ".csv": ("csv", _csv),
    ".parquet": ("parquet", _parquet),
    ".txt": ("text", _lines),
}
