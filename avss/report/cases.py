"""The parts that checks of claims work on: a source of numbers, cases of a claim, leads of AVSS, and outcomes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss.metrics import METRICS
from avss.report.comparisons import label
from avss.report.markdown import spell

HOLDS, FAILS, OPEN, UNMEASURED = "holds", "fails", "open", "not measured"


def row_name(line: pd.Series, method: str = "") -> str:
    """A line of Table 1, and where it is given, the method, as readers know them."""
    return f"{line['dataset']}, {line['model']}" + (f": {label(method)}" if method else "")


class Margin(NamedTuple):
    """By how much AVSS is better than a baseline, in the metric (negative: worse), and whether that is settled."""

    value: float
    low: float
    high: float
    outcome: str
    n: float


UNKNOWN = Margin(np.nan, np.nan, np.nan, UNMEASURED, np.nan)


@dataclass(frozen=True)
class Source:
    """The numbers of the printed table or of a profile for the rows of Table 1, each by its line there.

    scores: by line and method, a line of `sources.scores`. margins: by line and baseline. blocks: by line and quantity,
    the scores of the blocks, mean over the seeds, (M,).
    """

    name: str
    scores: dict[tuple[int, str], NamedTuple] = field(default_factory=dict)
    margins: dict[tuple[int, str], Margin] = field(default_factory=dict)
    blocks: dict[tuple[int, str], NDArray[np.float64]] = field(default_factory=dict)


class Case(NamedTuple):
    """A part of a claim. lines: those of Table 1 that it needs. numbers: what the outcome rests on."""

    name: str
    lines: tuple[int, ...]
    outcome: str = UNMEASURED
    numbers: str = ""


def direction(metric: str) -> int:
    """1 where more of the metric is better, -1 where less is."""
    return 1 if METRICS[metric].higher_is_better else -1


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
