"""Values, intervals and paired differences from per-document outcomes.

SciPy's bootstrap, percentile intervals, fixed seed.
"""

from collections.abc import Callable

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


def _bootstrap(statistic, documents: int, seed: int) -> tuple[float, float]:
    if documents < 2:
        return float("nan"), float("nan")
    result = stats.bootstrap(
        (np.arange(documents),),
        statistic,
        n_resamples=RESAMPLES,
        batch=200,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def interval(metric: str, numerator: NDArray, denominator: NDArray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the metric over documents; nan for fewer than two documents."""

    def statistic(index, axis):
        return RATIO[metric](numerator[index].sum(axis) / denominator[index].sum(axis))

    return _bootstrap(statistic, len(numerator), seed)


def interval_of(statistic: Callable[[NDArray[np.int64]], float], documents: int, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval over documents of anything that `statistic` computes.

    statistic: takes the indices of one resample, (documents,), with repeats. nan for fewer than two documents.
    """
    return _bootstrap(lambda index, axis: np.apply_along_axis(statistic, axis, index), documents, seed)


def paired_difference(
    metric: str, first: list[NDArray], second: list[NDArray], denominator: NDArray, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of the metric, first minus second, and its 95 % paired bootstrap interval over documents.

    first, second: one array (n,) of numerators a seed, on the same documents; the metric is averaged over the seeds.
    """

    def mean_metric(seeds, index, axis):
        return np.mean([RATIO[metric](s[index].sum(axis) / denominator[index].sum(axis)) for s in seeds], axis=0)

    def statistic(index, axis):
        return mean_metric(first, index, axis) - mean_metric(second, index, axis)

    everything = np.arange(len(denominator))
    return float(statistic(everything, 0)), *_bootstrap(statistic, len(denominator), seed)


def difference_over_seeds(
    metric: str, first: list[NDArray], second: list[NDArray], denominator: NDArray, seed: int = 0
) -> tuple[float, float, float]:
    """The same difference where documents and seeds are both drawn anew: low, high, p.

    low, high: 95 % percentile bootstrap interval; it covers what other seeds could have given, and is still too narrow
    where they are few. p: twice the smaller share of resamples on one side of 0, those at 0 on both; never below
    1 / RESAMPLES.
    """
    rng, documents, seeds = np.random.default_rng(seed), len(denominator), len(first)
    if documents < 2 or len(second) != seeds:
        return float("nan"), float("nan"), float("nan")
    differences = np.empty(RESAMPLES)
    for place in range(RESAMPLES):
        times = rng.multinomial(documents, np.full(documents, 1 / documents))
        drawn = rng.integers(seeds, size=seeds)
        bottom = times @ denominator
        tops = [np.array([part @ times for part in parts])[drawn] for parts in (first, second)]
        differences[place] = np.mean(RATIO[metric](tops[0] / bottom) - RATIO[metric](tops[1] / bottom))
    low, high = np.quantile(differences, (0.025, 0.975))
    smaller = min((differences <= 0).mean(), (differences >= 0).mean())
    return float(low), float(high), float(np.clip(2 * smaller, 1 / RESAMPLES, 1))


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
