"""The one error that users cause and can mend. The command line prints it as a single line and exits with 2.

Further down: how errors of other libraries are recognised that are of no class of their own.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar
from unicodedata import category

Entry = TypeVar("Entry")
# The words of torch's allocators, of the driver, and of cuBLAS.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class InputError(ValueError):
    """Something given to the library is wrong; the message names the thing, its value and the next step.

    It is one line, whatever the thing is called: control characters in it are escaped.
    """

    def __str__(self) -> str:
        return "".join(repr(sign)[1:-1] if category(sign) == "Cc" else sign for sign in super().__str__())


def look_up(what: str, name: str, table: Mapping[str, Entry]) -> Entry:
    """The entry of a table by name. Raises `InputError` that names the missing entry and the existing ones."""
    if name not in table:
        raise InputError(f"{what} {name!r} is not known; choose one of {', '.join(table)}")
    return table[name]


def first_of(names: Iterable[str], most: int = 10) -> str:
    """Names with commas between them, and how many more there are: a message stays one line that people can read."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def is_panic(error: BaseException) -> bool:
    """Whether a library written in Rust, such as tokenizers, failed. Its exception is no `Exception` and unnamed."""
    return type(error).__name__ == "PanicException"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory ran out, of an accelerator or of the machine; it is not of one class."""
    return any(words in str(error) for words in OUT_OF_MEMORY)
