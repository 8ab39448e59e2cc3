"""A seeded random order of the layers: the control that every table needs."""

import numpy as np

from avss.architectures import blocks_of
from avss.scores import LayerScores, from_values


def score(model, batches, seed=0) -> LayerScores:
    """A random permutation of 1..M as scores; the same seed gives the same order."""
    layers = len(blocks_of(model))
    return from_values("random", 1 + np.random.Generator(np.random.PCG64(seed)).permutation(layers))
