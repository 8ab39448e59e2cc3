"""Table 1 as a figure: the rows that ran, beside the share that the paper prints for AVSS in the line of each."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from avss.report.audit import tally
from avss.report.cases import row_name
from avss.report.comparisons import TOO_WEAK, by_profile, label, over_random, weak_text
from avss.report.figures.against_random import outcomes_of
from avss.report.figures.style import WIDTH, colour, entitled, list_rows, nothing_measured, whole_and_claimed
from avss.report.markdown import percent
from avss.report.snapshot import Results
from avss.report.sources import scores
from avss.report.table1 import CLAIMED_RETENTION, PRINTED, of_rows, printed_table, rows_of_table

# A shape for each method; AVSS and random removal, the two to compare, are the larger ones.
_SHAPES = {"gbis": "^", "lrp": "s", "cim": "D", "avss": "o", "random": "x"}
_MAIN = ("avss", "random")
# Height of a row in inches. A share above the right end is drawn at the end.
_ROW, _END = 0.26, 1.15


def table_1(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Share of the original score that each method keeps in each row that ran, and that the paper prints for AVSS."""
    data = scores(results)
    data = data[data["method"].isin(_SHAPES)].reset_index(drop=True)
    rows = data[data["source"] != PRINTED].drop_duplicates(["source", "line"])
    rows = rows.sort_values("source", key=by_profile, kind="stable")
    if rows.empty:
        return nothing_measured(data)
    figure = Figure(figsize=(WIDTH, 1.25 + _ROW * len(rows)))
    panel, printed = figure.subplots(), printed_table()
    for height, row in enumerate(rows.itertuples()):
        part = data[data["line"] == row.line]
        _marks(panel, part[part["source"] == row.source], height)
        claimed = part[(part["source"] == PRINTED) & (part["method"] == "avss")]
        panel.plot(claimed["retention"], [height] * len(claimed), "|", color=colour(PRINTED), markersize=9, zorder=1)
        stands_for = f"for {row_name(printed.loc[row.line])}"
        panel.text(1.01, height, stands_for, fontsize=6.5, va="center", transform=panel.get_yaxis_transform())
        if height % 2:
            panel.axhspan(height - 0.5, height + 0.5, color=mpl.rcParams["grid.color"], alpha=0.35, linewidth=0)
    whole_and_claimed(panel.axvline, linewidth=0.9, zorder=0.6)
    panel.set_xlim(-0.02, _END)
    list_rows(panel, rows)
    panel.set_xlabel(f"retention (lines: the original, and {percent(CLAIMED_RETENTION)} of it)")
    ink = mpl.rcParams["text.color"]
    keys = [Line2D([], [], color=ink, linestyle="none", label=label(name), **_marker(name)) for name in _SHAPES]
    keys.append(
        Line2D([], [], color=colour(PRINTED), linestyle="none", marker="|", label="AVSS, as the paper prints it")
    )
    figure.legend(
        handles=keys, loc="outside lower left", ncols=len(keys), frameon=False, handletextpad=0.2, fontsize=7.5
    )
    entitled(figure, finding(results))
    return figure, data


def finding(results: Results) -> str:
    """In how many of these rows AVSS keeps less than random removal beyond chance, more, or neither can be told."""
    data = of_rows(over_random, results, rows_of_table(results))
    rows = tally(() if data.empty else outcomes_of(data))
    if not rows.judged:
        return "AVSS beside random removal is not measured in any row"
    weak = f", {rows.weak} {TOO_WEAK}" if rows.weak else ""
    return (
        f"Beyond chance, AVSS keeps less than random removal in {rows.holds} of {rows.judged} rows, "
        f"more in {rows.fails}; {rows.undecided} undecided{weak}"
    )


def _marker(method: str) -> dict:
    main = method in _MAIN
    return {"marker": _SHAPES[method], "markersize": 5 if main else 3, "fillstyle": "full" if main else "none"}


def _marks(panel, part: pd.DataFrame, height: float) -> None:
    """Each method of a row with its interval, AVSS and random removal a little above the others."""
    if part["too_weak"].any():
        weak = part.iloc[0]
        panel.text(0.01, height, weak_text(weak["metric"], weak["original"]), va="center", fontsize=7.5)
        return
    for line in part.itertuples():
        # The intervals of the two to compare are apart.
        place = height + {"avss": -0.22, "random": 0.02}.get(line.method, 0.24)
        ink = colour(line.source)
        if line.method in _MAIN:
            panel.plot([line.retention_low, line.retention_high], [place] * 2, color=ink, linewidth=1)
        share = min(line.retention, _END - 0.01)
        panel.plot(share, place, color=ink, linestyle="none", clip_on=False, **_marker(line.method))


# The figures of this page, in the order of the gallery.
FIGURES = (table_1,)
