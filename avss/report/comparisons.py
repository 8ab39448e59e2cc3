"""What the figures plot and the tables show: summaries of a row of results beside the paper's printed numbers.

Pure functions of the store, without torch. Intervals and differences come from `avss.intervals`.
"""

from collections import Counter
from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from pathlib import Path

import numpy as np
import pandas as pd

from avss import intervals
from avss.errors import InputError
from avss.methods import catalogue
from avss.metrics import METRICS
from avss.store import Store

FIRST_ROW = "sst2-distilbert"
# The paper's Table 1, as printed.
PRINTED_TABLE = Path(__file__).parent / "table1.csv"
PRINTED = "printed"
HEADINGS = {PRINTED: "paper, as printed"}
# Profiles and methods in the order in which they are shown; others follow.
PROFILES = ("reference", "mini")
METHODS = ("original", *catalogue.METHODS)
# The names of metrics and methods for readers.
NAMES = {entry.name: entry.label for entry in (*METRICS.values(), *catalogue.METHODS.values())}
ALPHA = 0.05
CLAIMED_RETENTION = 0.9


def label(method: str, reading: str = "none") -> str:
    """A method's name for readers; a reading other than `paper` is part of it."""
    name = NAMES.get(method, method)
    return name if reading in ("none", "paper") else f"{name} ({reading})"


def retention(metric: str, value: float, original: float) -> float:
    """`intervals.retention`, and nan where the original score is 0, so that there is nothing to keep."""
    return intervals.retention(metric, value, original) if original else np.nan


def place(value: str, known: tuple[str, ...]) -> tuple[int, str]:
    """A sort key: known values in their order, then others by name."""
    return (known.index(value), "") if value in known else (len(known), value)


def data_name(data: str, split: str | None) -> str:
    """What readers know data by: the last part of where it lies, and a split with a name of its own.

    Of `$AVSS_DATA/hackernews` and `comments_2021` it is `hackernews/comments_2021`.
    """
    name = data.rsplit("/", 1)[-1]
    return name if split in (None, "validation", "test") else f"{name}/{split}"


def observed(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """The row's observations, one for each profile, method, reading, selection and seed, of the newest model and data
    alone.

    Raises `InputError` where the row has no result yet.
    """
    table = store.observations(row=row)
    table = table[table["status"] == "ok"]
    if table.empty:
        raise InputError(f"results of row {row} are missing under {store.root}; run `make book` first")
    newest = table.groupby("profile")[["revision", "data_fingerprint"]].transform("last")
    table = table[(table[["revision", "data_fingerprint"]] == newest).all(axis=1)]
    table = table.drop_duplicates(["profile", "method", "reading", "selection", "seed"], keep="last")
    order = [
        (
            place(line.profile, PROFILES),
            place(line.method, METHODS),
            line.reading != "paper",
            line.reading,
            not line.selection.startswith("lowest"),
            line.selection,
            line.seed,
        )
        for line in table.itertuples()
    ]
    return table.iloc[sorted(range(len(order)), key=order.__getitem__)].reset_index(drop=True)


def current(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """Of what is `observed`, the original models and the removals of the lowest layers."""
    table = observed(store, row)
    return table[table["selection"].str.startswith(("none", "lowest"))].reset_index(drop=True)


def failures(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """The row's observations that failed, on the models and data of those that are `observed`."""
    table = store.observations(row=row)
    measured = observed(store, row)[["profile", "revision", "data_fingerprint"]].drop_duplicates()
    return table[table["status"] != "ok"].merge(measured)


def table_1() -> pd.DataFrame:
    """The paper's Table 1, as printed, one line a row; tasks by the names that they have in this package."""
    table = pd.read_csv(PRINTED_TABLE)
    return table.assign(task=table["task"].str.removesuffix(" classification").str.replace(" ", "_"))


def printed(store: Store, row: str = FIRST_ROW) -> pd.Series:
    """The line of the paper's Table 1 that this row of results belongs to."""
    names = store.provenance(current(store, row)["run"].iloc[0])["configuration"]
    table = table_1()
    found = table[(table["dataset"] == names["dataset"]) & (table["model"] == names["model"])]
    if found.empty:
        raise InputError(f"{PRINTED_TABLE.name} has no row {names['dataset']}, {names['model']}; see profiles/*.yaml")
    return found.iloc[0]


def measured_rows(store: Store) -> dict[str, int]:
    """The rows that have results, in the order of the paper's table, each with its line in `table_1`.

    Raises `InputError` where there is no result at all.
    """
    table = store.observations()
    names = table.loc[table["status"] == "ok", "row"].unique()
    if not len(names):
        raise InputError(f"results are missing under {store.root}; run `make book` first")
    lines = {row: int(printed(store, row).name) for row in names}
    return dict(sorted(lines.items(), key=lambda item: item[1]))


class _Profile:
    """One profile's lines of a row, and the per-document outcomes of what was removed."""

    def __init__(self, store: Store, name: str, row: str, lines: pd.DataFrame):
        self.name, self.metric, self.documents = name, lines["metric"].iloc[0], int(lines["n"].iloc[0])
        split = store.provenance(lines["run"].iloc[-1])["configuration"].get("evaluation")
        self.data = data_name(lines["data"].iloc[-1], split)
        self.cells = dict(iter(lines.groupby(["method", "reading"], sort=False)))
        known = store.outcomes(name, row)
        self.outcomes = {}
        for line in lines.drop_duplicates("removed").itertuples():
            if line.coalition not in known:
                raise InputError(f"run {line.run} has no outcomes for removed={line.removed}; delete it and run again")
            self.outcomes[line.removed] = known[line.coalition]

        self.values = {key: intervals.value(self.metric, *parts) for key, parts in self.outcomes.items()}
        if self.documents > 1:
            stacked = [np.stack(parts, 1) for parts in zip(*self.outcomes.values(), strict=True)]
            drawn = intervals.resampled(self.metric, *stacked)
            self.resamples = dict(zip(self.outcomes, drawn.T, strict=True))

    def mean(self, removed: Counter) -> float:
        """The metric, averaged over seeds that removed these sets of layers so many times."""
        return float(np.average([self.values[key] for key in removed], weights=list(removed.values())))

    def retention(self, removed: Counter) -> float:
        return retention(self.metric, self.mean(removed), self.values["none"])

    def intervals(self, removed: Counter) -> tuple[float, float, float, float]:
        """95 % intervals over documents of `mean` and of `retention`: low, high, low, high."""
        if self.documents < 2:
            return (np.nan,) * 4
        means = np.average([self.resamples[key] for key in removed], axis=0, weights=list(removed.values()))
        # nan where a resample has nothing to keep.
        original = np.where(self.resamples["none"] == 0, np.nan, self.resamples["none"])
        kept = intervals.retention(self.metric, means, original)
        return *intervals.bounds(means), *intervals.bounds(kept)

    def numerators(self, cell: tuple[str, str]) -> list[np.ndarray]:
        """One array a seed."""
        return [self.outcomes[removed][0] for removed in self.cells[cell]["removed"]]


def _profiles(store: Store, row: str) -> list[_Profile]:
    by_profile = current(store, row).groupby("profile", sort=False)
    return [_Profile(store, name, row, lines) for name, lines in by_profile]


def _state(store: Store, row: str) -> tuple:
    """Changes when the row's files do."""
    return tuple((path.name, path.stat().st_mtime_ns) for path in sorted(store.root.glob(f"*/{row}/*")))


def summary(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each source (`printed`, then the profiles) and method.

    data: as in `data_name`. value, sd: mean and standard deviation over the seeds. low, high and retention_low,
    retention_high: 95 % bootstrap intervals over documents, for these seeds; the paper prints none.
    """
    return _summary(store, row, _state(store, row)).copy()


@lru_cache(maxsize=32)
def _summary(store: Store, row: str, state: tuple) -> pd.DataFrame:
    paper = printed(store, row)
    lines = [
        {
            "source": PRINTED,
            "method": method,
            "reading": "none",
            "metric": paper["metric"],
            "value": paper[method],
            "retention": retention(paper["metric"], paper[method], paper["original"]),
        }
        for method in METHODS
        if method in paper
    ]
    for profile in _profiles(store, row):
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


def differences(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """Each method's metric less that of the controls `random` and `last` and of AVSS, with 95 % paired intervals.

    low, high: over documents, for these seeds. wide_low, wide_high: over documents and seeds. p: of the same
    resamples, by Holm's correction for the methods that a profile compares with the same one. verdict: `better` or
    `worse` where p is at most 0.05, else `not told apart`; `same outcomes` where the wide interval is 0 alone.
    """
    return _differences(store, row, _state(store, row)).copy()


@lru_cache(maxsize=32)
def _differences(store: Store, row: str, state: tuple) -> pd.DataFrame:
    lines = []
    for profile in _profiles(store, row):
        denominator = profile.outcomes["none"][1]
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


def agreement(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """Kendall's tau-b of the scores of all layers, one line for each profile and pair of methods.

    Of two methods: tau on the same seed. Of a method and itself: tau of two seeds. tau, low, high: mean, lowest and
    highest over the seeds, or pairs of seeds.
    """
    cells = current(store, row)[["profile", "run", "method", "reading", "seed"]]
    layers = cells.merge(store.layers(row=row))
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


def layer_values(store: Store, quantity: str, row: str = FIRST_ROW, method: str = "avss") -> pd.DataFrame:
    """One line for each profile, reading and layer: mean, lowest and highest value of the quantity over the seeds."""
    cells = current(store, row)[["profile", "run", "method", "reading", "seed"]]
    layers = store.layers(row=row)
    # By run too: an older model's layers may lie beside those in use.
    table = cells.merge(layers[(layers["method"] == method) & (layers["quantity"] == quantity)])
    grouped = table.groupby(["profile", "reading", "layer"], sort=False)
    made = grouped["value"].agg(mean="mean", low="min", high="max", seeds="count")
    return made.assign(run=grouped["run"].agg(lambda runs: ", ".join(runs.unique()))).reset_index()


def removals(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, seed and removed layer; `layers` is the model's depth."""
    table = current(store, row)
    table = table.loc[table["removed"] != "none", ["profile", "method", "reading", "seed", "removed", "layers", "run"]]
    table = table.assign(layer=table["removed"].str.split("+")).explode("layer")
    return table.astype({"layer": int}).drop(columns="removed").reset_index(drop=True)
