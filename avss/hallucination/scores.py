"""`eavss`: how prone each layer is to hallucination, from one forward pass over supported and hallucinated answers."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from torch import nn

from avss import equations
from avss.engine.gold import UNSCORED
from avss.engine.observe import observe
from avss.engine.passes import require_finite_weights
from avss.errors import InputError
from avss.hallucination import ratios
from avss.hallucination.ratios import SIDES, PairSums, sums_of
from avss.moments import Moments, magnitude_quantile
from avss.reading import Reading
from avss.scores import LayerScores, rank


@dataclass(frozen=True)
class PairScores(LayerScores):
    """LayerScores of EAVSS, with the moments of both kinds of answers, one `Moments` a layer, one row a question."""

    supported: tuple[Moments, ...] = field(default=(), repr=False, compare=False)
    hallucinated: tuple[Moments, ...] = field(default=(), repr=False, compare=False)

    @property
    def sums(self) -> PairSums:
        """The sums over questions, for intervals and for the null. Raises `InputError` as `sums_of`."""
        return sums_of(list(self.supported), list(self.hallucinated), Reading.parse(self.reading))


def eavss(
    model: nn.Module, supported: Iterable[dict], hallucinated: Iterable[dict], reading: Reading | str = "paper"
) -> PairScores:
    """HSAV, HSS and EAVSS of every layer of `model` (definitions ours, see `avss.hallucination.ratios`).

    supported, hallucinated: batches of the same questions in the same order, as `avss.pair_batches` makes them: dicts
    of tensors (B, T) with `input_ids`, `attention_mask` and `labels`, which are -100 outside of the answer. The answers
    are read after their questions, and the tokens of the answers alone count. Batches of the two sides need not have
    the same sizes. reading: the choices that Eqs. 1 and 4 leave open; an epsilon that is a quantile is that of both
    sides together.

    `.table` has the columns `layer`, `hsav`, `hss`, `eavss`, `normalized_eavss` (as Eq. 8) and `rank` (1 = the layer
    most prone to hallucination); `.documents` counts pairs. Raises `InputError` for no pairs, sides of different
    length, a batch without labels, an answer without tokens, a variance of 0, and activations that cannot be used.
    """
    reading = Reading.parse(reading)
    sides = [
        observe(model, _answered(batches, side), reading, labelled=True)
        for batches, side in zip((supported, hallucinated), SIDES, strict=True)
    ]
    require_finite_weights(model)
    right, wrong = sides
    counts = [len(side[0].count) for side in sides]
    if counts[0] != counts[1]:
        raise InputError(
            f"there are {counts[0]} supported and {counts[1]} hallucinated answers; give one of each to every question"
        )
    epsilon = float(reading.epsilon) if reading.quantile is None else _quantile(right + wrong, reading)
    found_hsav = ratios.hsav(*(_variances(side, reading) for side in (wrong, right)))
    found_hss = ratios.hss(*(_sparsities(side, reading, epsilon) for side in (wrong, right)))
    found = ratios.eavss(found_hsav, found_hss)
    normalized = equations.normalized_avss(found)
    table = pd.DataFrame(
        {
            "layer": np.arange(len(found)),
            "hsav": found_hsav,
            "hss": found_hss,
            "eavss": found,
            "normalized_eavss": normalized,
            "rank": rank(normalized),
        }
    )
    tokens = right[0].tokens + wrong[0].tokens
    return PairScores(
        table, "eavss", reading.name, counts[0], tokens, supported=tuple(right), hallucinated=tuple(wrong)
    )


def _answered(batches: Iterable[dict], side: str) -> Iterator[dict]:
    """The batches. Raises `InputError` where there is none, and for an answer without tokens, before the model runs."""
    first = 0
    for number, batch in enumerate(batches):
        labels = batch.get("labels")
        if labels is None or tuple(labels.shape) != tuple(batch["input_ids"].shape):
            raise InputError(
                f"batch {number} of {side} answers has no labels of the shape of its input_ids; give -100 outside of "
                "the answers, as avss.pair_batches does"
            )
        real = labels != UNSCORED
        if batch.get("attention_mask") is not None:
            real &= batch["attention_mask"].bool()
        empty = (~real.any(1)).nonzero()
        if len(empty):
            raise InputError(
                f"{side} answer {first + int(empty[0])} has no tokens (row {int(empty[0])} of batch {number}); "
                "leave its pair out"
            )
        first += len(labels)
        yield batch
    if not first:
        raise InputError(f"no {side} answers were given; give at least one pair")


def _quantile(moments: list[Moments], reading: Reading) -> float:
    return magnitude_quantile(moments, reading.quantile, reading.population)


def _variances(side: list[Moments], reading: Reading) -> list[float]:
    return [layer.variance(reading.population, reading.ddof) for layer in side]


def _sparsities(side: list[Moments], reading: Reading, epsilon: float) -> np.ndarray:
    """S of Eq. 4 for each layer; where it is 0, 1/N with a warning, or an error if the reading asks for one."""
    found = np.array([layer.sparsity(epsilon, reading.population) for layer in side])
    empty = np.flatnonzero(found == 0)
    if empty.size and reading.zero_sparsity == "resolution":
        found[empty] = [1 / side[layer].counted(reading.population) for layer in empty]
        warnings.warn(
            f"no activation of an answer below epsilon={epsilon:g} in layers {', '.join(map(str, empty))}: "
            "S set to 1/N; raise epsilon or add pairs",
            stacklevel=3,
        )
    return found
