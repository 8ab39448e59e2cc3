"""Counts and means over measurements: how many of them show something, and the lowest, highest or mean of a number.

A measurement is a row of a profile that has results. A group of them is `all`, a profile, a task, a kind of `KINDS`,
or a pattern of row ids such as `*-smollm2`; `+` between groups takes what is in each of them. Measurements whose
original model is too weak to have a share kept count nowhere where a share is asked for.
"""

import re
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache

import numpy as np

from avss.errors import InputError, look_up
from avss.report.addresses import NotMeasured, Number, of_row
from avss.report.comparisons import TOO_WEAK, differences, label, sort_key, successes
from avss.report.snapshot import Results
from avss.report.training import training_of
from avss.tasks.catalogue import TASKS

COUNT, ALL = "count", "all"
# How a fold over measurements is made, and named for readers.
FOLDS: dict[str, tuple[Callable, str]] = {
    "lowest": (min, "lowest"),
    "highest": (max, "highest"),
    "mean": (lambda values: float(np.mean(values)), "mean"),
    "geomean": (lambda values: float(np.prod(values) ** (1 / len(values))), "geometric mean"),
}
_COMPARES = {
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
    "=": lambda one, other: one == other,
}
_CONDITION = re.compile(r"(?P<quantity>\w+)(?:(?P<compares>>=|<=|>|<|=)(?P<bound>[\w.-]+))?")
VERDICT = "verdict_"


def _head(facts: dict) -> bool:
    return "classification head" in facts.get("protocol", "")


def _pretrained(facts: dict) -> bool:
    """Whether others trained the model, or its base, on text of the world."""
    training = training_of(facts)
    return "dequantized_from" in facts or "base" in training or not training


# Kinds of measurements, told by the provenance of their newest run.
KINDS: dict[str, Callable[[dict], bool]] = {
    "encoders": _head,
    "decoders": lambda facts: not _head(facts),
    "pretrained": _pretrained,
    # Their first blocks began with a circuit that copies earlier tokens, which AVSS removes.
    "planted": lambda facts: bool(training_of(facts).get("begins_with_copying_heads")),
}


@cache
def measurements(results: Results, group: str = ALL) -> list[tuple[str, str]]:
    """Profile and row of every measurement of a group: `reference` first, then as in the store.

    Raises `InputError` for a group that nothing bears.
    """
    table = results.in_use
    found = table.loc[table["status"] == "ok", ["profile", "row"]].drop_duplicates()
    order = sorted(found.itertuples(index=False, name=None), key=lambda pair: sort_key(pair[0], ("reference", "mini")))
    for part in group.split("+"):
        order = [pair for pair in order if _belongs(results, part, *pair)]
    return order


def _belongs(results: Results, part: str, profile: str, row: str) -> bool:
    if part in KINDS:
        return KINDS[part](results.newest(profile, row))
    if part in TASKS:
        return next(_lines(results, profile, row)).task == part
    if "*" in part:
        return fnmatch(row, part)
    profiles = dict.fromkeys([ALL, "reference", "mini", "paper", *results.in_use["profile"]])
    look_up("group", part, profiles | dict.fromkeys((*KINDS, *TASKS)))
    return part in (ALL, profile)


def counted(address: str, results: Results) -> Number:
    """The number at count/group/method/condition, count/group/measurements or count/group/models."""
    _, group, *rest = address.split("/")
    members = measurements(results, group)
    if rest == ["measurements"]:
        return _count(members, members, results)
    if rest == ["models"]:
        names = {(line.model, line.revision) for pair in members for line in _lines(results, *pair)}
        return Number(len(names), ".0f", f"of the rows {_listed(members)}")
    method, condition = _method_and(address, rest)
    match = _CONDITION.fullmatch(condition)
    if not match:
        raise InputError(f"{address!r}: {condition!r} is no condition; write for instance retention<random")
    measured, true = [], []
    for profile, row in members:
        try:
            holds = _holds(f"{profile}/{row}/{method}", match, results)
        except NotMeasured:
            continue
        measured.append((profile, row))
        true += [(profile, row)] * holds
    if not measured:
        raise NotMeasured(f"{address}: no run has measured this")
    return _count(true, measured, results)


def _method_and(address: str, rest: list[str]) -> tuple[str, str]:
    if len(rest) not in (2, 3):
        raise InputError(f"{address!r} is no address; see avss.report.counted")
    return "/".join(rest[:-1]), rest[-1]


def _holds(place: str, match: re.Match, results: Results) -> bool:
    quantity, compares, bound = match["quantity"], match["compares"], match["bound"]
    if quantity.startswith(VERDICT):
        found = verdict(place, quantity.removeprefix(VERDICT), results)
        return compares is None or found == bound.replace("-", " ")
    value = of_row(f"{place}/{quantity}", results).value
    if compares is None:
        return True
    try:
        other = float(bound)
    except ValueError:
        profile, row, *_ = place.split("/")
        other = of_row(f"{profile}/{row}/{bound}/{quantity}", results).value
    return bool(_COMPARES[compares](value, other))


def verdict(place: str, against: str, results: Results) -> str:
    """The verdict on profile/row/method against a control or `avss`, as in `comparisons.differences`."""
    profile, row, method, *reading = place.split("/")
    table = differences(results, row)
    mine = (table["source"] == profile) & (table["method"] == method) & (table["against"] == label(against, "paper"))
    found = table[mine & table["reading"].isin(reading or ["none", "paper"])]
    if found.empty:
        raise NotMeasured(f"{place}: no run has measured it against {against}")
    if found["verdict"].iloc[0] == TOO_WEAK:
        raise NotMeasured(f"{place}: the original is too weak to judge")
    return found["verdict"].iloc[0]


def folded(address: str, results: Results) -> Number:
    """The number at fold/group/method/quantity, for a fold of `FOLDS`."""
    fold, group, *rest = address.split("/")
    method, quantity = _method_and(address, rest)
    numbers = {}
    for profile, row in measurements(results, group):
        try:
            numbers[profile, row] = of_row(f"{profile}/{row}/{method}/{quantity}", results)
        except NotMeasured:
            continue
    if not numbers:
        raise NotMeasured(f"{address}: no run has measured this")
    function, name = FOLDS[fold]
    value = function([number.value for number in numbers.values()])
    where = [pair for pair, number in numbers.items() if number.value == value]
    place = f", at {_listed(where)}" if where and fold in ("lowest", "highest") else ""
    source = f"{name} of {len(numbers)} measurements{place}"
    return Number(value, next(iter(numbers.values())).form, source, facts={"runs": _runs(results, numbers)})


def _count(true: list, measured: list, results: Results) -> Number:
    which = f": {_listed(true)}" if 0 < len(true) < len(measured) else ""
    facts = {"runs": _runs(results, measured)}
    return Number(len(true), ".0f", f"{len(true)} of {len(measured)} measurements{which}", facts=facts)


def _lines(results: Results, profile: str, row: str):
    table = successes(results, row)
    return table[(table["profile"] == profile) & (table["row"] == row)].itertuples()


def _runs(results: Results, pairs) -> list[str]:
    return list(dict.fromkeys(run for pair in pairs for run in _runs_of(results, *pair)))


@cache
def _runs_of(results: Results, profile: str, row: str) -> list[str]:
    return list(dict.fromkeys(line.run for line in _lines(results, profile, row)))


def _listed(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{profile}/{row}" for profile, row in pairs)
