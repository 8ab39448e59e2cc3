"""The one error that users cause and can mend, which the command line prints as a single line and exits with 2; and how
to tell that memory ran out.
"""

from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")
# As torch's allocators say it, the driver, and cuBLAS.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class InputError(ValueError):
    """Something given to the library is wrong; the message names the thing, its value and the next step."""


def look_up(what: str, name: str, table: Mapping[str, Entry]) -> Entry:
    """The entry of a table by name. Raises `InputError` naming what was looked for and the entries that exist."""
    if name not in table:
        raise InputError(f"{what} {name!r} is not known; choose one of {', '.join(table)}")
    return table[name]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory ran out, of an accelerator or of the machine; not all are of one class."""
    return any(words in str(error) for words in OUT_OF_MEMORY)
