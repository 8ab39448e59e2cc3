"""Numbers that compare the input and the output of each block, token by token, as means over all tokens."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.engine.passes import require_finite
from avss.engine.streams import CHUNK


class TokenMeans(NamedTuple):
    """values: one float a block, the mean over all real tokens. documents, tokens: how many were read."""

    values: list[float]
    documents: int
    tokens: int


class Comparison:
    """A number that compares a block's input and output, as the mean over all real tokens of all documents.

    It is a watcher of `avss.engine.watching.watch`. compare: maps the input and the output of a block, (N, F) float64
    each, to (N,) float64. quantity: its name in errors. No number is stored for each token.
    """

    def __init__(self, model: nn.Module, compare: Callable[[Tensor, Tensor], Tensor], quantity: str):
        self.model, self.compare, self.quantity = model, compare, quantity
        self.sums: list[Tensor] = [torch.empty(0)] * len(blocks_of(model))
        self.mask = torch.empty(0, dtype=torch.bool)
        self.totals: list[Tensor] = []
        self.numbers: list[int] = []
        self.documents = self.tokens = 0

    def begin(self, number: int, mask: Tensor) -> None:
        self.mask = mask.to(self.model.device)
        self.numbers.append(number)
        self.documents, self.tokens = self.documents + self.mask.any(1).sum(), self.tokens + self.mask.sum()

    def receive(self, block: int, entering: Tensor, leaving: Tensor) -> None:
        compared = by_rows(self.compare, entering.to(leaving.device), leaving)
        self.sums[block] = compared.masked_fill(~self.mask.to(leaving.device), 0).sum()

    def end(self) -> None:
        self.totals.append(torch.stack([total.to(self.model.device) for total in self.sums]))
        # The check is free on a CPU. On an accelerator it would wait for the device.
        if self.totals[-1].device.type == "cpu":
            require_finite(self.totals[-1][:, None], self.quantity, self.numbers[-1], self.model)

    def means(self) -> TokenMeans:
        """The mean of every block. Raises `InputError` for numbers that are not finite."""
        found = torch.stack(self.totals, 1).cpu()
        require_finite(found, self.quantity, self.numbers, self.model)
        tokens = int(self.tokens)
        # One batch after another: the order of a sum decides its last digit.
        return TokenMeans([sum(row, 0.0) / tokens for row in found.tolist()], int(self.documents), tokens)


def by_rows(compare: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """compare(first, second) over the last dimension, (..., F) of any dtype to (...) float64.

    Rows go into float64 some at a time, few enough to stay in a CPU's cache.
    """
    width = first.shape[-1]
    rows = max(1, CHUNK.get(first.device.type, CHUNK["cuda"]) // width)
    pairs = zip(first.reshape(-1, width).split(rows), second.reshape(-1, width).split(rows), strict=True)
    parts = [compare(*(part.to(torch.float64, copy=True) for part in pair)) for pair in pairs]
    return torch.cat(parts).view(first.shape[:-1])
