"""The relative size of a block's update, among the scores that EvoPress compares (Sieberling et al. 2024).

It is E norm(u_i) / norm(h_i) with u_i = h_i - h_{i-1}, the Euclidean norms taken token by token. The mean over
all real tokens of all documents, with equal weights, is our reading.
"""

import torch
from torch import Tensor

from avss.engine.compare import Comparison
from avss.engine.watching import watch
from avss.scores import LayerScores, from_values


def _relative_norms(entering: Tensor, leaving: Tensor) -> Tensor:
    # Sums over features are products with ones, which a CPU does faster.
    ones = torch.ones(leaving.shape[-1], dtype=torch.float64, device=leaving.device)
    update = torch.mv((leaving - entering).square_(), ones).sqrt_()
    # A hidden state of zeros that stays zero has an update of size 0, and 0 / 0 would be NaN.
    return torch.where(update == 0, 0, update / torch.mv(leaving.square_(), ones).sqrt_())


def watcher(model) -> Comparison:
    """What `avss.engine.watching.watch` shows the blocks to; `scores_of` makes scores of it."""
    return Comparison(model, _relative_norms, "relative updates")


def scores_of(seen: Comparison) -> LayerScores:
    """As `score`, once the pass has ended."""
    found = seen.means()
    return from_values("update_norm", found.values, documents=found.documents, tokens=found.tokens)


def score(model, batches) -> LayerScores:
    """Mean norm of the update over the norm of the output, (M,) float64, at least 0; 0 for a block that adds nothing.

    One pass without the head. Raises `InputError` for batches or activations that cannot be used, and for a block that
    turns a hidden state into zeros.
    """
    seen = watcher(model)
    watch(model, batches, [seen])
    return scores_of(seen)
