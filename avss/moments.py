"""Streaming statistics of one layer's activations. No activation is stored.

Per document: element count, mean, M2 (sum of squared distances from the mean) and the counts of near-zero elements. Two
sets of moments merge exactly by the update of Chan, Golub and LeVeque (1983), so they do not depend on batches,
their order or the processes. NumPy float64 only; `avss.engine.observe` fills them from a running model.
"""

import io
import math
import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from avss.errors import InputError
from avss.files import write_whole

# abs(a) in float32 falls into bins by its sign-less bit pattern, cut after three bits of mantissa: eight bins an
# octave. The patterns of infinity and NaN have no bin.
HISTOGRAM_SHIFT = 20
HISTOGRAM_BINS = 255 << (23 - HISTOGRAM_SHIFT)
HISTOGRAM_END = 2.0**128


def merge(count_a, mean_a, m2_a, count_b, mean_b, m2_b):
    """Moments (count, mean, M2) of two samples together, by elementwise arithmetic on arrays or tensors.

    Both counts may be zero, and the result then is (0, 0, 0) where the means are 0.
    """
    count = count_a + count_b
    share = count_b / (count + (count == 0))
    delta = mean_b - mean_a
    return count, mean_a + delta * share, m2_a + m2_b + delta * delta * (count_a * share)


def histogram_edges() -> NDArray[np.float64]:
    """The lower edges of the bins of abs(a), (HISTOGRAM_BINS + 1,) float64, the last one the end of the last bin.

    Bin b holds edges[b] <= abs(a) < edges[b + 1]. The first edge is 0 and the last is 2^128, where float32 ends.
    """
    patterns = np.arange(HISTOGRAM_BINS, dtype=np.uint32) << HISTOGRAM_SHIFT
    return np.append(patterns.view(np.float32).astype(np.float64), HISTOGRAM_END)


@dataclass(frozen=True)
class Moments:
    """The moments of one layer over D documents.

    count (D,) int64: elements (tokens x features) that count; mean, m2 (D,) float64; near_zero (D, E) int64:
    elements with |a| < epsilons[e]; width: features per token; features: (count, mean, M2) per feature over all
    tokens, each (F,) float64, or None; pooled (D,): variance over the features of the token mean, or None;
    histogram (HISTOGRAM_BINS,) int64 of abs(a), or None; reading: the name of the reading that observed, or None.
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
    reading: str | None = None

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
            (self.epsilons, self.width, self.reading) == (other.epsilons, other.width, other.reading)
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
            self.reading,
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

        Statistics that are not per document (features, histogram) are dropped.
        """
        return replace(self.in_order(documents), features=None, histogram=None)

    def counted(self, population: str = "elements") -> int:
        """N of Eq. 4: the units for `unit_means`, the elements for every other population."""
        return self.width if population == "unit_means" else self.elements

    def variance(self, population: str = "elements", ddof: int = 0) -> float:
        """Eq. 1 over the given population (see `Reading`), which must be one that was observed.

        The order of the documents makes no difference to `elements` and `pooled_tokens`, not even by rounding. For
        `pooled_tokens`, the divisor is that of the observing reading. Raises `InputError` for a population that was not
        observed, too few numbers, and a variance outside the range of float64.
        """
        if population == "pooled_tokens":
            held = self._kept("pooled", population)[self.count > 0]
            if not held.size:
                raise InputError("variance over 0 documents with a token that counts; give more text")
            return _finite(math.fsum(held) / held.size)
        if population == "unit_means":
            means = self._unit_means()
            if means.size <= ddof:
                raise InputError(f"variance over {means.size} units with ddof={ddof}; use ddof=0")
            return _finite(float(means.var(ddof=ddof)))
        if population == "features":
            count, _, m2 = self._kept("features", population)
            if count.min() <= ddof:
                raise InputError(f"variance over {int(count.min())} tokens with ddof={ddof}; give more text")
            return _finite(float((m2 / (count - ddof)).mean()))
        total = self.elements
        if total <= ddof:
            raise InputError(f"variance of {total} activations with ddof={ddof}; give more text")
        with np.errstate(over="ignore", invalid="ignore"):
            grand = _sum(self.count * self.mean) / total
            between = _sum(self.count * (self.mean - grand) ** 2)
        return _finite((_sum(self.m2) + between) / (total - ddof))

    def near_zero_count(self, epsilon: float, population: str = "elements") -> int:
        """How many numbers of the population have |a| < epsilon, strictly: the numerator of Eq. 4.

        Exact for any epsilon over `unit_means`; over elements, for the epsilons that were counted and for bin edges of
        the histogram. Raises `InputError` for others.
        """
        if population == "unit_means":
            return int((np.abs(self._unit_means()) < epsilon).sum())
        if epsilon in self.epsilons:
            return int(self.near_zero[:, self.epsilons.index(epsilon)].sum())
        edges = histogram_edges()
        if self.histogram is not None and epsilon in edges:
            return int(self.histogram[: np.searchsorted(edges, epsilon)].sum())
        raise InputError(
            f"near-zero counts were not made for epsilon={epsilon}; observe again with a reading that uses it"
        )

    def sparsity(self, epsilon: float, population: str = "elements") -> float:
        """Eq. 4: the share of numbers with |a| < epsilon. Raises `InputError` where no number counts."""
        total = self.counted(population)
        if not total:
            raise InputError("sparsity of 0 activations; give more text")
        return self.near_zero_count(epsilon, population) / total

    def _kept(self, name: str, population: str):
        kept = getattr(self, name)
        if kept is None:
            raise InputError(
                f"the population {population} was not observed; observe with a reading whose population is {population}"
            )
        return kept

    def _unit_means(self) -> NDArray[np.float64]:
        """The mean over all tokens of each hidden unit, (F,)."""
        count, mean, _ = self._kept("features", "unit_means")
        if not count.all():
            raise InputError("means over 0 tokens; give more text")
        return mean

    def save(self, path: str | os.PathLike) -> None:
        """Write the moments as one `.npz` file, without pickle, whole or not at all; `load` gives them back exactly.

        This way the moments of parts of a text can be computed apart, then merged. Raises `InputError` where the
        folder does not exist.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError(f"folder {path.parent} does not exist; create it first")
        held = {name: getattr(self, name) for name in _ARRAYS} | {
            "epsilons": np.array(self.epsilons, np.float64),
            "width": np.int64(self.width),
            "features": None if self.features is None else np.stack(self.features),
            "reading": None if self.reading is None else np.array(self.reading),
        }
        held = {name: array for name, array in held.items() if array is not None}
        content = io.BytesIO()
        # A damaged archive may lose entries without any other sign, so it lists them.
        np.savez(content, entries=np.array(list(held)), **held)
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Moments":
        """Read the file that `save` wrote.

        Raises `InputError` for a file that does not exist, that is damaged, or that holds no moments.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                held = dict(file)
            return _checked_file(held)
        except FileNotFoundError:
            raise InputError(f"moments file {path} does not exist; write one with `Moments.save`") from None
        except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
            raise InputError(f"moments file {path} is damaged or holds no moments ({error}); observe again") from error


# The arrays that a file holds under their own names: dtype and dimensions.
_ARRAYS = {
    "count": (np.int64, 1),
    "mean": (np.float64, 1),
    "m2": (np.float64, 1),
    "near_zero": (np.int64, 2),
    "pooled": (np.float64, 1),
    "histogram": (np.int64, 1),
}


def _checked_file(held: dict[str, NDArray]) -> Moments:
    """The moments in the arrays of a file. Raises `ValueError`, `TypeError` or `KeyError` where they are none."""
    entries = held.pop("entries").tolist()
    if sorted(entries) != sorted(held):
        raise ValueError(f"it holds {', '.join(held) or 'nothing'}, and lists {', '.join(entries)}")
    epsilons, width = held.pop("epsilons"), held.pop("width")
    features, reading = held.pop("features", None), held.pop("reading", None)
    for name, array in held.items():
        dtype, dimensions = _ARRAYS[name]
        if array.dtype != dtype or array.ndim != dimensions:
            raise ValueError(f"{name} is {array.dtype} with {array.ndim} dimensions")
    documents, width = len(held["count"]), int(width)
    lengths = {name: len(array) for name, array in held.items() if name != "histogram"}
    if set(lengths.values()) != {documents} or held["near_zero"].shape[1] != len(epsilons) or width < 1:
        raise ValueError(f"its parts have lengths that differ: {lengths}")
    if features is not None and (features.dtype != np.float64 or features.shape != (3, width)):
        raise ValueError(f"features has the shape {features.shape}")
    if "histogram" in held and len(held["histogram"]) != HISTOGRAM_BINS:
        raise ValueError(f"its histogram has {len(held['histogram'])} bins")
    return Moments(
        **held,
        epsilons=tuple(epsilons.tolist()),
        width=width,
        features=None if features is None else tuple(features),
        reading=None if reading is None else str(reading),
    )


def _sum(values: NDArray) -> float:
    """The sum rounded once, which no order changes; infinity or NaN where there is none."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return math.nan


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InputError(f"variance is {value}, which is not finite; the activations are too large for float64")
    return value


def magnitude_quantile(layers: list[Moments], share: float, population: str = "elements") -> float:
    """The q-quantile of abs(a) over all layers together: at least `share` of the numbers lie strictly below it.

    Over elements it comes from the histograms. It is the upper edge of a bin, at most 12.5 % above the exact value.
    Over `unit_means` it is the next float64 above the exact value. Raises `InputError` if they were not observed, if no
    number counts, and where the quantile is above the range of float32.
    """
    if population == "unit_means":
        means = np.abs(np.concatenate([layer._unit_means() for layer in layers]))
        return float(np.nextafter(np.quantile(means, share, method="inverted_cdf"), np.inf))
    if any(layer.histogram is None for layer in layers):
        raise InputError("a quantile of abs(a) needs histograms; observe with epsilon='quantile:q'")
    total = sum(layer.elements for layer in layers)
    if not total:
        raise InputError("quantile of 0 activations; give more text")
    below = np.cumsum(np.sum([layer.histogram for layer in layers], axis=0))
    first = int(np.searchsorted(below, share * total))
    if first == HISTOGRAM_BINS:
        raise InputError(f"the {share}-quantile of abs(a) is above {HISTOGRAM_END:g}; load the model in float32")
    return float(histogram_edges()[first + 1])
