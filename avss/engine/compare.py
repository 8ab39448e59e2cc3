"""One pass that compares the input and the output of each block, token by token."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.engine.modes import evaluating
from avss.engine.observe import hooked
from avss.engine.passes import passes, require_finite, uncached
from avss.engine.streams import CHUNK


class TokenMeans(NamedTuple):
    """values: one float a block, the mean over all real tokens. documents, tokens: how many were read."""

    values: list[float]
    documents: int
    tokens: int


def token_means(
    model: nn.Module, batches: Iterable[dict], compare: Callable[[Tensor, Tensor], Tensor], quantity: str
) -> TokenMeans:
    """A number that compares a block's input and output, as the mean over all real tokens of all documents.

    compare: maps the input and the output of a block, (N, F) float64 each, to (N,) float64. quantity: its name
    in errors. One pass without the head, by hooks on the blocks: transformers' own last hidden state is after the final
    norm and would be wrong for the last block. No number is stored for each token. Raises `InputError` for batches that
    cannot be used and for numbers that are not finite.
    """
    sums: list[Tensor] = [torch.empty(0)] * len(blocks_of(model))
    mask = torch.empty(0, dtype=torch.bool)
    totals, numbers, documents, tokens = [], [], 0, 0

    def receive(block: int, leaving: Tensor, entering: Tensor) -> None:
        compared = by_rows(compare, entering.to(leaving.device), leaving)
        sums[block] = compared.masked_fill(~mask.to(leaving.device), 0).sum()

    with evaluating(model), hooked(model, "block_update", receive):
        for number, inputs, mask, _ in passes(model, batches, "comparing"):
            mask = mask.to(model.device)
            model.base_model(**inputs, **uncached(model))
            totals.append(torch.stack([total.to(model.device) for total in sums]))
            numbers.append(number)
            documents, tokens = documents + mask.any(1).sum(), tokens + mask.sum()
            # The check is free on a CPU. On an accelerator it would wait for the device.
            if totals[-1].device.type == "cpu":
                require_finite(totals[-1][:, None], quantity, number, model)
    found = torch.stack(totals, 1).cpu()
    require_finite(found, quantity, numbers, model)
    # One batch after another: the order of a sum decides its last digit.
    return TokenMeans([sum(row, 0.0) / int(tokens) for row in found.tolist()], int(documents), int(tokens))


def by_rows(compare: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """compare(first, second) over the last dimension, (..., F) of any dtype to (...) float64.

    Rows go into float64 some at a time, few enough to stay in a CPU's cache.
    """
    width = first.shape[-1]
    rows = max(1, CHUNK.get(first.device.type, CHUNK["cuda"]) // width)
    pairs = zip(first.reshape(-1, width).split(rows), second.reshape(-1, width).split(rows), strict=True)
    parts = [compare(*(part.to(torch.float64, copy=True) for part in pair)) for pair in pairs]
    return torch.cat(parts).view(first.shape[:-1])
