"""A model without each of several sets of blocks, batch by batch: blocks that come before the sets part run once.

A task keeps its one loop over batches and gets, of every batch, what it wants of the logits without each set in turn.
The sets are masks of the trie in `avss.engine.trie`. A model whose blocks cannot be run on their own runs once a set.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.compensation import checked_scales
from avss.engine.coalitions import Cache, Mask, Scale
from avss.engine.modes import evaluating
from avss.engine.passes import logits_of
from avss.engine.trie import Walk, separable, standing_in
from avss.errors import InputError
from avss.pruning import changed, kept_layers
from avss.selection import runs_of
from avss.surgery import Changes, changes_for

# Each quantity of a batch as a list of numbers.
Numbers = list[list[float]]


class _Set(NamedTuple):
    """Blocks to remove; scales: one factor a run of them, or none at all."""

    layers: list[int]
    scales: list[float]
    changes: Changes

    def mask(self, depth: int) -> Mask:
        gates: list[float | Scale] = [float(layer not in set(self.layers)) for layer in range(depth)]
        for (_, last), factor in zip(runs_of(self.layers), self.scales, strict=bool(self.scales)):
            gates[last] = Scale(factor)
        return tuple(gates)


class Removals:
    """What runs a batch without each set of blocks; made by `removing`.

    block_forwards: blocks run so far, each on one batch.
    """

    def __init__(self, model: nn.Module, sets: Sequence[_Set], cache: Cache):
        self.model, self.cache = model, cache
        self.block_forwards = 0
        depth = len(blocks_of(model))
        self.masks = [each.mask(depth) for each in sets]
        self.sets = dict(zip(self.masks, sets, strict=True))
        self.parts: tuple[nn.ModuleList, nn.ModuleList] | None = None

    def each(
        self,
        inputs: dict[str, Tensor],
        measure: Callable[[Tensor], Numbers],
        scored: Mapping[str, Tensor] | None = None,
        **options,
    ) -> Iterator[tuple[int, Numbers]]:
        """The index of each set with what `measure` gives for its logits, in the order in which they are at hand.

        inputs: of the model, on its device. options: for the head, as `logits_of` takes them. scored: tensors besides
        the inputs that decide what is measured; what is kept is found again by the content of both.
        """
        with self.cache.batch(inputs | dict(scored or {})) as known:
            missing = [mask for mask in dict.fromkeys(self.masks) if mask not in known]
            if missing:
                for mask, found in self._run(missing, inputs, measure, options):
                    known.add(mask, found, [])
            for index, mask in enumerate(self.masks):
                yield index, known[mask]

    def _run(self, masks: list[Mask], inputs, measure, options) -> Iterator[tuple[Mask, Numbers]]:
        if self.parts:
            walk = Walk(self.model, *self.parts, inputs, measure, options=options)
            yield from walk.outcomes(masks)
            self.block_forwards += walk.block_forwards
            return
        for mask in masks:
            gone = self.sets[mask]
            with changed(self.model, gone.changes, gone.layers, gone.scales):
                yield mask, measure(logits_of(self.model, inputs, **options))
            self.block_forwards += mask.count(1)


def with_scales(
    removed: Sequence[Sequence[int]], scales: Sequence[Iterable[float]] | None
) -> Iterator[tuple[Sequence[int], Iterable[float] | None]]:
    """Each set of blocks with its factors; None for each where nothing is scaled."""
    return zip(removed, [None] * len(removed) if scales is None else scales, strict=True)


@contextmanager
def removing(
    model: nn.Module,
    removed: Sequence[Sequence[int]],
    *,
    scales: Sequence[Iterable[float]] | None = None,
    cache: str | os.PathLike | None = None,
    key: str | None = None,
) -> Iterator[Removals]:
    """The model, in evaluation mode and without gradients, ready to run without each of these sets of blocks.

    removed: indices of blocks, one sequence a set; an empty one stands for the whole model. scales: for each set the
    factors of the hidden state behind its cuts, as `skipping` takes them. cache, key: as `ablate` takes them. Besides
    the hidden state that a batch has anyway, at most log2(sets) of them wait. On exit the model is as it was, also
    after an error. Raises `InputError` for a set, or scales, that `skipping` refuses.
    """
    sets = [
        _Set(
            list(layers),
            [] if factors is None else checked_scales(layers, factors),
            changes_for(model, kept_layers(model, layers)) if len(layers) else Changes(),
        )
        for layers, factors in with_scales(removed, scales)
    ]
    kept = Cache(cache, model, key)
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        running = Removals(model, sets, kept)
        if any(map(len, removed)):
            try:
                traces = separable(model)
            except InputError:
                # Each set then runs as `skipping` runs it.
                pass
            else:
                running.parts = stack.enter_context(standing_in(model, traces))
        yield running
