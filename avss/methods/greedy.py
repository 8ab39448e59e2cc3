"""Remove the block whose removal hurts least, then measure the remaining blocks again, as SLEB does.

The order of removal is SLEB's. Its use as one score a layer, to compare it with the other methods, is ours.
"""

import numpy as np

from avss.architectures import blocks_of
from avss.engine.ablation import ablate
from avss.scores import LayerScores, from_values
from avss.selection import count_of


def score(model, batches, remove=None, cache=None, key=None) -> LayerScores:
    """The turn, from 1, in which each block is removed; blocks that stay share the number after the last turn.

    remove: how many blocks, or which share of them, to remove; by default all but one. Of two removals that hurt
    alike, that of the deeper block comes first. With n blocks left, a turn runs (n - 1) (n + 2) / 2 blocks a batch. All
    turns together run about M^3 / 6, so give `remove` and `cache` on deep models. cache, key: as
    in `avss.engine.ablation.ablate`. Raises `InputError` where no block would be removed, or all.
    """
    layers, batches = len(blocks_of(model)), list(batches)
    turns = layers - 1 if remove is None else count_of(remove, layers)
    left = list(range(layers))
    values = np.full(layers, turns + 1.0)
    documents, tokens = 0, 0
    for turn in range(1, turns + 1):
        candidates = left[::-1]
        masks = np.zeros((len(candidates), layers))
        for mask, candidate in zip(masks, candidates, strict=True):
            mask[[layer for layer in left if layer != candidate]] = 1
        found = ablate(model, batches, masks, cache=cache, key=key)
        removed = candidates[int(found.mean_loss.argmin())]
        left.remove(removed)
        values[removed] = turn
        documents, tokens = len(found.count), found.tokens
    return from_values("greedy", values, documents=documents, tokens=tokens)
