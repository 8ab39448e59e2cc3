"""The scores of the blocks beside the loss without each block, `leave_one_out`, on the same calibration samples.

Kendall's tau says how far a score orders the blocks as the loss does. It is the mean over the seeds, with an interval
over seeds drawn anew; each seed is a calibration sample of its own, so the interval covers its documents too.
"""

from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss import intervals
from avss.methods.catalogue import column_of
from avss.report.block_scores import block_scores, own_scores
from avss.report.comparisons import METHODS, label, lowest_removals, sort_key
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows, of_rows

# The method whose order of the blocks counts as the true one.
TRUTH = "leave_one_out"


@cache
def beside_losses(results: Results, row: str) -> dict[tuple[str, str, str, str], tuple[NDArray, NDArray]]:
    """The scores of the row and the losses, each (seeds, M), by profile, method, reading and quantity.

    Seeds that one of them lacks are left out. Empty where `leave_one_out` was not run.
    """
    tables, pairs = block_scores(results, row), {}
    for name, table in tables.items():
        truth = tables.get((name[0], TRUTH, "none", TRUTH))
        if truth is None:
            continue
        seeds = table.index.intersection(truth.index)
        if len(seeds) and table.shape[1] == truth.shape[1]:
            pairs[name] = table.loc[seeds].to_numpy(), truth.loc[seeds].to_numpy()
    return pairs


def taus_of_each(results: Results, row: str) -> pd.DataFrame:
    """Kendall's tau of each method `with depth`, `with the loss` without each block, and `among its seeds`.

    One line for each profile, method, reading and `other`: tau, low, high are the mean, lowest and highest over the
    seeds, or over pairs of them; pairs counts these. An order that a method lacks has no line.
    """
    lines = []
    for (profile, method, reading), table in own_scores(results, row).items():
        scores = table.to_numpy()
        pairs = {"with depth": [(one, np.arange(len(one))) for one in scores]}
        known = beside_losses(results, row).get((profile, method, reading, column_of(method)))
        if method != TRUTH and known:
            pairs["with the loss"] = list(zip(*known, strict=True))
        pairs["among its seeds"] = list(combinations(scores, 2))
        for other, both in pairs.items():
            taus = [intervals.kendall_tau(*pair) for pair in both]
            if taus and not np.isnan(taus).any():
                names = (profile, method, reading, label(method, reading), other)
                lines.append((*names, np.mean(taus), min(taus), max(taus), len(taus)))
    return pd.DataFrame(lines, columns="source method reading name other tau low high pairs".split())


def prediction(results: Results, row: str) -> pd.DataFrame:
    """How far each score of the row orders the blocks as the loss without each does, one line a profile and method.

    tau, low, high: as in `intervals.tau_over_seeds`; a score without an order has no line. blocks, seeds: how many.
    """
    cells = lowest_removals(results, row)
    facts = {name: part.iloc[-1] for name, part in cells.groupby("profile", sort=False)}
    lines = []
    for (profile, method, reading, quantity), pair in beside_losses(results, row).items():
        if quantity != column_of(method) or method == TRUTH:
            continue
        tau = intervals.tau_over_seeds(*pair)
        if not np.isnan(tau.value):
            names = results.newest(profile, facts[profile]["row"])["configuration"]
            runs = cells[(cells["profile"] == profile) & cells["method"].isin([method, TRUTH])]["run"].unique()
            lines.append(
                {
                    "source": profile,
                    "row": facts[profile]["row"],
                    "model": names["model"],
                    "dataset": names["dataset"],
                    "method": method,
                    "reading": reading,
                    "name": label(method, reading),
                    "tau": tau.value,
                    "low": tau.low,
                    "high": tau.high,
                    "blocks": pair[0].shape[1],
                    "seeds": len(pair[0]),
                    "run": ", ".join(runs),
                }
            )
    lines.sort(key=lambda line: (sort_key(line["method"], METHODS), line["reading"] != "paper", line["reading"]))
    return pd.DataFrame(lines)


def all_predictions(results: Results) -> pd.DataFrame:
    """The `prediction` of every measured row, one under the other; no line where nothing is measured."""
    return of_rows(prediction, results, measured_rows(results))
