"""The parts that checks of claims work on: a source of numbers, cases of a claim, leads of AVSS, and outcomes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss.report.comparisons import label
from avss.report.markdown import spell

HOLDS, FAILS, OPEN, UNMEASURED = "holds", "fails", "undecided", "not measured"


def row_name(line: pd.Series, method: str = "") -> str:
    """A line of Table 1, and where it is given, the method, as readers know them. No name for what ran in its place."""
    return f"{line['dataset']}, {line['model']}" + (f": {label(method)}" if method else "")


class Margin(NamedTuple):
    """By how much AVSS is better than a baseline (negative: worse), on the scale of the metric, and what that settles.

    p: adjusted by Holm's correction; nan of a printed number. unit: of the value, where it is not that of the metric.
    """

    value: float
    low: float
    high: float
    outcome: str
    n: float
    p: float = np.nan
    unit: str = ""


UNKNOWN = Margin(np.nan, np.nan, np.nan, UNMEASURED, np.nan)


@dataclass(frozen=True)
class Source:
    """The numbers of the printed table or of a profile for the rows of Table 1, each by its line there.

    scores: by line and method, a line of `sources.scores`. margins: by line and baseline. blocks: by line and quantity
    of AVSS, the scores of the blocks and the losses without each, both (seeds, M). ran: by line, the data and the model
    that ran in its place; models: by line, the checkpoint alone; both are empty for the printed table. weak: by line,
    the score of an original that is too weak to judge.
    """

    name: str
    scores: dict[tuple[int, str], NamedTuple] = field(default_factory=dict)
    margins: dict[tuple[int, str], Margin] = field(default_factory=dict)
    blocks: dict[tuple[int, str], tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    ran: dict[int, str] = field(default_factory=dict)
    models: dict[int, str] = field(default_factory=dict)
    weak: dict[int, str] = field(default_factory=dict)

    def group(self, lines: pd.DataFrame, name: str) -> str:
        """The name of a group of lines for readers: of the printed table as it is, else of all that ran there."""
        return "; ".join(dict.fromkeys(self.ran[line] for line in lines.index if line in self.ran)) or name


class Case(NamedTuple):
    """A part of a claim. lines: those of Table 1 that it needs. numbers: what the outcome rests on."""

    name: str
    lines: tuple[int, ...]
    outcome: str = UNMEASURED
    numbers: str = ""


def above(low: float, high: float, bar: float = 0) -> str:
    """Whether a number lies above the bar, by its interval; one without (low = high) is taken at face value."""
    if low > bar:
        return HOLDS
    return FAILS if high < bar or low == high else OPEN


def together(outcomes: Iterable[str]) -> str:
    """Of several at once: one that fails is enough."""
    present = set(outcomes)
    return next((outcome for outcome in (FAILS, UNMEASURED, OPEN) if outcome in present), HOLDS)


def spelled(value: float, low: float, high: float, n: float, digits: int = 3, sign: str = "") -> str:
    """A printed number as it is; a measured one with its interval and the number of documents."""
    if np.isnan(n):
        return spell(value, digits=digits, sign=sign)
    return f"{spell(value, low, high, digits=digits, sign=sign)}, n\u00a0=\u00a0{n:.0f}"


def spelled_lead(lead: Margin) -> str:
    """A lead with its sign, interval, unit, number of documents and adjusted p."""
    number, *documents = spelled(*lead[:3], lead.n, sign="+").split(", n")
    p = "" if np.isnan(lead.p) else f", {spelled_p(lead.p)}"
    return "".join((number, f" {lead.unit}" if lead.unit else "", *(f", n{part}" for part in documents), p))


def spelled_p(p: float, name: str = "p\u00a0(Holm)") -> str:
    """A p-value that Holm's correction adjusted."""
    return f"{name} = {p:.3f}" if p >= 0.001 else f"{name} < 0.001"
