"""Mean absolute weight of a block, the classic criterion of magnitude pruning taken over whole blocks."""

import torch

from avss.architectures import blocks_of
from avss.scores import LayerScores, from_values


def score(model, batches) -> LayerScores:
    """The mean of abs(w) over all parameters of each block, biases and norms included, summed in float64."""
    with torch.no_grad():
        values = []
        for block in blocks_of(model):
            parameters = list(block.parameters())
            total = sum(parameter.abs().sum(dtype=torch.float64).item() for parameter in parameters)
            values.append(total / sum(parameter.numel() for parameter in parameters))
    return from_values("magnitude", values)
