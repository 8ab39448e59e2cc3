"""One batch through the trie of layer masks: masks that begin alike share their first blocks, which run once.

The trie is walked depth first. Embeddings, final norm and head are the model's own: its forward runs with stand-ins in
place of the blocks, once to learn how each block is called, and once a mask to turn the last hidden state into logits.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from avss.architectures import family_of, place_of
from avss.engine.branches import Branches, StandIn, Trace, state_out, traced
from avss.engine.coalitions import Mask, Scale
from avss.engine.passes import logits_of, uncached
from avss.errors import InputError

Found = TypeVar("Found")


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
def standing_in(model: nn.Module, traces: list[Trace]) -> Iterator[tuple[nn.ModuleList, nn.ModuleList]]:
    """The model's blocks, and the stand-ins that are in their places inside the context. traces: of `separable`."""
    place = place_of(model)
    pairs = zip(place.blocks, traces, strict=True)
    stand_ins = nn.ModuleList(_StandIn(block, trace.returned) for block, trace in pairs)
    place.put(stand_ins)
    try:
        yield place.blocks, stand_ins
    finally:
        place.put(place.blocks)


def separable(model: nn.Module) -> list[Trace]:
    """How each block was run. Raises `InputError` where blocks hand on more than their hidden state."""
    traces = traced(model)
    for layer, trace in enumerate(traces):
        if trace.entangled:
            raise InputError(
                f"block {layer} of model family {family_of(model)!r} hands later blocks more than its hidden state, "
                f"so it cannot be run on its own; take a method without ablation, such as avss or block_influence"
            )
    return traces


class Walk(Generic[Found]):
    """One batch through the trie of masks.

    blocks, stand_ins: as `standing_in` gives them. inputs: of the model, on its device. measure: what is wanted of the
    logits of a mask. options: for the head, as `logits_of` takes them. branches: of each block, where masks gate them
    apart. first: a mask that is done before all others.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: nn.ModuleList,
        stand_ins: nn.ModuleList,
        inputs: dict[str, Tensor],
        measure: Callable[[Tensor], Found],
        *,
        options: dict | None = None,
        branches: list[Branches] | None = None,
        first: Mask | None = None,
    ):
        self.model, self.blocks, self.stand_ins, self.inputs = model, blocks, stand_ins, inputs
        self.measure, self.options, self.first = measure, options or {}, first
        # A cache of keys and values would remember one mask's prefix in the next mask's suffix.
        self.flags = uncached(model)
        self.branches = branches
        self.block_forwards = 0

    def outcomes(self, masks: list[Mask]) -> Iterator[tuple[Mask, Found]]:
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

    def _step(self, depth: int, gate: float | tuple[float, float] | Scale, hidden: Tensor) -> Tensor:
        if isinstance(gate, Scale):
            return hidden * gate.factor
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

    def _finish(self, hidden: Tensor) -> Found:
        last = self.stand_ins[-1]
        last.leaving = hidden
        try:
            logits = logits_of(self.model, self.inputs, **self.options)
        finally:
            last.leaving = None
        return self.measure(logits)


def _branches(depth: int, hidden: Tensor, masks: list[Mask], first: Mask | None) -> list[tuple]:
    """The edges of the trie that leave `hidden`, sorted: most masks first, and the edge to `first` last.

    Edges are taken from the end, so those to few masks are done before the edge to many. A hidden state waits while at
    most half of its masks are walked. So no more than log2(masks) of them wait at a time, besides those on the way to
    `first`.
    """
    groups: dict[float | tuple[float, float] | Scale, list[Mask]] = {}
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
