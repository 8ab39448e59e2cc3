"""The claims of the paper's text (`avss/report/claims.yml`), asked of its own Table 1 and of the results.

A claim names one of the kinds in `avss.report.checks`, which splits it into cases. They are counted by model first, as
one model on four data sets is one model, and then one by one. Printed numbers have no intervals and are taken at face
value. Measured ones count by the 95 % intervals and corrected comparisons of `avss.report.comparisons`, AVSS in its
reading `paper`.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from avss.errors import InputError, look_up
from avss.report.cases import FAILS, HOLDS, OPEN, UNMEASURED, Case, Source
from avss.report.checks import ANYONE, CHECKS, THE_MODELS
from avss.report.comparisons import METHODS, TOO_WEAK
from avss.report.snapshot import Results
from avss.report.sources import sources
from avss.report.table1 import PRINTED, printed_table
from avss.strict_yaml import read_yaml

CLAIMS = Path(__file__).parent / "claims.yml"
# The profile that runs the paper's own models.
CHECKPOINTS = "paper"
NOT_ASKED = "not asked"
NEEDS = ("every", "most")


@dataclass(frozen=True)
class Claim:
    """One claim; `parameters` are those of its check, `lines` the lines of Table 1 that it is about."""

    id: str
    where: str
    claim: str
    quote: str
    check: str
    needs: str
    lines: pd.DataFrame
    parameters: dict


class Tally(NamedTuple):
    """How many models, or cases, answer so; `weak` are too weak to judge."""

    holds: int = 0
    fails: int = 0
    undecided: int = 0
    weak: int = 0
    unmeasured: int = 0

    @property
    def judged(self) -> int:
        return self.holds + self.fails + self.undecided

    def __str__(self) -> str:
        """The counts in words: `1 of 9 holds, 7 fail, 1 undecided, 2 too weak to judge`."""
        parts = [f"{self.holds} of {self.judged} hold{'s' if self.holds == 1 else ''}"] if self.judged else []
        parts += [f"{self.fails} fail{'s' if self.fails == 1 else ''}"] if self.fails else []
        parts += [f"{self.undecided} undecided"] if self.undecided else []
        parts += [f"{self.weak} {TOO_WEAK}"] if self.weak else []
        return ", ".join(parts) or UNMEASURED


def tally(outcomes: Iterable[str]) -> Tally:
    """How often each outcome occurs."""
    outcomes = list(outcomes)
    return Tally(*map(outcomes.count, (HOLDS, FAILS, OPEN, TOO_WEAK, UNMEASURED)))


class Finding(NamedTuple):
    """The answer of one source to a claim. models: the answer of each model whose rows alone decide it."""

    claim: Claim
    source: str
    verdict: str
    cases: list[Case]
    models: Mapping[str, str] = MappingProxyType({})

    @property
    def by_case(self) -> Tally:
        return tally(case.outcome for case in self.cases)

    @property
    def by_model(self) -> Tally:
        return tally(self.models.values())


def load_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims of a file such as `avss/report/claims.yml`, in its order.

    Raises `InputError` for a damaged file, and for a claim without a field, of an unknown kind, about rows that Table 1
    lacks, or with parameters that its check does not take.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("claims"), list):
        raise InputError(f"{path} has no list of claims; see avss/report/claims.yml")
    claims = []
    for number, entry in enumerate(content["claims"], 1):
        try:
            claims.append(_claim(entry))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        # A value of another kind than its field has.
        except (AttributeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: claim {number} is not understood ({reason}); compare it with another") from error
    ids = [claim.id for claim in claims]
    if len(set(ids)) < len(ids):
        raise InputError(f"{path}: two claims have the id {next(name for name in ids if ids.count(name) > 1)}")
    return claims


def _claim(entry: dict) -> Claim:
    name = f"claim {entry.get('id')}"
    lacking = [part for part in ("id", "where", "claim", "quote", "check") if part not in entry]
    if lacking:
        raise InputError(f"{name} lacks {', '.join(lacking)}; see avss/report/claims.yml")
    check = look_up(f"{name}: check", entry["check"], CHECKS)
    needs, lines = entry.get("needs", "every"), printed_table()
    look_up(f"{name}: needs", needs, dict.fromkeys(NEEDS))
    for column, value in entry.get("rows", {}).items():
        lines = lines[look_up(f"{name}: column", column, lines) == value]
    if lines.empty:
        raise InputError(f"{name} is about no row of Table 1; see its rows, {entry['rows']}")
    text = {part: entry[part] for part in ("id", "where", "claim", "quote", "check")}
    parameters = {part: value for part, value in entry.items() if part not in (*text, "needs", "rows")}
    try:
        inspect.signature(check.cases).bind(None, lines, **parameters)
    except TypeError as error:
        raise InputError(f"{name}: check {entry['check']} does not take {parameters}: {error}") from error
    _check_values(name, lines, parameters)
    return Claim(**text, needs=needs, lines=lines, parameters=parameters)


def _check_values(name: str, lines: pd.DataFrame, parameters: dict) -> None:
    """Raise `InputError` for a parameter that names a column, model, method or group that there is none of."""
    choices = {"by": lines, "column": lines, "model": lines["model"], "of": ("blocks", "parameters")}
    choices |= dict.fromkeys(("methods", "others"), METHODS)
    for part, given in parameters.items():
        if part == "value" and "by" in parameters:
            look_up(f"{name}: {part}", given, dict.fromkeys(lines[parameters["by"]]))
        for value in given if isinstance(given, list) else [given]:
            if part in choices:
                look_up(f"{name}: {part}", value, dict.fromkeys(choices[part]))


@cache
def findings(results: Results, path: Path = CLAIMS) -> list[Finding]:
    """The answer of each source to each claim, claim by claim; `verdict` says how cases make one.

    The verdict is `not asked` where the claim is about the printed table or the paper's own models alone.
    """
    asked = sources(results)
    return [ask(claim, source) for claim in load_claims(path) for source in asked]


def ask(claim: Claim, source: Source) -> Finding:
    """The answer of the source to the claim."""
    check = CHECKS[claim.check]
    if not (source.name == PRINTED or check.asked == ANYONE or (source.name, check.asked) == (CHECKPOINTS, THE_MODELS)):
        return Finding(claim, source.name, NOT_ASKED, [])
    cases = check.cases(source, claim.lines, **claim.parameters)
    if check.of_scores:
        cases = [_unless_too_weak(case, source) for case in cases]
    by_model: dict[str, list[str]] = {}
    for case in cases:
        models = {source.models[line] for line in case.lines if line in source.models}
        if len(models) == 1 and case.outcome != UNMEASURED:
            by_model.setdefault(*models, []).append(case.outcome)
    models = {
        model: verdict([each for each in outcomes if each != TOO_WEAK] or outcomes, claim.needs)
        for model, outcomes in by_model.items()
    }
    return Finding(claim, source.name, verdict([case.outcome for case in cases], claim.needs), cases, models)


def _unless_too_weak(case: Case, source: Source) -> Case:
    weak = [f"{source.ran[line]}: {source.weak[line]}" for line in case.lines if line in source.weak]
    return case._replace(outcome=TOO_WEAK, numbers="; ".join(weak)) if weak and case.outcome != UNMEASURED else case


def verdict(outcomes: list[str], needs: str = "every") -> str:
    """The verdict on a claim from the outcomes of its cases.

    A claim about every case holds where all do, and fails where one does. A claim about most holds where more than half
    do, and fails where at least half of them fail. Else it is undecided; not measured, or too weak to judge, where all
    cases are.
    """
    counted = tally(outcomes)
    if counted.holds == len(outcomes) or (needs == "most" and 2 * counted.holds > len(outcomes)):
        return HOLDS
    if counted.fails and (needs == "every" or 2 * counted.fails >= len(outcomes)):
        return FAILS
    if counted.judged:
        return OPEN
    return TOO_WEAK if counted.weak else UNMEASURED
