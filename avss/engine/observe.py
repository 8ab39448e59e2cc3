"""One forward pass over a running model, from activations to moments, storing none of them.

Hooks on the chosen site of every block hand each activation to the statistics of its layer (`avss.engine.streams`).
The head is not run.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from avss.architectures import blocks_of, family_of
from avss.engine.branches import branches_of, joined, state_in, state_out
from avss.engine.gold import UNSCORED
from avss.engine.modes import evaluating
from avss.engine.parallel import together
from avss.engine.passes import device_of, no_batches, numbered_passes, require_finite, uncached
from avss.engine.streams import LayerStream, Room, close_batch
from avss.errors import InputError
from avss.moments import Moments
from avss.reading import Reading

Activation = Callable[[int, Tensor, Tensor | None], None]


@contextmanager
def hooked(model: nn.Module, site: str, receive: Activation) -> Iterator[None]:
    """Call `receive(layer, activation, base)` for every block of every forward pass inside the context.

    activation is (batch, tokens, features); base is None, or a tensor to subtract from it (for `block_update`). Several
    streams a token, as some families have, count as one of all their features. The hooks are removed on exit, whatever
    happens. Raises `InputError` for a site within a block in a family that has none there, and inside the context for
    blocks that do not run, or hand on no state a token.
    """
    blocks, whole = blocks_of(model), site in ("block_output", "block_update")
    branches = None if whole else branches_of(model)
    run = Run(model)

    def begin(module, args, kwargs):
        # The head of some families hands the tokens on without their name.
        run.begin((kwargs["input_ids"] if "input_ids" in kwargs else args[0]).shape)

    def attach(layer: int, block: nn.Module):
        def on_block(module, args, kwargs, output):
            leaving = state_out(output)
            run.check(layer, leaving)
            receive(layer, joined(leaving), joined(state_in(args, kwargs)) if site == "block_update" else None)

        if whole:
            return block.register_forward_hook(on_block, with_kwargs=True)
        if site == "mlp_hidden":
            return block.get_submodule(branches[layer].mlp).register_forward_pre_hook(
                lambda module, args: receive(layer, args[0], None)
            )
        branch = branches[layer].attention if site == "attention_output" else branches[layer].mlp
        return block.get_submodule(branch).register_forward_hook(
            lambda module, args, output: receive(layer, state_out(output), None)
        )

    with ExitStack() as stack:
        if whole:
            base = model.base_model
            stack.callback(base.register_forward_pre_hook(begin, with_kwargs=True).remove)
            stack.callback(base.register_forward_hook(lambda *_: run.end()).remove)
        for layer, block in enumerate(blocks):
            stack.callback(attach(layer, block).remove)
        yield


class Run:
    """Which blocks of a model have run in a forward pass, and whether each handed on one state a token."""

    def __init__(self, model: nn.Module):
        self.family, self.layers = family_of(model), range(len(blocks_of(model)))
        self.left, self.shape = [], ()

    def begin(self, shape: tuple[int, ...]) -> None:
        """A batch of this shape, (B, T), comes."""
        self.left, self.shape = list(self.layers), tuple(shape)

    def check(self, layer: int, leaving: Tensor) -> None:
        if layer in self.left:
            self.left.remove(layer)
        if tuple(leaving.shape[:2]) != self.shape:
            raise InputError(
                f"block {layer} of model family {self.family!r} hands on a state of shape {tuple(leaving.shape)} for "
                f"{self.shape} tokens, which is not one state a token; take another family, or method magnitude"
            )

    def end(self) -> None:
        if self.left:
            raise InputError(
                f"block {self.left[0]} of model family {self.family!r} does not run on text alone; take another family"
            )


def observe(
    model: nn.Module,
    batches: Iterable[dict],
    reading: Reading | str = "paper",
    *,
    epsilons: Iterable[float] = (),
    histogram: bool = False,
    labelled: bool = False,
) -> list[Moments]:
    """Moments of every block's activations over all batches, in one forward pass without the head.

    `batches` yields dicts of tensors (B, T): input_ids, attention_mask (absent: all tokens count), token_type_ids.
    `epsilons` are counted beside the reading's own; `histogram` keeps abs(a) in bins, for the whole curve S(epsilon).
    labelled: of the tokens that the reading counts, those alone count whose `labels` (B, T) are not -100.
    Returns M `Moments`, one row a document in each. The model may be split over devices, as `device_map="auto"` does:
    the statistics of a block stay on its device until the end. Several processes share the batches
    (`avss.engine.parallel.together`): all of them call this, with the same model and batches, and get the same moments.
    Raises `InputError` for an empty iterable, a batch of padding only, activations that are not finite (names the
    layer and the batch), and a model family without one list of blocks, or without the reading's site.
    """
    reading = Reading.parse(reading)
    wanted = tuple(dict.fromkeys([*([] if reading.quantile else [float(reading.epsilon)]), *map(float, epsilons)]))
    keeps_histogram = histogram or reading.quantile is not None

    def observed(numbered: Iterable[tuple[int, dict]]) -> list[Moments]:
        room = Room()
        streams = [LayerStream(reading, wanted, keeps_histogram, room) for _ in blocks_of(model)]
        batch_of = _run(model, numbered, reading, streams, labelled)
        moments = [stream.finish() for stream in streams if stream.documents]
        if moments:
            # A second look, because the batches on an accelerator had none.
            require_finite([kept.mean + kept.m2 for kept in moments], "activations", batch_of, model)
        return moments

    moments = together(batches, observed)
    if not moments:
        raise no_batches()
    return moments


def _run(
    model: nn.Module,
    numbered: Iterable[tuple[int, dict]],
    reading: Reading,
    streams: list[LayerStream],
    labelled: bool,
) -> list[int]:
    """Run the model on numbered batches and fill the streams, one a layer; the batch of each document."""
    mask, batch_of = torch.empty(0, dtype=torch.bool), []
    on_cpu = device_of(model).type == "cpu"

    def receive(layer: int, activation: Tensor, base: Tensor | None) -> None:
        streams[layer].add(activation, base, mask)

    with evaluating(model), hooked(model, reading.site, receive):
        for number, inputs, mask, labels in numbered_passes(model, numbered, "scoring", reading):
            if labelled:
                mask = mask.to(labels.device) & (labels != UNSCORED)
            model.base_model(**inputs, **uncached(model))
            close_batch(streams, mask)
            batch_of += [number] * len(mask)
            # On a CPU looking is free. On an accelerator it would wait for the device.
            if on_cpu:
                latest = [stream.documents[-1] for stream in streams]
                spread = torch.stack([(mean + m2).cpu() for _, mean, m2, _ in latest])
                require_finite(spread, "activations", number, model)
    return batch_of


__all__ = ["Activation", "evaluating", "hooked", "observe"]
