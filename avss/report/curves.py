"""The curve of a row: how much of the original score is kept at each number of removed blocks, by method and rule.

Pure functions of the results, without torch. Retention is averaged over the seeds, that of a perplexity by its
geometric mean, and every interval draws documents and seeds anew.
"""

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss import intervals
from avss.errors import InputError
from avss.metrics import METRICS
from avss.report.comparisons import FIRST_ROW, METHODS, PROFILES, label, sort_key
from avss.report.snapshot import Results
from avss.store import CURVE

# The share of the original score that a practitioner still accepts; the paper claims it.
KEPT = 0.9
COLUMNS = (
    *("source", "method", "reading", "rule", "name", "blocks", "removed", "share_of_layers", "share_of_parameters"),
    *("metric", "retention", "low", "high", "seeds", "n", "run"),
)


@cache
def curve(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, rule and number of removed blocks, where a profile has a curve.

    removed: how many of the `blocks` go. retention: mean over the seeds; low, high: its 95 % interval over documents
    and seeds, nan for a single document. The points of the row's own share are part of its curve. Empty where
    no profile has a curve, or the whole model was not measured.
    """
    lines = []
    for (profile, name), points in results.of(results.curves, row).groupby(["profile", "row"], sort=False):
        own = results.in_use[(results.in_use["profile"] == profile) & (results.in_use["row"] == name)]
        table = pd.concat([own, points])
        table = table[table["status"] == "ok"].assign(
            rule=table["selection"].str.removeprefix(CURVE).str.extract(r"^(\w+)", expand=False),
            removed_blocks=table["removed"].map(lambda layers: 0 if layers == "none" else 1 + layers.count("+")),
        )
        original = table[table["method"] == "original"]
        if original.empty:
            continue
        kept = _Retention(results, profile, name, original.iloc[0])
        with_curve = set(points["method"] + points["reading"])
        table = table[
            (table["method"] + table["reading"]).isin(with_curve) & table["rule"].isin(["lowest", "iterative"])
        ]
        table = table.drop_duplicates(["method", "reading", "rule", "removed_blocks", "seed"])
        for (method, reading, rule, removed), part in table.groupby(
            ["method", "reading", "rule", "removed_blocks"], sort=False
        ):
            retention, low, high = kept.of(part)
            lines.append(
                {
                    "source": profile,
                    "method": method,
                    "reading": reading,
                    "rule": rule,
                    "name": label(method, reading) + (", iterative" if rule == "iterative" else ""),
                    "blocks": int(part["layers"].iloc[0]),
                    "removed": removed,
                    "share_of_layers": part["share_of_layers"].mean(),
                    "share_of_parameters": part["share_of_parameters"].mean(),
                    "metric": kept.metric,
                    "retention": retention,
                    "low": low,
                    "high": high,
                    "seeds": len(part),
                    "n": int(part["n"].iloc[0]),
                    "run": ", ".join(part["run"].unique()),
                }
            )
    order = sorted(lines, key=_rank)
    return pd.DataFrame(order, columns=list(COLUMNS))


def _rank(line: dict) -> tuple:
    reading = line["reading"]
    method = sort_key(line["method"], METHODS), reading not in ("none", "paper"), reading, line["rule"] != "lowest"
    return sort_key(line["source"], PROFILES), *method, line["removed"]


class _Retention:
    """What is kept of the score of one original, and its resamples, by set of removed blocks."""

    def __init__(self, results: Results, profile: str, row: str, original: pd.Series):
        self.metric, self.original = original["metric"], original
        self.stored = results.store.outcomes(profile, row)
        self.values: dict[str, tuple[float, NDArray]] = {}
        self.whole = self._scores(original["coalition"])

    def _scores(self, coalition: str) -> tuple[float, NDArray]:
        """The score on the documents, and on each resample of them."""
        if coalition not in self.stored:
            raise InputError(f"results have no outcomes for {coalition}; delete the row's results and run it again")
        outcome = self.stored[coalition]
        # A single document has no resamples.
        drawn = intervals.resampled(self.metric, *outcome) if len(outcome[0]) > 1 else np.full(1, np.nan)
        return intervals.value(self.metric, *outcome), drawn

    def of(self, seeds: pd.DataFrame) -> tuple[float, float, float]:
        """Mean retention over these seeds, and its interval."""
        for coalition in set(seeds["coalition"]) - self.values.keys():
            scores = zip(self._scores(coalition), self.whole, strict=True)
            self.values[coalition] = tuple(
                intervals.retention(self.metric, pruned, np.where(np.equal(whole, 0), np.nan, whole))
                for pruned, whole in scores
            )
        found, drawn = zip(*(self.values[coalition] for coalition in seeds["coalition"]), strict=True)
        resamples = np.stack(drawn, 1)
        chosen = np.random.default_rng(0).integers(len(found), size=resamples.shape)
        return (
            float(self._mean(np.array([found]))[0]),
            *intervals.bounds(self._mean(np.take_along_axis(resamples, chosen, axis=1))),
        )

    def _mean(self, shares: NDArray) -> NDArray:
        if METRICS[self.metric].higher_is_better:
            return shares.mean(1)
        with np.errstate(divide="ignore"):
            return np.exp(np.log(shares).mean(1))


def still_kept(points: pd.DataFrame, column: str) -> int:
    """The largest number of removed blocks up to which every measured point keeps `KEPT`; 0 where the first does not.

    points: lines of `curve` about one method. column: `retention`, or `low` for a number that the interval supports.
    """
    ordered = points.sort_values("removed")
    lost = ~(ordered[column] >= KEPT)
    kept = ordered.loc[~lost.cummax(), "removed"]
    return 0 if kept.empty else int(kept.iloc[-1])
