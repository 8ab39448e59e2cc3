"""GBIS: how strongly the loss of a document reacts to the output of a block.

The AVSS paper names GBIS, gradient-based importance scores, as a baseline and neither defines it nor cites a
definition. Ours: E_x of the L2 norm of dLoss/dh_i, with h_i the block's output at the real tokens of document x (one
norm over tokens and features together) and Loss the document's mean nats a scored prediction.
"""

from torch import Tensor

from avss.engine.gradients import gradient_pass
from avss.scores import LayerScores, from_values


def _norm(h: Tensor, u: Tensor, g: Tensor) -> Tensor:
    return g.square().sum((1, 2)).sqrt()


def score(model, batches) -> LayerScores:
    """Mean over documents of the gradient's norm, (M,), not normalised over layers; float64, nats a unit of h_i.

    It reads only h_i and not the block's update. A block that returns its input unchanged has the same gradient at its
    output as at its input, so GBIS cannot tell it from a block that works. Raises `InputError` as
    `avss.engine.gradients.gradient_pass`.
    """
    found = gradient_pass(model, batches, lambda gold: gold.loss, _norm)
    values = (found.values / found.scored).mean(1)
    return from_values("gbis", values, documents=len(found.scored), tokens=found.tokens)
