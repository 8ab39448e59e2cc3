"""Mergeable moments of a layer's activations: what is left of them once they are gone.

Per document: element count, mean, M2 (sum of squared distances from the mean) and the counts of near-zero elements. Two
sets of moments merge exactly by the update of Chan, Golub and LeVeque (1983), so that batches, orders, halves and
processes make no difference. NumPy float64 only; `avss.engine.observe` fills them from a running model.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avss.errors import InputError

# abs(a) in float32 falls into bins by its sign-less bit pattern, cut after three bits of mantissa: eight bins an
# octave.
HISTOGRAM_SHIFT = 20
HISTOGRAM_BINS = 1 << (31 - HISTOGRAM_SHIFT)


def merge(count_a, mean_a, m2_a, count_b, mean_b, m2_b):
    """Moments (count, mean, M2) of two samples together, by elementwise arithmetic on arrays or tensors.

    Both counts may be zero, and the result then is (0, 0, 0) where the means are 0.
    """
    count = count_a + count_b
    share = count_b / (count + (count == 0))
    delta = mean_b - mean_a
    return count, mean_a + delta * share, m2_a + m2_b + delta * delta * (count_a * share)


def histogram_edges() -> NDArray[np.float64]:
    """The lower edges of the bins of abs(a), (HISTOGRAM_BINS + 1,), the last one the end of the finite range."""
    patterns = np.arange(HISTOGRAM_BINS + 1, dtype=np.uint32) << HISTOGRAM_SHIFT
    with np.errstate(invalid="ignore"):
        return patterns[: 255 << (23 - HISTOGRAM_SHIFT)].view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Moments:
    """The moments of one layer over D documents.

    count (D,) int64: elements (tokens x features) that count; mean, m2 (D,) float64; near_zero (D, E) int64:
    elements with |a| < epsilons[e]; width: features per token; features: (count, mean, M2) per feature over all
    tokens, each (F,) float64, or None; pooled (D,): variance over the features of the token mean, or None;
    histogram (HISTOGRAM_BINS,) int64 of abs(a), or None.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    near_zero: NDArray[np.int64]
    epsilons: tuple[float, ...]
    width: int
    features: tuple[NDArray, NDArray, NDArray] | None = None
    pooled: NDArray[np.float64] | None = None
    histogram: NDArray[np.int64] | None = None

    @property
    def elements(self) -> int:
        """N of Eqs. 1 and 4: elements over all documents."""
        return int(self.count.sum())

    @property
    def tokens(self) -> int:
        """Tokens over all documents."""
        return self.elements // self.width

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets of documents together. Raises `InputError` where they hold different statistics."""
        same = (
            (self.epsilons, self.width) == (other.epsilons, other.width)
            and (self.features is None) == (other.features is None)
            and (self.pooled is None) == (other.pooled is None)
            and (self.histogram is None) == (other.histogram is None)
        )
        if not same:
            raise InputError("moments of different readings cannot be merged; observe both with the same reading")
        return Moments(
            np.concatenate([self.count, other.count]),
            np.concatenate([self.mean, other.mean]),
            np.concatenate([self.m2, other.m2]),
            np.concatenate([self.near_zero, other.near_zero]),
            self.epsilons,
            self.width,
            None if self.features is None else merge(*self.features, *other.features),
            None if self.pooled is None else np.concatenate([self.pooled, other.pooled]),
            None if self.histogram is None else self.histogram + other.histogram,
        )

    def in_order(self, documents: NDArray[np.int64]) -> "Moments":
        """The same documents in another order (a permutation of their indices)."""
        return replace(
            self,
            count=self.count[documents],
            mean=self.mean[documents],
            m2=self.m2[documents],
            near_zero=self.near_zero[documents],
            pooled=None if self.pooled is None else self.pooled[documents],
        )

    def take(self, documents: NDArray[np.int64]) -> "Moments":
        """The moments of these documents (indices, repeats allowed, as a bootstrap draws them).

        Statistics that are not kept per document (features, histogram) are dropped.
        """
        return replace(self.in_order(documents), features=None, histogram=None)

    def variance(self, population: str = "elements", ddof: int = 0) -> float:
        """Eq. 1 over the given population (see `Reading`), which must be one that was kept while observing.

        For `pooled_tokens`, the divisor is that of the reading which observed. Raises `InputError` where there are too
        few elements.
        """
        if population == "pooled_tokens":
            return float(self.pooled.mean())
        if population == "features":
            count, _, m2 = self.features
            if count.min() <= ddof:
                raise InputError(f"variance over {int(count.min())} tokens with ddof={ddof}; give more text")
            return float((m2 / (count - ddof)).mean())
        total = self.elements
        if total <= ddof:
            raise InputError(f"variance of {total} activations with ddof={ddof}; give more text")
        grand = np.dot(self.count, self.mean) / total
        between = np.dot(self.count, (self.mean - grand) ** 2)
        return float((self.m2.sum() + between) / (total - ddof))

    def near_zero_count(self, epsilon: float) -> int:
        """How many elements have |a| < epsilon: the numerator of Eq. 4.

        Exact for the epsilons that were counted and for bin edges of the histogram; `InputError` for others.
        """
        if epsilon in self.epsilons:
            return int(self.near_zero[:, self.epsilons.index(epsilon)].sum())
        edges = histogram_edges()
        if self.histogram is not None and epsilon in edges:
            return int(self.histogram[: np.searchsorted(edges, epsilon)].sum())
        raise InputError(
            f"near-zero counts were not kept for epsilon={epsilon}; observe again with a reading that uses it"
        )

    def sparsity(self, epsilon: float) -> float:
        """Eq. 4: the share of elements with |a| < epsilon."""
        return self.near_zero_count(epsilon) / self.elements


def magnitude_quantile(layers: list[Moments], share: float) -> float:
    """The q-quantile of abs(a) over all layers together, from their histograms.

    It is the upper edge of a bin, at most 12.5 % above the exact value.

    At least `share` of all elements lie strictly below it. Raises `InputError` where no histogram was kept.
    """
    if any(layer.histogram is None for layer in layers):
        raise InputError("a quantile of abs(a) needs histograms; observe with epsilon='quantile:q'")
    total = np.sum([layer.histogram for layer in layers], axis=0)
    below = np.cumsum(total)
    first = int(np.searchsorted(below, share * below[-1]))
    return float(histogram_edges()[first + 1])
