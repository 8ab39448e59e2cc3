"""The tables of the page on layer Shapley values and cornerstones. Each takes what the notebook has measured or read.

A case is the outcomes of a model, known by its name.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss.intervals import kendall_tau
from avss.metrics import metric_named
from avss.report.comparisons import TOO_WEAK, label
from avss.report.cornerstones import (
    TOP,
    Outcomes,
    Stored,
    cornerstones,
    is_weak,
    removals_of,
    stones_of,
    top_share,
)
from avss.report.markdown import Text, markdown, percent, runs_of, runs_or_none, spell, table_or_note

# The share of the blocks that the paper on AVSS removes.
SHARE = 0.25
# The methods whose removals are searched for cornerstones.
COUNTED = ("avss", "block_influence", "leave_one_out", "shapley")
Scores = Mapping[str, Mapping[str, NDArray[np.float64]]]


def name_of(found: Stored) -> str:
    """Stored results as readers know them: the model and the task."""
    return f"{found.facts['model']}, {found.name}"


def stored_table(results: Iterable[Stored]) -> Text:
    """What each stored task rests on, its largest values, and the largest standard error beside the largest value."""
    lines = []
    for found in results:
        facts, table = found.facts, found.scores.table
        largest = table.sort_values("rank").head(TOP)
        gap, passes = facts["v_all"] - facts["v_none"], facts["block_forwards"] / len(table) / len(found.scored)
        error = table["standard_error"].max() / table["shapley"].abs().max()
        lines.append(
            {
                "task": found.name,
                "documents, predictions": f"{len(found.scored)}, {found.scored.sum():.0f}",
                "passes a document, minutes": f"{passes:.0f}, {facts['shapley_seconds'] / 60:.0f}",
                "v(all) - v(none)": f"{gap:.1f}",
                "sum of values": f"{facts['sum_of_values']:.1f}",
                "largest values": "; ".join(f"block {line.layer}: {line.shapley:.2f}" for line in largest.itertuples()),
                "blocks below zero": int((table["shapley"] < 0).sum()),
                "largest standard error": percent(error, 1),
            }
        )
    return table_or_note(lines)


def convergence_table(benchmark: dict | None) -> Text:
    """Error against cost on a model of 32 blocks, from the file of bench/shapley.py."""
    rows = benchmark["rows"] if benchmark else []
    lines = [
        {
            "estimator": line["estimator"],
            "forwards a document": line["forwards_a_document"],
            "seed": line["seed"],
            "relative error": percent(line["relative_error"], 1),
            "stated": percent(line["relative_standard_error"] or np.nan, 1),
        }
        for line in rows
        if line["estimator"] != "reference"
    ]
    if not lines:
        return table_or_note([])
    reference = next(line for line in rows if line["estimator"] == "reference")
    note = (
        f"The reference walks at least {reference['permutations']:,} orders of `{benchmark['setting']['model']}`. "
        f"Its own standard error is {percent(reference['relative_standard_error'], 1)} of the length of the values."
    )
    return markdown(pd.DataFrame(lines), digits=0, note=note)


def cornerstone_table(cases: Mapping[str, Outcomes]) -> Text:
    """The score of the whole model, chance, the cornerstones, the worst single removals and the median one."""
    lines = []
    for name, case in cases.items():
        table = removals_of(case).sort_values("value", ascending=metric_named(case.metric).higher_is_better)
        ends = cornerstones(case.metric, np.stack([case.whole, case.chance]), case.chance, case.denominator)
        worst = "; ".join(
            f"block {line.layer}: {spell(line.value, line.low, line.high)}" for line in table.head(TOP).itertuples()
        )
        middle = table.iloc[len(table) // 2]
        lines.append(
            {
                "model": name,
                "metric, documents": f"{case.metric}, {len(case.whole)}",
                "whole model": spell(ends["value"][0]),
                "chance": spell(ends["value"][1]),
                "cornerstones": TOO_WEAK if is_weak(case) else runs_or_none(stones_of(case)),
                "worst without": worst,
                "median block": spell(middle.value, middle.low, middle.high),
            }
        )
    return table_or_note(lines)


def share_table(values: Mapping[str, NDArray[np.float64]]) -> Text:
    """The share of the top three in the total, (M, D) values by document each, plain and clipped, with intervals."""
    lines = []
    for name, by_document in values.items():
        chosen, *plain = top_share(by_document)
        _, *clipped = top_share(by_document, clipped=True)
        line = {"model": name, "top three": runs_of(chosen), "share": spell(*plain), "clipped": spell(*clipped)}
        lines.append(line | {"of equal blocks": TOP / len(by_document)})
    return table_or_note(lines)


def tau_table(scores: Scores, truths: Mapping[str, NDArray[np.float64]]) -> Text:
    """Kendall's tau of each method's scores with the Shapley values of the same model, a column each."""
    columns = {
        name: {label(method): kendall_tau(values, truths[name]) for method, values in own.items()}
        for name, own in scores.items()
    }
    return markdown(pd.DataFrame(columns).rename_axis("method").reset_index(), digits=2)


def removed_table(scores: Scores, truths: Mapping[str, NDArray[np.float64]], cases: Mapping[str, Outcomes]) -> Text:
    """The quarter of the blocks that AVSS ranks lowest, and how many cornerstones it and others remove so."""
    lines = []
    for name, own in scores.items():
        stones, count = stones_of(cases[name]), round(SHARE * len(truths[name]))
        lowest = {
            method: set(np.argsort(values, kind="stable")[:count].tolist())
            for method, values in (own | {"shapley": truths[name]}).items()
        }
        counts = {label(method): len(lowest[method].intersection(stones)) for method in COUNTED}
        lines.append(
            {"model": name, "cornerstones": runs_or_none(stones), "AVSS removes": runs_of(lowest["avss"])} | counts
        )
    return table_or_note(lines)
