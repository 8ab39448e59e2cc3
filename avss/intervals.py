"""Values, intervals and paired differences from per-document outcomes.

Percentile bootstrap, fixed seed. SciPy's would draw the documents anew for every statistic; here all statistics share
them, and one product of matrices resamples many outcomes.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

# How numerators and denominators over documents become a metric's value.
RATIO = {"perplexity": np.exp} | dict.fromkeys(("accuracy", "f1", "exact_match"), lambda ratio: ratio)
HIGHER_IS_BETTER = {metric: metric != "perplexity" for metric in RATIO}
RESAMPLES = 2000


def value(metric: str, numerator: ArrayLike, denominator: ArrayLike) -> float:
    """The metric over all documents: sum of numerators over sum of denominators (perplexity: its exponential)."""
    return float(RATIO[metric](np.sum(numerator) / np.sum(denominator)))


@lru_cache(maxsize=2)
def _times(documents: int, seed: int) -> NDArray[np.uint16]:
    """How often each document is in each resample, (RESAMPLES, documents)."""
    shares = np.full(documents, 1 / documents)
    return np.random.default_rng(seed).multinomial(documents, shares, size=RESAMPLES).astype(np.uint16)


def resampled(metric: str, numerator: NDArray, denominator: NDArray, seed: int = 0) -> NDArray[np.float64]:
    """The metric on each of RESAMPLES bootstrap resamples of the documents.

    numerator: (n,), or (n, k) for k outcomes on the same documents; denominator: (n,) or (n, k). Returns (RESAMPLES,)
    or (RESAMPLES, k). The same n and seed draw the same documents, so that differences are paired.
    """
    bottom = denominator.reshape(len(denominator), -1)
    top = numerator.reshape(len(numerator), -1)
    values = [
        RATIO[metric]((times @ top) / (times @ bottom))
        # In parts, as the products want floating-point copies of the counts.
        for times in map(np.float64, np.array_split(_times(len(top), seed), 20))
    ]
    return np.concatenate(values).reshape(RESAMPLES, *numerator.shape[1:])


def bounds(values: NDArray) -> tuple[float, float]:
    """95 % percentile interval of values on resamples, (RESAMPLES,)."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def interval(metric: str, numerator: NDArray, denominator: NDArray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the metric over documents; nan for fewer than two documents."""
    if len(numerator) < 2:
        return float("nan"), float("nan")
    return bounds(resampled(metric, numerator, denominator, seed))


def interval_of(statistic: Callable[[NDArray[np.int64]], float], documents: int, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval over documents of anything that `statistic` computes.

    statistic: takes the indices of one resample, (documents,), with repeats. nan for fewer than two documents.
    """
    if documents < 2:
        return float("nan"), float("nan")
    everything = np.arange(documents)
    return bounds(np.array([statistic(np.repeat(everything, times)) for times in _times(documents, seed)]))


def paired_difference(
    metric: str, first: list[NDArray], second: list[NDArray], denominator: NDArray, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of the metric, first minus second, and its 95 % paired bootstrap interval over documents.

    first, second: one array (n,) of numerators a seed, on the same documents; the metric is averaged over the seeds.
    """
    difference = np.mean([value(metric, each, denominator) for each in first])
    difference -= np.mean([value(metric, each, denominator) for each in second])
    if len(denominator) < 2:
        return float(difference), float("nan"), float("nan")
    one, other = (resampled(metric, np.stack(seeds, 1), denominator, seed).mean(1) for seeds in (first, second))
    return float(difference), *bounds(one - other)


def difference_over_seeds(
    metric: str, first: list[NDArray], second: list[NDArray], denominator: NDArray, seed: int = 0
) -> tuple[float, float, float]:
    """The same difference where documents and seeds are both drawn anew: low, high, p.

    low, high: 95 % percentile bootstrap interval; it covers what other seeds could have given, and is still too narrow
    where they are few. p: twice the smaller share of resamples on one side of 0, those at 0 on both; never below
    1 / RESAMPLES.
    """
    if len(denominator) < 2 or len(second) != len(first):
        return float("nan"), float("nan"), float("nan")
    one, other = (resampled(metric, np.stack(seeds, 1), denominator, seed) for seeds in (first, second))
    drawn = np.random.default_rng(seed).integers(len(first), size=one.shape)
    differences = np.take_along_axis(one - other, drawn, axis=1).mean(1)
    smaller = min((differences <= 0).mean(), (differences >= 0).mean())
    return *bounds(differences), float(np.clip(2 * smaller, 1 / RESAMPLES, 1))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values by Holm (1979), which hold the chance of any false finding among them; nan stays nan."""
    p = np.asarray(p, dtype=np.float64)
    adjusted, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    ascending = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(ascending), 0, -1)
    adjusted[ascending] = np.minimum(1, np.maximum.accumulate(p[ascending] * factors))
    return adjusted


def kendall_tau(first: ArrayLike, second: ArrayLike) -> float:
    """Agreement of two orders of the same layers: tau-b, 1 for the same order, -1 for the reverse, nan where one has
    no order at all.
    """
    return float(stats.kendalltau(first, second).statistic)


def retention(metric: str, pruned: float, original: float) -> float:
    """Share of the original performance that is left: pruned/original, or original/pruned where lower is better."""
    return pruned / original if HIGHER_IS_BETTER[metric] else original / pruned
