"""Figures of cost, from the committed benchmarks: what pruning gains, and what the methods take."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from avss import benchmarks
from avss.benchmarks import SIZES, TIMES
from avss.figures.style import WIDTH
from avss.results import Store
from avss.summaries import label
from avss.tables import NOT_MEASURED, spell

_MARKERS = ("o", "s", "^", "D")


def cost_of_pruning(store: Store) -> tuple[Figure, pd.DataFrame]:
    """How many times smaller and faster a model is without k of its M blocks, beside M / (M - k), by machine.

    Points are sizes, or medians of measured speed-ups; bars are quartiles over the rounds.
    """
    data = benchmarks.pruning(store)
    if data.empty:
        return _nothing(data)
    figure = Figure(figsize=(WIDTH, 4.2))
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    machines = list(data["machine"].unique())
    depth, most = int(data["blocks"].iloc[0]), int(data["removed"].max())
    curve = np.linspace(0, most, 100)
    for panel, quantity in zip(panels.flat, (*SIZES, *TIMES), strict=True):
        panel.plot(curve, benchmarks.ideal(depth, curve), color=mpl.rcParams["ytick.color"], linewidth=1, zorder=1)
        for number, name in enumerate(machines):
            part = data[(data["quantity"] == quantity) & (data["machine"] == name) & (data["removed"] > 0)]
            ink, place = f"C{number + 1}", part["removed"] + 0.18 * number
            panel.vlines(place, part["low"], part["high"], color=ink, linewidth=1.6)
            panel.plot(place, part["factor"], _MARKERS[number], color=ink)
        panel.set_title(quantity)
        panel.yaxis.grid(True, linewidth=0.6)
        panel.set_xticks(sorted(data["removed"].unique()))
    panels[0, 0].annotate(
        "ideal, M / (M − k)", (most, benchmarks.ideal(depth, most)), (-8, 0), textcoords="offset points", ha="right"
    )
    for panel, text in zip(panels[:, 0], ("times smaller", "times faster"), strict=True):
        panel.set_ylabel(text)
    figure.supxlabel(f"blocks removed of {depth}", fontsize=mpl.rcParams["axes.labelsize"])
    _name_machines(figure, machines)
    return figure, data


def cost_of_methods(store: Store) -> tuple[Figure, pd.DataFrame]:
    """What each method that reads text takes beside a bare forward pass, by machine: time and peak memory.

    Points are medians, bars quartiles; a hollow mark is what the counted blocks alone would take.
    """
    data = benchmarks.methods(store)
    if data.empty:
        return _nothing(data)
    machines, names = list(data["machine"].unique()), list(data["method"].unique())
    figure = Figure(figsize=(WIDTH, 1.3 + 0.27 * len(names)))
    times, memory = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for number, machine in enumerate(machines):
        part = data[data["machine"] == machine]
        ink, height = f"C{number + 1}", part["method"].map(names.index) + 0.22 * number
        times.plot(part["counted"], height, "d", color=ink, markerfacecolor="none", markersize=9)
        times.hlines(height, part["low"], part["high"], color=ink, linewidth=1.6)
        times.plot(part["time"], height, _MARKERS[number], color=ink)
        memory.plot(part["memory"], height, _MARKERS[number], color=ink)
        if number == 0:
            for panel, column in ((times, "time"), (memory, "memory")):
                for line, value in zip(height, part[column], strict=True):
                    text = spell(value, digits=2 if value < 10 else 0)
                    panel.text(1.02, line, text, transform=panel.get_yaxis_transform(), va="center_baseline")
    times.set_xscale("log")
    times.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100]))
    times.xaxis.set_minor_locator(NullLocator())
    times.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for panel, title in ((times, "time, in bare forward passes"), (memory, "peak memory, of a bare pass")):
        panel.axvline(1, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        panel.xaxis.grid(True, linewidth=0.6)
        panel.set(title=title, ylim=(len(names) - 0.5, -0.5))
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
    times.set_yticks(range(len(names)), [label(name) for name in names])
    memory.set_xlim(left=0)
    _name_machines(figure, machines)
    return figure, data


def _name_machines(figure: Figure, machines: list[str]) -> None:
    marks = [
        mpl.lines.Line2D([], [], color=f"C{n + 1}", marker=_MARKERS[n], linestyle="") for n in range(len(machines))
    ]
    figure.legend(marks, machines, loc="outside upper left", frameon=False, ncols=2)


def _nothing(data: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    figure = Figure(figsize=(WIDTH, 0.6))
    figure.text(0.5, 0.5, NOT_MEASURED, ha="center", va="center")
    return figure, data
