"""Block influence: how far a block turns the hidden state of a token, from ShortGPT (Men et al. 2024).

BI_i = 1 - E cos(h_{i-1}, h_i), the cosine taken token by token. Over what the mean goes is our reading: all real
tokens of all documents alike.
"""

import torch
from torch import Tensor

from avss.architectures import blocks_of
from avss.engine.observe import CHUNK, checked, evaluating, hooked, uncached
from avss.errors import InputError
from avss.progress import progress
from avss.reading import Reading
from avss.scores import LayerScores, from_values


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """The cosine of the last dimension, in float64 for any dtype; exactly 1 where both are equal, 0 where one is 0.

    Rows go into float64 some at a time, few enough to stay in a CPU's cache, and sums over them are products with ones.
    """
    width = first.shape[-1]
    rows = max(1, CHUNK.get(first.device.type, CHUNK["cuda"]) // width)
    ones = torch.ones(width, dtype=torch.float64, device=first.device)
    parts = []
    for a, b in zip(first.reshape(-1, width).split(rows), second.reshape(-1, width).split(rows), strict=True):
        a, b = (part.to(torch.float64, copy=True) for part in (a, b))
        dot = torch.mv(a * b, ones)
        squares = torch.mv(a.square_(), ones) * torch.mv(b.square_(), ones)
        parts.append(dot / squares.sqrt_().clamp_(min=torch.finfo(torch.float64).tiny))
    return torch.cat(parts).view(first.shape[:-1])


def score(model, batches, reading) -> LayerScores:
    """1 - mean cosine of each block's input and output, (M,) float64 in [0, 2]; 0 for a block that does not turn it.

    One pass without the head, by hooks on the blocks: transformers' own last hidden state is after the final norm and
    would be wrong for the last block. Nothing is kept a token. Raises `InputError` for batches or activations that
    cannot be used.
    """
    totals: list[Tensor | float] = [0.0] * len(blocks_of(model))
    number, documents, tokens = -1, 0, 0
    mask = torch.empty(0, dtype=torch.bool)

    def receive(block: int, leaving: Tensor, entering: Tensor) -> None:
        turned = 1 - cosines(entering.to(leaving.device), leaving)
        totals[block] += turned.masked_fill(~mask.to(leaving.device), 0).sum()

    with evaluating(model), hooked(model, "block_update", receive):
        for number, batch in enumerate(progress(batches, "comparing")):
            inputs, mask = checked(batch, number, Reading())
            mask = mask.to(model.device)
            model.base_model(**{name: value.to(model.device) for name, value in inputs.items()}, **uncached(model))
            documents, tokens = documents + mask.any(1).sum(), tokens + mask.sum()
    if number < 0:
        raise InputError("no batches were given; scoring needs at least one document")
    values = [float(total) / int(tokens) for total in totals]
    for block, value in enumerate(values):
        if not value < float("inf"):
            raise InputError(f"block {block} has NaN or infinite activations; load the model in a wider dtype")
    return from_values("block_influence", values, documents=int(documents), tokens=int(tokens))
