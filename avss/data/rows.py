"""The bytes of a data file to its rows: each cell as it is written, or an error that names the unreadable row.

The loaders of `datasets` are not used here: they take a file's name for a pattern, answer from a cache keyed by name,
size and time, read "NA" and "null" as nothing and strings such as "2011-11-09" as times.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from avss.data.decoded import Unreadable, check_columns, text_of, without_nul
from avss.data.delimited import read_csv, read_tsv
from avss.data.squad import is_official, rows_of
from avss.errors import InputError, first_of


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
                f"data {name}: {path.name} has the columns {first_of(table.column_names)}, and {files[0].name} has "
                f"{first_of(tables[0].column_names)}; give files of the same columns"
            )
    try:
        return Dataset(tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive"))
    except (pa.ArrowException, ValueError, TypeError) as error:
        names = first_of(path.name for path in files)
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
        check_columns(table.column_names)
        return table
    except (Unreadable, OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise InputError(
            f"data {name}: {path.name} cannot be read ({_first_line(error)}); check that it is {kind}, in UTF-8"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _lines(content: bytes) -> pa.Table:
    lines = without_nul(text_of(content)).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # The end of the last line begins no other.
    return pa.table({"text": pa.array(lines if lines[-1] else lines[:-1], pa.string())})


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f"one object has the name {twice!r} twice")
    return found


def _json(content: bytes) -> pa.Table:
    """Objects, one a line, or all in one list, or questions in the official layout of SQuAD."""
    text, decoder = text_of(content), json.JSONDecoder(object_pairs_hook=_unique)
    whole = _one_object(decoder, text)
    if is_official(whole):
        rows, places = rows_of(whole)
    elif whole is not None and "\n" in text.strip():
        raise Unreadable("it holds one object; give a list of rows, one object a line, or the layout of SQuAD")
    elif text.lstrip()[:1] == "[":
        rows = _decoded(decoder, text, "the list")
        places = [f"row {number}" for number in range(1, len(rows) + 1)]
    else:
        lines = [(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        places = [place for place, _ in lines]
        rows = [_decoded(decoder, line, place) for place, line in lines]
    for place, row in zip(places, rows, strict=True):
        if not isinstance(row, dict):
            raise Unreadable(f'{place} is no object such as {{"text": "..."}}')
    names = list({key: None for row in rows for key in row})
    check_columns(names)
    return _table({column: [row.get(column) for row in rows] for column in names}, places)


def _one_object(decoder: json.JSONDecoder, text: str) -> dict | None:
    """The one object that a file holds, None for a file of lines or of anything else."""
    first, _, rest = text.strip().partition("\n")
    # A first line that is whole is a row, and not the start of an object.
    if not first.startswith("{") or (rest and first.rstrip().endswith("}")):
        return None
    try:
        return decoder.decode(text.strip())
    except (Unreadable, ValueError, RecursionError):
        return None


def _decoded(decoder: json.JSONDecoder, text: str, place: str):
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}" if place == "the list" else place
        raise Unreadable(f"{at}: {error.msg} at character {error.colno}") from error
    except (Unreadable, ValueError) as error:
        raise Unreadable(f"{place}: {error}") from error
    except RecursionError as error:
        raise Unreadable(f"{place} is nested too deep") from error


UNFIT = (pa.ArrowException, ValueError, OverflowError, TypeError, RecursionError)


def _dataset(columns: dict[str, list]) -> Dataset:
    """A column of mixed kinds becomes one of JSON, in which each value keeps its kind."""
    return Dataset.from_dict(columns, on_mixed_types="use_json")


def _table(columns: dict[str, list], places: Sequence[str]) -> pa.Table:
    """Raises `Unreadable` that names the first value which a table cannot hold as it is."""
    try:
        dataset = _dataset(columns)
    except UNFIT as error:
        for column, values in columns.items():
            _find_misfit(column, values, places)
        raise Unreadable(_first_line(error)) from error
    for column, feature in dataset.features.items():
        if "Json" not in repr(feature):
            continue
        # A text that is JSON itself, such as "5", comes back as the number from a column of mixed kinds.
        for place, value, held in zip(places, columns[column], dataset[column], strict=True):
            if json.dumps(value) != json.dumps(held):
                raise Unreadable(f"{place}, column {column!r}: {value!r} is among values of another kind")
    return dataset.data.table


def _find_misfit(column: str, values: list, places: Sequence[str]) -> None:
    """Raises `Unreadable` for the end of the shortest beginning that a table cannot hold."""
    good, bad, reason = 0, len(values) + 1, ""
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            _dataset({column: values[:middle]})
            good = middle
        except UNFIT as error:
            bad, reason = middle, _first_line(error)
    if bad <= len(values):
        raise Unreadable(f"{places[bad - 1]}, column {column!r}: {reason}")


def _parquet(content: bytes) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(content))
    # Before the table is read: Arrow reads neither of two columns with one name.
    check_columns(file.schema_arrow.names)
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
    ".csv": ("csv", read_csv),
    ".tsv": ("tsv", read_tsv),
    ".parquet": ("parquet", _parquet),
    ".txt": ("text", _lines),
}
