"""Block influence: how far a block turns the hidden state of a token, from ShortGPT (Men et al. 2024).

BI_i = 1 - E cos(h_{i-1}, h_i), with one cosine a token. The paper leaves the mean open. Ours is over all real tokens of
all documents, with equal weights.
"""

import torch
from torch import Tensor

from avss.engine.compare import Comparison, by_rows
from avss.engine.watching import watch
from avss.scores import LayerScores, from_values


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """The cosine of the last dimension, in float64 for any dtype; exactly 1 where both are equal, 0 where one is 0."""
    return by_rows(_cosines, first, second)


def _cosines(first: Tensor, second: Tensor) -> Tensor:
    # Sums over features are products with ones, which a CPU does faster.
    ones = torch.ones(first.shape[-1], dtype=torch.float64, device=first.device)
    dot = torch.mv(first * second, ones)
    squares = torch.mv(first.square_(), ones) * torch.mv(second.square_(), ones)
    return dot / squares.sqrt_().clamp_(min=torch.finfo(torch.float64).tiny)


def watcher(model) -> Comparison:
    """What `avss.engine.watching.watch` shows the blocks to; `scores_of` makes scores of it."""
    return Comparison(model, lambda entering, leaving: 1 - _cosines(entering, leaving), "activations")


def scores_of(seen: Comparison) -> LayerScores:
    """As `score`, once the pass has ended."""
    found = seen.means()
    return from_values("block_influence", found.values, documents=found.documents, tokens=found.tokens)


def score(model, batches) -> LayerScores:
    """1 - mean cosine of each block's input and output, (M,) float64 in [0, 2]; 0 for a block that does not turn it.

    One pass without the head (`avss.engine.watching`). Raises `InputError` for batches that cannot be used and
    activations that are not finite.
    """
    seen = watcher(model)
    watch(model, batches, [seen])
    return scores_of(seen)
