"""The claims of the paper's text (`avss/report/claims.yml`), asked of its own Table 1 and of the results.

A claim names one of the kinds in `avss.report.checks`, which splits it into cases. Their outcomes give the verdict.
Printed numbers have no intervals and are taken at face value. Measured ones count by the 95 % intervals and corrected
comparisons of `avss.report.comparisons`, AVSS in its reading `paper`.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from avss.errors import InputError, look_up
from avss.methods.catalogue import BASELINES
from avss.metrics import METRICS
from avss.report.checks import (
    ANYONE,
    CHECKS,
    FAILS,
    HOLDS,
    OPEN,
    THE_MODELS,
    TRUTH,
    Case,
    Margin,
    Source,
    above,
    direction,
    row_name,
)
from avss.report.comparisons import (
    HEADINGS,
    NAMES,
    PRINTED,
    PROFILES,
    current,
    differences,
    label,
    measured_rows,
    place,
    retention,
    summary,
    table_1,
)
from avss.report.tables import NOT_MEASURED, Text, markdown, percent, spell
from avss.store import Store

CLAIMS = Path(__file__).parent / "claims.yml"
# The profile that runs the paper's own models.
CHECKPOINTS = "paper"
# The methods of Table 1, and the control that it lacks.
SHOWN = ("original", *BASELINES, "avss", "random")
REPRODUCED, PARTIAL, CONTRADICTED, NOT_ASKED = "reproduced", "partial", "contradicted", "not asked"
NEEDS = ("every", "most")
# The claims that the paper leads with, by their names in the file.
MAIN = ("keeps-over-90", "best-in-all-tasks")
AVSS = label("avss", "paper")


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


class Finding(NamedTuple):
    """What one source says of a claim."""

    claim: Claim
    source: str
    verdict: str
    cases: list[Case]


def scores(store: Store) -> pd.DataFrame:
    """Table 1 as printed and as measured: a line for each row, source (`printed`, then the profiles) and method.

    line: the row's place in Table 1; row: its id in the results. The other columns are those of `summaries.summary`.
    AVSS is in its reading `paper`. What is not measured has no line.
    """
    measured = [
        summary(store, row).query("source != @PRINTED").assign(line=line, row=row)
        for row, line in measured_rows(store).items()
    ]
    table = pd.concat([_printed_scores(), *measured], ignore_index=True)
    table = table[table["method"].isin(SHOWN) & table["reading"].isin(["none", "paper"])]
    order = [(line.line, _place(line.source), SHOWN.index(line.method)) for line in table.itertuples()]
    return table.iloc[sorted(range(len(order)), key=order.__getitem__)].reset_index(drop=True)


def _place(source: str) -> tuple[int, str]:
    return place(source, (PRINTED, *PROFILES))


def _printed_scores() -> pd.DataFrame:
    table = table_1().reset_index(names="line")
    original = table["original"]
    table = table.melt(["line", "metric"], [name for name in SHOWN if name in table], "method", "value")
    kept = [retention(line.metric, line.value, original[line.line]) for line in table.itertuples()]
    return table.assign(source=PRINTED, reading="none", retention=kept)


def sources(store: Store) -> list[Source]:
    """The printed table, then every profile that has results."""
    table = scores(store)
    profiles = table.loc[table["source"] != PRINTED, "source"].unique()
    found = {
        name: Source(name, {(line.line, line.method): line for line in table[table["source"] == name].itertuples()})
        for name in sorted(profiles, key=_place)
    }
    for row, line in table[["row", "line"]].dropna().drop_duplicates().itertuples(index=False):
        _add_measured(found, store, row, line)
    return [printed_source(), *found.values()]


def printed_source() -> Source:
    """The printed table: every number is its own interval."""
    table = _printed_scores().assign(n=np.nan)
    for part in ("value", "retention"):
        bounds = ("low", "high") if part == "value" else ("retention_low", "retention_high")
        table = table.assign(**dict.fromkeys(bounds, table[part]))
    printed, margins = {(line.line, line.method): line for line in table.itertuples()}, {}
    for (line, method), score in printed.items():
        if method in BASELINES:
            margin = direction(score.metric) * (printed[line, "avss"].value - score.value)
            margins[line, method] = Margin(margin, margin, margin, above(margin, margin), np.nan)
    return Source(PRINTED, printed, margins)


def _add_measured(found: dict[str, Source], store: Store, row: str, line: int) -> None:
    """Add a row's margins and blocks to the profiles that measured it."""
    outcomes = {"worse": HOLDS, "better": FAILS, "same outcomes": FAILS}
    compared = differences(store, row).query("against == @AVSS and method in @BASELINES")
    for pair in compared.itertuples():
        # They are the baseline less AVSS; 0 is added so that none is -0.
        sign = -direction(pair.metric)
        low, high = sorted((sign * pair.wide_low + 0.0, sign * pair.wide_high + 0.0))
        margin = Margin(sign * pair.difference + 0.0, low, high, outcomes.get(pair.verdict, OPEN), pair.n)
        found[pair.source].margins[line, pair.method] = margin
    cells = current(store, row)
    cells = cells[cells["method"].isin(["avss", TRUTH]) & cells["reading"].isin(["none", "paper"])]
    # By run too: an older model's blocks may lie beside those in use.
    blocks = cells[["profile", "run", "method", "reading", "seed"]].merge(store.layers(row=row))
    means = blocks.groupby(["profile", "quantity", "layer"])["value"].mean()
    for (profile, quantity), values in means.groupby(["profile", "quantity"]):
        found[profile].blocks[line, quantity] = values.to_numpy()


def load_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims of a file such as `avss/report/claims.yml`, in its order.

    Raises `InputError` for a claim without a field, of an unknown kind, about rows that Table 1 lacks, or with
    parameters that its check does not take.
    """
    printed = printed_source()
    claims = [_claim(entry, printed) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["claims"]]
    ids = [claim.id for claim in claims]
    if len(set(ids)) < len(ids):
        raise InputError(f"{path}: two claims have the id {next(name for name in ids if ids.count(name) > 1)}")
    return claims


def _claim(entry: dict, printed: Source) -> Claim:
    name = f"claim {entry.get('id')}"
    lacking = [part for part in ("id", "where", "claim", "quote", "check") if part not in entry]
    if lacking:
        raise InputError(f"{name} lacks {', '.join(lacking)}; see avss/report/claims.yml")
    check = look_up(f"{name}: check", entry["check"], CHECKS)
    needs, lines = entry.get("needs", "every"), table_1()
    look_up(f"{name}: needs", needs, dict.fromkeys(NEEDS))
    for column, value in entry.get("rows", {}).items():
        lines = lines[look_up(f"{name}: column", column, lines) == value]
    if lines.empty:
        raise InputError(f"{name} is about no row of Table 1; see its rows, {entry['rows']}")
    text = {part: entry[part] for part in ("id", "where", "claim", "quote", "check")}
    parameters = {part: value for part, value in entry.items() if part not in (*text, "needs", "rows")}
    try:
        check.cases(printed, lines, **parameters)
    except (KeyError, TypeError) as error:
        raise InputError(f"{name}: check {entry['check']} does not take {parameters}: {error}") from error
    return Claim(**text, needs=needs, lines=lines, parameters=parameters)


def findings(store: Store, path: Path = CLAIMS) -> list[Finding]:
    """What each source says of each claim, claim by claim.

    verdict: `reproduced` where enough cases hold: every one, or most, as the claim needs; `partial` where only some do;
    `contradicted` where none does and one fails (where most are needed: half of them fail); `open` where none holds and
    too few fail; `not measured` where no case is; `not asked` where the claim is about the printed table or the paper's
    own models alone.
    """
    known = sources(store)
    return [ask(claim, source) for claim in load_claims(path) for source in known]


def ask(claim: Claim, source: Source) -> Finding:
    """What the source says of the claim."""
    check = CHECKS[claim.check]
    if not (source.name == PRINTED or check.asked == ANYONE or (source.name, check.asked) == (CHECKPOINTS, THE_MODELS)):
        return Finding(claim, source.name, NOT_ASKED, [])
    cases = check.cases(source, claim.lines, **claim.parameters)
    return Finding(claim, source.name, verdict([case.outcome for case in cases], claim.needs), cases)


def verdict(outcomes: list[str], needs: str = "every") -> str:
    """The verdict on a claim from the outcomes of its cases; see `findings`."""
    holding, failing = outcomes.count(HOLDS), outcomes.count(FAILS)
    if holding == len(outcomes) or (needs == "most" and 2 * holding > len(outcomes)):
        return REPRODUCED
    if holding:
        return PARTIAL
    if failing and (needs == "every" or 2 * failing >= len(outcomes)):
        return CONTRADICTED
    return NOT_MEASURED if outcomes.count(NOT_MEASURED) == len(outcomes) else OPEN


def audit_table(store: Store) -> Text:
    """A verdict on each claim by each source, and below it the cases that it rests on, folded, claim by claim."""
    by_claim = _by_claim(store)
    table = [
        {"claim": found[0].claim.claim, "section": found[0].claim.where} | _verdicts(found)
        for found in by_claim.values()
    ]
    return Text("\n".join([markdown(pd.DataFrame(table)), *map(_cases, by_claim.values())]))


def main_claims_table(store: Store) -> Text:
    """A verdict on each of `MAIN` by each source."""
    by_claim = _by_claim(store)
    return markdown(
        pd.DataFrame([{"claim": by_claim[name][0].claim.claim} | _verdicts(by_claim[name]) for name in MAIN])
    )


def _by_claim(store: Store) -> dict[str, list[Finding]]:
    by_claim: dict[str, list[Finding]] = {}
    for finding in findings(store):
        by_claim.setdefault(finding.claim.id, []).append(finding)
    return by_claim


def _verdicts(found: list[Finding]) -> dict[str, str]:
    return {HEADINGS.get(finding.source, finding.source): _cell(finding) for finding in found}


def _cell(finding: Finding) -> str:
    """The verdict, the counts of cases behind it, and how many rows were measured where some were not."""
    measured = [case for case in finding.cases if case.outcome != NOT_MEASURED]
    if not measured:
        return finding.verdict
    if len(finding.cases) == 1:
        return f"{finding.verdict}: {measured[0].numbers}"
    times = {outcome: sum(case.outcome == outcome for case in measured) for outcome in (HOLDS, FAILS, OPEN)}
    told = [f"{outcome} in {count}" for outcome, count in times.items() if count or outcome == HOLDS]
    told[0] += f" of {len(finding.cases)}"
    covered, asked = ({line for case in part for line in case.lines} for part in (measured, finding.cases))
    rest = "" if covered == asked else f" (rows measured: {len(covered)} of {len(asked)})"
    return f"{finding.verdict}: {', '.join(told)}{rest}"


def _cases(found: list[Finding]) -> str:
    claim, asked = found[0].claim, [finding for finding in found if finding.cases]
    table = pd.DataFrame({"case": [case.name for case in asked[0].cases]})
    for finding in asked:
        table[HEADINGS.get(finding.source, finding.source)] = [
            f"{case.outcome}: {case.numbers}" if case.numbers else case.outcome for case in finding.cases
        ]
    needed = {"every": "every case", "most": "most cases"}[claim.needs]
    about = f"The paper: “{claim.quote}”. Check: `{claim.check}`, needed in {needed}."
    return f":::{{dropdown}} {claim.claim}\n{about}\n\n{markdown(table)}:::\n"


def check_table(store: Store) -> Text:
    """The kinds of check, what each asks, and of whom it can be asked."""
    table = [
        {"check": f"`{name}`", "what it asks": " ".join(inspect.getdoc(check.cases).split()), "asked of": check.asked}
        for name, check in CHECKS.items()
    ]
    return markdown(pd.DataFrame(table))


def table_1_table(store: Store) -> Text:
    """The paper's Table 1, and under each row what each profile measured, with 95 % intervals over documents.

    A row's name ends in what was removed: the printed parameter reduction, or shares of the layers and parameters.
    """
    data, table = scores(store), []
    profiles = list(data["source"].unique())[1:]
    for number, line in table_1().iterrows():
        printed = f"**{row_name(line)}**, {NAMES.get(line['metric'], line['metric'])}, {line['parameter_reduction']}"
        known = data[data["line"] == number]
        for source, part in known.groupby("source", sort=False):
            cells = dict(zip(part["method"], map(_score, part.itertuples()), strict=True))
            table.append(
                {"row": printed if source == PRINTED else f"{source}, `{part['data'].iloc[0]}`, {_removed(part)}"}
            )
            table[-1] |= {label(method): cells.get(method, NOT_MEASURED) for method in SHOWN}
        lacking = [profile for profile in profiles if profile not in set(known["source"])]
        if lacking:
            table.append({"row": ", ".join(lacking), label("original"): NOT_MEASURED})
    return markdown(pd.DataFrame(table).fillna(""))


def _score(line: NamedTuple) -> str:
    if line.source == PRINTED:
        return spell(line.value, digits=METRICS[line.metric].digits)
    # An interval may break, so that seven columns of them fit the page.
    return spell(line.value, line.low, line.high).replace("\u00a0", " ")


def _removed(part: pd.DataFrame) -> str:
    shares = part.loc[part["method"] != "original", ["share_of_layers", "share_of_parameters"]]
    return "{} ({} of the parameters)".format(*(percent(share, 2) for share in shares.mean()))


# Those that pages include, by the name of their file.
TABLES = {function.__name__: function for function in (audit_table, main_claims_table, check_table, table_1_table)}
