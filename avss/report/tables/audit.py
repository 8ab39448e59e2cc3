"""The tables of the audit: a verdict on each claim of the paper, its cases, and the kinds of check."""

import pandas as pd

from avss.report.audit import Finding, findings
from avss.report.cases import FAILS, HOLDS, UNMEASURED, Case
from avss.report.checks import CHECKS
from avss.report.markdown import Text, markdown
from avss.report.snapshot import Results
from avss.report.sources import sources
from avss.report.table1 import HEADINGS, PRINTED

# The claims that the paper leads with, by their names in the file.
MAIN = ("keeps-over-90", "best-in-all-tasks")


def audit_table(results: Results) -> Text:
    """A verdict on each claim by each source, and below it the cases that it rests on, folded, claim by claim."""
    by_claim = _by_claim(results)
    table = [
        {"claim": answers[0].claim.claim, "section": answers[0].claim.where} | _verdicts(answers)
        for answers in by_claim.values()
    ]
    ran = {source.name: source.ran for source in sources(results)}
    folded = [_cases(answers, ran) for answers in by_claim.values()]
    return Text("\n".join([markdown(pd.DataFrame(table)), *folded]))


def main_claims_table(results: Results) -> Text:
    """A verdict on each of `MAIN` by each source."""
    by_claim = _by_claim(results)
    return markdown(
        pd.DataFrame([{"claim": by_claim[name][0].claim.claim} | _verdicts(by_claim[name]) for name in MAIN])
    )


def _by_claim(results: Results) -> dict[str, list[Finding]]:
    by_claim: dict[str, list[Finding]] = {}
    for finding in findings(results):
        by_claim.setdefault(finding.claim.id, []).append(finding)
    return by_claim


def _verdicts(answers: list[Finding]) -> dict[str, str]:
    return {HEADINGS.get(finding.source, finding.source): _cell(finding) for finding in answers}


def _cell(finding: Finding) -> str:
    """The counts of models and cases, and how many rows were measured where some were not.

    The text of the paper is consistent with its table, or not; a claim of a single case shows its numbers.
    """
    measured = [case for case in finding.cases if case.outcome != UNMEASURED]
    if not measured:
        return finding.verdict
    verdict, counts = finding.verdict, str(finding.by_case)
    if finding.source == PRINTED:
        verdict = {HOLDS: "consistent", FAILS: "not consistent"}.get(verdict, verdict)
    if len(finding.cases) == 1:
        return f"{verdict}: {measured[0].numbers}"
    if finding.source == PRINTED:
        return f"{verdict}: {counts}"
    one_a_row = (
        len({case.lines for case in finding.cases})
        == len(finding.cases)
        == sum(len(case.lines) for case in finding.cases)
    )
    parts = [f"models: {finding.by_model}"] if finding.models else []
    parts.append(f"{'rows' if one_a_row else 'cases'}: {counts}")
    covered, asked = ({line for case in part for line in case.lines} for part in (measured, finding.cases))
    rest = "" if covered == asked else f" (rows measured: {len(covered)} of {len(asked)})"
    return "; ".join(parts) + rest


def _cases(answers: list[Finding], ran: dict[str, dict[int, str]]) -> str:
    claim, asked = answers[0].claim, [finding for finding in answers if finding.cases]
    table = pd.DataFrame({"line of the paper's table": [case.name for case in asked[0].cases]})
    for finding in asked:
        table[HEADINGS.get(finding.source, finding.source)] = [
            _case(case, ran[finding.source]) for case in finding.cases
        ]
    needed = {"every": "every case", "most": "most cases"}[claim.needs]
    about = f"The paper: “{claim.quote}”. Check: `{claim.check}`, needed in {needed}."
    return f":::{{dropdown}} {claim.claim}\n{about}\n\n{markdown(table)}:::\n"


def _case(case: Case, ran: dict[int, str]) -> str:
    """The outcome and its numbers, after what ran where that is not in the numbers."""
    told = f"{case.outcome}: {case.numbers}" if case.numbers else case.outcome
    names = list(dict.fromkeys(ran[line] for line in case.lines if line in ran))
    return (
        told
        if case.outcome == UNMEASURED or any(name in told for name in names) or not names
        else (f"{', '.join(names)}: {told}")
    )


def check_table(results: Results) -> Text:
    """The kinds of check, what each asks, and of whom it can be asked."""
    table = [
        {"check": f"`{name}`", "what it asks": check.asks, "asked of": check.asked} for name, check in CHECKS.items()
    ]
    return markdown(pd.DataFrame(table))


# The tables that pages include, by the name of their file.
TABLES = {function.__name__: function for function in (audit_table, main_claims_table, check_table)}
