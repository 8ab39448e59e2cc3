"""Text of the book's tables: Markdown, and numbers with their intervals as readers see them."""

import math
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from avss import selection

NOT_MEASURED = "not measured"
# In a table, for a number that its source has no reason to give.
ABSENT = "—"
# From here on a number is written as a power of ten, and up to here a number that would read as zero.
_LARGE, _SMALL = 1e15, 1e-5
# The space of the size of a model, as in "mini LLama-8B (2.4 M)", which does not break over lines.
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=[MB]\))")


class Text(str):
    """Markdown that a notebook shows as such."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return self


def markdown(table: pd.DataFrame, digits: int = 3, note: str = "") -> Text:
    """The table without its index, and a note below it; floats get this many decimals, columns of numbers go right."""
    right = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    texts = [
        [f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell) for cell in line]
        for line in (table.columns, *table.itertuples(index=False))
    ]
    head, *body = [[_BEFORE_UNIT.sub("\u00a0", cell).replace("|", "\\|") for cell in line] for line in texts]
    lines = [head, ["---:" if number else "---" for number in right], *body]
    return Text("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + (f"\n{note}\n" if note else ""))


def table_or_note(lines: list[dict], below: Iterable[str] = ()) -> Text:
    """The table of these lines; without lines, that nothing is measured.

    below: columns that leave the table, and are told below it, where all lines have the same value.
    """
    if not lines:
        return Text(f"{NOT_MEASURED.capitalize()}.\n")
    table = pd.DataFrame(lines)
    same = [column for column in below if table[column].nunique() == 1]
    told = ", ".join(f"{column} {table[column].iloc[0]}" for column in same)
    return markdown(table.drop(columns=same), note=f"In all lines: {told}." if told else "")


def revision(facts: dict) -> str:
    """The revision of the code that ran, from its provenance, and whether files differed from it."""
    if not facts.get("git_revision"):
        return "not recorded"
    return f"`{facts['git_revision'][:7]}`{' with changes' if facts.get('git_dirty') else ''}"


def spell(value: float, low: float = np.nan, high: float = np.nan, *, digits: int = 3, sign: str = "") -> str:
    """A number with its interval: `0.859 [0.836, 0.881]`. A short interval does not break over lines.

    sign: "+" shows it always.

    nan is not measured. From 100 upwards a number has fewer decimals, down to none. Where it and both ends of its
    interval would read as zero, the largest has two digits: `0.00026 [0.00019, 0.00035]`, `6.7e-07 [5.0e-07, 8.8e-07]`.
    A number beyond the range of floats is said in words.
    """
    if np.isnan(value):
        return NOT_MEASURED
    largest = max(map(abs, (value, low, high)))
    digits = _decimals(value, digits)
    form, space = f".{digits}f", "\u00a0"
    if not np.isnan(low) and 0 < largest < 0.5 * 10**-digits:
        # So many digits may break, or the columns of a table grow too wide.
        space = " "
        form = f".{1 - math.floor(math.log10(largest))}f" if largest >= _SMALL else ".1e"
    number, *ends = (_spell_one(part, f"{sign}{form}") for part in (value, low, high))
    return number if np.isnan(low) else f"{number} [{ends[0]},{space}{ends[1]}]"


def _decimals(value: float, digits: int) -> int:
    shown = digits
    # Twice, as rounding may carry a number over a power of ten.
    for _ in range(2 if np.isfinite(value) else 0):
        size = round(abs(value), shown)
        shown = max(0, digits - int(math.log10(size))) if size >= 100 else digits
    return shown


def _spell_one(value: float, form: str) -> str:
    if np.isinf(value):
        return "too large to hold" if value > 0 else "too far below 0 to hold"
    if abs(value) >= _LARGE:
        form = f"{form.split('.')[0]}.2e"
    return format(value, form).replace("-", "−")


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage; nan is not measured."""
    return NOT_MEASURED if np.isnan(share) else f"{100 * share:.{digits}f}\u00a0%"


def thousands(number: float) -> str:
    """A whole number with a narrow space between groups of three digits."""
    return f"{number:,.0f}".replace(",", "\u202f")


def runs_of(layers: Iterable[int]) -> str:
    """Layers in ascending order, those that follow each other as a range: `0, 3–5`."""
    ends = selection.runs_of(layers)
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in ends)


def runs_or_none(layers: Iterable[int]) -> str:
    """The same, and `none` where there is no layer."""
    return runs_of(layers) or "none"
