"""Massive activations (Sun et al. 2024, arXiv 2402.17762) at the output of every block, in one pass without the head.

A few features of the first token, and of delimiters, are thousands of times as large as all others in many decoders.
The pass finds the largest activation of every block, and the share of Eq. 1 that the first tokens make up.
"""

from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.engine.modes import evaluating
from avss.engine.observe import hooked
from avss.engine.passes import counted, passes, require_finite, uncached
from avss.reading import Reading

AFTER_FIRST = Reading(tokens="after_first")


def massive_activations(model: nn.Module, batches: Iterable[dict]) -> pd.DataFrame:
    """The largest activation of every block, and what the first tokens add to its variance.

    batches: as `avss.engine.observe.observe` takes them. Returns one line a block:

    - `layer`, `documents`.
    - `largest`: the largest abs(a) over all real tokens and features. `feature`: where it is.
    - `at_first`: share of the documents whose own largest abs(a) is at their first token.
    - `std_after_first`: standard deviation (Eq. 2) of all activations after the first token of each document.
    - `variance`: Eq. 1 over all tokens. `share_of_first`: the first tokens' share of its sum of squared deviations.
    - `share_of_feature`: the share that `feature` alone makes up, at the first tokens alone.

    All sums are float64. Raises `InputError` for batches that cannot be used and activations that are not finite.
    """
    layers = [_Layer() for _ in blocks_of(model)]
    masks: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))

    def receive(layer: int, activation: Tensor, base: Tensor | None) -> None:
        layers[layer].add(activation, *(mask.to(activation.device) for mask in masks))

    with evaluating(model), hooked(model, "block_output", receive):
        for number, inputs, real, _ in passes(model, batches, "looking for massive activations"):
            masks = real, real & ~counted(real, AFTER_FIRST)
            model.base_model(**inputs, **uncached(model))
            require_finite([[float(layer.largest)] for layer in layers], "activations", number, model)
    return pd.DataFrame([{"layer": index} | layer.line() for index, layer in enumerate(layers)])


class _Layer:
    """Sums of one block while batches go by. first, after: count, sum and sum of squares of each feature, (3, F)."""

    def __init__(self):
        self.largest, self.feature, self.documents, self.at_first = torch.tensor(0.0), 0, 0, 0
        self.first: Tensor | None = None
        self.after: Tensor | None = None

    def add(self, activation: Tensor, real: Tensor, first: Tensor) -> None:
        values = activation.double()
        size = values.abs().masked_fill(~real[..., None], 0)
        by_token = size.amax(2)
        self.documents += int(real.any(1).sum())
        self.at_first += int((first.gather(1, by_token.argmax(1, keepdim=True)) & real.any(1, keepdim=True)).sum())
        # NaN is larger than any number to `amax` and fails the comparison, so it is looked for by itself.
        top = by_token.max()
        if not bool(top <= self.largest):
            self.largest, self.feature = top, int(size.amax((0, 1)).argmax())
        parts = [_sums(values[chosen]) for chosen in (first, real & ~first)]
        known = (self.first, self.after)
        self.first, self.after = (new if old is None else old + new for old, new in zip(known, parts, strict=True))

    def line(self) -> dict:
        total = self.first + self.after
        count, sums, squares = total.sum(1).tolist()
        variance = squares / count - (sums / count) ** 2
        deviations = _deviations(self.first, sums / count)
        after_count, after_sum, after_squares = self.after.sum(1).tolist()
        spread = max(after_squares / after_count - (after_sum / after_count) ** 2, 0.0) if after_count else 0.0
        whole = variance * count
        return {
            "documents": self.documents,
            "largest": float(self.largest),
            "feature": self.feature,
            "at_first": self.at_first / self.documents,
            "std_after_first": spread**0.5,
            "variance": variance,
            "share_of_first": float(deviations.sum()) / whole if whole else 0.0,
            "share_of_feature": float(deviations[self.feature]) / whole if whole else 0.0,
        }


def _sums(rows: Tensor) -> Tensor:
    """Count, sum and sum of squares of each feature, (3, F), of rows (N, F)."""
    return torch.stack([torch.full_like(rows[:0].sum(0), len(rows)), rows.sum(0), rows.square().sum(0)])


def _deviations(sums: Tensor, mean: float) -> Tensor:
    """The sum of squared deviations from `mean` of each feature, (F,)."""
    count, total, squares = sums
    return squares - 2 * mean * total + mean**2 * count
