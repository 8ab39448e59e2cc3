"""Contextual importance of a block after Främling: how far the gold probability swings as the block is turned off.

The AVSS paper names CIM as a baseline and does not define it. Främling's contextual importance is the range of an
output over the values that a feature may take in a context, relative to the range that the output can take at all.
Ours, not the paper's: the feature is the gate on a block's update, at 0, 1/2 and 1; the context is a document; the
output is the probability of the gold label, or the mean probability of the gold tokens. Its possible range is 1, so no
division is needed.
"""

import numpy as np

from avss.architectures import blocks_of
from avss.engine.ablation import ablate
from avss.scores import LayerScores, from_values


def score(model, batches, cache=None, key=None) -> LayerScores:
    """Mean over documents of the largest minus the smallest gold probability, in [0, 1].

    Documents without a scored prediction do not count. Runs M (M + 1) blocks a batch. cache, key: as in
    `avss.engine.ablation.ablate`.
    """
    layers = len(blocks_of(model))
    whole, off = np.ones(layers), 1 - np.eye(layers)
    found = ablate(model, batches, np.vstack([whole, off, (whole + off) / 2]), cache=cache, key=key)
    probability = found.probability[:, found.count > 0]
    gated = np.stack([np.tile(probability[0], (layers, 1)), *np.split(probability[1:], 2)])
    values = np.ptp(gated, axis=0).mean(1)
    return from_values("cim", values, documents=len(found.count), tokens=found.tokens)
