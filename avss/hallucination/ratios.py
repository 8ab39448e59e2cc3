"""HSAV, HSS and EAVSS from sums over the answer tokens of each question, and their intervals over questions.

The names are of arXiv 2411.10069, whose formulas are not public; these definitions are ours. In block i, V+ and S+
are Eqs. 1 and 4 of the AVSS paper over the answer tokens of supported answers, V- and S- over those of hallucinated
ones. NumPy alone, so that stored sums give intervals without a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from avss.errors import InputError
from avss.intervals import RESAMPLES, bounds, kendall_tau, times
from avss.moments import Moments
from avss.reading import Reading
from avss.records import read_table

Array = NDArray[np.float64]
SIDES = ("supported", "hallucinated")
SUMS = ("elements", "first", "second", "near_zero")
QUANTITIES = ("hsav", "hss", "eavss")
SUM_COLUMNS = ("side", "question", "layer", *SUMS)


def hsav(variance_hallucinated: ArrayLike, variance_supported: ArrayLike) -> Array:
    """HSAV_i = V-_i / V+_i, per layer (M,) float64; ours. Raises `InputError` for a variance of 0."""
    return _ratio(variance_hallucinated, variance_supported, "variance")


def hss(sparsity_hallucinated: ArrayLike, sparsity_supported: ArrayLike) -> Array:
    """HSS_i = S-_i / S+_i, per layer (M,) float64; ours. Raises `InputError` for a sparsity of 0."""
    return _ratio(sparsity_hallucinated, sparsity_supported, "sparsity")


def eavss(hsav: ArrayLike, hss: ArrayLike) -> Array:
    """EAVSS_i = HSAV_i / HSS_i, per layer (M,) float64; ours. High marks a layer as prone to hallucination."""
    return np.asarray(hsav, np.float64) / np.asarray(hss, np.float64)


def _ratio(hallucinated: ArrayLike, supported: ArrayLike, quantity: str) -> Array:
    pair = np.asarray(hallucinated, np.float64), np.asarray(supported, np.float64)
    for values, side in zip(pair, reversed(SIDES), strict=True):
        wrong = np.argwhere(~(np.isfinite(values) & (values > 0)))
        if wrong.size:
            raise InputError(
                f"{quantity} of layer {wrong[0][-1]} is {values[tuple(wrong[0])]:g} over {side} answers, and a ratio "
                "needs a finite number above 0; give more pairs, or another reading"
            )
    return pair[0] / pair[1]


@dataclass(frozen=True)
class PairSums:
    """Sums over the answer tokens of each question, from which HSAV, HSS and EAVSS follow for any set of questions.

    sums: (2, 4, D, M) float64, sides as `SIDES`, sums as `SUMS`, D questions, M layers. `first` and `second` are the
    sums of the activations and of their squares after the mean of the layer is taken away, so that rounding stays
    small. Under a reading that pools tokens, `first` is 0 and `second` holds the variance of the pooled state.
    reading: the one that observed them.
    """

    sums: Array
    reading: Reading

    @property
    def questions(self) -> int:
        """D."""
        return self.sums.shape[2]

    def lines(self) -> list[dict]:
        """One line a side, question and layer, with nine digits of each sum: `SUM_COLUMNS`."""
        _, _, questions, layers = self.sums.shape
        return [
            {"side": SIDES[side], "question": question, "layer": layer}
            | {name: f"{self.sums[side, place, question, layer]:.9g}" for place, name in enumerate(SUMS)}
            for side in range(2)
            for question in range(questions)
            for layer in range(layers)
        ]

    @classmethod
    def read(cls, path: Path, reading: Reading | str, digests: Sequence[str] = ()) -> "PairSums":
        """The sums in a file of `lines`. digests: as in `avss.records.read_table`. Raises `InputError` as it does."""
        table = read_table(path, SUM_COLUMNS, SUM_COLUMNS[1:], digests=digests)
        questions, layers = (int(table[name].max()) + 1 for name in ("question", "layer"))
        values = table[list(SUMS)].to_numpy(np.float64).reshape(2, questions, layers, len(SUMS))
        return cls(np.moveaxis(values, 3, 1), Reading.parse(reading))

    def take(self, questions: ArrayLike) -> "PairSums":
        """The sums of these questions: indices, or one bool a question."""
        return PairSums(self.sums[:, :, np.asarray(questions)], self.reading)

    @property
    def tokens_alike(self) -> NDArray[np.bool_]:
        """Whether both answers to a question have the same number of tokens, (D,)."""
        elements = self.sums[:, 0, :, 0]
        return elements[0] == elements[1]

    def ratios(self, counts: ArrayLike | None = None) -> tuple[Array, Array, Array]:
        """HSAV, HSS and EAVSS, (M,) each, or (R, M) where `counts` (R, D) says how often each question counts."""
        counts = np.ones((1, self.questions)) if counts is None else np.asarray(counts, np.float64)
        found = self._ratios(np.einsum("rd,sqdm->sqrm", counts, self.sums, optimize=True), counts.sum(1)[:, None])
        return tuple(part[0] for part in found) if len(counts) == 1 else found

    def _ratios(self, totals: Array, questions: Array) -> tuple[Array, Array, Array]:
        """The ratios of sums over questions, totals (2, 4, R, M); questions (R, 1): how many there are."""
        elements, first, second, near = np.moveaxis(totals, 1, 0)
        if self.reading.population == "pooled_tokens":
            variances = second / questions
        else:
            variances = (second - first**2 / elements) / (elements - self.reading.ddof)
        sparsities = near / elements
        if self.reading.zero_sparsity == "resolution":
            sparsities = np.maximum(sparsities, 1 / elements)
        one, other = hsav(variances[1], variances[0]), hss(sparsities[1], sparsities[0])
        return one, other, eavss(one, other)

    def resampled(self, seed: int = 0, resamples: int = RESAMPLES) -> tuple[Array, Array, Array]:
        """HSAV, HSS and EAVSS on bootstrap resamples of the questions, (resamples, M) each."""
        return self.ratios(times(self.questions, seed, resamples))

    def shuffled(self, seed: int = 0, draws: int = RESAMPLES) -> Array:
        """EAVSS where each question's two labels are exchanged by the toss of a coin, (draws, M): the null.

        The answers stay, so the null keeps their lengths and whatever else is not tied to the label.
        """
        tossed = np.random.default_rng(seed).integers(2, size=(draws, self.questions)).astype(np.float64)
        moved = np.einsum("rd,qdm->qrm", tossed, self.sums[1] - self.sums[0], optimize=True)
        whole = self.sums.sum(2)[:, :, None]
        totals = np.stack([whole[0] + moved, whole[1] - moved])
        return self._ratios(totals, np.full((draws, 1), float(self.questions)))[2]

    def swapped(self, questions: ArrayLike) -> "PairSums":
        """The same sums with the two labels of some questions exchanged; questions: one bool a question."""
        return PairSums(np.where(np.asarray(questions)[None, None, :, None], self.sums[::-1], self.sums), self.reading)

    def intervals(self, seed: int = 0) -> pd.DataFrame:
        """95 % intervals over questions: one line a layer, `<quantity>_low` and `<quantity>_high` of all three.

        Percentile bootstrap of the logarithm, widened by the quantile of Student's t over that of the normal
        distribution, and by sqrt(D / (D - 1)). Plain percentiles would be too narrow for few questions. Raises
        `InputError` for a single question.
        """
        if self.questions < 2:
            raise InputError("intervals over 1 question; give at least 2 pairs")
        columns = {"layer": np.arange(self.sums.shape[3])}
        for name, drawn, value in zip(QUANTITIES, self.resampled(seed), self.ratios(), strict=True):
            middle = np.log(value)
            ends = np.array([bounds(layer) for layer in (np.log(drawn) - middle).T]) * self._widened()
            columns |= {f"{name}_low": np.exp(middle + ends[:, 0]), f"{name}_high": np.exp(middle + ends[:, 1])}
        return pd.DataFrame(columns)

    def _widened(self) -> float:
        from scipy import stats

        others = self.questions - 1
        return stats.t.ppf(0.975, others) / stats.norm.ppf(0.975) * np.sqrt(self.questions / others)

    def null(self, seed: int = 0) -> pd.DataFrame:
        """EAVSS against shuffled labels: one line a layer, with `p` and `p_any`.

        p: the share of shuffles whose log EAVSS is as far from 0 in this layer. p_any: the share of shuffles in which
        it is as far in any layer, where distances count in units of the layer's own root mean square over shuffles;
        it accounts for the number of layers. Never below 1 / (RESAMPLES + 1).
        """
        found, drawn = np.abs(np.log(self.ratios()[2])), np.abs(np.log(self.shuffled(seed)))
        unit = np.sqrt((drawn**2).mean(0))
        # A layer on which no shuffle has an effect is at 0, but for rounding.
        unit = np.where(unit > 1e-9, unit, 1)
        # Rounding must not tell a shuffle that changes nothing from the labels as they are.
        reached, drawn = np.maximum(found / unit - 1e-9, 0), drawn / unit
        p = (1 + (drawn >= reached).sum(0)) / (1 + len(drawn))
        p_any = (1 + (drawn.max(1)[:, None] >= reached).sum(0)) / (1 + len(drawn))
        return pd.DataFrame({"layer": np.arange(len(found)), "p": p, "p_any": p_any})

    def spread(self, seed: int = 0) -> tuple[float, float]:
        """How much EAVSS differs between layers, and the share of shuffled labels under which it differs as much.

        The first is the standard deviation of log EAVSS over layers: 0 means that the score has no order of layers.
        """
        found = float(np.log(self.ratios()[2]).std())
        drawn = np.log(self.shuffled(seed)).std(1)
        return found, float((1 + (drawn >= found * (1 - 1e-9)).sum()) / (1 + len(drawn)))


def tau_of_sets(first: PairSums, second: PairSums, resamples: int = 1000) -> tuple[float, float, float]:
    """Kendall's tau between the EAVSS of two sets of questions on one model, and its 95 % interval over questions.

    Resamples add noise to both orders, so the interval leans towards 0.
    """
    drawn = zip(first.resampled(0, resamples)[2], second.resampled(1, resamples)[2], strict=True)
    taus = np.array([kendall_tau(*pair) for pair in drawn])
    return kendall_tau(first.ratios()[2], second.ratios()[2]), *bounds(taus)


def sums_of(supported: list[Moments], hallucinated: list[Moments], reading: Reading) -> PairSums:
    """The sums of observed moments, one `Moments` a layer for each side, the same questions in the same order.

    Raises `InputError` for a population that is not a sum over questions (`features`, `unit_means`), and for an epsilon
    that is a quantile.
    """
    if reading.population not in ("elements", "pooled_tokens") or reading.quantile is not None:
        raise InputError(
            f"reading {reading.name} has no sums a question; intervals over questions need a number as epsilon and the "
            "population elements or pooled_tokens"
        )
    sums = np.zeros((2, len(SUMS), len(supported[0].count), len(supported)))
    for layer, pair in enumerate(zip(supported, hallucinated, strict=True)):
        elements = sum(side.elements for side in pair)
        centre = sum(float(np.sum(side.count * side.mean)) for side in pair) / elements
        for side, kept in enumerate(pair):
            sums[side, 0, :, layer] = kept.count
            sums[side, 3, :, layer] = kept.near_zero[:, kept.epsilons.index(float(reading.epsilon))]
            if reading.population == "pooled_tokens":
                sums[side, 2, :, layer] = kept.pooled
            else:
                shift = kept.mean - centre
                sums[side, 1, :, layer] = kept.count * shift
                sums[side, 2, :, layer] = kept.m2 + kept.count * shift**2
    return PairSums(sums, reading)
