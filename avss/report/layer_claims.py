"""The claims of "Investigating Layer Importance in Large Language Models" (arXiv 2409.14381), asked of stored results.

The claims are the list `layer_claims` of `avss/report/claims.yml`. A case is one task of results/shapley. Outcomes and
verdicts are those of `avss.report.audit`; the readings of early, chance, little and large are ours.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from avss import intervals
from avss.errors import InputError, look_up
from avss.report.audit import CLAIMS, verdict
from avss.report.cases import FAILS, HOLDS, OPEN, Case, above, spelled
from avss.report.comparisons import TOO_WEAK
from avss.report.cornerstones import Stored, is_weak, removals_of, stones_of, top_share
from avss.report.markdown import NOT_MEASURED, Text, markdown, runs_of
from avss.strict_yaml import read_yaml


def _early(found: Stored, *, within: float) -> tuple[str, str]:
    stones, blocks = stones_of(found), len(found.without)
    if not stones:
        return OPEN, "no cornerstone"
    outcome = HOLDS if max(stones) < within * blocks else FAILS
    return outcome, f"cornerstones {runs_of(stones)} of {blocks} blocks"


def _collapse(found: Stored) -> tuple[str, str]:
    stones = stones_of(found)
    return (HOLDS, f"without block {runs_of(stones)}") if stones else (FAILS, "no block does")


def _little_loss(found: Stored, *, share: float) -> tuple[str, str]:
    table = removals_of(found)
    others = table[~table["cornerstone"]]
    whole = intervals.value(found.metric, found.whole, found.denominator)
    kept = intervals.retention(found.metric, others[["low", "high"]].to_numpy(), whole)
    # The lower the better, the more is kept at the lower end.
    outcomes = [above(*sorted(ends), share) for ends in kept]
    holding, failing = outcomes.count(HOLDS), outcomes.count(FAILS)
    settled = HOLDS if 2 * holding > len(others) else FAILS if 2 * failing > len(others) else OPEN
    return settled, f"of {len(others)} other blocks, kept without {holding}, not kept without {failing}"


def _dominate(found: Stored, *, share: float, clipped: bool = False) -> tuple[str, str]:
    chosen, held, low, high = top_share(found.by_document, clipped=clipped)
    return above(low, high, share), f"blocks {runs_of(chosen)}: {spelled(held, low, high, found.by_document.shape[1])}"


class Check(NamedTuple):
    """A kind of check. outcome: of stored results. removals: it rests on scores that must be above chance at first."""

    outcome: Callable[..., tuple[str, str]]
    removals: bool = True


CHECKS = {
    "early": Check(_early),
    "collapse": Check(_collapse),
    "little_loss": Check(_little_loss),
    "dominate": Check(_dominate, removals=False),
}


class Finding(NamedTuple):
    """The answer of the stored results to a claim: a verdict as in `avss.report.audit.findings`, and its cases."""

    id: str
    claim: str
    verdict: str
    cases: list[Case]


def layer_findings(results: list[Stored], path: Path = CLAIMS) -> list[Finding]:
    """A finding for each claim. Raises `InputError` for a claim without a field or of an unknown check."""
    found = []
    for entry in read_yaml(path).get("layer_claims", []):
        rest = dict(entry)
        try:
            name, claim, kind = (rest.pop(part) for part in ("id", "claim", "check"))
            check = look_up(f"claim {name}: check", kind, CHECKS)
            cases = [_case(check, result, rest) for result in results]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path}: layer claim {entry} is not understood ({error}); compare it with another"
            ) from error
        found.append(Finding(name, claim, verdict([case.outcome for case in cases]) if cases else NOT_MEASURED, cases))
    return found


def _case(check: Check, result: Stored, parameters: dict) -> Case:
    name = f"{result.name}, {result.facts['model']}"
    if check.removals and is_weak(result):
        return Case(name, (), TOO_WEAK, "the whole model is at chance")
    return Case(name, (), *check.outcome(result, **parameters))


def layer_claims_table(results: list[Stored]) -> Text:
    """A line for each claim: the verdict, and the outcome of each task with the numbers behind it."""
    lines = []
    for finding in layer_findings(results):
        cases = {case.name: f"{case.outcome}: {case.numbers}" for case in finding.cases}
        lines.append({"claim": finding.claim, "verdict": finding.verdict} | cases)
    return markdown(pd.DataFrame(lines))
