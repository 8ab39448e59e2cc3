"""Values, intervals and leads from per-document outcomes of the seeds of a method.

One rule for all pages: the mean over seeds is that of accuracy, F1 or log-perplexity, so of perplexities the geometric
mean; every interval of a method draws documents and seeds anew. A perplexity above the range of float64 is infinite,
without a warning. Outcomes that are not finite numbers raise `InputError` here, from any source.

Percentile bootstrap, fixed seed. SciPy's would draw the documents anew for every statistic; here all statistics share
them, and one product of matrices resamples many outcomes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avss.errors import InputError
from avss.metrics import metric_named

RESAMPLES = 2000
# Up to so many layers, all their orders are tried.
_ALL_ORDERS = 7


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
def times(documents: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.uint16]:
    """How often each document is in each bootstrap resample, (resamples, documents). The same seed draws the same."""
    shares = np.full(documents, 1 / documents)
    return np.random.default_rng(seed).multinomial(documents, shares, size=resamples).astype(np.uint16)


def resampled(metric: str, numerator: NDArray, denominator: NDArray, seed: int = 0) -> NDArray[np.float64]:
    """The metric on each of RESAMPLES bootstrap resamples of the documents; shapes and errors as in `ratios`."""
    return metric_named(metric).ratio(ratios(numerator, denominator, seed))


def ratios(numerator: NDArray, denominator: NDArray, seed: int = 0) -> NDArray[np.float64]:
    """Sum of numerators over sum of denominators on each resample: accuracy, F1, or the mean loss in nats.

    numerator: (n,), or (n, k) for k outcomes on the same documents; denominator: (n,) or (n, k). Returns (RESAMPLES,)
    or (RESAMPLES, k). The same n and seed draw the same documents, so differences are paired. Raises `InputError`
    for outcomes that are not finite, negative denominators, lengths that differ, no documents, and so few
    documents that a resample has no scored one.
    """
    numerator, denominator = _outcomes(numerator, denominator)
    bottom = denominator.reshape(len(denominator), -1)
    top = numerator.reshape(len(numerator), -1)
    values = []
    # In parts, as the products want floating-point copies of the counts.
    for counts in map(np.float64, np.array_split(times(len(top), seed), 20)):
        scored = counts @ bottom
        if not scored.all():
            raise InputError(
                f"of {len(top)} documents so few were scored that a resample has none; give more or longer documents"
            )
        values.append((counts @ top) / scored)
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
    values = np.array([statistic(np.repeat(everything, counts)) for counts in times(documents, seed)], np.float64)
    if np.isnan(values).any():
        raise InputError(
            f"statistic is nan on {np.isnan(values).sum()} of {RESAMPLES} resamples of {documents} documents; "
            "give more documents, or a statistic that is defined on each resample"
        )
    return bounds(values)


class Estimate(NamedTuple):
    """A number and its 95 % interval; bounds of nan where there is none."""

    value: float
    low: float = np.nan
    high: float = np.nan


class Lead(NamedTuple):
    """By how much one is better than the other (negative: worse), its 95 % interval, and p."""

    value: float
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan


@dataclass(frozen=True, eq=False)
class Seeds:
    """The outcomes of one method on the same documents, one a seed.

    whole: the ratio of the sums over all documents, (seeds,): accuracy, F1, or the mean loss in nats. drawn: the same
    on each resample of the documents, (RESAMPLES, seeds), or (0, seeds) where there is a single document.
    """

    metric: str
    whole: NDArray[np.float64]
    drawn: NDArray[np.float64]

    @classmethod
    def of(cls, metric: str, numerators: list[NDArray], denominator: NDArray, seed: int = 0) -> "Seeds":
        """From one array of numerators a seed, each (n,). denominator: (n,), or (n, seeds).

        Raises `InputError` as `ratios` does, and for no seed.
        """
        if {len(each) for each in numerators} != {len(denominator)}:
            raise InputError(
                f"numerators of {len(numerators)} seeds over {sorted({len(each) for each in numerators})} documents, "
                f"denominators over {len(denominator)}; give at least one seed, each on the same documents"
            )
        top, bottom = _outcomes(np.stack(numerators, 1), denominator)
        drawn = ratios(top, bottom, seed) if len(bottom) > 1 else np.empty((0, len(numerators)))
        return cls(metric, top.sum(0) / bottom.sum(0), drawn)

    def chosen(self, places: list[int]) -> "Seeds":
        """The outcomes at these places, which may repeat."""
        return Seeds(self.metric, self.whole[places], self.drawn[:, places])

    def mean(self) -> float:
        """The metric, averaged over the seeds: mean of accuracy or F1, geometric mean of perplexity."""
        return float(metric_named(self.metric).ratio(self.whole.mean()))

    def estimate(self) -> Estimate:
        """`mean` with its interval over documents and seeds; over documents where there is one seed."""
        if not len(self.drawn):
            return Estimate(self.mean())
        return Estimate(self.mean(), *bounds(metric_named(self.metric).ratio(redrawn(self.drawn))))

    def kept_of(self, original: "Seeds") -> Estimate:
        """`retention` of the mean, with its interval. original: one seed, on the same documents."""
        kept = retention(self.metric, self.mean(), original.mean())
        return Estimate(kept, *bounds(self._shares(original))) if len(self.drawn) else Estimate(kept)

    def kept_beside(self, other: "Seeds", original: "Seeds") -> Estimate:
        """`kept_of` of this less that of the other; paired, and without an interval where `lead_over` has none."""
        value = self.kept_of(original).value - other.kept_of(original).value
        if not len(self.drawn) or self.drawn.shape != other.drawn.shape:
            return Estimate(value)
        return Estimate(value, *bounds(self._shares(original) - other._shares(original)))

    def _shares(self, original: "Seeds") -> NDArray[np.float64]:
        ratio = metric_named(self.metric).ratio
        return retention(self.metric, ratio(redrawn(self.drawn)), ratio(original.drawn[:, 0]))

    def lead_over(self, other: "Seeds") -> Lead:
        """By how much this is better: in accuracy or F1, or in nats a token, so as the logarithm of two perplexities.

        Documents and seeds are drawn anew, the same for both: seed i of one belongs to seed i of the other. p: twice
        the smaller share of resamples on one side of 0, those at 0 on both; never below 1 / RESAMPLES. The interval,
        which is still too narrow with few seeds, and p are nan for a single document and for numbers of seeds that
        differ.
        """
        sign = metric_named(self.metric).direction
        # 0 is added so that none is -0.
        value = float(sign * (self.whole.mean() - other.whole.mean())) + 0.0
        if not len(self.drawn) or self.drawn.shape != other.drawn.shape:
            return Lead(value)
        leads = sign * redrawn(self.drawn - other.drawn) + 0.0
        smaller = min((leads <= 0).mean(), (leads >= 0).mean())
        return Lead(value, *bounds(leads), float(np.clip(2 * smaller, 1 / RESAMPLES, 1)))


def redrawn(values: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """The mean over seeds that are drawn anew, one draw a resample. values: (RESAMPLES, seeds). Returns (RESAMPLES,).

    Equal numbers of seeds draw the same ones.
    """
    seeds = np.random.default_rng(seed).integers(values.shape[1], size=values.shape)
    return np.take_along_axis(values, seeds, axis=1).mean(1)


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
    # Its import takes longer than all others of `avss.report` together, and most commands and jobs need no tau.
    from scipy import stats

    # No p-value is used here, and the exact one takes longer than tau; for two layers SciPy has only the exact one.
    method = "asymptotic" if first.size > 2 else "exact"
    return float(stats.kendalltau(first, second, method=method).statistic)


def tau_over_seeds(first: ArrayLike, second: ArrayLike) -> Estimate:
    """Mean over the seeds of `kendall_tau`, and its 95 % interval over seeds drawn anew.

    first, second: (seeds, layers), each line the scores of one seed. A seed is a calibration sample of its own, so the
    interval covers the documents of the samples too; its bounds are nan for one seed. All are nan where a line has no
    order. Raises `InputError` for shapes that differ.
    """
    taus = np.array([kendall_tau(*pair) for pair in zip(*_scores(first, second), strict=True)])
    if np.isnan(taus).any():
        return Estimate(np.nan)
    ends = bounds(redrawn(np.broadcast_to(taus, (RESAMPLES, len(taus))))) if len(taus) > 1 else ()
    return Estimate(float(taus.mean()), *ends)


def p_of_tau(first: ArrayLike, second: ArrayLike, seed: int = 0) -> float:
    """How often orders without relation have a mean tau over the seeds at least as far from 0 as these.

    Permutes the layers, the same way for all seeds: of up to seven layers in all ways, else in RESAMPLES random ones.
    nan where a line has no order. Shapes and errors as in `tau_over_seeds`.
    """
    first, second = _scores(first, second)
    # tau-b is the correlation of the signs of all differences.
    one, other = (np.sign(each[:, :, None] - each[:, None, :]) for each in (first, second))
    norms = np.sqrt((one**2).sum((1, 2)) * (other**2).sum((1, 2)))
    if not (norms > 0).all():
        return float("nan")
    other, layers = other / norms[:, None, None], first.shape[1]
    # The products of the signs of any two layers with those of two places, over the seeds: an order picks among them.
    before, after = np.triu_indices(layers, 1)
    products = np.einsum("sij,sp->ijp", one, other[:, before, after])
    everything, generator = layers <= _ALL_ORDERS, np.random.default_rng(seed)
    orders = permutations(range(layers)) if everything else (generator.permutation(layers) for _ in range(RESAMPLES))
    orders = np.array([range(layers), *orders])
    taus = np.abs(products[orders[:, before], orders[:, after], range(len(before))].sum(1))
    far, others = int((taus[1:] >= taus[0] - 1e-9).sum()), len(taus) - 1
    return far / others if everything else (1 + far) / (1 + others)


def _scores(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise InputError(f"scores {first.shape} and {second.shape} cannot be compared; give the same seeds and layers")
    return first, second


def retention(metric: str, pruned: float | NDArray, original: float | NDArray) -> float | NDArray:
    """Share of the original performance that is left: pruned/original, or original/pruned where lower is better.

    pruned, original: values of the metric. 0 for an infinite perplexity after removal. nan if the original is 0,
    infinite or nan.
    """
    whole = np.where(np.isfinite(original) & (original != 0), original, np.nan)
    kept = pruned / whole if metric_named(metric).higher_is_better else whole / pruned
    return kept if kept.ndim else float(kept)
