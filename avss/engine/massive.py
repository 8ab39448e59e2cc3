"""Massive activations (Sun et al. 2024, arXiv 2402.17762) at the output of every block, in one pass without the head.

A few features of the first token, and of delimiters, are thousands of times as large as all others in many decoders.
The pass finds the largest activation of every block, and the share of Eq. 1 that the first tokens make up.
"""

from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.engine.passes import counted, require_finite
from avss.engine.watching import watch
from avss.errors import InputError
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

    All sums are float64. Raises `InputError` for batches that cannot be used, activations that are not finite,
    documents of one token alone, and a block whose activations are all equal.
    """
    seen = _Blocks(model)
    watch(model, batches, [seen])
    return seen.table()


class _Blocks:
    """Sums and largest values of every block while batches go by; a watcher. Tensors stay on the block's device."""

    def __init__(self, model: nn.Module):
        self.model, self.layers = model, [_Layer() for _ in blocks_of(model)]
        self.number, self.real = 0, torch.empty(0, dtype=torch.bool)

    def begin(self, number: int, mask: Tensor) -> None:
        self.number, self.real = number, mask
        self.first = mask & ~counted(mask, AFTER_FIRST)

    def receive(self, block: int, entering: Tensor, leaving: Tensor) -> None:
        self.layers[block].add(leaving, self.real.to(leaving.device), self.first.to(leaving.device))

    def end(self) -> None:
        # The check is free on a CPU. On an accelerator it would wait for the device.
        if self.layers[0].top.device.type == "cpu":
            self._require_finite()

    def _require_finite(self) -> None:
        largest = [[float(layer.top.max())] for layer in self.layers]
        require_finite(largest, "activations", self.number, self.model)

    def table(self) -> pd.DataFrame:
        self._require_finite()
        return pd.DataFrame([{"layer": index} | layer.line(index) for index, layer in enumerate(self.layers)])


class _Layer:
    """One block. sums: count, sum and sum of squares of each feature, of first tokens and of others, (2, 3, F). top:
    the largest abs(a) of each feature, (F,)."""

    def __init__(self):
        self.sums, self.top, self.documents, self.at_first = (torch.tensor(0.0, dtype=torch.float64) for _ in range(4))

    def add(self, activation: Tensor, real: Tensor, first: Tensor) -> None:
        values = activation.double().masked_fill(~real[..., None], 0)
        rows, chosen = values.flatten(0, 1), torch.stack([first, real & ~first]).flatten(1).double()
        counts = chosen.sum(1, keepdim=True).expand(-1, rows.shape[1])
        self.sums = self.sums + torch.stack([counts, chosen @ rows, chosen @ rows.square()], 1)
        size = values.abs()
        self.top = torch.maximum(self.top, size.amax((0, 1)))
        there = real.any(1, keepdim=True)
        self.documents = self.documents + there.sum()
        self.at_first = self.at_first + (first.gather(1, size.amax(2).argmax(1, keepdim=True)) & there).sum()

    def line(self, index: int) -> dict:
        """Raises `InputError` where nothing but first tokens was seen, or nothing but one value."""
        (first, after), top = self.sums.cpu(), self.top.cpu()
        mean, variance = _moments(first + after)
        if not after[0].sum():
            raise InputError("no document has a second token, so there are first tokens alone; give longer documents")
        if not variance > 0:
            raise InputError(f"all activations of block {index} are equal; check its weights")
        feature, deviations = int(top.argmax()), _deviations(first, mean)
        whole = variance * float((first + after)[0].sum())
        return {
            "documents": int(self.documents),
            "largest": float(top[feature]),
            "feature": feature,
            "at_first": float(self.at_first / self.documents),
            "std_after_first": _moments(after)[1] ** 0.5,
            "variance": variance,
            "share_of_first": float(deviations.sum()) / whole,
            "share_of_feature": float(deviations[feature]) / whole,
        }


def _moments(sums: Tensor) -> tuple[float, float]:
    """Mean and variance over all features of these sums, (3, F)."""
    count, total, squares = sums.sum(1).tolist()
    return total / count, max(squares / count - (total / count) ** 2, 0.0)


def _deviations(sums: Tensor, mean: float) -> Tensor:
    """The sum of squared deviations from `mean` of each feature, (F,)."""
    count, total, squares = sums
    return squares - 2 * mean * total + mean**2 * count
