"""The kinds of check by which a claim of the paper's text is asked of its Table 1 and of results.

A check splits a claim into cases: a row of the table, say, or a row and a baseline. Each case holds, fails, is open
where intervals decide nothing, or is not measured. The paper defines none of this; the definitions are ours.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from avss import intervals
from avss.methods.catalogue import BASELINES
from avss.metrics import METRICS
from avss.report.comparisons import ALPHA, label
from avss.report.tables import NOT_MEASURED, percent, spell

HOLDS, FAILS, OPEN = "holds", "fails", "open"
# Of whom a check can be asked.
ANYONE, THE_MODELS, THE_TABLE = "table and any model", "table and the paper's own models", "table alone"
# By what the importance of a block is told.
TRUTH = "leave_one_out"


class Margin(NamedTuple):
    """By how much AVSS is better than a baseline, in the metric (negative: worse), and whether that is settled."""

    value: float
    low: float
    high: float
    outcome: str
    n: float


UNKNOWN = Margin(np.nan, np.nan, np.nan, NOT_MEASURED, np.nan)


@dataclass(frozen=True)
class Source:
    """What the printed table or a profile says of the rows of Table 1, each known by its line there.

    scores: by line and method, a line of `audit.scores`. margins: by line and baseline. blocks: by line and quantity,
    what each block scored, mean over the seeds, (M,).
    """

    name: str
    scores: dict[tuple[int, str], NamedTuple] = field(default_factory=dict)
    margins: dict[tuple[int, str], Margin] = field(default_factory=dict)
    blocks: dict[tuple[int, str], NDArray[np.float64]] = field(default_factory=dict)


class Case(NamedTuple):
    """A part of a claim. lines: those of Table 1 that it needs. numbers: what the outcome rests on."""

    name: str
    lines: tuple[int, ...]
    outcome: str = NOT_MEASURED
    numbers: str = ""


def direction(metric: str) -> int:
    """1 where more of the metric is better, -1 where less is."""
    return 1 if METRICS[metric].higher_is_better else -1


def above(low: float, high: float, bar: float = 0) -> str:
    """Whether a number lies above the bar, by its interval; one without (low = high) is taken at face value."""
    if low > bar:
        return HOLDS
    return FAILS if high < bar or low == high else OPEN


def _together(outcomes: Iterable[str]) -> str:
    """Of several at once: one that fails is enough."""
    found = set(outcomes)
    return next((outcome for outcome in (FAILS, NOT_MEASURED, OPEN) if outcome in found), HOLDS)


def _told(value: float, low: float, high: float, n: float, digits: int = 3, sign: str = "") -> str:
    """A printed number as it is; a measured one with its interval and the number of documents."""
    if np.isnan(n):
        return spell(value, digits=digits, sign=sign)
    return f"{spell(value, low, high, digits=digits, sign=sign)}, n\u00a0=\u00a0{n:.0f}"


def row_name(line: pd.Series, method: str = "") -> str:
    """A line of Table 1, and where it is given, the method, as readers know them."""
    return f"{line['dataset']}, {line['model']}" + (f": {label(method)}" if method else "")


def _retention(source: Source, lines: pd.DataFrame, *, methods: Iterable[str], share: float) -> list[Case]:
    """For each row, what the method keeps of the original score lies above a share."""
    return [
        _case_of_score(source, line, method, lambda kept: above(kept.retention_low, kept.retention_high, share))
        for (_, line), method in product(lines.iterrows(), methods)
    ]


def _decline(source: Source, lines: pd.DataFrame, *, methods: Iterable[str], expected: bool = True) -> list[Case]:
    """For each row and method, the score is worse than the original (or is not, where that is claimed)."""

    def outcome(kept: NamedTuple) -> str:
        declines = above(-kept.retention_high, -kept.retention_low, -1)
        return declines if expected else {HOLDS: FAILS, FAILS: HOLDS}.get(declines, OPEN)

    return [_case_of_score(source, line, method, outcome) for (_, line), method in product(lines.iterrows(), methods)]


def _case_of_score(source: Source, line: pd.Series, method: str, outcome: Callable[[NamedTuple], str]) -> Case:
    name, score = row_name(line, method), source.scores.get((line.name, method))
    if score is None:
        return Case(name, (line.name,))
    numbers = _told(score.retention, score.retention_low, score.retention_high, score.n)
    return Case(name, (line.name,), outcome(score), numbers)


def _best(source: Source, lines: pd.DataFrame, *, others: Iterable[str] = BASELINES) -> list[Case]:
    """For each row, AVSS is better than each of the baselines. The number is its lead over the one that decides."""
    cases = []
    for number, line in lines.iterrows():
        margins = {other: source.margins.get((number, other), UNKNOWN) for other in others}
        cases.append(Case(row_name(line), (number,), *_least(margins)))
    return cases


def _score(score: NamedTuple) -> str:
    return _told(score.value, score.low, score.high, score.n, METRICS[score.metric].digits)


def _lead(margin: Margin) -> str:
    return _told(margin.value, margin.low, margin.high, margin.n, sign="+")


def _wins(source: Source, lines: pd.DataFrame, *, others: Iterable[str] = BASELINES) -> list[Case]:
    """For each row and baseline, AVSS is better than the baseline."""
    cases = []
    for (number, line), other in product(lines.iterrows(), others):
        margin = source.margins.get((number, other))
        known = (margin.outcome, _lead(margin)) if margin else ()
        cases.append(Case(row_name(line, other), (number,), *known))
    return cases


def _best_mean(source: Source, lines: pd.DataFrame, *, by: str, others: Iterable[str] = BASELINES) -> list[Case]:
    """For each group of rows, AVSS is on average better than each baseline.

    The bounds of a mean are the means of the rows' bounds, which is no narrower than its 95 % interval; n is the fewest
    documents of a row.
    """
    cases = []
    for name, part in lines.groupby(by, sort=False):
        numbers = tuple(part.index)
        means = {other: _mean([source.margins.get((number, other), UNKNOWN) for number in numbers]) for other in others}
        cases.append(Case(name, numbers, *_least(means)))
    return cases


def _least(margins: dict[str, Margin]) -> tuple[str, str]:
    """Whether AVSS leads all of these, and the smallest of the leads that settle it."""
    outcome = _together(margin.outcome for margin in margins.values())
    deciding = {other: margin for other, margin in margins.items() if margin.outcome == outcome}
    least = min(deciding, key=lambda other: deciding[other].value)
    return outcome, "" if outcome == NOT_MEASURED else f"over {label(least)} {_lead(deciding[least])}"


def _mean(margins: list[Margin]) -> Margin:
    if UNKNOWN in margins:
        return UNKNOWN
    value, low, high = (np.mean([getattr(each, part) for each in margins]) for part in ("value", "low", "high"))
    return Margin(value, low, high, above(low, high), min(margin.n for margin in margins))


def _largest_lead(source: Source, lines: pd.DataFrame, *, by: str, value: str) -> list[Case]:
    """AVSS leads the best baseline, and in this group of rows by more than in every other, on average over the rows.

    A lead's bounds are the lowest of the baselines' lower bounds and the lowest of their upper ones; it is larger than
    another where the bounds do not overlap.
    """
    numbers, leads = tuple(lines.index), {}
    for name, part in lines.groupby(by, sort=False):
        leads[name] = _mean([_over_best(source, number) for number in part.index])
    told = "; ".join(f"{name}: {_lead(lead)}" for name, lead in leads.items())
    own = leads.pop(value)
    if UNKNOWN in (own, *leads.values()):
        return [Case(value, numbers)]
    larger = [above(own.low - other.high, own.high - other.low) for other in leads.values()]
    outcome = _together([above(own.low, own.high), *larger])
    return [Case(value, numbers, outcome, told)]


def _over_best(source: Source, number: int) -> Margin:
    margins = [source.margins.get((number, other), UNKNOWN) for other in BASELINES]
    if UNKNOWN in margins:
        return UNKNOWN
    value, low, high = (min(getattr(each, part) for each in margins) for part in ("value", "low", "high"))
    return Margin(value, low, high, OPEN, margins[0].n)


def _runner_up(source: Source, lines: pd.DataFrame, *, model: str) -> list[Case]:
    """For each data set, the model has the second best score of all models that AVSS pruned. Scores differ where their
    intervals do not overlap.
    """
    cases = []
    for dataset, part in lines.groupby("dataset", sort=False):
        numbers = tuple(part.index)
        pruned = {line["model"]: source.scores.get((number, "avss")) for number, line in part.iterrows()}
        if None in pruned.values():
            cases.append(Case(dataset, numbers))
            continue
        told = "; ".join(f"{name}: {_score(score)}" for name, score in pruned.items())
        own = pruned.pop(model)
        better = [_better(other, own) for other in pruned.values()]
        second = better.count(HOLDS) <= 1 <= len(better) - better.count(FAILS)
        outcome = FAILS if not second else OPEN if OPEN in better else HOLDS
        cases.append(Case(dataset, numbers, outcome, told))
    return cases


def _better(one: NamedTuple, other: NamedTuple) -> str:
    sign = direction(one.metric)
    low, high = sorted((sign * (one.low - other.high), sign * (one.high - other.low)))
    return above(low, high)


def _value(source: Source, lines: pd.DataFrame, *, value: float) -> list[Case]:
    """For each row, AVSS has this score; a measured one has it where its interval covers it."""
    cases = []
    for number, line in lines.iterrows():
        score = source.scores.get((number, "avss"))
        known = ()
        if score is not None:
            covered = HOLDS if score.low <= value <= score.high else FAILS
            known = (covered, _score(score))
        cases.append(Case(row_name(line), (number,), *known))
    return cases


def _rank_agreement(source: Source, lines: pd.DataFrame, *, quantity: str, sign: int) -> list[Case]:
    """For each row, the quantity orders the blocks as the loss without each of them (`leave_one_out`) does, or, where
    the sign is negative, the other way round.

    The number is Kendall's tau-b over the blocks, of means over the seeds. It is settled where p, corrected by Holm for
    the rows, is at most 0.05.
    """
    found = {}
    for number in lines.index:
        if {(number, quantity), (number, TRUTH)} <= source.blocks.keys():
            pair = source.blocks[number, quantity], source.blocks[number, TRUTH]
            found[number] = (*stats.kendalltau(*pair), len(pair[0]))
    corrected = dict(zip(found, intervals.holm([p for _, p, _ in found.values()]), strict=True))
    cases = []
    for number, line in lines.iterrows():
        known = ()
        if number in found:
            tau, _, blocks = found[number]
            outcome = OPEN if not corrected[number] <= ALPHA else HOLDS if sign * tau > 0 else FAILS
            told = spell(tau, digits=2, sign="+")
            known = (outcome, f"tau {told}, p\u00a0=\u00a0{corrected[number]:.3f}, blocks: {blocks}")
        cases.append(Case(row_name(line), (number,), *known))
    return cases


def _share_removed(_: Source, lines: pd.DataFrame, *, low: float, high: float) -> list[Case]:
    """For each row, the printed parameter reduction, in percent, lies between the two numbers, ends included."""
    cases = []
    for number, line in lines.iterrows():
        outcome = HOLDS if low <= _reduction(line) <= high else FAILS
        cases.append(Case(row_name(line), (number,), outcome, line["parameter_reduction"]))
    return cases


def _reduction(line: pd.Series) -> float:
    return float(line["parameter_reduction"].rstrip("%"))


def _whole_blocks(_: Source, lines: pd.DataFrame, *, of: str, models: dict[str, dict]) -> list[Case]:
    """For each row, the printed parameter reduction is the share of the model's blocks, or of its parameters, that a
    whole number of its blocks has. The number is the nearest such share.
    """
    cases = []
    for number, line in lines.iterrows():
        model = models[line["model"]]
        blocks = np.arange(1, model["blocks"])
        one = {"blocks": 1 / model["blocks"], "parameters": model["block_parameters"] / model["parameters"]}[of]
        away = np.abs(100 * one * blocks - _reduction(line))
        nearest = blocks[away.argmin()]
        # Printed with two decimals; 5 of 32 lies between two of those.
        outcome = HOLDS if away.min() < 0.00501 else FAILS
        told = f"{line['parameter_reduction']} printed; {percent(one * nearest, 2)} for {nearest} of {model['blocks']}"
        cases.append(Case(row_name(line), (number,), outcome, told))
    return cases


def _distinct(_: Source, lines: pd.DataFrame) -> list[Case]:
    """For each row, no two of the four methods have the same printed value."""
    cases = []
    for number, line in lines.iterrows():
        values = line[[*BASELINES, "avss"]]
        shared = values[values.duplicated(keep=False)]
        told = f"{', '.join(map(label, shared.index))}: {shared.iloc[0]}" if len(shared) else "all differ"
        cases.append(Case(row_name(line), (number,), FAILS if len(shared) else HOLDS, told))
    return cases


def _count(_: Source, lines: pd.DataFrame, *, column: str, low: int, high: float = np.inf) -> list[Case]:
    """In a column of Table 1 the number of different entries lies between the two numbers, ends included."""
    entries = lines[column].unique()
    outcome = HOLDS if low <= len(entries) <= high else FAILS
    told = f"{len(entries)}: {', '.join(entries)}"
    return [Case(f"different entries of {column}", tuple(lines.index), outcome, told)]


def _not_printed(_: Source, lines: pd.DataFrame) -> list[Case]:
    """Table 1 does not print what the claim is about, so it cannot be checked."""
    return [Case("all rows", tuple(lines.index))]


class Check(NamedTuple):
    """A kind of check. cases: from a source and lines of Table 1. asked: of whom it can be asked."""

    cases: Callable[..., list[Case]]
    asked: str = ANYONE


CHECKS = {
    "retention": Check(_retention),
    "decline": Check(_decline),
    "best": Check(_best),
    "wins": Check(_wins),
    "best_mean": Check(_best_mean),
    "largest_lead": Check(_largest_lead),
    "runner_up": Check(_runner_up, THE_MODELS),
    "value": Check(_value, THE_MODELS),
    "rank_agreement": Check(_rank_agreement),
    "share_removed": Check(_share_removed, THE_TABLE),
    "whole_blocks": Check(_whole_blocks, THE_TABLE),
    "distinct": Check(_distinct, THE_TABLE),
    "count": Check(_count, THE_TABLE),
    "not_printed": Check(_not_printed, THE_TABLE),
}
