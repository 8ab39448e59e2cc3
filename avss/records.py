"""Plain CSV and JSON files that are read exactly or not at all: a damaged one is one line that names it."""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from avss.errors import InputError

AGAIN = "move it away, and what is missing will be computed again"


def table_text(columns: Sequence[str], rows: list[dict]) -> str:
    """Rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def lines_of(table: pd.DataFrame, **facts) -> list[dict]:
    """A table of layers as one quantity of one layer a line, each with these facts; ranks are left out."""
    return [
        facts | {"layer": int(line["layer"]), "quantity": quantity, "value": f"{line[quantity]:.9g}"}
        for line in table.to_dict("records")
        for quantity in table.columns
        if quantity not in ("layer", "rank")
    ]


def gzipped(text: str) -> bytes:
    """The text compressed; the same text gives the same bytes."""
    return gzip.compress(text.encode(), mtime=0)


def sha256_of(content: bytes) -> str:
    """The SHA-256 of a file's content, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_table(
    path: Path,
    columns: Sequence[str],
    numbers: Sequence[str],
    step: str = AGAIN,
    digests: Sequence[str] = (),
) -> pd.DataFrame:
    """A CSV file of these columns, compressed where its name ends in .gz; `numbers` as numbers, the others as text.

    Raises `InputError` where any line is not whole: a missing or surplus entry, an unfinished last line, a word in
    place of a number, bytes that are no text. An empty entry of `numbers` is nan. step: the next step for the user.
    digests: where given, the SHA-256 of the whole file is one of these.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
        if not text.endswith("\n") or "\0" in text:
            raise ValueError("its last line is not whole" if "\0" not in text else "it holds zero bytes")
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        if tuple(header) != tuple(columns):
            raise ValueError("its header is not that of this kind of file")
        short = [number for number, line in enumerate(lines, 2) if len(line) != len(header)]
        if short:
            raise ValueError(f"line {short[0]} has {len(lines[short[0] - 2])} entries, not {len(header)}")
        table = pd.DataFrame(lines, columns=list(columns), dtype=str)
        for column in numbers:
            table[column] = pd.to_numeric(table[column].astype(object).mask(table[column].isin(["", "nan"])))
        # Last, because a file of another form has a reason that tells more.
        if digests and sha256_of(content) not in digests:
            raise ValueError(f"its content is not what its run wrote, by {path.name.split('.')[0]}.json")
    except (OSError, EOFError, zlib.error, csv.Error, ValueError) as error:
        raise _damaged(path, error, step) from error
    return table


def read_json(path: Path, needed: Sequence[str]) -> dict:
    """A JSON file that holds these names. Raises `InputError` where it is not whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in needed if name not in content] if isinstance(content, dict) else needed
        if missing:
            raise ValueError(f"it has no {missing[0]}")
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return content


def _damaged(path: Path, error: Exception, step: str = AGAIN) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"file {path} is damaged ({reason}); {step}")
