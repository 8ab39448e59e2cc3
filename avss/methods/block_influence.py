"""Block influence: how far a block turns the hidden state of a token, from ShortGPT (Men et al. 2024).

BI_i = 1 - E cos(h_{i-1}, h_i), with one cosine a token. The paper leaves the mean open. Ours is over all real tokens of
all documents, with equal weights.
"""

import torch
from torch import Tensor

from avss.architectures import blocks_of
from avss.engine.modes import evaluating
from avss.engine.observe import hooked
from avss.engine.passes import passes, require_finite, uncached
from avss.engine.streams import CHUNK
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


def score(model, batches) -> LayerScores:
    """1 - mean cosine of each block's input and output, (M,) float64 in [0, 2]; 0 for a block that does not turn it.

    One pass without the head, by hooks on the blocks: the last hidden state of transformers is after the final norm and
    would be wrong for the last block. Each batch is reduced to one sum a block. Raises `InputError` for batches that
    cannot be used and activations that are not finite.
    """
    blocks = len(blocks_of(model))
    turned: list[Tensor] = [torch.empty(0)] * blocks
    mask = torch.empty(0, dtype=torch.bool)
    totals, numbers, documents, tokens = [], [], 0, 0

    def receive(block: int, leaving: Tensor, entering: Tensor) -> None:
        turn = 1 - cosines(entering.to(leaving.device), leaving)
        turned[block] = turn.masked_fill(~mask.to(leaving.device), 0).sum()

    with evaluating(model), hooked(model, "block_update", receive):
        for number, inputs, mask, _ in passes(model, batches, "comparing"):
            mask = mask.to(model.device)
            model.base_model(**inputs, **uncached(model))
            totals.append(torch.stack([total.to(model.device) for total in turned]))
            numbers.append(number)
            documents, tokens = documents + mask.any(1).sum(), tokens + mask.sum()
            # On a CPU looking is free. On an accelerator it would wait for the device.
            if totals[-1].device.type == "cpu":
                require_finite(totals[-1][:, None], "activations", number, model)
    totals = torch.stack(totals, 1).cpu()
    require_finite(totals, "activations", numbers, model)
    # One batch after another: the order of a sum decides its last digit.
    values = [sum(row, 0.0) / int(tokens) for row in totals.tolist()]
    return from_values("block_influence", values, documents=int(documents), tokens=int(tokens))
