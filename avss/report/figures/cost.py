"""Figures of cost, from the committed benchmarks: what pruning gains, and what the methods take. One series a file."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from avss.report import benchmarks
from avss.report.benchmarks import SIZES, TIMES
from avss.report.comparisons import label
from avss.report.figures.style import WIDTH, entitled, nothing_measured
from avss.report.snapshot import Results

_MARKERS = ("o", "s", "^", "D")


def cost_of_pruning(results: Results) -> tuple[Figure, pd.DataFrame]:
    """How many times smaller and faster a model is without k of its M blocks, beside M / (M - k).

    Points are sizes, or medians of measured speed-ups; bars are quartiles over the rounds.
    """
    data = benchmarks.pruning(results)
    if data.empty:
        return nothing_measured(data)
    data.insert(4, "share", data["removed"] / data["blocks"])
    series, most = list(data["measured on"].unique()), data["share"].max()
    figure = Figure(figsize=(WIDTH, 4.8))
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    curve = np.linspace(0, most, 100)
    for panel, quantity in zip(panels.flat, (*SIZES, *TIMES), strict=True):
        panel.plot(curve, 1 / (1 - curve), color=mpl.rcParams["ytick.color"], linewidth=1, zorder=1)
        for number, name in enumerate(series):
            part = data[(data["quantity"] == quantity) & (data["measured on"] == name) & (data["removed"] > 0)]
            # Side by side where the shares are the same.
            place = part["share"] + 0.04 * most * number
            panel.vlines(place, part["low"], part["high"], color=_ink(number), linewidth=1.6)
            panel.plot(place, part["factor"], _marker(number), color=_ink(number))
        panel.set_title(quantity)
        panel.yaxis.grid(True, linewidth=0.6)
        panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    end = (most, 1 / (1 - most))
    panels[0, 0].annotate("M / (M − k)", end, (-8, 0), textcoords="offset points", ha="right", va="top")
    for panel, text in zip(panels[:, 0], ("times smaller", "times faster"), strict=True):
        panel.set_ylabel(text)
    for panel in panels[-1]:
        panel.set_xlabel("share of blocks removed, k / M")
    _legend(figure, series)
    entitled(figure, of_pruning(data))
    return figure, data


def of_pruning(data: pd.DataFrame) -> str:
    """How much smaller and faster the first series is without the most blocks, and what blocks alone would give."""
    part = data[data["measured on"] == data["measured on"].iloc[0]]
    most = part[part["removed"] == part["removed"].max()]
    blocks, removed = most[["blocks", "removed"]].iloc[0]
    if not removed:
        return f"Only a model with all its {blocks} blocks is measured"
    smaller, faster = (span(most.loc[most["quantity"].isin(quantities), "factor"]) for quantities in (SIZES, TIMES))
    return (
        f"Without {removed} of {blocks} blocks a model is {smaller} times smaller and {faster} times faster; "
        f"blocks alone would give {_digits(most['ideal'].iloc[0])}{which(data)}"
    )


def span(values: pd.Series) -> str:
    """The lowest and the highest of some numbers, or the number that all are."""
    return " to ".join(dict.fromkeys(_digits(value) for value in (values.min(), values.max())))


def _digits(value: float) -> str:
    """With as many decimals as all other numbers of the figure, small or large."""
    return f"{value:.2f}"


def which(data: pd.DataFrame) -> str:
    """The series that a title is about, where there are several."""
    series = data["measured on"].unique()
    return f" ({series[0]})" if len(series) > 1 else ""


def cost_of_methods(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The cost of each method that reads text, beside a bare forward pass: time and peak memory.

    Points are medians, bars quartiles; a hollow mark is what the counted blocks alone would take. The numbers written
    at the side are those of the first series.
    """
    data = benchmarks.methods(results)
    if data.empty:
        return nothing_measured(data)
    series, names = list(data["measured on"].unique()), list(data["method"].unique())
    figure = Figure(figsize=(WIDTH, 1.65 + 0.27 * len(names)))
    times, memory = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for number, name in enumerate(series):
        part = data[data["measured on"] == name]
        ink, height = _ink(number), part["method"].map(names.index) + 0.22 * number
        times.plot(part["counted"], height, "d", color=ink, markerfacecolor="none", markersize=9)
        times.hlines(height, part["low"], part["high"], color=ink, linewidth=1.6)
        times.plot(part["time"], height, _marker(number), color=ink)
        memory.plot(part["memory"], height, _marker(number), color=ink)
    for panel, column in ((times, "time"), (memory, "memory")):
        for line in data[data["measured on"] == series[0]].to_dict("records"):
            where = (1.02, names.index(line["method"]))
            panel.text(*where, _digits(line[column]), transform=panel.get_yaxis_transform(), va="center_baseline")
    times.set_xscale("log")
    times.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100, 200, 500]))
    times.xaxis.set_minor_locator(NullLocator())
    times.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for panel, title in ((times, "time, in bare forward passes"), (memory, "peak memory, in bare passes")):
        panel.axvline(1, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        panel.xaxis.grid(True, linewidth=0.6)
        panel.set(title=title, ylim=(len(names) - 0.5, -0.5))
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
    times.set_yticks(range(len(names)), [label(name) for name in names])
    memory.set_xlim(left=0)
    _legend(figure, series)
    entitled(figure, of_methods(data))
    return figure, data


def of_methods(data: pd.DataFrame) -> str:
    """What AVSS takes beside a bare pass in the first series, and between what and what the other methods take."""
    part = data[data["measured on"] == data["measured on"].iloc[0]]
    own, others = part[part["method"] == "avss"], part[part["method"] != "avss"]
    first = others if own.empty else own
    beside = ""
    if len(own) and len(others):
        names = "the other methods" if len(others) > 1 else label(others["method"].iloc[0])
        beside = f", {names} {span(others['time'])} and {span(others['memory'])}"
    return (
        f"{'The methods take' if own.empty else 'AVSS takes'} {span(first['time'])} times the time and "
        f"{span(first['memory'])} times the memory of a bare pass{beside}{which(data)}"
    )


def _ink(number: int) -> str:
    return f"C{number + 1}"


def _marker(number: int) -> str:
    return _MARKERS[number % len(_MARKERS)]


def _legend(figure: Figure, series: list[str]) -> None:
    marks = [Line2D([], [], color=_ink(n), marker=_marker(n), linestyle="") for n in range(len(series))]
    figure.legend(marks, series, loc="outside lower left", frameon=False)


# The figures of this page, in the order of the gallery.
FIGURES = (cost_of_pruning, cost_of_methods)
