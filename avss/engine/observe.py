"""One forward pass over a running model, from activations to moments, storing none of them.

Hooks on the chosen site of every block hand each activation to the statistics of its layer (`avss.engine.streams`).
The head is not run.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from avss.architectures import architecture_of, blocks_of
from avss.engine.modes import evaluating
from avss.engine.parallel import together
from avss.engine.passes import device_of, no_batches, numbered_passes, require_finite, uncached
from avss.engine.streams import LayerStream, Room, close_batch
from avss.moments import Moments
from avss.reading import Reading

Activation = Callable[[int, Tensor, Tensor | None], None]


def _first(value) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


@contextmanager
def hooked(model: nn.Module, site: str, receive: Activation) -> Iterator[None]:
    """Call `receive(layer, activation, base)` for every block of every forward pass inside the context.

    activation is (batch, tokens, features); base is None, or a tensor to subtract from it (for `block_update`). The
    hooks are removed on exit, whatever happens.
    """
    names = architecture_of(model)

    def attach(layer: int, block: nn.Module):
        def on_block(module, args, kwargs, output):
            entering = args[0] if args else kwargs["hidden_states"]
            receive(layer, _first(output), entering if site == "block_update" else None)

        if site in ("block_output", "block_update"):
            return block.register_forward_hook(on_block, with_kwargs=True)
        if site == "mlp_hidden":
            return block.get_submodule(names.mlp).register_forward_pre_hook(
                lambda module, args: receive(layer, args[0], None)
            )
        branch = names.attention if site == "attention_output" else names.mlp
        return block.get_submodule(branch).register_forward_hook(
            lambda module, args, output: receive(layer, _first(output), None)
        )

    with ExitStack() as stack:
        for layer, block in enumerate(blocks_of(model)):
            handle = attach(layer, block)
            stack.callback(handle.remove)
        yield


def observe(
    model: nn.Module,
    batches: Iterable[dict],
    reading: Reading | str = "paper",
    *,
    epsilons: Iterable[float] = (),
    histogram: bool = False,
) -> list[Moments]:
    """Moments of every block's activations over all batches, in one forward pass without the head.

    `batches` yields dicts of tensors (B, T): input_ids, attention_mask (absent: all tokens count), token_type_ids.
    `epsilons` are counted beside the reading's own; `histogram` keeps abs(a) in bins, for the whole curve S(epsilon).
    Returns M `Moments`, one row a document in each. The model may be split over devices, as `device_map="auto"` does:
    the statistics of a block stay on its device until the end. Several processes share the batches
    (`avss.engine.parallel.together`): all of them call this, with the same model and batches, and get the same moments.
    Raises `InputError` for an empty iterable, a batch of padding only, activations that are not finite (names the
    layer and the batch) and a model family that is not in the table.
    """
    reading = Reading.parse(reading)
    wanted = tuple(dict.fromkeys([*([] if reading.quantile else [float(reading.epsilon)]), *map(float, epsilons)]))
    keeps_histogram = histogram or reading.quantile is not None

    def observed(numbered: Iterable[tuple[int, dict]]) -> list[Moments]:
        room = Room()
        streams = [LayerStream(reading, wanted, keeps_histogram, room) for _ in blocks_of(model)]
        batch_of = _run(model, numbered, reading, streams)
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
    model: nn.Module, numbered: Iterable[tuple[int, dict]], reading: Reading, streams: list[LayerStream]
) -> list[int]:
    """Run the model on numbered batches and fill the streams, one a layer; the batch of each document."""
    mask, batch_of = torch.empty(0, dtype=torch.bool), []
    on_cpu = device_of(model).type == "cpu"

    def receive(layer: int, activation: Tensor, base: Tensor | None) -> None:
        streams[layer].add(activation, base, mask)

    with evaluating(model), hooked(model, reading.site, receive):
        for number, inputs, mask, _ in numbered_passes(model, numbered, "scoring", reading):
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
