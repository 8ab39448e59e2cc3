"""One pass over a model that several watchers share: each sees what enters and what leaves every block.

So scores that compare blocks, and the moments of activations, come from the same forward pass. The head is not run.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.engine.modes import evaluating
from avss.engine.observe import hooked
from avss.engine.passes import counted, passes, require_finite, uncached
from avss.engine.streams import LayerStream, Room, close_batch
from avss.moments import Moments
from avss.reading import Reading


class Watcher(Protocol):
    """What a pass shows its blocks to: `begin` of a batch, `receive` once a block, in order, and `end`."""

    def begin(self, number: int, mask: Tensor) -> None:
        """Batch `number` comes, with the mask (B, T) bool of its real tokens, on the device of the inputs."""

    def receive(self, block: int, entering: Tensor, leaving: Tensor) -> None:
        """The hidden states before and after a block, (B, T, F) each, maybe on different devices."""

    def end(self) -> None:
        """All blocks have run. Raises `InputError` for numbers that are not finite."""


def watch(model: nn.Module, batches: Iterable[dict], watchers: Sequence[Watcher]) -> None:
    """Run the model on all batches and show every block to every watcher.

    batches: dicts of tensors (B, T) with `input_ids` and `attention_mask`; read once. transformers' own last hidden
    state is after the final norm and would be wrong for the last block, so hooks on the blocks are used. Raises
    `InputError` for batches that cannot be used, and what the watchers raise.
    """

    def receive(block: int, leaving: Tensor, entering: Tensor) -> None:
        for watcher in watchers:
            watcher.receive(block, entering, leaving)

    with evaluating(model), hooked(model, "block_update", receive):
        for number, inputs, mask, _ in passes(model, batches, "comparing"):
            for watcher in watchers:
                watcher.begin(number, mask)
            model.base_model(**inputs, **uncached(model))
            for watcher in watchers:
                watcher.end()


class Statistics:
    """The moments of every block's output, under readings that differ in their tokens alone; a watcher.

    The sums over the features of a token do not depend on the tokens that count, so they are made once.
    """

    def __init__(self, model: nn.Module, readings: Sequence[Reading]):
        self.model, self.readings, room = model, readings, Room()
        self.streams = [
            [LayerStream(reading, (float(reading.epsilon),), False, room) for _ in blocks_of(model)]
            for reading in readings
        ]
        self.number, self.mask, self.batch_of = 0, torch.empty(0, dtype=torch.bool), []

    def begin(self, number: int, mask: Tensor) -> None:
        self.number, self.mask = number, mask
        self.batch_of += [number] * len(mask)

    def receive(self, block: int, entering: Tensor, leaving: Tensor) -> None:
        first, *others = (streams[block] for streams in self.streams)
        first.add(leaving, None, self.mask)
        for other in others:
            other.width, other.sums = first.width, first.sums

    def end(self) -> None:
        for reading, streams in zip(self.readings, self.streams, strict=True):
            close_batch(streams, counted(self.mask, reading))
        latest = [stream.documents[-1] for stream in self.streams[0]]
        # The check is free on a CPU. On an accelerator it would wait for the device.
        if latest[0][1].device.type == "cpu":
            spread = torch.stack([(mean + m2).cpu() for _, mean, m2, _ in latest])
            require_finite(spread, "activations", self.number, self.model)

    def moments(self) -> list[list[Moments]]:
        """For each reading, the moments of every block. Raises `InputError` for numbers that are not finite."""
        found = [[stream.finish() for stream in streams] for streams in self.streams]
        require_finite([kept.mean + kept.m2 for kept in found[0]], "activations", self.batch_of, self.model)
        return found
