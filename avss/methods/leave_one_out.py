"""How much the loss grows when one block is skipped: the direct measurement that other scores approximate.

Shortened LLaMA takes the perplexity without the block, and SLEB begins with the same comparison; the difference of mean
losses taken here orders the blocks alike. For classifiers, which neither paper treats, the loss is that of the gold
label.
"""

import numpy as np

from avss.architectures import blocks_of
from avss.engine.ablation import ablate
from avss.scores import LayerScores, from_values


def score(model, batches, cache=None, key=None) -> LayerScores:
    """Mean loss without the block minus mean loss of the whole model, in nats a scored prediction; may be negative.

    Runs M (M + 1) / 2 blocks a batch. cache, key: as in `avss.engine.ablation.ablate`.
    """
    layers = len(blocks_of(model))
    found = ablate(model, batches, np.vstack([np.ones(layers), 1 - np.eye(layers)]), cache=cache, key=key)
    whole, *without = found.mean_loss
    values = np.array(without) - whole
    return from_values("leave_one_out", values, documents=len(found.count), tokens=found.tokens)
