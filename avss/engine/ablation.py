"""Losses of a model under many layer masks, with the blocks that masks have in common run once.

A mask gives every block a gate on its update, h + g * (block(h) - h): 1 leaves the block as it is, 0 skips it. Masks
that begin alike form a trie over depth, which `avss.engine.trie` walks.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from avss.architectures import blocks_of, unwrapped
from avss.engine.branches import branches_of
from avss.engine.coalitions import Cache, Mask
from avss.engine.modes import evaluating
from avss.engine.outcomes import Divergences, Losses
from avss.engine.passes import not_finite, passes
from avss.engine.trie import Walk, separable, standing_in
from avss.errors import InputError


@dataclass(frozen=True)
class Ablation:
    """Losses and gold probabilities of a model's documents under each mask.

    loss: (masks, documents) float64, negative log-likelihood in nats, summed over the scored predictions.
    probability: (masks, documents) float64, mean gold probability over the scored predictions; 0 where there is none.
    count: (documents,) int64, scored predictions. tokens: real tokens read. block_forwards: blocks run, each on one
    batch, without those whose outcome came from the cache.
    """

    loss: NDArray[np.float64]
    probability: NDArray[np.float64]
    count: NDArray[np.int64]
    tokens: int
    block_forwards: int

    @property
    def mean_loss(self) -> NDArray[np.float64]:
        """Nats a scored prediction, over all documents together, (masks,)."""
        return self.loss.sum(1) / self.count.sum()


@dataclass(frozen=True)
class Divergence:
    """How far the predictions under each mask are from those of the whole model.

    divergence: (masks, documents) float64, KL(p_whole, p_masked) in nats, summed over the predictions. The rest is as
    in `Ablation`.
    """

    divergence: NDArray[np.float64]
    count: NDArray[np.int64]
    tokens: int
    block_forwards: int

    @property
    def mean(self) -> NDArray[np.float64]:
        """Nats a prediction, over all documents together, (masks,)."""
        return self.divergence.sum(1) / self.count.sum()


def ablate(
    model: nn.Module,
    batches: Iterable[dict],
    masks: ArrayLike,
    *,
    cache: str | os.PathLike | None = None,
    key: str | None = None,
) -> Ablation:
    """Losses and gold probabilities of every document under every mask.

    batches: dicts of tensors, (B, T) `input_ids` and `attention_mask`, with `labels` for a classifier; read once.
    masks: gates in [0, 1], either (masks, M), one a block, or (masks, M, 2), attention and MLP apart. There the gate
    scales what the branch adds to the residual stream, the bias of its last layer included; in a block that normalises
    after the sum (BERT, DistilBERT), that norm stays, so that (0, 0) is not the same as skipping the block.
    cache: folder in which outcomes are kept, so that a run that was killed computes only what is missing. An outcome is
    found again by the content of weights, config, batch and mask, so the folder may serve any models. key: what else
    the outcomes depend on, for instance the name of a hook of your own; it needs no name for the weights.

    Holds at most one hidden state a depth at a time, and fewer where the masks leave the common path one by one.
    Raises `InputError` for masks that do not fit the model, gates outside [0, 1], no masks, no batches, a batch without
    input_ids or without the labels it needs, a model without a head, losses that are not finite, a cache folder that
    cannot be made, gates of branches in a family without such branches, and a family whose blocks hand on more than a
    hidden state.
    """
    (loss, probability), *rest = _outcomes(model, batches, masks, Losses, cache, key)
    return Ablation(loss, probability, *rest)


def diverge(
    model: nn.Module,
    batches: Iterable[dict],
    masks: ArrayLike,
    *,
    cache: str | os.PathLike | None = None,
    key: str | None = None,
) -> Divergence:
    """The divergence of every document's predictions under every mask from those of the whole model.

    Arguments, cache and errors are those of `ablate`, except that no labels are needed; with labels, a causal language
    model is compared where they score a token. The whole model runs on each batch as one more mask, before the others.
    So one hidden state a block may wait, and the whole model's log-probabilities of one batch are kept.
    """
    (divergence,), *rest = _outcomes(model, batches, masks, Divergences, cache, key)
    return Divergence(divergence, *rest)


def _outcomes(
    model, batches, masks, kind: type[Losses] | type[Divergences], cache, key
) -> tuple[NDArray[np.float64], NDArray[np.int64], int, int]:
    """Outcomes (quantities, masks, documents), count, tokens and block_forwards, as in `Ablation`."""
    model = unwrapped(model)
    wanted = _checked(masks, len(blocks_of(model)))
    whole = tuple((1.0, 1.0) if isinstance(gate, tuple) else 1.0 for gate in wanted[0])
    kept = Cache(cache, model, key)
    outcomes, counts, tokens, block_forwards = [], [], 0, 0
    branches = branches_of(model) if isinstance(wanted[0][0], tuple) else None
    with evaluating(model), standing_in(model, separable(model)) as (blocks, stand_ins):
        for number, inputs, mask, given in passes(model, batches, "ablating"):
            measure = kind(model, inputs, given)
            with kept.batch(inputs | measure.tensors) as known:
                missing = [gates for gates in dict.fromkeys(wanted) if gates not in known]
                first = whole if missing and measure.whole_first else None
                walk = Walk(model, blocks, stand_ins, inputs, measure, branches=branches, first=first)
                for gates, (outcome, count) in walk.outcomes(missing):
                    if not np.isfinite(outcome).all():
                        raise not_finite(f"mask {gates}", measure.quantity, number, model)
                    known.add(gates, outcome, count)
                outcomes.append(np.array([known[gates] for gates in wanted]))
                counts.append(known.count)
            tokens += int(mask.sum())
            block_forwards += walk.block_forwards
    count = np.concatenate(counts).astype(np.int64)
    if not count.any():
        raise InputError("nothing in the batches is scored: all labels are -100 or documents have one token")
    return np.moveaxis(np.concatenate(outcomes, axis=2), 1, 0), count, tokens, block_forwards


def _checked(masks: ArrayLike, layers: int) -> list[Mask]:
    listed = list(masks)
    if not listed:
        raise InputError("no masks were given; a mask of ones stands for the whole model")
    try:
        gates = np.array(listed, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"masks are not numbers, or differ in length; give each {layers} gates") from error
    if gates.shape[1:] not in ((layers,), (layers, 2)):
        raise InputError(
            f"masks of shape {gates.shape} do not fit a model of {layers} blocks; "
            f"give (masks, {layers}), or (masks, {layers}, 2) to gate attention and MLP apart"
        )
    outside = ~((gates >= 0) & (gates <= 1))
    if outside.any():
        where = tuple(int(index) for index in np.argwhere(outside)[0])
        raise InputError(
            f"mask {where[0]} has gate {gates[where]:g} at block {where[1]}; gates are between 0 (off) and 1 (as it is)"
        )
    return [tuple(tuple(gate) if isinstance(gate, list) else gate for gate in mask) for mask in gates.tolist()]
