"""`score`, the one door to all methods."""

from collections.abc import Iterable

from torch import nn

from avss.architectures import unwrapped
from avss.engine.modes import unchanged
from avss.engine.passes import require_finite_weights
from avss.errors import InputError
from avss.methods.catalogue import method_named
from avss.reading import Reading
from avss.scores import LayerScores


def reading_for(method: str, reading: Reading | str) -> Reading:
    """The reading. Raises `InputError` for an unknown one, and for any but `paper` if the method has no readings."""
    reading = Reading.parse(reading)
    if reading != Reading() and "reading" not in method_named(method).options:
        raise InputError(f"method {method} has no readings, and reading is {reading.name!r}; leave the reading out")
    return reading


def score(
    model: nn.Module,
    batches: Iterable[dict] | None,
    method: str = "avss",
    reading: Reading | str = "paper",
    **options,
) -> LayerScores:
    """The importance of every layer of `model`, by `method`.

    batches: dicts of tensors (B, T) with `input_ids` and `attention_mask`, and `labels` where a method needs them;
    may be None for methods that read no text. reading: the choices that the equations of avss leave open; the other
    methods have none. options: the method's own, such as `seed` for `random`. On return the model is as it was
    (`avss.engine.modes.unchanged`). Raises `InputError` for an unknown method, reading or option, a reading for a
    method that has none, batches or activations that cannot be used, and numbers that are not finite.

    A model may be split over devices (`device_map="auto"`). Where it fits on one, several processes can share the
    batches, one an accelerator, on one machine or many::

        torchrun --nproc-per-node 4 -m avss.cli score MODEL --data DATA --out scores.csv

    or a script of one's own in place of `-m avss.cli`, also under `accelerate launch`. All processes call `score` with
    the same batches, of which each runs its part, and all get the same scores as one process would
    (`avss.engine.parallel`). That holds for methods with `split`, which is avss; with the others every process runs all
    batches.
    """
    model = unwrapped(model)
    chosen, reading = method_named(method), reading_for(method, reading)
    known = chosen.options
    unknown = set(options) - set(known)
    if unknown:
        known = ", ".join(name for name in known if name != "reading") or "none"
        raise InputError(f"method {method} has no option {', '.join(sorted(unknown))}; its options: {known}")
    if "reading" in known:
        options["reading"] = reading
    if chosen.reads_text and batches is None:
        raise InputError(f"method {method} needs batches of text; give an iterable of dicts of tensors")
    with unchanged(model):
        scores = chosen.function(model, batches, **options)
    if chosen.reads_text:
        require_finite_weights(model)
    return scores
