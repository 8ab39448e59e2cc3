"""Taylor: the first-order estimate of how much the loss changes when a block is skipped.

Skipping block i takes its update u_i = h_i - h_{i-1} out of its output h_i; to first order the loss of document x
changes by -sum(u_i * dLoss/dh_i) over tokens and features. The idea is that of LLM-Pruner (Ma et al. 2023) and of the
Taylor criterion of Shortened LLaMA (Kim et al. 2024), which expand in the weights of a block and sum over them. Two
choices are ours: the expansion in the block's update, which needs no gradient of a parameter, and the absolute value
before E_x.
"""

from torch import Tensor

from avss.engine.gradients import gradient_pass
from avss.scores import LayerScores, from_values


def _change(h: Tensor, u: Tensor, g: Tensor) -> Tensor:
    return (u * g).sum((1, 2)).abs()


def score(model, batches) -> LayerScores:
    """E_x abs(sum u_i * dLoss/dh_i), (M,) float64, in nats a scored prediction; Loss is a document's mean.

    Exactly 0 for a block that returns its input unchanged. Raises `InputError` as
    `avss.engine.gradients.gradient_pass`.
    """
    found = gradient_pass(model, batches, lambda gold: gold.loss, _change)
    values = (found.values / found.scored).mean(1)
    return from_values("taylor", values, documents=len(found.scored), tokens=found.tokens)
