"""The one error that users cause and can mend. The command line prints it as a single line and exits with 2."""

from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


class InputError(ValueError):
    """Something given to the library is wrong; the message names the thing, its value and the next step."""


def look_up(what: str, name: str, table: Mapping[str, Entry]) -> Entry:
    """The entry of a table by name. Raises `InputError` that names the missing entry and the existing ones."""
    if name not in table:
        raise InputError(f"{what} {name!r} is not known; choose one of {', '.join(table)}")
    return table[name]


def is_panic(error: BaseException) -> bool:
    """Whether a library written in Rust, such as tokenizers, failed. Its exception is no `Exception` and unnamed."""
    return type(error).__name__ == "PanicException"
