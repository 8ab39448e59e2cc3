"""The tables of the page of a row."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from avss.methods.catalogue import CONTROLS, method_named
from avss.metrics import METRICS
from avss.report.block_scores import taus_of_pairs
from avss.report.cases import FAILS, HOLDS, OPEN, Margin, spelled_lead, spelled_p
from avss.report.comparisons import (
    FIRST_ROW,
    METHODS,
    NAMES,
    differences,
    failures,
    label,
    lowest_removals,
    removals,
    rules,
    share_text,
    sort_key,
    successes,
    summary,
)
from avss.report.markdown import ABSENT, NOT_MEASURED, Text, markdown, percent, runs_of, spell, table_or_note
from avss.report.snapshot import Results
from avss.report.table1 import (
    CLAIMED_RETENTION,
    HEADINGS,
    PRINTED,
    measured_rows,
    printed_line,
)

VERDICTS = {"better": "holds", "worse": "fails", "same outcomes": "fails, same outcomes", "not told apart": "undecided"}


def _wide(results: Results, row: str, lines: pd.DataFrame, cells: list[str], corner: str) -> Text:
    """Methods down, the paper and what ran across; a dash for what neither printed nor measured."""
    rule = lines["selection"].fillna("") if "selection" in lines else [""] * len(lines)
    methods = sorted(dict.fromkeys(zip(lines["method"], lines["reading"], rule, strict=True)), key=_by_method)
    names = dict.fromkeys(_name(*method) for method in methods)
    table = pd.DataFrame(ABSENT, index=list(names), columns=list(lines["source"].unique()))
    for line, selection, cell in zip(lines.itertuples(), rule, cells, strict=True):
        table.loc[_name(line.method, line.reading, selection), line.source] = cell
    return markdown(table.rename(columns=_headings(results, row)).rename_axis(corner).reset_index())


def _headings(results: Results, row: str) -> dict[str, str]:
    """The name of each source: the paper, and of a profile the data and the model that ran."""
    ran = summary(results, row).query("source != @PRINTED").drop_duplicates("source")
    return HEADINGS | {line.source: f"{line.ran} ({line.source})" for line in ran.itertuples()}


def _by_method(method: tuple[str, str, str]) -> tuple:
    return sort_key(method[0], METHODS), method[1] not in ("none", "paper"), *method[1:]


def _name(method: str, reading: str, rule: str) -> str:
    return f"{label(method, reading)}, {rule}" if rule else label(method, reading)


def _with_rules(results: Results, row: str) -> pd.DataFrame:
    """The `summary`, and below it the lines of other rules of selection, each with the number of blocks that go."""
    beside = rules(results, row)
    if beside.empty:
        return summary(results, row)
    beside["selection"] = [f"{line.selection}: {number_removed(line.removed)}" for line in beside.itertuples()]
    return pd.concat([summary(results, row), beside], ignore_index=True)


def number_removed(sets: str) -> str:
    """Of the `removed` of a line of `summary`, such as `0+1 (4 of 5), 0+1+2 (1 of 5)`."""
    counts = [1 + each.count("+") for each in sets.split(", ")]
    low, high = min(counts), max(counts)
    return f"{low} to {high} blocks" if low < high else f"{low} block{'s' * (low > 1)}"


def score_table(results: Results, row: str = FIRST_ROW) -> Text:
    """Score by method and source: mean over the seeds, its interval over documents and seeds, and every seed's score.

    The seeds are left out where all have the same score.
    """
    data, cells = _with_rules(results, row), []
    for line in data.itertuples():
        if line.source == PRINTED:
            cells.append(f"{line.value:.{METRICS[line.metric].digits}f}")
            continue
        seeds = line.singles.split()
        shown = f"; seeds: {', '.join(seeds)}" if len(set(seeds)) > 1 else ""
        cells.append(spell(line.value, line.low, line.high) + shown)
    metric = data["metric"].iloc[0]
    return _wide(results, row, data, cells, NAMES.get(metric, metric))


def retention_table(results: Results, row: str = FIRST_ROW) -> Text:
    """Share of the original score that is kept, with its interval over documents and seeds, by method and source."""
    data = _with_rules(results, row).query("method != 'original'")
    return _wide(results, row, data, list(map(share_text, data.itertuples())), "retention")


def removal_table(results: Results, row: str = FIRST_ROW) -> Text:
    """Which blocks each method removed on every seed, and which only on some, by profile.

    Blocks that are the first of the model, or the last, on all seeds are named so.
    """
    data = removals(results, row)
    seeds = data.groupby(["profile", "method", "reading"], sort=False)["seed"].nunique()
    times = data.groupby(["profile", "method", "reading", "layer"], sort=False).size()
    depths, cells = data.groupby("profile")["layers"].max(), []
    for cell, total in seeds.items():
        always = times[cell] == total
        every, some = (runs_of(times[cell].index[chosen]) for chosen in (always, ~always))
        if always.all():
            every += _by_depth(times[cell].index.tolist(), depths[cell[0]])
        cells.append("; ".join(part for part in (every, some and f"on some seeds {some}") if part))
    lines = seeds.index.to_frame(index=False).rename(columns={"profile": "source"})
    return _wide(results, row, lines, cells, "blocks removed")


def _by_depth(removed: list[int], layers: int) -> str:
    count = len(removed)
    ends = {"first": range(count), "last": range(layers - count, layers)}
    end = next((end for end, blocks in ends.items() if sorted(removed) == list(blocks)), None)
    if end is None:
        return ""
    return f" (the {end})" if count == 1 else f" (the {end} {count})"


def _splits(configuration: dict) -> str:
    named = [configuration.get(purpose) for purpose in ("calibration", "evaluation")]
    return " and ".join(f"`{name}`" for name in named) if all(named) else "the usual ones"


def difference_table(results: Results, against: str, row: str = FIRST_ROW) -> Text:
    """The lead of every method over `against` ("random" or "AVSS"), by profile: positive where the method is better.

    With its interval over documents and seeds, and the p-value of the verdict, adjusted by Holm's correction.
    """
    data = differences(results, row).query("against == @against")
    return _wide(results, row, data, [_verdict_cell(line) for line in data.itertuples()], f"lead over {against}")


def _verdict_cell(line: NamedTuple) -> str:
    if line.too_weak:
        return line.verdict
    numbers = Margin(line.lead, line.low, line.high, "", line.n, line.p_holm, METRICS[line.metric].unit)
    return f"{line.verdict}: {spelled_lead(numbers)}"


def agreement_table(results: Results, row: str = FIRST_ROW, against: str = "AVSS") -> Text:
    """How each method orders all blocks, beside `against` and beside itself on other seeds, by profile.

    Kendall's tau-b: mean over the seeds, or the pairs of seeds, and in brackets the lowest and the highest.
    """
    table: dict[str, dict[str, str]] = {}
    headings = _headings(results, row)
    for line in taus_of_pairs(results, row).itertuples():
        pair = [label(line.method, line.reading), label(line.other, line.other_reading)]
        tau = spell(line.tau, line.low, line.high, digits=2)
        if pair[0] == pair[1]:
            table.setdefault(pair[0], {})[f"{headings[line.source]}: with itself, other seeds"] = tau
        elif against in pair:
            other = next(name for name in pair if name != against)
            table.setdefault(other, {})[f"{headings[line.source]}: with {against}"] = tau
    made = pd.DataFrame(table).T.rename_axis("Kendall's tau")
    kinds = (f"with {against}", "with itself, other seeds")
    columns = (f"{heading}: {kind}" for heading in headings.values() for kind in kinds)
    return markdown(made[[name for name in columns if name in made]].fillna("").reset_index())


def claim_table(results: Results, row: str = FIRST_ROW, reading: str = "paper") -> Text:
    """The claims of the paper about this row, and the answer of each source: holds, fails, or undecided.

    They are asked of AVSS in this reading. The claim that the paper states names the paper's model and its share. A
    lead is positive where AVSS is better, as in `difference_table`; its p-value is adjusted by Holm's correction.
    """
    if results.line_of(row) not in measured_rows(results):
        return table_or_note([])
    controls = {name: f"beats {method_named(name).control}" for name in CONTROLS}
    lines = summary(results, row).query("method == 'avss'")
    name, headings = label("avss", reading), _headings(results, row)
    keeps = f"{name} keeps more than {percent(CLAIMED_RETENTION)}"
    if reading == "paper":
        printed = lines.query("source == @PRINTED").itertuples()
        keeps += "".join(f" ({line.model} by Table 1: {spell(line.retention)})" for line in printed)
    compared = differences(results, row).query("method == 'avss' and reading == @reading and against in @controls")
    table: dict[str, dict[str, str]] = {}
    for line in lines.query("reading == @reading").itertuples():
        low, high = line.retention_low, line.retention_high
        verdict = HOLDS if low > CLAIMED_RETENTION else FAILS if high < CLAIMED_RETENTION else OPEN
        heading, kept = f"{headings[line.source]}, n = {line.n:.0f}", share_text(line)
        table.setdefault(keeps, {})[heading] = kept if np.isnan(line.retention) else f"{verdict}: {kept}"
        for other in compared.query("source == @line.source").itertuples():
            table.setdefault(f"{name} {controls[other.against]}", {})[heading] = _lead_cell(other)
    units = dict.fromkeys(METRICS[metric].unit for metric in compared["metric"])
    corner = ", lead in ".join(filter(None, ("claim", *units))) + ", p\u00a0(Holm)"
    made = pd.DataFrame(table).T.fillna(ABSENT).rename_axis(corner).reset_index()
    return table_or_note(made.to_dict("records"))


def _lead_cell(line: NamedTuple) -> str:
    """The verdict on a claim, where the table's head has the unit, the number of documents and the kind of p."""
    if line.too_weak or line.verdict == "same outcomes":
        return VERDICTS.get(line.verdict, line.verdict)
    p = spelled_p(line.p_holm, "p").replace(" ", "\u00a0")
    return f"{VERDICTS[line.verdict]}: {spell(line.lead, line.low, line.high, sign='+')}, {p}"


def basis_table(results: Results, row: str = FIRST_ROW) -> Text:
    """The basis of each source's numbers: model, data, shares removed, sizes, protocol, runs."""
    paper, table, headings = printed_line(results, row), {}, _headings(results, row)
    if paper is not None:
        # The paper's "parameter reduction" of this kind is a share of layers.
        reduction = paper["parameter_reduction"]
        table[HEADINGS[PRINTED]] = {"model": paper["model"], "data": paper["dataset"], "layers removed": reduction}
    failed, every = failures(results, row), successes(results, row)
    for profile, lines in lowest_removals(results, row).groupby("profile", sort=False):
        facts = [results.provenances[run] for run in lines["run"].unique()]
        removed, first = lines[lines["method"] != "original"], lines.iloc[0]
        table[headings[profile]] = {
            "model": f"`{first['model']}`, revision `{first['revision']}`",
            "data": f"`{first['data']}`, fingerprint `{first['data_fingerprint']}`",
            "splits scored and evaluated on": _splits(facts[0]["configuration"]),
            "layers removed": _span(removed["share_of_layers"]),
            "parameters removed": _span(removed["share_of_parameters"]),
            "calibration documents a seed": NOT_MEASURED if removed.empty else str(removed["samples"].max()),
            "seeds": str(removed["seed"].nunique()),
            "evaluation documents (n)": str(first["n"]),
            "protocol": next((fact["protocol"] for fact in facts if "protocol" in fact), "not recorded"),
            "processor": ", ".join(dict.fromkeys(fact["hardware"]["processor"] for fact in facts)),
            "runs": ", ".join(f"`{run}`" for run in every.loc[every["profile"] == profile, "run"].unique()),
            "failed": _failed(failed[failed["profile"] == profile]),
        }
    return markdown(pd.DataFrame(table).fillna(ABSENT).rename_axis("what").reset_index())


def _failed(lines: pd.DataFrame) -> str:
    """The methods that failed and the reasons, each once."""
    parts = []
    for reason, part in lines.groupby("status", sort=False):
        names = dict.fromkeys(label(line.method, line.reading) for line in part.itertuples())
        parts.append(f"{', '.join(names)} (observations: {len(part)}): {reason.removeprefix('failed: ')}")
    return "; ".join(parts) or "nothing"


def _span(shares: pd.Series) -> str:
    low, high = shares.min(), shares.max()
    return percent(low, 2) if shares.empty or np.isclose(low, high) else f"{percent(low, 2)} to {percent(high, 2)}"


# The tables that pages include, by the name of their file; the notebooks call the others too.
TABLES = {claim_table.__name__: claim_table}
