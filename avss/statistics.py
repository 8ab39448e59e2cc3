"""Values, intervals and paired differences from per-document outcomes.

SciPy's bootstrap, percentile intervals, fixed seed.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

# How numerators and denominators over documents become a metric's value.
RATIO = {"accuracy": lambda ratio: ratio, "perplexity": np.exp}
HIGHER_IS_BETTER = {"accuracy": True, "perplexity": False}
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


def retention(metric: str, pruned: float, original: float) -> float:
    """Share of the original performance that is left: pruned/original, or original/pruned where lower is better."""
    return pruned / original if HIGHER_IS_BETTER[metric] else original / pruned
