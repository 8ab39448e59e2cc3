"""How far the predictions move when one block is skipped, as a Kullback-Leibler divergence; it needs no labels.

EvoPress (Sieberling et al. 2024) searches by the divergence of the compressed model from the whole one. Here a single
block is left out. For classifiers, which it does not treat, the divergence is that of the distribution over classes.
"""

import numpy as np

from avss.architectures import blocks_of
from avss.engine.ablation import diverge
from avss.scores import LayerScores, from_values


def score(model, batches, cache=None, key=None) -> LayerScores:
    """Mean KL(p_whole, p_without) over the predictions, (M,) float64 in nats, 0 where a block changes none of them.

    A prediction is one of every scored token of a causal language model, or one of every document of a classifier.
    Runs M (M + 1) / 2 blocks a batch. cache, key: as in `avss.engine.ablation.ablate`.
    """
    found = diverge(model, batches, 1 - np.eye(len(blocks_of(model))), cache=cache, key=key)
    return from_values("kl_leave_one_out", found.mean, documents=len(found.count), tokens=found.tokens)
