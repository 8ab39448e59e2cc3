"""The tables of speed, from the committed files of `bench/scoring.py` and `bench/ablation.py`."""

from functools import partial

import numpy as np
import pandas as pd

from avss.report.benchmarks import files, machine_of
from avss.report.comparisons import label
from avss.report.markdown import NOT_MEASURED, Text, percent, revision, spell, table_or_note
from avss.report.snapshot import Results
from avss.report.speed import AT_MOST, TARGETS, WAYS, Measured, scoring, sharing


def scoring_table(results: Results, sweep: str) -> Text:
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
        for line in scoring(results, sweep).to_dict("records")
    ]
    return table_or_note(table)


def sharing_table(results: Results) -> Text:
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
        for line in sharing(results).to_dict("records")
    ]
    return table_or_note(table)


def target_table(results: Results) -> Text:
    """The targets of speed, and on every machine the measured answer and whether it holds."""
    scored, shared = scoring(results), sharing(results)
    table: dict[str, dict[str, str]] = {}
    for machine in dict.fromkeys([*scored["measured on"], *shared["measured on"]]):
        measured = Measured(*(lines[lines["measured on"] == machine] for lines in (scored, shared)))
        for target in TARGETS:
            asks = f"{target.asks.format(rounds=measured.rounds)}: {target.side} {target.limit:g}"
            table.setdefault(asks, {})[machine] = _judged(target.side, target.limit, *target.answer(measured))
    return table_or_note(pd.DataFrame(table).T.rename_axis("asked").reset_index().to_dict("records"))


def _judged(side: str, limit: float, value: float, low: float = np.nan, high: float = np.nan) -> str:
    """The measured number, its quartiles in brackets, and whether it holds: open where the limit is between them."""
    if np.isnan(value):
        return NOT_MEASURED
    shown, *ends = (f"{number:.3g}" if number < 1000 else f"{number:,.0f}" for number in (value, low, high))
    if not np.isnan(low):
        shown += " [{},\u00a0{}]".format(*ends)
    if low < limit < high:
        return f"{shown}, open"
    return f"{shown}, {'holds' if (value <= limit if side == AT_MOST else value >= limit) else 'does not hold'}"


def speed_basis(results: Results) -> Text:
    """The basis of the numbers: a column for each file, with its machine and the limits measured in the same run."""
    table = {}
    for script in ("scoring", "ablation"):
        for path, content in files(results, script):
            facts, limits = content["provenance"], content.get("limits", {})
            table[f"`{path.name}`"] = {
                "machine": machine_of(facts),
                "cores, threads": f"{facts['hardware']['cores']}, {facts['hardware']['threads']}",
                "load average before and after": " and ".join(f"{minute:g}" for minute, *_ in facts["load_average"]),
                "numbers": facts["dtype"],
                "matrix products, GFLOP/s": _giga(limits.get("matrix_per_second")),
                "copying, GB/s": _giga(limits.get("copied_bytes_per_second")),
                "setting": ", ".join(f"{name} {value}" for name, value in content["setting"].items()),
                "torch, transformers": f"{facts['versions']['torch']}, {facts['versions']['transformers']}",
                "date, revision": f"{facts['created'][:10]}, {revision(facts)}",
            }
    return table_or_note(pd.DataFrame(table).rename_axis("what").reset_index().to_dict("records"))


def _giga(number: float | None) -> str:
    return NOT_MEASURED if number is None else f"{number / 1e9:.0f}"


# The tables that pages include, by the name of their file.
TABLES = {function.__name__: function for function in (target_table, sharing_table, speed_basis)} | {
    f"scoring_table-{sweep}": partial(scoring_table, sweep=sweep) for sweep in ("width", "shape")
}
