"""The scores that the methods gave to all blocks of a row, on every seed: the one place where pages take them from.

Scores are those of the runs whose observations are in use, so they are of the model and the data that the row has now.
"""

from functools import cache
from itertools import combinations, combinations_with_replacement

import numpy as np
import pandas as pd

from avss import intervals
from avss.methods.catalogue import column_of
from avss.report.comparisons import FIRST_ROW, lowest_removals
from avss.report.snapshot import Results


@cache
def _lines(results: Results, row: str) -> pd.DataFrame:
    """One line for each profile, run, method, reading, seed, quantity and layer."""
    cells = lowest_removals(results, row)[["profile", "run", "method", "reading", "seed"]]
    # By run too: an older model's blocks may lie beside those in use.
    return cells.merge(results.layers)


@cache
def block_scores(results: Results, row: str = FIRST_ROW) -> dict[tuple[str, str, str, str], pd.DataFrame]:
    """The scores of all blocks, seeds down and blocks across, by profile, method, reading and quantity.

    A quantity is a column of the method's table, such as `variance` of AVSS.
    """
    names = ["profile", "method", "reading", "quantity"]
    return {
        name: part.pivot(index="seed", columns="layer", values="value").astype(float)
        for name, part in _lines(results, row).groupby(names, sort=False)
    }


def scores_of(
    results: Results, row: str, profile: str, method: str, reading: str, quantity: str | None = None
) -> pd.DataFrame:
    """Those of the `block_scores` of one method; empty where it has none. quantity: default, the scores themselves."""
    return block_scores(results, row).get((profile, method, reading, quantity or column_of(method)), pd.DataFrame())


def own_scores(results: Results, row: str = FIRST_ROW) -> dict[tuple[str, str, str], pd.DataFrame]:
    """Those of the `block_scores` by which the methods choose, by profile, method and reading."""
    return {
        (profile, method, reading): table
        for (profile, method, reading, quantity), table in block_scores(results, row).items()
        if quantity == column_of(method)
    }


def layer_values(results: Results, quantity: str, row: str = FIRST_ROW, method: str = "avss") -> pd.DataFrame:
    """One line for each profile, reading and layer: mean, lowest and highest value of the quantity over the seeds."""
    table = _lines(results, row)
    table = table[(table["method"] == method) & (table["quantity"] == quantity)]
    grouped = table.groupby(["profile", "reading", "layer"], sort=False)
    made = grouped["value"].agg(mean="mean", low="min", high="max", seeds="count")
    return made.assign(run=grouped["run"].agg(lambda runs: ", ".join(runs.unique()))).reset_index()


@cache
def taus_of_pairs(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """Kendall's tau-b of the scores of all layers, one line for each profile and pair of methods.

    Of two methods: tau on the same seed. Of a method and itself: tau of two seeds. tau, low, high: mean, lowest and
    highest over the seeds, or pairs of seeds.
    """
    lines = []
    for (one, first), (other, second) in combinations_with_replacement(own_scores(results, row).items(), 2):
        if one[0] != other[0]:
            continue
        # A seed on which one of them failed has no pair.
        seeds = first.index.intersection(second.index)
        same = zip(first.loc[seeds].to_numpy(), second.loc[seeds].to_numpy(), strict=True)
        pairs = combinations(first.to_numpy(), 2) if one == other else same
        taus = [intervals.kendall_tau(*pair) for pair in pairs]
        if taus:
            lines.append((*one, *other[1:], np.mean(taus), min(taus), max(taus), len(taus)))
    columns = "source method reading other other_reading tau low high pairs"
    return pd.DataFrame(lines, columns=columns.split())
