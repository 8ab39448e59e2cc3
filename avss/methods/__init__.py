"""The registry of methods, and `score`, the one door to all of them. A new method is a new file and a new line here."""

from collections.abc import Iterable

from torch import nn

from avss.errors import InputError, look_up
from avss.methods import (
    angular,
    avss,
    block_influence,
    cim,
    gbis,
    greedy,
    last,
    leave_one_out,
    lrp,
    magnitude,
    random,
    taylor,
)
from avss.methods.base import Method
from avss.reading import Reading
from avss.scores import LayerScores

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (
        avss,
        random,
        last,
        magnitude,
        gbis,
        lrp,
        cim,
        taylor,
        block_influence,
        angular,
        leave_one_out,
        greedy,
    )
}


def method_named(name: str) -> Method:
    """The method, or `InputError` naming those that exist."""
    return look_up("method", name, METHODS)


def score(
    model: nn.Module,
    batches: Iterable[dict] | None,
    method: str = "avss",
    reading: Reading | str = "paper",
    **options,
) -> LayerScores:
    """The importance of every layer of `model`, by `method`.

    batches: dicts of tensors (B, T) with `input_ids` and `attention_mask`, and `labels` where a method needs them;
    may be None for methods that read no text. reading: what the equations leave open (methods other than avss ignore
    it). options: the method's own, such as `seed` for `random`. Raises `InputError` for an unknown method, reading or
    option, and for batches or activations that cannot be used.

    A model may be split over devices (`device_map="auto"`). Where it fits on one, several processes can share the
    batches, one an accelerator, on one machine or many:

        torchrun --nproc-per-node 4 -m avss.cli score MODEL --data DATA --out scores.csv

    or a script of one's own in place of `-m avss.cli`, also under `accelerate launch`. All processes call `score` with
    the same batches, of which each runs its part, and all get the same scores as one process would
    (`avss.engine.parallel`). That holds for methods with `split`, which is avss; with the others every process runs all
    batches.
    """
    chosen, reading = method_named(method), Reading.parse(reading)
    unknown = set(options) - set(chosen.options)
    if unknown:
        known = ", ".join(chosen.options) or "none"
        raise InputError(f"method {method} has no option {', '.join(sorted(unknown))}; its options: {known}")
    if chosen.reads_text and batches is None:
        raise InputError(f"method {method} needs batches of text; give an iterable of dicts of tensors")
    return chosen.function(model, batches, reading, **options)
