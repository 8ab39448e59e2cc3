"""Values, intervals and paired differences from per-document outcomes.

A perplexity above the range of float64 is infinite, without a warning. Outcomes that are not finite numbers raise
`InputError` here, from any source.

Percentile bootstrap, fixed seed. SciPy's would draw the documents anew for every statistic; here all statistics share
them, and one product of matrices resamples many outcomes.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from avss.errors import InputError
from avss.metrics import metric_named

RESAMPLES = 2000


def value(metric: str, numerator: ArrayLike, denominator: ArrayLike) -> float:
    """The metric over all documents: sum of numerators over sum of denominators (perplexity: its exponential).

    numerator, denominator: (n,), finite. Infinite for a perplexity above the range of float64. Raises `InputError` as
    `resampled` does.
    """
    top, bottom = _outcomes(numerator, denominator)
    return float(metric_named(metric).ratio(top.sum() / bottom.sum()))


def _outcomes(numerator: ArrayLike, denominator: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64. Raises `InputError` unless they are finite, of one length, and something was scored."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if top.ndim == 0 or bottom.ndim == 0 or len(top) != len(bottom):
        raise InputError(f"numerators {top.shape} and denominators {bottom.shape} differ in documents; give one each")
    if not top.size or not bottom.size:
        raise InputError("outcomes of 0 documents; give at least one")
    if bottom.ndim > 1 and top.shape != bottom.shape:
        raise InputError(f"numerators {top.shape} and denominators {bottom.shape} differ in outcomes; give one each")
    for name, values, wrong in (
        ("numerator", top, ~np.isfinite(top)),
        ("denominator", bottom, ~(np.isfinite(bottom) & (bottom >= 0))),
    ):
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            raise InputError(f"{name} of document {place[0]} is {values[place]}; a loss or a score there failed")
    if not (bottom.sum(0) > 0).all():
        raise InputError("denominators are 0 in all documents: nothing was scored; give longer documents")
    return top, bottom


@lru_cache(maxsize=2)
def _times(documents: int, seed: int) -> NDArray[np.uint16]:
    """How often each document is in each resample, (RESAMPLES, documents)."""
    shares = np.full(documents, 1 / documents)
    return np.random.default_rng(seed).multinomial(documents, shares, size=RESAMPLES).astype(np.uint16)


def resampled(metric: str, numerator: NDArray, denominator: NDArray, seed: int = 0) -> NDArray[np.float64]:
    """The metric on each of RESAMPLES bootstrap resamples of the documents.

    numerator: (n,), or (n, k) for k outcomes on the same documents; denominator: (n,) or (n, k). Returns (RESAMPLES,)
    or (RESAMPLES, k). The same n and seed draw the same documents, so differences are paired. Raises `InputError`
    for outcomes that are not finite, negative denominators, lengths that differ, no documents, and so few
    documents that a resample has no scored one.
    """
    ratio, (numerator, denominator) = metric_named(metric).ratio, _outcomes(numerator, denominator)
    bottom = denominator.reshape(len(denominator), -1)
    top = numerator.reshape(len(numerator), -1)
    values = []
    # In parts, as the products want floating-point copies of the counts.
    for times in map(np.float64, np.array_split(_times(len(top), seed), 20)):
        scored = times @ bottom
        if not scored.all():
            raise InputError(
                f"of {len(top)} documents so few were scored that a resample has none; give more or longer documents"
            )
        values.append(ratio((times @ top) / scored))
    return np.concatenate(values).reshape(RESAMPLES, *numerator.shape[1:])


def bounds(values: NDArray) -> tuple[float, float]:
    """95 % percentile interval of values on resamples, (RESAMPLES,); a bound may be infinite. nan where one is nan."""
    if np.isfinite(values).all():
        low, high = np.quantile(values, (0.025, 0.975))
    elif np.isnan(values).any():
        low = high = np.nan
    else:
        # Two infinities cannot be interpolated, so each bound is the next value outward.
        low = np.quantile(values, 0.025, method="lower")
        high = np.quantile(values, 0.975, method="higher")
    return float(low), float(high)


def interval(metric: str, numerator: NDArray, denominator: NDArray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the metric over documents; nan for a single document.

    Raises `InputError` as `resampled` does.
    """
    metric_named(metric)
    if len(_outcomes(numerator, denominator)[0]) == 1:
        return float("nan"), float("nan")
    return bounds(resampled(metric, numerator, denominator, seed))


def interval_of(statistic: Callable[[NDArray[np.int64]], float], documents: int, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval over documents of anything that `statistic` computes.

    statistic: takes the indices of one resample, (documents,), with repeats. nan for a single document. Raises
    `InputError` for no documents, and for a statistic that is nan on a resample.
    """
    if documents < 1:
        raise InputError(f"interval over {documents} documents; give at least one")
    if documents == 1:
        return float("nan"), float("nan")
    everything = np.arange(documents)
    values = np.array([statistic(np.repeat(everything, times)) for times in _times(documents, seed)], np.float64)
    if np.isnan(values).any():
        raise InputError(
            f"statistic is nan on {np.isnan(values).sum()} of {RESAMPLES} resamples of {documents} documents; "
            "give more documents, or a statistic that is defined on each resample"
        )
    return bounds(values)


def paired_difference(
    metric: str, first: list[NDArray], second: list[NDArray], denominator: NDArray, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of the metric, first minus second, and its 95 % paired bootstrap interval over documents.

    first, second: one array (n,) of numerators a seed, on the same documents; the metric is averaged over the seeds.
    The bounds are nan for a single document. Two infinite perplexities have no difference: it is nan, and so are the
    bounds where this happens on a resample. Raises `InputError` as `resampled` does, and where no seed is given.
    """
    first, second = _seeds(first, denominator), _seeds(second, denominator)
    one, other = (np.mean([value(metric, each, denominator) for each in seeds.T]) for seeds in (first, second))
    difference = float(_minus(one, other))
    if len(denominator) == 1:
        return difference, float("nan"), float("nan")
    one, other = (resampled(metric, seeds, denominator, seed).mean(1) for seeds in (first, second))
    return difference, *bounds(_minus(one, other))


def _seeds(numerators: list[NDArray], denominator: NDArray) -> NDArray[np.float64]:
    """The numerators of all seeds, (n, seeds). Raises `InputError` where none is given or they differ in length."""
    lengths = {len(each) for each in numerators}
    if lengths != {len(denominator)}:
        raise InputError(
            f"numerators of {len(numerators)} seeds over {sorted(lengths)} documents, denominators over "
            f"{len(denominator)}; give at least one seed, each on the same documents"
        )
    return np.stack(numerators, 1)


def _minus(one, other):
    """The difference; nan for two infinities, without a warning."""
    with np.errstate(invalid="ignore"):
        return np.subtract(one, other)


def difference_over_seeds(
    metric: str, first: list[NDArray], second: list[NDArray], denominator: NDArray, seed: int = 0
) -> tuple[float, float, float]:
    """The same difference where documents and seeds are both drawn anew: low, high, p.

    low, high: 95 % percentile bootstrap interval; it covers the choice of seeds, and is still too narrow
    with few seeds. p: twice the smaller share of resamples on one side of 0, those at 0 on both; never below
    1 / RESAMPLES. All three are nan for a single document, for numbers of seeds that differ, and where two infinite
    perplexities meet. Raises `InputError` as `paired_difference` does.
    """
    nothing = float("nan"), float("nan"), float("nan")
    pair = _seeds(first, denominator), _seeds(second, denominator)
    if len(denominator) == 1 or len(second) != len(first):
        return nothing
    one, other = (resampled(metric, seeds, denominator, seed) for seeds in pair)
    drawn = np.random.default_rng(seed).integers(len(first), size=one.shape)
    differences = np.take_along_axis(_minus(one, other), drawn, axis=1).mean(1)
    if np.isnan(differences).any():
        return nothing
    smaller = min((differences <= 0).mean(), (differences >= 0).mean())
    return *bounds(differences), float(np.clip(2 * smaller, 1 / RESAMPLES, 1))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values by Holm (1979), which control the chance of any false finding among them.

    A p of nan stays nan, and does not count among the tests. Raises `InputError` for another p outside 0 to 1.
    """
    p = np.asarray(p, dtype=np.float64)
    outside = np.flatnonzero((p < 0) | (p > 1))
    if outside.size:
        raise InputError(f"p-value {outside[0]} is {p[outside[0]]}; give numbers from 0 to 1")
    adjusted, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    ascending = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(ascending), 0, -1)
    adjusted[ascending] = np.minimum(1, np.maximum.accumulate(p[ascending] * factors))
    return adjusted


def kendall_tau(first: ArrayLike, second: ArrayLike) -> float:
    """Agreement of two orders of the same layers: tau-b, 1 for the same order, -1 for the reverse.

    nan where one of them has no order at all: all values are equal, there are fewer than two, or one is nan. Raises
    `InputError` for lengths that differ.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise InputError(f"orders of {first.size} and of {second.size} layers cannot be compared; give the same layers")
    if first.size < 2:
        return float("nan")
    return float(stats.kendalltau(first, second).statistic)


def retention(metric: str, pruned: float | NDArray, original: float | NDArray) -> float | NDArray:
    """Share of the original performance that is left: pruned/original, or original/pruned where lower is better.

    0 for an infinite perplexity after removal. nan if the original is 0, infinite or nan.
    """
    whole = np.where(np.isfinite(original) & (original != 0), original, np.nan)
    kept = pruned / whole if metric_named(metric).higher_is_better else whole / pruned
    return kept if kept.ndim else float(kept)
