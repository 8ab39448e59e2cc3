"""Table 1 as a figure: the rows that ran, beside the share that the paper prints for AVSS in the line of each."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from avss.report.cases import row_name
from avss.report.comparisons import by_profile, label, over_random, weak_text
from avss.report.figures.style import WIDTH, colour, entitled, nothing_measured
from avss.report.markdown import percent
from avss.report.snapshot import Results
from avss.report.sources import scores
from avss.report.table1 import CLAIMED_RETENTION, PRINTED, printed_table, rows_of_table

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
    for share, dashes in ((1, "-"), (CLAIMED_RETENTION, (0, (4, 3)))):
        panel.axvline(share, color=mpl.rcParams["ytick.color"], linewidth=0.9, linestyle=dashes, zorder=0.6)
    panel.set(xlim=(-0.02, _END), ylim=(len(rows) - 0.5, -0.5))
    panel.set_yticks(range(len(rows)), rows["ran"], fontsize=7.5)
    for tick, source in zip(panel.get_yticklabels(), rows["source"], strict=True):
        tick.set_color(colour(source))
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
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
    """In how many of these rows AVSS keeps less than random removal, more, or neither can be told."""
    parts = [part for row in rows_of_table(results) if len(part := over_random(results, row))]
    verdicts = [] if not parts else list(pd.concat(parts)["verdict"])
    less, more = verdicts.count("worse"), verdicts.count("better")
    judged = sum(verdict in ("worse", "better", "not told apart", "same outcomes") for verdict in verdicts)
    if not judged:
        return "AVSS beside random removal is not measured in any row"
    weak, rest = len(verdicts) - judged, judged - less - more
    return f"AVSS keeps less than random removal in {less} of {judged} rows, more in {more}; {rest} undecided" + (
        f", {weak} too weak to judge" if weak else ""
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
