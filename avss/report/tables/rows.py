"""The tables of the pages about rows: one row in full, all rows of a task, and all rows at a glance."""

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd

from avss.files import ROOT
from avss.methods.catalogue import CONTROLS, method_named
from avss.metrics import METRICS
from avss.report.comparisons import (
    FIRST_ROW,
    METHODS,
    NAMES,
    agreement,
    differences,
    failures,
    label,
    lowest_removals,
    removals,
    share_kept,
    sort_key,
    summary,
)
from avss.report.markdown import NOT_MEASURED, Text, markdown, percent, runs_of, spell, table_or_note
from avss.report.pages import FALLBACK, pages_by_line
from avss.report.snapshot import Results
from avss.report.table1 import (
    CLAIMED_RETENTION,
    HEADINGS,
    PRINTED,
    measured_rows,
    printed_line,
    printed_table,
    rows_of_table,
)

PROFILES = ROOT / "profiles"


def _wide(lines: pd.DataFrame, cells: list[str], corner: str) -> Text:
    """Methods down, sources across; what is missing is not measured."""
    methods = sorted(dict.fromkeys(zip(lines["method"], lines["reading"], strict=True)), key=_by_method)
    names = dict.fromkeys(label(*method) for method in methods)
    table = pd.DataFrame(NOT_MEASURED, index=list(names), columns=list(lines["source"].unique()))
    for line, cell in zip(lines.itertuples(), cells, strict=True):
        table.loc[label(line.method, line.reading), line.source] = cell
    return markdown(table.rename(columns=HEADINGS).rename_axis(corner).reset_index())


def _by_method(method: tuple[str, str]) -> tuple:
    return sort_key(method[0], METHODS), method[1] not in ("none", "paper"), method[1]


def score_table(results: Results, row: str = FIRST_ROW) -> Text:
    """Score by method and source: mean ± standard deviation over the seeds, and the 95 % interval over documents."""
    data, cells = summary(results, row), []
    for line in data.itertuples():
        number, _, interval = spell(line.value, line.low, line.high).partition(" ")
        decimals = len(number.partition(".")[2])
        spread = "" if np.isnan(line.sd) else f"\u00a0±\u00a0{line.sd:.{decimals}f}"
        cells.append(f"{line.value:.4g}" if line.source == PRINTED else f"{number}{spread} {interval}")
    metric = data["metric"].iloc[0]
    return _wide(data, cells, NAMES.get(metric, metric))


def retention_table(results: Results, row: str = FIRST_ROW) -> Text:
    """Share of the original score that is kept, with its 95 % interval over documents, by method and source."""
    data = summary(results, row).query("method != 'original'")
    cells = [spell(line.retention, line.retention_low, line.retention_high) for line in data.itertuples()]
    return _wide(data, cells, "retention")


def removal_table(results: Results, row: str = FIRST_ROW) -> Text:
    """Which blocks each method removed on every seed, and which only on some, by profile.

    Where those are the first blocks of the model, or the last, on all seeds, it says so.
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
    return _wide(lines, cells, "blocks removed")


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
    """Paired differences of every method from `against` ("random" or "AVSS"), by profile."""
    data = differences(results, row).query("against == @against")
    cells = [
        f"{line.verdict}: {spell(line.difference, line.low, line.high, sign='+')}, "
        f"with seeds {spell(line.difference, line.wide_low, line.wide_high, sign='+').partition(' ')[2]}"
        for line in data.itertuples()
    ]
    return _wide(data, cells, f"less {against}")


def agreement_table(results: Results, row: str = FIRST_ROW, against: str = "AVSS") -> Text:
    """How each method orders all blocks, beside `against` and beside itself on other seeds, by profile.

    Kendall's tau-b: mean over the seeds, or the pairs of seeds, and in brackets the lowest and the highest.
    """
    table: dict[str, dict[str, str]] = {}
    for line in agreement(results, row).itertuples():
        pair = [label(line.method, line.reading), label(line.other, line.other_reading)]
        tau = spell(line.tau, line.low, line.high, digits=2)
        if pair[0] == pair[1]:
            table.setdefault(pair[0], {})[f"{line.source}: with itself, other seeds"] = tau
        elif against in pair:
            other = next(name for name in pair if name != against)
            table.setdefault(other, {})[f"{line.source}: with {against}"] = tau
    made = pd.DataFrame(table).T.rename_axis("Kendall's tau")
    return markdown(made[sorted(made)].fillna("").reset_index())


def claim_table(results: Results, row: str = FIRST_ROW) -> Text:
    """The claims of the paper about this row, and the answer of each source: holds, does not hold, or open."""
    if row not in measured_rows(results):
        return table_or_note([])
    controls = {name: f"beats {method_named(name).control}" for name in CONTROLS}
    verdicts = {"better": "holds", "worse": "does not hold", "same outcomes": "does not hold, same outcomes"}
    compared = differences(results, row).query("method == 'avss' and against in @controls")
    table: dict[str, dict[str, str]] = {}
    for line in summary(results, row).query("method == 'avss'").itertuples():
        low, high = line.retention_low, line.retention_high
        verdict = "holds" if low > CLAIMED_RETENTION else "does not hold" if high < CLAIMED_RETENTION else "open"
        cell = NOT_MEASURED if np.isnan(line.retention) else f"{verdict}: {spell(line.retention, low, high)}"
        if line.source == PRINTED:
            cell = f"{spell(line.retention)}, no interval"
        claim = f"{label(line.method, line.reading)} keeps more than {percent(CLAIMED_RETENTION)}"
        table.setdefault(claim, {})[HEADINGS.get(line.source, line.source)] = cell
        for other in compared.query("source == @line.source and reading == @line.reading").itertuples():
            margin = spell(other.difference, other.wide_low, other.wide_high, sign="+")
            claim = f"{label(other.method, other.reading)} {controls[other.against]}"
            table.setdefault(claim, {})[other.source] = f"{verdicts.get(other.verdict, 'open')}: {margin}"
    return markdown(pd.DataFrame(table).T.fillna(NOT_MEASURED).rename_axis("claim").reset_index())


def basis_table(results: Results, row: str = FIRST_ROW) -> Text:
    """The basis of each source's numbers: model, data, shares removed, sizes, protocol, runs."""
    paper, table = printed_line(results, row), {}
    if paper is not None:
        # The paper's "parameter reduction" of this kind is a share of layers.
        reduction = paper["parameter_reduction"]
        table[HEADINGS[PRINTED]] = {"model": paper["model"], "data": paper["dataset"], "layers removed": reduction}
    failed = failures(results, row)
    for profile, lines in lowest_removals(results, row).groupby("profile", sort=False):
        facts = [results.provenances[run] for run in lines["run"].unique()]
        removed, first = lines[lines["method"] != "original"], lines.iloc[0]
        table[profile] = {
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
            "runs": ", ".join(f"`{run}`" for run in lines["run"].unique()),
            "failed": _failed(failed[failed["profile"] == profile]),
        }
    return markdown(pd.DataFrame(table).fillna("not in the table").rename_axis("what").reset_index())


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


def rows_table(results: Results, task: str) -> Text:
    """Every row of a task in the paper's Table 1: how many blocks go, and the score before and after.

    The interval of a score is its 95 % interval over documents. All methods that share the best score are named.
    """
    table = []
    for line, row in _rows(results):
        if line["task"] != task:
            continue
        for source, part in _sources(results, row):
            scores = {label(m.method, m.reading): spell(m.value, m.low, m.high) for m in part.itertuples()}
            if line["metric"] == "perplexity":
                # Without an upper end, its intervals are too long for seven columns, so that they may break.
                scores = {method: score.replace("\u00a0", " ") for method, score in scores.items()}
            table.append({"stands for": _link(results, line, row), "ran": _source(results, source, part)})
            table[-1]["blocks removed"] = _removed(results, row, source)
            missing = NOT_MEASURED if scores else ""
            table[-1] |= {name: scores.get(name, missing) for name in ("original", "AVSS", "random")}
            table[-1]["best method"] = _best(part)
    return markdown(pd.DataFrame(table))


def glance_table(results: Results) -> Text:
    """Every row of the paper's Table 1: the share of the original score that is kept, printed and measured."""
    table = []
    for line, row in _rows(results):
        claimed = spell(share_kept(line["metric"], line["avss"], line["original"]))
        for source, part in _sources(results, row):
            shares = {
                label(m.method, m.reading): spell(m.retention, m.retention_low, m.retention_high)
                for m in part.itertuples()
            }
            table.append({"stands for": _link(results, line, row), "ran": _source(results, source, part)})
            table[-1]["blocks removed"] = _removed(results, row, source)
            whole = part[part["method"] == "original"]
            name = NAMES.get(line["metric"], line["metric"])
            table[-1]["before"] = "" if whole.empty else f"{name} {spell(whole['value'].iloc[0])}"
            table[-1]["AVSS, as printed"] = claimed
            missing = NOT_MEASURED if shares else ""
            table[-1] |= {name: shares.get(name, missing) for name in ("AVSS", "random")}
    return markdown(pd.DataFrame(table))


def _rows(results: Results) -> list[tuple[pd.Series, str | None]]:
    """The lines of the paper's table, each with its rows of results, or None."""
    rows: dict[int, list[str]] = {}
    for row, number in rows_of_table(results).items():
        rows.setdefault(number, []).append(row)
    return [(line, row) for number, line in printed_table().iterrows() for row in rows.get(number, [None])]


def _sources(results: Results, row: str | None) -> Iterable[tuple[str, pd.DataFrame]]:
    """The lines of `summary` by profile; where nothing is measured, one without lines."""
    if row is None:
        return [(NOT_MEASURED, pd.DataFrame(columns=["method", "reading"]))]
    scores = summary(results, row)
    return scores[scores["source"] != PRINTED].groupby("source", sort=False)


def _source(results: Results, source: str, part: pd.DataFrame) -> str:
    """What ran: the title of the row and its profile, or for results without a title the profile and the data."""
    if part.empty:
        return source
    titles = [
        results.provenances[run]["configuration"].get("title", "")
        for run in part["run"].iloc[-1].split(", ")
        if run in results.provenances
    ]
    if titles and titles[-1]:
        return f"{titles[-1]} ({source})"
    # A narrow column may break a long name between its parts.
    name = part["data"].iloc[0].replace("/", "/\u200b").replace("_", "_\u200b")
    return f"{source}, `{name}`"


def _best(part: pd.DataFrame) -> str:
    pruned = part[part["method"] != "original"]
    if pruned.empty:
        return "" if part.empty else NOT_MEASURED
    values = pruned["value"]
    best = pruned[values == (values.max() if METRICS[pruned["metric"].iloc[0]].higher_is_better else values.min())]
    # A name may break after its underscore, so that the last column fits the page.
    names = ", ".join(label(line.method, line.reading).replace("_", "_\u200b") for line in best.itertuples())
    return f"{names}: {spell(*best.iloc[0][['value', 'low', 'high']])}"


def _link(results: Results, line: pd.Series, row: str | None) -> str:
    """The name of the line, linked to the page of the row that stands for it in the book."""
    name = f"{line['dataset']}, {line['model']}"
    if row is None:
        return name
    # Outside a checkout there is no book to link to.
    pages = pages_by_line(FALLBACK) if results.pages is None and PROFILES.is_dir() else results.pages or {}
    return f"[{name}](/book/executed/{pages[line['id']]}.ipynb)" if line["id"] in pages else name


def _removed(results: Results, row: str | None, profile: str) -> str:
    if row is None:
        return ""
    pruned = lowest_removals(results, row).query("profile == @profile and method != 'original'")
    if pruned.empty:
        return NOT_MEASURED
    first = pruned.iloc[0]
    return f"{round(first['share_of_layers'] * first['layers'])} of {first['layers']:.0f}"


# The tables that pages include, by the name of their file; the notebooks call the others too.
TABLES = {function.__name__: function for function in (claim_table, glance_table)} | {
    f"rows_table-{task}": partial(rows_table, task=task) for task in printed_table()["task"].unique()
}
