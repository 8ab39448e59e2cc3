"""The kinds of check by which a claim of the paper's text is asked of its Table 1 and of results.

A check splits a claim into cases: a row of the table, say, or a row and a baseline. Each case holds, fails, is
undecided where intervals decide nothing, or is not measured. The paper defines none of this; the definitions are ours.
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from avss import intervals
from avss.methods.catalogue import BASELINES
from avss.metrics import METRICS
from avss.report.cases import (
    FAILS,
    HOLDS,
    OPEN,
    UNKNOWN,
    UNMEASURED,
    Case,
    Margin,
    Source,
    above,
    row_name,
    spelled,
    spelled_lead,
    spelled_p,
    together,
)
from avss.report.comparisons import ALPHA, label
from avss.report.markdown import percent, spell

# The sources that a check can be asked of.
ANYONE, THE_MODELS, THE_TABLE = "table and any model", "table and the paper's own models", "table alone"


def _retention(source: Source, lines: pd.DataFrame, *, methods: Iterable[str], share: float) -> list[Case]:
    return [
        _case_of_score(source, line, method, lambda score: above(score.retention_low, score.retention_high, share))
        for (_, line), method in product(lines.iterrows(), methods)
    ]


def _decline(source: Source, lines: pd.DataFrame, *, methods: Iterable[str], expected: bool = True) -> list[Case]:
    def outcome(score: NamedTuple) -> str:
        declines = above(-score.retention_high, -score.retention_low, -1)
        return declines if expected else {HOLDS: FAILS, FAILS: HOLDS}.get(declines, OPEN)

    return [_case_of_score(source, line, method, outcome) for (_, line), method in product(lines.iterrows(), methods)]


def _case_of_score(source: Source, line: pd.Series, method: str, outcome: Callable[[NamedTuple], str]) -> Case:
    name, score = row_name(line, method), source.scores.get((line.name, method))
    if score is None:
        return Case(name, (line.name,))
    numbers = spelled(score.retention, score.retention_low, score.retention_high, score.n)
    return Case(name, (line.name,), outcome(score), numbers)


def _best(source: Source, lines: pd.DataFrame, *, others: Iterable[str] = BASELINES) -> list[Case]:
    cases = []
    for number, line in lines.iterrows():
        margins = {other: source.margins.get((number, other), UNKNOWN) for other in others}
        cases.append(Case(row_name(line), (number,), *_least(margins)))
    return cases


def _score(score: NamedTuple) -> str:
    return spelled(score.value, score.low, score.high, score.n, METRICS[score.metric].digits)


def _wins(source: Source, lines: pd.DataFrame, *, others: Iterable[str] = BASELINES) -> list[Case]:
    cases = []
    for (number, line), other in product(lines.iterrows(), others):
        margin = source.margins.get((number, other))
        settled = (margin.outcome, spelled_lead(margin)) if margin else ()
        cases.append(Case(row_name(line, other), (number,), *settled))
    return cases


def _best_mean(source: Source, lines: pd.DataFrame, *, by: str, others: Iterable[str] = BASELINES) -> list[Case]:
    cases = []
    for name, part in lines.groupby(by, sort=False):
        numbers = tuple(part.index)
        means = {other: _mean([source.margins.get((number, other), UNKNOWN) for number in numbers]) for other in others}
        cases.append(Case(name, numbers, *_least(means)))
    return cases


def _least(margins: dict[str, Margin]) -> tuple[str, str]:
    """Whether AVSS leads all of these, and the smallest of the leads that settle it."""
    outcome = together(margin.outcome for margin in margins.values())
    deciding = {other: margin for other, margin in margins.items() if margin.outcome == outcome}
    least = min(deciding, key=lambda other: deciding[other].value)
    return outcome, "" if outcome == UNMEASURED else f"over {label(least)} {spelled_lead(deciding[least])}"


def _mean(margins: list[Margin]) -> Margin:
    if UNKNOWN in margins:
        return UNKNOWN
    value, low, high = (np.mean([getattr(each, part) for each in margins]) for part in ("value", "low", "high"))
    return Margin(value, low, high, above(low, high), min(margin.n for margin in margins), unit=margins[0].unit)


def _largest_lead(source: Source, lines: pd.DataFrame, *, by: str, value: str) -> list[Case]:
    numbers, leads = tuple(lines.index), {}
    for name, part in lines.groupby(by, sort=False):
        leads[name] = _mean([_over_best(source, number) for number in part.index])
    parts = dict(iter(lines.groupby(by, sort=False)))
    text = "; ".join(f"{source.group(parts[name], name)}: {spelled_lead(lead)}" for name, lead in leads.items())
    own = leads.pop(value)
    if UNKNOWN in (own, *leads.values()):
        return [Case(value, numbers)]
    larger = [above(own.low - other.high, own.high - other.low) for other in leads.values()]
    outcome = together([above(own.low, own.high), *larger])
    return [Case(value, numbers, outcome, text)]


def _over_best(source: Source, number: int) -> Margin:
    margins = [source.margins.get((number, other), UNKNOWN) for other in BASELINES]
    if UNKNOWN in margins:
        return UNKNOWN
    value, low, high = (min(getattr(each, part) for each in margins) for part in ("value", "low", "high"))
    return Margin(value, low, high, OPEN, margins[0].n, unit=margins[0].unit)


def _runner_up(source: Source, lines: pd.DataFrame, *, model: str) -> list[Case]:
    cases = []
    for dataset, part in lines.groupby("dataset", sort=False):
        numbers = tuple(part.index)
        pruned = {line["model"]: source.scores.get((number, "avss")) for number, line in part.iterrows()}
        if None in pruned.values():
            cases.append(Case(dataset, numbers))
            continue
        text = "; ".join(
            f"{source.group(part[part['model'] == name], name)}: {_score(pruned[name])}" for name in pruned
        )
        own = pruned.pop(model)
        better = [_better(other, own) for other in pruned.values()]
        second = better.count(HOLDS) <= 1 <= len(better) - better.count(FAILS)
        outcome = FAILS if not second else OPEN if OPEN in better else HOLDS
        cases.append(Case(dataset, numbers, outcome, text))
    return cases


def _better(one: NamedTuple, other: NamedTuple) -> str:
    sign = METRICS[one.metric].direction
    low, high = sorted((sign * (one.low - other.high), sign * (one.high - other.low)))
    return above(low, high)


def _value(source: Source, lines: pd.DataFrame, *, value: float) -> list[Case]:
    cases = []
    for number, line in lines.iterrows():
        score = source.scores.get((number, "avss"))
        settled = ()
        if score is not None:
            covered = HOLDS if score.low <= value <= score.high else FAILS
            settled = (covered, _score(score))
        cases.append(Case(row_name(line), (number,), *settled))
    return cases


def _rank_agreement(source: Source, lines: pd.DataFrame, *, quantity: str, sign: int) -> list[Case]:
    pairs = {number: source.blocks[number, quantity] for number in lines.index if (number, quantity) in source.blocks}
    ps = intervals.holm([intervals.p_of_tau(*pair) for pair in pairs.values()])
    corrected = dict(zip(pairs, ps, strict=True))
    cases = []
    for number, line in lines.iterrows():
        settled = ()
        if number in pairs:
            tau, p = intervals.tau_over_seeds(*pairs[number]), corrected[number]
            outcome = OPEN if not p <= ALPHA else HOLDS if sign * tau.value > 0 else FAILS
            known = "no order" if np.isnan(p) else f"tau {spell(*tau, digits=2, sign='+')}, {spelled_p(p)}"
            settled = (outcome, f"{known}, blocks: {pairs[number][0].shape[1]}")
        cases.append(Case(row_name(line), (number,), *settled))
    return cases


def _share_removed(_: Source, lines: pd.DataFrame, *, low: float, high: float) -> list[Case]:
    cases = []
    for number, line in lines.iterrows():
        outcome = HOLDS if low <= _reduction(line) <= high else FAILS
        cases.append(Case(row_name(line), (number,), outcome, line["parameter_reduction"]))
    return cases


def _reduction(line: pd.Series) -> float:
    return float(line["parameter_reduction"].rstrip("%"))


def _whole_blocks(_: Source, lines: pd.DataFrame, *, of: str, models: dict[str, dict]) -> list[Case]:
    cases = []
    for number, line in lines.iterrows():
        model = models[line["model"]]
        blocks = np.arange(1, model["blocks"])
        one = {"blocks": 1 / model["blocks"], "parameters": model["block_parameters"] / model["parameters"]}[of]
        away = np.abs(100 * one * blocks - _reduction(line))
        nearest = blocks[away.argmin()]
        # Printed with two decimals; 5 of 32 lies between two of those.
        outcome = HOLDS if away.min() < 0.00501 else FAILS
        text = f"{line['parameter_reduction']} printed; {percent(one * nearest, 2)} for {nearest} of {model['blocks']}"
        cases.append(Case(row_name(line), (number,), outcome, text))
    return cases


def _distinct(_: Source, lines: pd.DataFrame) -> list[Case]:
    cases = []
    for number, line in lines.iterrows():
        values = line[[*BASELINES, "avss"]]
        shared = values[values.duplicated(keep=False)]
        text = f"{', '.join(map(label, shared.index))}: {shared.iloc[0]}" if len(shared) else "all differ"
        cases.append(Case(row_name(line), (number,), FAILS if len(shared) else HOLDS, text))
    return cases


def _count(_: Source, lines: pd.DataFrame, *, column: str, low: int, high: float = np.inf) -> list[Case]:
    entries = lines[column].unique()
    outcome = HOLDS if low <= len(entries) <= high else FAILS
    text = f"{len(entries)}: {', '.join(entries)}"
    return [Case(f"different entries of {column}", tuple(lines.index), outcome, text)]


def _not_printed(_: Source, lines: pd.DataFrame) -> list[Case]:
    return [Case("all rows", tuple(lines.index))]


class Check(NamedTuple):
    """A kind of check. cases: from a source and lines of Table 1. asks: the question, in words. asked: of whom.

    of_scores: it compares scores of pruned models, so that an original that is too weak leaves nothing to judge.
    """

    cases: Callable[..., list[Case]]
    asks: str
    asked: str = ANYONE
    of_scores: bool = True


CHECKS = {
    "retention": Check(
        _retention,
        "For each row, what the method keeps of the original score lies above a share.",
    ),
    "decline": Check(
        _decline,
        "For each row and method, the score is worse than the original (or is not, where that is claimed).",
    ),
    "best": Check(
        _best,
        "For each row, AVSS is better than each of the baselines. The number is its lead over the one that decides.",
    ),
    "wins": Check(
        _wins,
        "For each row and baseline, AVSS is better than the baseline.",
    ),
    "best_mean": Check(
        _best_mean,
        "For each group of rows, AVSS is on average better than each baseline. The bounds of a mean are the "
        "means of the rows' bounds, which is no narrower than its 95 % interval; n is the fewest documents of"
        " a row.",
    ),
    "largest_lead": Check(
        _largest_lead,
        "AVSS leads the best baseline, and in this group of rows by more than in every other, on average over"
        " the rows. A lead's bounds are the lowest of the baselines' lower bounds and the lowest of their "
        "upper ones; it is larger than another where the bounds do not overlap.",
    ),
    "runner_up": Check(
        _runner_up,
        "For each data set, the model has the second best score of all models that AVSS pruned. Scores differ"
        " where their intervals do not overlap.",
        THE_MODELS,
    ),
    "value": Check(
        _value,
        "For each row, AVSS has this score; a measured one has it where its interval covers it.",
        THE_MODELS,
    ),
    "rank_agreement": Check(
        _rank_agreement,
        "For each row, the quantity orders the blocks as the loss without each of them (`leave_one_out`) "
        "does, or, where the sign is negative, the other way round. The number is Kendall's tau-b over the "
        "blocks, the mean over the seeds, with its interval over the seeds. It is settled where p, corrected by "
        "Holm for the rows, is at most 0.05. p is the share of permutations of the blocks with a tau as far from 0.",
        of_scores=False,
    ),
    "share_removed": Check(
        _share_removed,
        "For each row, the printed parameter reduction, in percent, lies between the two numbers, ends included.",
        THE_TABLE,
    ),
    "whole_blocks": Check(
        _whole_blocks,
        "For each row, the printed parameter reduction is the share of the model's blocks, or of its "
        "parameters, that a whole number of its blocks has. The number is the nearest such share.",
        THE_TABLE,
    ),
    "distinct": Check(
        _distinct,
        "For each row, no two of the four methods have the same printed value.",
        THE_TABLE,
    ),
    "count": Check(
        _count,
        "In a column of Table 1 the number of different entries lies between the two numbers, ends included.",
        THE_TABLE,
    ),
    "not_printed": Check(
        _not_printed,
        "Table 1 does not print what the claim is about, so it cannot be checked.",
        THE_TABLE,
    ),
}
