"""The tables over rows: all rows of a task, and all rows at a glance."""

from collections.abc import Mapping
from functools import cache, partial

import pandas as pd

from avss import intervals
from avss.metrics import METRICS
from avss.report.cases import row_name
from avss.report.comparisons import NAMES, label, lowest_removals, share_text, summary
from avss.report.markdown import NOT_MEASURED, Text, markdown, spell
from avss.report.pages import DEFINED, FALLBACK, pages_by_line
from avss.report.snapshot import Results
from avss.report.table1 import PRINTED, measured_rows, printed_table, rows_of_table


def rows_table(results: Results, task: str) -> Text:
    """Every measured row of a task: the score before and after, how many blocks go, and the line that it stands for.

    The interval of a score is its 95 % interval over documents and seeds. All methods that share the best score are
    named. Rows that stand for no line of the paper's table come last; a note names the lines that nothing stands for.
    """
    table = []
    for row, line, part in _parts(results):
        if part["task"].iloc[0] != task:
            continue
        scores = {label(m.method, m.reading): spell(m.value, m.low, m.high) for m in part.itertuples()}
        if METRICS[part["metric"].iloc[0]].most is None:
            # Without an upper end, its intervals are too long for seven columns, so that they may break.
            scores = {method: score.replace("\u00a0", " ") for method, score in scores.items()}
        table.append({"ran": _link(results, row, line, part)})
        table[-1] |= {name: scores.get(name, NOT_MEASURED) for name in ("original", "AVSS", "random")}
        table[-1] |= {"best method": _best(part)} | _about(results, row, line, part)
    return _or_note(table, _lacking(results, task))


def glance_table(results: Results) -> Text:
    """Every measured row that stands for a line of the paper's Table 1: the share that is kept, measured and printed.

    A note names the lines that nothing stands for.
    """
    table = []
    for row, line, part in _parts(results):
        if line is None:
            continue
        shares = {label(m.method, m.reading): share_text(m) for m in part.itertuples()}
        table.append({"ran": _link(results, row, line, part)})
        table[-1] |= {name: shares.get(name, NOT_MEASURED) for name in ("AVSS", "random")}
        table[-1]["AVSS, as printed"] = spell(intervals.retention(line["metric"], line["avss"], line["original"]))
        whole = part[part["method"] == "original"]
        name = NAMES.get(line["metric"], line["metric"])
        table[-1]["before"] = "" if whole.empty else f"{name} {spell(whole['value'].iloc[0])}"
        table[-1] |= _about(results, row, line, part)
    return _or_note(table, _lacking(results))


def _or_note(table: list[dict], lacking: str) -> Text:
    return markdown(pd.DataFrame(table), note=lacking) if table else Text(f"{lacking or NOT_MEASURED.capitalize()}\n")


def _lacking(results: Results, task: str | None = None) -> str:
    """The lines of the paper's table, of a task or all, that no measured row stands for, in a sentence."""
    printed, measured = printed_table(), set(rows_of_table(results).values())
    lines = printed[~printed.index.isin(measured) & ((printed["task"] == task) | (task is None))]
    names = "; ".join(row_name(line) for _, line in lines.iterrows())
    return f"Lines of the paper's table that no measured row stands for: {names}." if names else ""


def _parts(results: Results) -> list[tuple[str, pd.Series | None, pd.DataFrame]]:
    """Every measured row and profile in the order of the paper's table: row, its line or None, lines of `summary`."""
    printed, parts = printed_table(), []
    for row, number in measured_rows(results).items():
        line, scores = None if number is None else printed.loc[number], summary(results, row)
        scores = scores[scores["source"] != PRINTED].assign(task=results.of(results.in_use, row)["task"].iloc[0])
        parts += [(row, line, part) for _, part in scores.groupby("source", sort=False)]
    return parts


def _about(results: Results, row: str, line: pd.Series | None, part: pd.DataFrame) -> dict[str, str]:
    removed = _removed(results, row, part["source"].iloc[0])
    return {"blocks removed": removed, "stands for": "" if line is None else row_name(line)}


def _best(part: pd.DataFrame) -> str:
    pruned = part[part["method"] != "original"]
    if pruned.empty:
        return "" if part.empty else NOT_MEASURED
    values = pruned["value"]
    best = pruned[values == (values.max() if METRICS[pruned["metric"].iloc[0]].higher_is_better else values.min())]
    # A name may break after its underscore, so that the last column fits the page.
    names = ", ".join(label(line.method, line.reading).replace("_", "_\u200b") for line in best.itertuples())
    return f"{names}: {spell(*best.iloc[0][['value', 'low', 'high']])}"


def _link(results: Results, row: str, line: pd.Series | None, part: pd.DataFrame) -> str:
    """The data and the model that ran, linked to the page of the row in the book, and the profile."""
    # A narrow column may break a long name between its parts.
    name = part["ran"].iloc[0].replace("/", "/\u200b").replace("_", "_\u200b")
    page = _pages(results).get(row if line is None else line["id"])
    return (f"[{name}](/book/executed/{page}.ipynb)" if page else name) + f" ({part['source'].iloc[0]})"


@cache
def _pages(results: Results) -> Mapping[str, str]:
    """The pages of the book that these results are for, else of the book of `mini`."""
    if results.pages is not None:
        return results.pages
    # Outside a checkout there is no book to link to.
    return pages_by_line(FALLBACK) if DEFINED.is_dir() else {}


def _removed(results: Results, row: str, profile: str) -> str:
    pruned = lowest_removals(results, row).query("profile == @profile and method != 'original'")
    if pruned.empty:
        return NOT_MEASURED
    first = pruned.iloc[0]
    return f"{round(first['share_of_layers'] * first['layers'])} of {first['layers']:.0f}"


# The tables that pages include, by the name of their file.
TABLES = {glance_table.__name__: glance_table} | {
    f"rows_table-{task}": partial(rows_table, task=task) for task in printed_table()["task"].unique()
}
