"""Figures of speed, from the committed files of `bench/scoring.py` and `bench/ablation.py`."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from avss.report.comparisons import label
from avss.report.figures.cost import span, which
from avss.report.figures.style import WIDTH, entitled, nothing_measured
from avss.report.markdown import percent
from avss.report.snapshot import Results
from avss.report.speed import SWEEPS, WAYS, scoring, sharing

_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
# Where ways fall together all of them can be seen: AVSS lies on top, the others are larger and hollow.
_LOOKS = {
    "bare": {"color": "C0", "linestyle": "--"},
    "avss": {"color": "C1", "marker": "o", "markersize": 4, "zorder": 3},
    "kept": {"color": "C2", "marker": "s", "markersize": 8, "markerfacecolor": "none"},
    "released": {"color": "C3", "marker": "^", "markersize": 8, "markerfacecolor": "none"},
}


def cost_of_scoring(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The cost of each way to score beside a bare pass, by the model's width: time, memory as a share of weights.

    Points are medians, bars quartiles over the rounds; a row of panels for each machine.
    """
    data = scoring(results, "width")
    if data.empty:
        return nothing_measured(data)
    scored = data[data["way"] != "bare"]
    figure, panels = _grid(data["measured on"].nunique(), 2, scored)
    for (_, part), (times, memory) in zip(scored.groupby("measured on", sort=False), panels, strict=True):
        _lines(times, part, "time_ratio", bars=True)
        _lines(memory, part, "extra_share")
        times.axhline(1, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        times.set(title="time", ylabel="in bare passes", xlabel=SWEEPS["width"])
        memory.set(title="extra memory", ylabel="share of the weights", xlabel=SWEEPS["width"])
        _from_zero(memory, part["extra_share"], 0.001)
        memory.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}\u00a0%"))
    entitled(figure, of_widths(data))
    return figure, data


def of_widths(data: pd.DataFrame) -> str:
    """The time and the extra memory of AVSS in the narrowest and in the widest model of the first machine."""
    own = data[(data["measured on"] == data["measured on"].iloc[0]) & (data["way"] == "avss")].sort_values("at")
    if own.empty:
        return "AVSS is not measured"
    narrow, wide = own.iloc[0], own.iloc[-1]
    told = f"AVSS takes {narrow['time_ratio']:.2f} bare passes and {percent(narrow['extra_share'], 1)} of the weights"
    wider = f", {wide['time_ratio']:.2f} and {percent(wide['extra_share'], 1)} at width {wide['at']:g}"
    return f"{told} as extra memory at width {narrow['at']:g}{wider if len(own) > 1 else ''}{which(data)}"


def growth_of_scoring(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Time and extra memory of each way to score against documents, their length and blocks; two rows a machine.

    Both axes are logarithmic (memory below 0.1 MiB linear): what grows in proportion rises by one decade in one.
    """
    sweeps = ("samples", "length", "blocks")
    data = scoring(results, *sweeps)
    if data.empty:
        return nothing_measured(data)
    machines = data["measured on"].unique()
    figure, panels = _grid(2 * len(machines), len(sweeps), data)
    for number, machine in enumerate(machines):
        for times, memory, sweep in zip(*panels[2 * number : 2 * number + 2], sweeps, strict=True):
            part = data[(data["measured on"] == machine) & (data["sweep"] == sweep)]
            _lines(times, part, "seconds")
            _lines(memory, part[part["way"] != "bare"], "extra_mib")
            times.set_yscale("log")
            times.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            times.yaxis.set_minor_locator(NullLocator())
            times.yaxis.set_major_formatter(_PLAIN)
            _from_zero(memory, part["extra_mib"], 0.1)
            memory.yaxis.set_major_formatter(_PLAIN)
            memory.set_xlabel(SWEEPS[sweep])
        panels[2 * number][0].set_ylabel("seconds")
        panels[2 * number + 1][0].set_ylabel("extra memory, MiB")
    entitled(figure, of_documents(data))
    return figure, data


def of_documents(data: pd.DataFrame) -> str:
    """On the first machine, the extra memory of AVSS and of hidden states kept, for the fewest and most documents."""
    part = data[(data["measured on"] == data["measured on"].iloc[0]) & (data["sweep"] == "samples")].sort_values("at")
    told = []
    for way, needs in (("avss", "AVSS needs"), ("kept", "hidden states kept need")):
        line = part[part["way"] == way]
        ends = line.iloc[[0, -1]] if len(line) > 1 else line
        amounts = [f"{end.extra_mib:.1f} MiB for {end.at:g}" for end in ends.itertuples()]
        if amounts:
            told.append(f"{needs} {' and '.join(amounts)} documents")
    if not told:
        return "Extra memory is not measured by the number of documents"
    return f"Beyond a bare pass, {'; '.join(told)}{which(data)}"


def scoring_at_real_shapes(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The time of each way to score beside a bare pass, at the shapes of the paper's models; a panel a machine."""
    data = scoring(results, "shape")
    if data.empty:
        return nothing_measured(data)
    names = list(data["at"].unique())
    scored = data[data["way"] != "bare"]
    figure, panels = _grid(data["measured on"].nunique(), 1, scored, height=0.5 + 0.35 * len(names))
    for (_, part), (panel,) in zip(scored.groupby("measured on", sort=False), panels, strict=True):
        for way, lines in part.groupby("way", sort=False):
            heights = lines["at"].map(names.index)
            panel.hlines(heights, lines["low"], lines["high"], color=_LOOKS[way]["color"], linewidth=1.6)
            panel.plot(lines["time_ratio"], heights, **_LOOKS[way] | {"linestyle": ""})
        panel.axvline(1, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        panel.set(title="time", xlabel="in bare passes", ylim=(len(names) - 0.5, -0.5))
        panel.set_yticks(range(len(names)), names)
    entitled(figure, of_shapes(data))
    return figure, data


def of_shapes(data: pd.DataFrame) -> str:
    """Between what and what AVSS takes at the shapes, on all machines."""
    own = data[data["way"] == "avss"]
    if own.empty:
        return "AVSS is not measured"
    shapes = own["at"].unique()
    where = f"the shape of {shapes[0]}" if len(shapes) == 1 else f"the shapes of {len(shapes)} models of the paper"
    return f"At {where} AVSS takes the time of {span(own['time_ratio'])} bare passes"


def shared_prefixes(results: Results) -> tuple[Figure, pd.DataFrame]:
    """How many times faster methods are where the blocks that masks have in common run once, end to end.

    Points are medians, bars quartiles over the rounds; hollow marks are what the counted blocks alone would give.
    """
    data = sharing(results)
    if data.empty:
        return nothing_measured(data)
    methods, machines = list(data["method"].unique()), list(data["measured on"].unique())
    figure = Figure(figsize=(WIDTH, 1.2 + 0.35 * len(methods)))
    panel = figure.subplots()
    for number, machine in enumerate(machines):
        part, ink = data[data["measured on"] == machine], f"C{number + 1}"
        heights = part["method"].map(methods.index) + 0.2 * number
        panel.plot(part["counted_speedup"], heights, "d", color=ink, markerfacecolor="none", markersize=9)
        panel.hlines(heights, part["low"], part["high"], color=ink, linewidth=1.6)
        panel.plot(part["speedup"], heights, "o", color=ink)
    panel.axvline(1, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
    panel.xaxis.grid(True, linewidth=0.6)
    panel.set(xlabel="times faster than a whole pass for every mask", ylim=(len(methods) - 0.5, -0.5))
    panel.set_yticks(range(len(methods)), [label(method) for method in methods])
    marks = [Line2D([], [], color=f"C{n + 1}", marker="o", linestyle="") for n in range(len(machines))]
    figure.legend(marks, machines, loc="outside lower left", frameon=False)
    entitled(figure, of_sharing(data))
    return figure, data


def of_sharing(data: pd.DataFrame) -> str:
    """How many times as fast methods run with shared prefixes, the slowest and the fastest of all machines."""
    methods = data["method"].unique()
    run = f"{label(methods[0])} runs" if len(methods) == 1 else f"{len(methods)} methods run"
    return f"With shared prefixes {run} {span(data['speedup'])} times as fast as with a whole pass for every mask"


def _grid(rows: int, columns: int, data: pd.DataFrame, height: float = 2.2) -> tuple[Figure, list]:
    """Panels, and a legend of the ways that the data has. Small print tells the machines, a row of panels each."""
    figure = Figure(figsize=(WIDTH, 0.9 + height * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.grid(True, axis="both" if columns == 1 else "y", linewidth=0.6)
    ways = data["way"].unique()
    marks = [Line2D([], [], **_LOOKS[way]) for way in ways]
    machines = data["measured on"].unique()
    order = ", from top to bottom" if len(machines) > 1 else ""
    figure.legend(
        marks,
        [WAYS[way] for way in ways],
        loc="outside lower left",
        frameon=False,
        ncols=len(ways),
        title=f"measured on {' and '.join(machines)}{order}",
        title_fontsize=7.5,
        alignment="left",
    )
    return figure, list(panels)


def _lines(panel, part: pd.DataFrame, column: str, bars: bool = False) -> None:
    """A line a way over the points of a sweep."""
    # A sweep may come from several files.
    for way, line in part.sort_values("at").groupby("way", sort=False):
        if bars:
            panel.vlines(line["at"], line["low"], line["high"], color=_LOOKS[way]["color"], linewidth=1.6)
        panel.plot(line["at"], line[column], **_LOOKS[way])
    panel.set_xscale("log")
    points = sorted(part["at"].unique())
    panel.set_xticks(points, [f"{point:g}" for point in points])
    panel.xaxis.set_minor_locator(NullLocator())


def _from_zero(panel, values: pd.Series, threshold: float) -> None:
    """A logarithmic axis that is linear below the threshold, and shows what is below 0 only where something is."""
    panel.set_yscale("symlog", linthresh=threshold)
    # The default margin cuts through the highest mark.
    panel.set_ylim(top=2 * max(values.max(), threshold))
    if values.min() >= 0:
        panel.set_ylim(bottom=0)


# The figures of this page, in the order of the gallery.
FIGURES = (cost_of_scoring, growth_of_scoring, scoring_at_real_shapes, shared_prefixes)
