"""Figures and tables of speed, from the committed files of `bench/scoring.py` and `bench/ablation.py`.

Each file is one run on one machine, which the data names in `measured on`. What no file holds is not measured.
"""

import json
from collections.abc import Iterator
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from avss.report.comparisons import label
from avss.report.figures.style import WIDTH
from avss.report.tables import NOT_MEASURED, Text, markdown, percent, revision, spell
from avss.store import Store

WAYS = {"bare": "bare pass", "avss": "AVSS", "kept": "hidden states kept", "released": "released scripts' way"}
SWEEPS = {
    "width": "features of a hidden state",
    "blocks": "blocks",
    "samples": "documents",
    "length": "tokens of a document",
}
# The paper's largest model, by its name there.
LARGEST = "LLama-8B"
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
# Where ways fall together all of them can be seen: AVSS lies on top, the others are larger and hollow.
_LOOKS = {
    "bare": {"color": "C0", "linestyle": "--"},
    "avss": {"color": "C1", "marker": "o", "markersize": 4, "zorder": 3},
    "kept": {"color": "C2", "marker": "s", "markersize": 8, "markerfacecolor": "none"},
    "released": {"color": "C3", "marker": "^", "markersize": 8, "markerfacecolor": "none"},
}


def _runs(store: Store, script: str) -> list[tuple[str, str, dict]]:
    """Of every file of a script in `bench/`: the machine that it is about, its name, and what it holds."""
    found = []
    for path in sorted((store.root.parent / "bench" / "results").glob(f"{script}-*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        hardware = content["provenance"]["hardware"]
        found.append((hardware.get("accelerator", hardware["processor"]), path.name, content))
    return found


def scoring(store: Store, *sweeps: str) -> pd.DataFrame:
    """One line for each machine, sweep, point of it (`at`) and way, of these sweeps or of all.

    time_ratio: in bare passes of the same round; low, high: its quartiles. extra_mib: what tensors held at most, above
    a bare pass; extra_share: the same as a share of the weights. Empty where nothing is measured.
    """
    columns = "name sweep at way width blocks documents tokens repeats seconds time_ratio extra_mib extra_share"
    shares = "tokens_per_second matrix_share bandwidth_share beside_ratio beside_bandwidth_share waits_per_batch"
    rows = _rows(store, "scoring", "time_ratio", f"{columns} {shares}")
    return rows[rows["sweep"].isin(sweeps)].reset_index(drop=True) if sweeps else rows


def sharing(store: Store) -> pd.DataFrame:
    """One line for each machine and method: how many times faster shared prefixes are; low, high: quartiles."""
    seconds = "shared_seconds naive_seconds shared_block_forwards naive_block_forwards"
    return _rows(store, "ablation", "speedup", f"method blocks repeats {seconds} speedup counted_speedup")


def _rows(store: Store, script: str, measured: str, columns: str) -> pd.DataFrame:
    """These columns of all files of a script, and the quartiles of what is measured; nan where there was one round."""
    lines = []
    for machine, _, content in _runs(store, script):
        for row in content["rows"]:
            # A single round has no quartiles.
            low, high = row[f"{measured}_quartiles"] if row["repeats"] > 1 else (np.nan, np.nan)
            lines.append(row | {"measured on": machine, "low": low, "high": high})
    return pd.DataFrame(lines, columns=["measured on", *columns.split(), "low", "high"])


def cost_of_scoring(store: Store) -> tuple[Figure, pd.DataFrame]:
    """What each way to score takes beside a bare pass, by the model's width: time, and memory in shares of the weights.

    Points are medians, bars quartiles over the rounds; a row of panels for each machine.
    """
    data = scoring(store, "width")
    if data.empty:
        return _nothing(data)
    scored = data[data["way"] != "bare"]
    figure, panels = _grid(data["measured on"].nunique(), 2, scored)
    for (machine, part), (times, memory) in zip(scored.groupby("measured on", sort=False), panels, strict=True):
        _lines(times, part, "time_ratio", bars=True)
        _lines(memory, part, "extra_share")
        times.axhline(1, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        times.set(title=machine, ylabel="time, in bare passes", xlabel=SWEEPS["width"])
        memory.set(title="extra memory", ylabel="share of the weights", xlabel=SWEEPS["width"])
        _from_zero(memory, part["extra_share"], 0.001)
        memory.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}\u00a0%"))
    return figure, data


def growth_of_scoring(store: Store) -> tuple[Figure, pd.DataFrame]:
    """Time and extra memory of each way to score against documents, their length and blocks; two rows a machine.

    Both axes are logarithmic (memory below 0.1 MiB linear): what grows in proportion rises by one decade in one.
    """
    sweeps = ("samples", "length", "blocks")
    data = scoring(store, *sweeps)
    if data.empty:
        return _nothing(data)
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
        panels[2 * number][0].set(title=machine, ylabel="seconds")
        panels[2 * number + 1][0].set_ylabel("extra memory, MiB")
    return figure, data


def scoring_at_real_shapes(store: Store) -> tuple[Figure, pd.DataFrame]:
    """What each way to score takes beside a bare pass at the shapes of the paper's models; a panel a machine."""
    data = scoring(store, "shape")
    if data.empty:
        return _nothing(data)
    names = list(data["at"].unique())
    scored = data[data["way"] != "bare"]
    figure, panels = _grid(data["measured on"].nunique(), 1, scored, height=0.5 + 0.35 * len(names))
    for (machine, part), (panel,) in zip(scored.groupby("measured on", sort=False), panels, strict=True):
        for way, lines in part.groupby("way", sort=False):
            heights = lines["at"].map(names.index)
            panel.hlines(heights, lines["low"], lines["high"], color=_LOOKS[way]["color"], linewidth=1.6)
            panel.plot(lines["time_ratio"], heights, **_LOOKS[way] | {"linestyle": ""})
        panel.axvline(1, color=mpl.rcParams["ytick.color"], linewidth=0.9, zorder=0)
        panel.set(title=machine, xlabel="time, in bare passes", ylim=(len(names) - 0.5, -0.5))
        panel.set_yticks(range(len(names)), names)
    return figure, data


def shared_prefixes(store: Store) -> tuple[Figure, pd.DataFrame]:
    """How many times faster methods are where the blocks that masks have in common run once, end to end.

    Points are medians, bars quartiles over the rounds; hollow marks are what the counted blocks alone would give.
    """
    data = sharing(store)
    if data.empty:
        return _nothing(data)
    methods, machines = list(data["method"].unique()), list(data["measured on"].unique())
    figure = Figure(figsize=(WIDTH, 0.9 + 0.35 * len(methods)))
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
    figure.legend(marks, machines, loc="outside upper left", frameon=False)
    return figure, data


def _grid(rows: int, columns: int, data: pd.DataFrame, height: float = 2.2) -> tuple[Figure, list]:
    """Panels, and a legend of the ways that the data has."""
    figure = Figure(figsize=(WIDTH, 0.4 + height * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.grid(True, axis="both" if columns == 1 else "y", linewidth=0.6)
    ways = data["way"].unique()
    marks = [Line2D([], [], **_LOOKS[way]) for way in ways]
    figure.legend(marks, [WAYS[way] for way in ways], loc="outside upper left", frameon=False, ncols=len(ways))
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


def _nothing(data: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    figure = Figure(figsize=(WIDTH, 0.6))
    figure.text(0.5, 0.5, NOT_MEASURED, ha="center", va="center")
    return figure, data


def scoring_table(store: Store, sweep: str) -> Text:
    """Each way to score at every point of a sweep: time and memory beside a bare pass, and shares of two limits."""
    table = [
        {
            "model": f"{sweep} {line['at']}" if sweep == "width" else line["at"],
            "way": WAYS[line["way"]],
            "time, in bare passes": spell(line["time_ratio"], line["low"], line["high"], digits=2),
            "its own work": "" if pd.isna(line["beside_ratio"]) else spell(line["beside_ratio"]),
            "extra memory, MiB": spell(line["extra_mib"], digits=2),
            "of the weights": percent(line["extra_share"], 2).replace("-", "−"),
            "tokens/s": f"{line['tokens_per_second']:.0f}",
            "matrix rate, bandwidth": f"{percent(line['matrix_share'])}, {percent(line['bandwidth_share'], 1)}",
        }
        for line in scoring(store, sweep).to_dict("records")
    ]
    return _table(table)


def sharing_table(store: Store) -> Text:
    """Seconds of each method with shared prefixes and with whole passes, and the counts of blocks that ran."""
    table = [
        {
            "method": label(line["method"]),
            "blocks": line["blocks"],
            "shared, s": spell(line["shared_seconds"], digits=2),
            "whole passes, s": spell(line["naive_seconds"], digits=2),
            "times faster": spell(line["speedup"], line["low"], line["high"], digits=2),
            "blocks run": f"{line['shared_block_forwards']} and {line['naive_block_forwards']}",
            "by the count": spell(line["counted_speedup"], digits=2),
        }
        for line in sharing(store).to_dict("records")
    ]
    return _table(table)


def target_table(store: Store) -> Text:
    """What is asked of speed, and on every machine what was measured and whether it holds."""
    scored, shared = scoring(store), sharing(store)
    table: dict[str, dict[str, str]] = {}
    for machine in dict.fromkeys([*scored["measured on"], *shared["measured on"]]):
        mine = (rows[rows["measured on"] == machine] for rows in (scored, shared))
        for what, at_most, limit, *measured in _asked(*mine):
            table.setdefault(f"{what}: {'at most' if at_most else 'at least'} {limit:g}", {})[machine] = _judged(
                at_most, limit, *measured
            )
    return _table(pd.DataFrame(table).T.rename_axis("asked").reset_index().to_dict("records"))


def _judged(at_most: bool, limit: float, value: float, low: float = np.nan, high: float = np.nan) -> str:
    """What was measured, its quartiles in brackets, and whether it holds: open where the limit lies between them."""
    if np.isnan(value):
        return NOT_MEASURED
    shown, *ends = (f"{number:.3g}" if number < 1000 else f"{number:,.0f}" for number in (value, low, high))
    if not np.isnan(low):
        shown += " [{},\u00a0{}]".format(*ends)
    if low < limit < high:
        return f"{shown}, open"
    return f"{shown}, {'holds' if (value <= limit if at_most else value >= limit) else 'does not hold'}"


def _asked(scored: pd.DataFrame, shared: pd.DataFrame) -> Iterator[tuple]:
    """What is asked, whether its limit is the most that is allowed, the limit, and what was measured (nan: nothing).

    With quartiles where it is a ratio in rounds. Of several settings, the one that is worst for what is asked.
    """

    def ratio(lines: pd.DataFrame, column: str, ascending: bool) -> list[float]:
        worst = lines.sort_values(column, ascending=ascending)[[column, "low", "high"]].head(1).to_numpy()
        return worst[0] if len(worst) else [np.nan]

    avss = scored[scored["way"] == "avss"]
    wide = avss[avss["sweep"].eq("width") & avss["width"].ge(512)]
    yield "scoring, in bare passes, width 512 and more", True, 1.05, *ratio(wide, "time_ratio", False)
    memory = wide["extra_share"].max()
    yield "memory above a bare pass, in shares of the weights, width 512 and more", True, 0.01, memory
    many = scored[scored["sweep"].eq("samples") & scored["at"].eq(1024)].set_index("way").reindex(list(WAYS))
    times = many["seconds"] / many["seconds"]["avss"]
    # Recorded to a thousandth of a MiB; scoring may need no more than the bare pass.
    memory, text = many["extra_mib"].clip(lower=0.001), "1,024 documents of 512 tokens, AVSS beside"
    if many["repeats"].eq(1).any():
        text = "1,024 documents of 512 tokens in a single round, AVSS beside"
    yield f"{text} hidden states kept: times as fast", False, 1, times["kept"]
    yield f"{text} hidden states kept: times less extra memory", False, 10, memory["kept"] / memory["avss"]
    yield f"{text} the released scripts' way: times as fast", False, 3, times["released"]
    largest = scored[scored["at"].eq(LARGEST)]
    waited = largest.set_index("way").reindex(list(WAYS))["waits_per_batch"]
    largest = largest[largest["way"] == "avss"]
    yield f"scoring, in bare passes, shape of {LARGEST}", True, 1.03, *ratio(largest, "time_ratio", False)
    waits = waited["avss"] - waited["bare"]
    yield f"waits for the accelerator in a batch beyond a bare pass's, shape of {LARGEST}", True, 0, waits
    deep = shared[shared["method"].eq("leave_one_out") & shared["blocks"].eq(32)]
    yield "leave-one-out at 32 blocks: times faster by shared prefixes", False, 1.8, *ratio(deep, "speedup", True)


def speed_basis(store: Store) -> Text:
    """What the numbers rest on: a column for each file, with its machine and the limits found in the same run."""
    table = {}
    for script in ("scoring", "ablation"):
        for machine, name, content in _runs(store, script):
            facts, limits = content["provenance"], content.get("limits", {})
            table[f"`{name}`"] = {
                "machine": machine,
                "cores, threads": f"{facts['hardware']['cores']}, {facts['hardware']['threads']}",
                "load average before and after": " and ".join(f"{minute:g}" for minute, *_ in facts["load_average"]),
                "numbers": facts["dtype"],
                "matrix products, GFLOP/s": _giga(limits.get("matrix_per_second")),
                "copying, GB/s": _giga(limits.get("copied_bytes_per_second")),
                "setting": ", ".join(f"{name} {value}" for name, value in content["setting"].items()),
                "torch, transformers": f"{facts['versions']['torch']}, {facts['versions']['transformers']}",
                "date, revision": f"{facts['created'][:10]}, {revision(facts)}",
            }
    return _table(pd.DataFrame(table).rename_axis("what").reset_index().to_dict("records"))


def _giga(number: float | None) -> str:
    return NOT_MEASURED if number is None else f"{number / 1e9:.0f}"


def _table(lines: list[dict]) -> Text:
    return markdown(pd.DataFrame(lines)) if lines else Text(f"{NOT_MEASURED.capitalize()}.\n")


TABLES = {function.__name__: function for function in (target_table, sharing_table, speed_basis)} | {
    f"scoring_table-{sweep}": partial(scoring_table, sweep=sweep) for sweep in ("width", "shape")
}
