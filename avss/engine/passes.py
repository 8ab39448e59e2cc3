"""Passes of a model over batches: the steps that every loop over batches shares.

`passes` numbers the batches, shows progress, checks each batch before the model runs it, moves padding to the right and
sends the tensors to the model's device. `logits_of` runs the head. `require_finite` checks the numbers that come out.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from avss.engine.gold import is_classifier
from avss.errors import InputError
from avss.progress import progress
from avss.reading import Reading

# Every real token counts.
REAL = Reading()
# Dtypes of weights in which NaN and infinity can be looked for.
WIDE_ENOUGH = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class Pass(NamedTuple):
    """One batch, ready to run.

    number: its place among the batches, from 0. inputs: what the model is called with, (B, T) each, on the model's
    device. mask: (B, T) bool, where the batch was; True where a token counts. labels: the batch's own on the model's
    device, or None.
    """

    number: int
    inputs: dict[str, Tensor]
    mask: Tensor
    labels: Tensor | None


def passes(model: nn.Module, batches: Iterable[dict], description: str) -> Iterator[Pass]:
    """Every batch, ready to run, with a progress bar of this description.

    batches: dicts of tensors (B, T) with `input_ids`, and `attention_mask` where there is padding. Padding may be on
    either side and is moved to the right. Raises `InputError` for no batches and for a batch that cannot be used.
    """
    number = -1
    for each in numbered_passes(model, enumerate(batches), description, total=_length(batches)):
        number = each.number
        yield each
    if number < 0:
        raise no_batches()


def numbered_passes(
    model: nn.Module,
    numbered: Iterable[tuple[int, dict]],
    description: str,
    reading: Reading = REAL,
    total: int | None = None,
) -> Iterator[Pass]:
    """As `passes`, for batches that come with their numbers. An empty iterable is allowed.

    reading: which tokens count. Where padding counts, it stays where it is.
    """
    device = device_of(model)
    for number, batch in progress(numbered, description, total):
        inputs, mask = checked(batch, number)
        if batch.get("labels") is not None:
            inputs["labels"] = batch["labels"]
        if reading.padding == "excluded" and "attention_mask" in inputs:
            inputs = to_the_right(inputs)
            mask = inputs["attention_mask"].bool()
        inputs = {name: sent(value, device) for name, value in inputs.items()}
        yield Pass(number, inputs, counted(mask, reading), inputs.pop("labels", None))


def counted(real: Tensor, reading: Reading) -> Tensor:
    """The tokens that count under a reading, (B, T) bool, of those that are real."""
    counts = torch.ones_like(real) if reading.padding == "included" else real
    return counts & ~(real & (real.cumsum(1) == 1)) if reading.tokens == "after_first" else counts


def no_batches() -> InputError:
    """The error for an empty iterable of batches."""
    return InputError("no batches were given; give at least one document")


def _length(batches: Iterable) -> int | None:
    return len(batches) if hasattr(batches, "__len__") else None


def checked(batch: dict, number: int) -> tuple[dict[str, Tensor], Tensor]:
    """The model's inputs and the mask of real tokens, (B, T) bool.

    A batch that cannot be used raises `InputError` here, before the model runs it. A batch of padding alone is found
    only if it is on the CPU: to look at it on an accelerator would wait for the device.
    """
    if "input_ids" not in batch:
        raise InputError(
            f"batch {number} has no input_ids (it has {', '.join(batch) or 'nothing'}); tokenise the text first"
        )
    mask, shape = batch.get("attention_mask"), tuple(batch["input_ids"].shape)
    if len(shape) != 2 or (mask is not None and tuple(mask.shape) != shape):
        masked = "" if mask is None else f" and attention_mask {tuple(mask.shape)}"
        raise InputError(f"batch {number} has input_ids of shape {shape}{masked}; give both as (documents, tokens)")
    if mask is not None and mask.device.type == "cpu" and not bool(mask.any()):
        raise InputError(f"batch {number} holds padding only; drop empty documents before batching")
    inputs = {key: batch[key] for key in INPUTS if batch.get(key) is not None}
    return inputs, torch.ones_like(inputs["input_ids"], dtype=torch.bool) if mask is None else mask.bool()


def to_the_right(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same documents with their padding on the right; the batch has an `attention_mask`.

    Positions count from the start of a row, and encoders classify by its first token. So a document with padding
    before it would be another document to models with absolute positions and to encoders.
    """
    mask = batch["attention_mask"]
    rows, length = mask.shape
    # The first of the largest values is the first real token.
    start = mask.bool().int().argmax(1, keepdim=True)
    order = (torch.arange(length, device=mask.device) + start) % length

    def moved(values: Tensor) -> Tensor:
        return values.expand(rows, length).gather(1, order.to(values.device))

    return {name: moved(values) if values.ndim == 2 else values for name, values in batch.items()}


def device_of(model: nn.Module) -> torch.device:
    """Where the model's inputs go."""
    # Offloaded weights have no device. The hooks that load them then send the inputs where they belong.
    return torch.device("cpu") if model.device.type == "meta" else model.device


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on this device. A copy to an accelerator does not block."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def uncached(model: nn.Module) -> dict[str, bool]:
    """The option that tells a model not to keep the keys and values of its blocks; empty for a model without one."""
    return {"use_cache": False} if hasattr(model.config, "use_cache") else {}


def logits_of(model: nn.Module, inputs: dict[str, Tensor], **options) -> Tensor:
    """The logits of the model's head, (B, C) of a classifier or (B, T, V) of a causal language model.

    A decoder with a classification head reads the last real token by `attention_mask`. transformers looks for the last
    token that differs from `config.pad_token_id`, which depends on the padding where tokenizer and config differ.
    options: as the model's own forward takes them, for a causal language model.
    """
    options = uncached(model) | options
    # transformers names the head of every decoder that classifies `score`; those of encoders are named otherwise.
    head = getattr(model, "score", None)
    if head is None or not is_classifier(model):
        return model(**inputs, **options).logits
    hidden = model.base_model(**inputs, **options).last_hidden_state
    mask = inputs.get("attention_mask")
    length = hidden.shape[1]
    if mask is None:
        return head(hidden)[:, -1]
    last = (length - 1 - mask.bool().flip(1).int().argmax(1)).to(hidden.device)
    logits = head(hidden)
    return logits[torch.arange(len(logits), device=logits.device), last.to(logits.device)]


def require_finite(values: ArrayLike, quantity: str, numbers: ArrayLike, model: nn.Module) -> None:
    """Raises `InputError` that names the first layer with a value that is not finite, its batch and the dtype.

    values: (M, D), one row a layer and one column a document or batch. numbers: the batch of each column, (D,), or of
    all of them.
    """
    wrong = ~np.isfinite(np.asarray(values, dtype=np.float64))
    if wrong.any():
        layer, column = np.argwhere(wrong)[0]
        raise not_finite(f"layer {layer}", quantity, np.broadcast_to(numbers, wrong.shape[1:])[column], model)


def require_finite_weights(model: nn.Module) -> None:
    """Raises `InputError` that names the first parameter that holds NaN or infinity.

    It is for the end of a run whose results are finite: torch's fused attention on CPUs gives zeros for queries that
    are NaN, so a model with such weights can have finite outputs.
    """
    for name, parameter in model.named_parameters():
        if parameter.dtype not in WIDE_ENOUGH or parameter.is_meta or not parameter.numel():
            continue
        if not bool(torch.linalg.vector_norm(parameter.detach(), torch.inf).isfinite()):
            raise InputError(f"parameter {name} holds NaN or infinite numbers; fetch or train the model again")


def not_finite(where: str, quantity: str, number: int, model: nn.Module) -> InputError:
    """The error for numbers that are not finite. It names the layer, mask or task, the batch and the dtype."""
    dtype = str(model.dtype).removeprefix("torch.")
    return InputError(
        f"{where} has NaN or infinite {quantity} in batch {number} (the model runs in {dtype}); "
        f"load the model in a wider dtype, or check its weights"
    )
