"""Summaries of a row of results beside the paper's printed numbers, for figures and tables.

Pure functions of the results, without torch. Intervals and differences come from `avss.intervals`.
"""

from collections import Counter
from functools import cache
from itertools import combinations, combinations_with_replacement

import numpy as np
import pandas as pd

from avss import intervals
from avss.errors import InputError
from avss.methods import catalogue
from avss.metrics import METRICS
from avss.report.snapshot import CELL, Results
from avss.report.table1 import PRINTED, printed_line

FIRST_ROW = "sst2-distilbert"
# Profiles and methods in the order in which they are shown; others follow.
PROFILES = ("reference", "mini")
METHODS = ("original", *catalogue.METHODS)
# The names of metrics and methods for readers.
NAMES = {entry.name: entry.label for entry in (*METRICS.values(), *catalogue.METHODS.values())}
ALPHA = 0.05


def label(method: str, reading: str = "none") -> str:
    """A method's name for readers; a reading other than `paper` is part of it."""
    name = NAMES.get(method, method)
    return name if reading in ("none", "paper") else f"{name} ({reading})"


def share_kept(metric: str, value: float, original: float) -> float:
    """`intervals.retention`, and nan where the original score is 0, so that there is nothing to keep."""
    return intervals.retention(metric, value, original) if original else np.nan


def sort_key(value: str, order: tuple[str, ...]) -> tuple[int, str]:
    """Values of the order come first, then others by name."""
    return (order.index(value), "") if value in order else (len(order), value)


def data_name(data: str, split: str | None) -> str:
    """The name of data for readers: the last part of its path, and its split where the split has a name of its own.

    Of `$AVSS_DATA/hackernews` and `comments_2021` it is `hackernews/comments_2021`.
    """
    name = data.rsplit("/", 1)[-1]
    return name if split in (None, "validation", "test") else f"{name}/{split}"


@cache
def successes(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """The row's observations in use that succeeded, one for each profile, method, reading, selection and seed.

    Raises `InputError` where the row has no result yet.
    """
    table = results.of(results.in_use, row)
    table = table[table["status"] == "ok"]
    if table.empty:
        raise InputError(f"results of row {row} are missing under {results.store.root}; run `make book` first")
    table = table.drop_duplicates(["profile", *CELL], keep="last")
    order = [
        (
            sort_key(line.profile, PROFILES),
            sort_key(line.method, METHODS),
            line.reading != "paper",
            line.reading,
            not line.selection.startswith("lowest"),
            line.selection,
            line.seed,
        )
        for line in table.itertuples()
    ]
    return table.iloc[sorted(range(len(order)), key=order.__getitem__)].reset_index(drop=True)


def lowest_removals(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """Those of the `successes` that are original models or removals of the lowest layers."""
    table = successes(results, row)
    return table[table["selection"].str.startswith(("none", "lowest"))].reset_index(drop=True)


def failures(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """The row's observations in use that failed."""
    table = results.of(results.in_use, row)
    return table[table["status"] != "ok"]


class _Profile:
    """One profile's lines of a row, and the per-document outcomes of what was removed."""

    def __init__(self, results: Results, name: str, lines: pd.DataFrame):
        self.name, self.metric, self.documents = name, lines["metric"].iloc[0], int(lines["n"].iloc[0])
        split = results.provenances[lines["run"].iloc[-1]]["configuration"].get("evaluation")
        self.data = data_name(lines["data"].iloc[-1], split)
        self.cells = dict(iter(lines.groupby(["method", "reading"], sort=False)))
        stored = results.store.outcomes(name, lines["row"].iloc[0])
        self.outcomes = {}
        for line in lines.drop_duplicates("removed").itertuples():
            if line.coalition not in stored:
                raise InputError(f"run {line.run} has no outcomes for removed={line.removed}; delete it and run again")
            self.outcomes[line.removed] = stored[line.coalition]

        # Without the original model there is nothing to keep a share of.
        self.values = {"none": np.nan}
        self.values |= {key: intervals.value(self.metric, *parts) for key, parts in self.outcomes.items()}
        if self.documents > 1:
            stacked = [np.stack(parts, 1) for parts in zip(*self.outcomes.values(), strict=True)]
            drawn = intervals.resampled(self.metric, *stacked)
            self.resamples = {"none": np.full(len(drawn), np.nan)} | dict(zip(self.outcomes, drawn.T, strict=True))

    def mean(self, removed: Counter) -> float:
        """The metric, averaged over seeds that removed these sets of layers so many times."""
        return float(np.average([self.values[key] for key in removed], weights=list(removed.values())))

    def retention(self, removed: Counter) -> float:
        return share_kept(self.metric, self.mean(removed), self.values["none"])

    def intervals(self, removed: Counter) -> tuple[float, float, float, float]:
        """95 % intervals over documents of `mean` and of `retention`: low, high, low, high."""
        if self.documents < 2:
            return (np.nan,) * 4
        means = np.average([self.resamples[key] for key in removed], axis=0, weights=list(removed.values()))
        # nan where a resample has nothing to keep.
        original = np.where(self.resamples["none"] == 0, np.nan, self.resamples["none"])
        shares = intervals.retention(self.metric, means, original)
        return *intervals.bounds(means), *intervals.bounds(shares)

    def numerators(self, cell: tuple[str, str]) -> list[np.ndarray]:
        """One array a seed."""
        return [self.outcomes[removed][0] for removed in self.cells[cell]["removed"]]


@cache
def _profiles(results: Results, row: str) -> list[_Profile]:
    by_profile = lowest_removals(results, row).groupby("profile", sort=False)
    return [_Profile(results, name, lines) for name, lines in by_profile]


@cache
def summary(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each source (`printed`, then the profiles) and method.

    data: as in `data_name`. value, sd: mean and standard deviation over the seeds. low, high and retention_low,
    retention_high: 95 % bootstrap intervals over documents, for these seeds; the paper prints none.
    """
    paper = printed_line(results, row)
    lines = (
        []
        if paper is None
        else [
            {
                "source": PRINTED,
                "method": method,
                "reading": "none",
                "metric": paper["metric"],
                "value": paper[method],
                "retention": share_kept(paper["metric"], paper[method], paper["original"]),
            }
            for method in METHODS
            if method in paper
        ]
    )
    for profile in _profiles(results, row):
        for (method, reading), part in profile.cells.items():
            removed, seeds = Counter(part["removed"]), len(part)
            low, high, retention_low, retention_high = profile.intervals(removed)
            lines.append(
                {
                    "source": profile.name,
                    "data": profile.data,
                    "method": method,
                    "reading": reading,
                    "metric": profile.metric,
                    "value": profile.mean(removed),
                    "sd": part["value"].std(ddof=1) if seeds > 1 else np.nan,
                    "low": low,
                    "high": high,
                    "retention": profile.retention(removed),
                    "retention_low": retention_low,
                    "retention_high": retention_high,
                    "seeds": seeds,
                    "removed": ", ".join(f"{layers} ({times} of {seeds})" for layers, times in removed.most_common()),
                    "share_of_layers": part["share_of_layers"].mean(),
                    "share_of_parameters": part["share_of_parameters"].mean(),
                    "n": profile.documents,
                    "run": ", ".join(part["run"].unique()),
                }
            )
    return pd.DataFrame(lines)


@cache
def differences(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """Each method's metric less that of the controls `random` and `last` and of AVSS, with 95 % paired intervals.

    low, high: over documents, for these seeds. wide_low, wide_high: over documents and seeds. p: of the same
    resamples, by Holm's correction for the methods that a profile compares with the same one. verdict: `better` or
    `worse` where p is at most 0.05, else `not told apart`; `same outcomes` where the wide interval is 0 alone.
    """
    lines = []
    for profile in _profiles(results, row):
        _, denominator = next(iter(profile.outcomes.values()))
        for against in (*((control, "none") for control in catalogue.CONTROLS), ("avss", "paper")):
            for cell in profile.cells:
                if against not in profile.cells or cell in (against, ("original", "none")):
                    continue
                pair = profile.numerators(cell), profile.numerators(against)
                difference, low, high = intervals.paired_difference(profile.metric, *pair, denominator)
                wide = intervals.difference_over_seeds(profile.metric, *pair, denominator)
                line = (profile.name, *cell, label(*against), profile.metric, difference, low, high, *wide)
                lines.append((*line, profile.documents))
    columns = "source method reading against metric difference low high wide_low wide_high p n"
    table = pd.DataFrame(lines, columns=columns.split())
    table["p"] = table.groupby(["source", "against"])["p"].transform(intervals.holm)
    table["verdict"] = [
        _verdict(line.metric, line.difference, line.wide_low, line.wide_high, line.p) for line in table.itertuples()
    ]
    return table


def _verdict(metric: str, difference: float, low: float, high: float, p: float) -> str:
    if low == high == 0:
        return "same outcomes"
    if not p <= ALPHA:
        return "not told apart"
    return "better" if (difference > 0) == METRICS[metric].higher_is_better else "worse"


@cache
def agreement(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """Kendall's tau-b of the scores of all layers, one line for each profile and pair of methods.

    Of two methods: tau on the same seed. Of a method and itself: tau of two seeds. tau, low, high: mean, lowest and
    highest over the seeds, or pairs of seeds.
    """
    cells = lowest_removals(results, row)[["profile", "run", "method", "reading", "seed"]]
    layers = cells.merge(results.layers)
    layers = layers[layers["quantity"] == layers["method"].map(catalogue.column_of)]
    lines = []
    for profile, part in layers.groupby("profile", sort=False):
        scores = {
            cell: {seed: layers.sort_values("layer")["value"].to_numpy() for seed, layers in own.groupby("seed")}
            for cell, own in part.groupby(["method", "reading"], sort=False)
        }
        for one, other in combinations_with_replacement(scores, 2):
            first, second = scores[one], scores[other]
            # A seed on which one of them failed has no pair.
            same = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
            pairs = combinations(first.values(), 2) if one == other else same
            taus = [intervals.kendall_tau(*pair) for pair in pairs]
            if taus:
                lines.append((profile, *one, *other, np.mean(taus), min(taus), max(taus), len(taus)))
    columns = "source method reading other other_reading tau low high pairs"
    return pd.DataFrame(lines, columns=columns.split())


def layer_values(results: Results, quantity: str, row: str = FIRST_ROW, method: str = "avss") -> pd.DataFrame:
    """One line for each profile, reading and layer: mean, lowest and highest value of the quantity over the seeds."""
    cells = lowest_removals(results, row)[["profile", "run", "method", "reading", "seed"]]
    layers = results.layers
    # By run too: an older model's layers may lie beside those in use.
    table = cells.merge(layers[(layers["method"] == method) & (layers["quantity"] == quantity)])
    grouped = table.groupby(["profile", "reading", "layer"], sort=False)
    made = grouped["value"].agg(mean="mean", low="min", high="max", seeds="count")
    return made.assign(run=grouped["run"].agg(lambda runs: ", ".join(runs.unique()))).reset_index()


def removals(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, seed and removed layer; `layers` is the model's depth."""
    table = lowest_removals(results, row)
    table = table.loc[table["removed"] != "none", ["profile", "method", "reading", "seed", "removed", "layers", "run"]]
    table = table.assign(layer=table["removed"].str.split("+")).explode("layer")
    return table.astype({"layer": int}).drop(columns="removed").reset_index(drop=True)
