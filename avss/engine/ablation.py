"""Losses of a model under many layer masks, with the blocks that masks have in common run once.

A mask gives every block a gate on its update, h + g * (block(h) - h): 1 leaves the block as it is, 0 skips it. Masks
that begin alike form a trie over depth, walked depth first. Embeddings, final norm and head are the model's own: its
forward runs with stand-ins in place of the blocks, once to learn how each block is called, and once a mask to turn
the last hidden state into logits.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from avss.architectures import blocks_of, family_of, place_of
from avss.engine.branches import Branches, StandIn, Trace, branches_of, state_out, traced
from avss.engine.coalitions import Cache, Mask
from avss.engine.modes import evaluating
from avss.engine.outcomes import Divergences, Losses, Outcome
from avss.engine.passes import logits_of, not_finite, passes, uncached
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
    wanted = _checked(masks, len(blocks_of(model)))
    whole = tuple((1.0, 1.0) if isinstance(gate, tuple) else 1.0 for gate in wanted[0])
    kept = Cache(cache, model, key)
    outcomes, counts, tokens, block_forwards = [], [], 0, 0
    branches = branches_of(model) if isinstance(wanted[0][0], tuple) else None
    with evaluating(model), _stand_ins(model) as (blocks, stand_ins):
        for number, inputs, mask, given in passes(model, batches, "ablating"):
            measure = kind(model, inputs, given)
            with kept.batch(inputs | measure.tensors) as known:
                missing = [gates for gates in dict.fromkeys(wanted) if gates not in known]
                first = whole if missing and measure.whole_first else None
                walk = _Walk(model, blocks, stand_ins, branches, inputs, measure, first)
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


class _StandIn(StandIn):
    """In a block's place: keeps how the block is called, and hands on what entered, or `leaving` where it is set.

    returned: what the block returns beside its hidden state; None where it returns the hidden state alone.
    """

    def __init__(self, block: nn.Module, returned: tuple | None):
        super().__init__(block)
        self.returned = returned
        self.entered: Tensor | None = None
        self.call: tuple[tuple, dict] | None = None
        self.leaving: Tensor | None = None

    def forward(self, hidden_states: Tensor, *args, **kwargs) -> Tensor | tuple:
        state = self.leaving
        if state is None:
            self.entered, self.call = hidden_states, (args, kwargs)
            state = hidden_states
        return state if self.returned is None else (state, *self.returned)


@contextmanager
def _stand_ins(model: nn.Module) -> Iterator[tuple[nn.ModuleList, nn.ModuleList]]:
    place, traces = place_of(model), _separable(model)
    pairs = zip(place.blocks, traces, strict=True)
    stand_ins = nn.ModuleList(_StandIn(block, trace.returned) for block, trace in pairs)
    place.put(stand_ins)
    try:
        yield place.blocks, stand_ins
    finally:
        place.put(place.blocks)


def _separable(model: nn.Module) -> list[Trace]:
    """How each block was run. Raises `InputError` where blocks hand on more than their hidden state."""
    traces = traced(model)
    for layer, trace in enumerate(traces):
        if trace.entangled:
            raise InputError(
                f"block {layer} of model family {family_of(model)!r} hands later blocks more than its hidden state, "
                f"so it cannot be run on its own; take a method without ablation, such as avss or block_influence"
            )
    return traces


class _Walk:
    """One batch through the trie of masks; the mask `first`, where there is one, is done before all others."""

    def __init__(self, model, blocks, stand_ins, branches, inputs, measure: Losses | Divergences, first: Mask | None):
        self.model, self.blocks, self.stand_ins, self.inputs = model, blocks, stand_ins, inputs
        self.measure, self.first = measure, first
        # A cache of keys and values would remember one mask's prefix in the next mask's suffix.
        self.flags = uncached(model)
        self.branches: list[Branches] | None = branches
        self.block_forwards = 0

    def outcomes(self, masks: list[Mask]) -> Iterator[tuple[Mask, Outcome]]:
        """Each mask with its outcome, in the order of the walk. The masks are distinct."""
        if not masks:
            return
        if self.first and self.first not in masks:
            masks = [self.first, *masks]
        pending = _branches(0, self._embed(), masks, self.first)
        while pending:
            depth, hidden, gate, members = pending.pop()
            hidden = self._step(depth, gate, hidden)
            if depth + 1 < len(self.blocks):
                pending += _branches(depth + 1, hidden, members, self.first)
            else:
                yield members[0], self._finish(hidden)

    def _embed(self) -> Tensor:
        self.model.base_model(**self.inputs, **self.flags)
        self.calls = [stand_in.call for stand_in in self.stand_ins]
        embedded = self.stand_ins[0].entered
        for stand_in in self.stand_ins:
            stand_in.entered = stand_in.call = None
        return embedded

    def _step(self, depth: int, gate: float | tuple[float, float], hidden: Tensor) -> Tensor:
        if gate == 0 or (gate == (0, 0) and self.branches[depth].norm_first):
            return hidden
        self.block_forwards += 1
        block, (args, kwargs) = self.blocks[depth], self.calls[depth]
        if isinstance(gate, tuple):
            names = self.branches[depth]
            with _gated(block, names.attention, gate[0]), _gated(block, names.mlp, gate[1]):
                return state_out(block(hidden, *args, **kwargs))
        leaving = state_out(block(hidden, *args, **kwargs))
        # Blocks may lie on different devices.
        return leaving if gate == 1 else torch.lerp(hidden.to(leaving.device), leaving, gate)

    def _finish(self, hidden: Tensor) -> Outcome:
        last = self.stand_ins[-1]
        last.leaving = hidden
        try:
            logits = logits_of(self.model, self.inputs)
        finally:
            last.leaving = None
        return self.measure(logits)


def _branches(depth: int, hidden: Tensor, masks: list[Mask], first: Mask | None) -> list[tuple]:
    """The edges of the trie that leave `hidden`, sorted: most masks first, and the edge to `first` last.

    Edges are taken from the end, so those to few masks are done before the edge to many. A hidden state waits while at
    most half of its masks are walked. So no more than log2(masks) of them wait at a time, besides those on the way to
    `first`.
    """
    groups: dict[float | tuple[float, float], list[Mask]] = {}
    for mask in masks:
        groups.setdefault(mask[depth], []).append(mask)
    ordered = sorted(groups.items(), key=lambda group: (first not in group[1], len(group[1])), reverse=True)
    return [(depth, hidden, gate, members) for gate, members in ordered]


@contextmanager
def _gated(block: nn.Module, branch: str, gate: float) -> Iterator[None]:
    with ExitStack() as stack:
        if gate != 1:
            linear = block.get_submodule(branch)
            stack.callback(linear.register_forward_hook(lambda module, args, output: output * gate).remove)
        yield
