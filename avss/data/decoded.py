"""What all readers of text files share: the bytes as text, and the checks of names, with errors that name the line."""

from collections.abc import Sequence


class Unreadable(Exception):
    """The reason why a file cannot be read, with the place in it."""


def text_of(content: bytes) -> str:
    """The text without a byte order mark. Raises `Unreadable` with the line of a byte that is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The position counts from after the byte order mark, as `error.object` does.
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8") from error


def without_nul(text: str) -> str:
    """The text itself. Raises `Unreadable` with the line of a NUL byte."""
    position = text.find("\0")
    if position >= 0:
        raise Unreadable(f"line {text.count(chr(10), 0, position) + 1} has a NUL byte")
    return text


def check_columns(names: Sequence[str]) -> None:
    """Raises `Unreadable` for columns that have the same name but for case and spaces."""
    seen: dict[str, str] = {}
    for column in names:
        plain = column.strip().casefold()
        if plain in seen:
            raise Unreadable(f"columns {seen[plain]!r} and {column!r} have one name; rename one")
        seen[plain] = column
