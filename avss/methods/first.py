"""The control opposite to `last`: it removes the shallowest layers first."""

import numpy as np

from avss.architectures import blocks_of
from avss.scores import LayerScores, from_values


def score(model, batches) -> LayerScores:
    """1 for the first layer up to M for the last."""
    layers = len(blocks_of(model))
    return from_values("first", np.arange(1, layers + 1))
