"""Magnitude compensation: the residual stream behind removed blocks gets back the size that they gave it.

A cut is a maximal run of removed blocks. At each cut the hidden state is multiplied by

    s = mean over channels c of (mean over tokens of abs(h_out,c)) / (mean over tokens of abs(h_in,c)),

where h_in enters the run and h_out leaves it (Prune&Comp, arXiv 2507.18212). Here all cuts are measured jointly, in the
model before any removal. The paper removes one block at a time and measures in the compensated model that is left:
prune one block, score again, prune the next.

No weight multiplies a residual stream, so other weights carry the factor.

- Where branches normalise what they read, and a norm follows the last block, the stream behind the cut is divided by s
  instead: the output matrices and biases of all branches behind it are. Prune&Comp multiplies the embedding and the
  blocks before the cut. Both compute the same but for the epsilon of the norms. Behind the cut the stream is larger, so
  epsilon matters less, and embedding and head stay as they are, tied or not. With v, the variance (LayerNorm) or mean
  square (RMSNorm) of the divided stream, the output of a norm behind the cut is off by the share
  epsilon abs(1 - 1/s^2) / (2 v).
- Where a norm ends the embedding and each block, as in BERT, the gain and bias of the norm before the cut are
  multiplied by s, which is exact.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from avss.architectures import blocks_of
from avss.engine.branches import branches_of
from avss.engine.modes import evaluating
from avss.engine.observe import hooked
from avss.engine.passes import passes, uncached
from avss.errors import InputError
from avss.selection import checked_layers, runs_of


class Cut(NamedTuple):
    """A maximal run of removed blocks, its first and last index in the whole model, and the factor s behind it."""

    first: int
    last: int
    scale: float


def factors(model: nn.Module, runs: Iterable[tuple[int, int]], batches: Iterable[dict]) -> list[Cut]:
    """The factor of each of these runs of blocks, which may overlap, from one forward pass over the whole model.

    runs: as `avss.selection.runs_of` gives them. The model does not change. batches, sums and errors are those of
    `compensate`.
    """
    if isinstance(batches, Mapping) or not isinstance(batches, Iterable):
        raise InputError(
            f"batches for compensation are of type {type(batches).__name__}; give an iterable of batches, such as "
            f"avss.batches makes of a list of texts"
        )
    runs = list(runs)
    _check(model, runs)
    return _measured(model, runs, batches)


@contextmanager
def scaling(model: nn.Module, layers: Iterable[int], scales: Sequence[float]) -> Iterator[None]:
    """The model, from which these layers are gone, with the hidden state behind each run of them times its factor.

    layers: indices in the whole model. scales: one factor a run, as `checked_scales` leaves them. Hooks on the blocks
    multiply, so no weight changes; they are removed on exit, also on error.
    """
    gone, left = list(layers), blocks_of(model)
    with ExitStack() as stack:
        for (first, _), scale in zip(runs_of(gone), scales, strict=True):
            place = first - sum(layer < first for layer in gone)
            if place < len(left):
                handle = left[place].register_forward_pre_hook(partial(_entering, scale), with_kwargs=True)
            else:
                handle = left[-1].register_forward_hook(partial(_leaving, scale))
            stack.callback(handle.remove)
        yield


def _entering(scale: float, block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    if args:
        return (args[0] * scale, *args[1:]), kwargs
    return args, kwargs | {"hidden_states": kwargs["hidden_states"] * scale}


def _leaving(scale: float, block: nn.Module, args: tuple, output):
    return type(output)((output[0] * scale, *output[1:])) if isinstance(output, (tuple, list)) else output * scale


def checked_scales(layers: Iterable[int], scales: Iterable[float]) -> list[float]:
    """The factors as a list. Raises `InputError` unless there is a finite one above 0 for each run of these layers."""
    scales, runs = list(scales), runs_of(layers)
    if len(scales) != len(runs):
        raise InputError(f"{len(scales)} scales for {len(runs)} runs of removed layers; give one a run, in order")
    for scale in scales:
        if not 0 < scale < float("inf"):
            raise InputError(f"scale {scale!r} is no finite number above 0; take it from avss.compensation.factors")
    return scales


def compensate(model: nn.Module, layers: Iterable[int], batches: Iterable[dict]) -> list[Cut]:
    """Put the factor of each cut into the weights of the blocks that stay, in place; `layers` are to be removed next.

    batches: as for `avss.score`, dicts of tensors (B, T). Sums are over real tokens, in float64. A channel that is zero
    on every token before the cut has no ratio and is left out of the mean. Each weight is rounded once to its dtype.
    Returns the cuts, ascending. Raises `InputError`, before anything has changed, for layers as `avss.prune` does, for
    no batch, for activations or a factor that are not finite or zero, and for a model whose weights cannot hold the
    factor.
    """
    cuts = factors(model, runs_of(checked_layers(layers, len(blocks_of(model)))), batches)
    changes = _changes(model, cuts)
    for parameter, factor in changes:
        if parameter.abs().max().double() * factor > torch.finfo(parameter.dtype).max:
            raise InputError(
                f"a weight times {factor:.3g} does not fit in {parameter.dtype}; load the model in a wider dtype"
            )
    with torch.no_grad():
        for parameter, factor in changes:
            parameter.copy_(parameter.double() * factor)
    return cuts


def _norms_first(model: nn.Module) -> bool:
    return all(branches.norm_first for branches in branches_of(model))


def _branch_ends(model: nn.Module) -> list[dict[str, nn.Module]]:
    """The modules whose outputs each block adds to the residual stream, by their paths in it."""
    return [
        {path: block.get_submodule(path) for path in (names.attention, names.mlp)}
        for block, names in zip(blocks_of(model), branches_of(model), strict=True)
    ]


def _check(model: nn.Module, runs: list[tuple[int, int]]) -> None:
    """Raises `InputError` for a model whose weights cannot hold a factor at these cuts."""
    if any(parameter.is_meta for parameter in model.parameters()):
        raise _refusal(model, "some of its weights are offloaded")
    if not _norms_first(model):
        for first, _ in runs:
            _norm_before(model, first)
        return
    if not _norms_outside(model):
        raise _refusal(model, "no norm follows its last block")
    for layer, ends in enumerate(_branch_ends(model)):
        for path, module in ends.items():
            if not (isinstance(module, nn.Linear | Conv1D) and module.weight.is_floating_point()):
                raise _refusal(model, f"{path} of layer {layer}, a {type(module).__name__}, is no plain linear layer")


def _refusal(model: nn.Module, reason: str) -> InputError:
    return InputError(f"this {model.config.model_type} model cannot be compensated: {reason}; prune it without")


def _norms_outside(model: nn.Module) -> list[nn.Module]:
    """The norms of the base model that belong to no block."""
    inside = set(blocks_of(model).modules())
    return [part for part in model.base_model.modules() if part not in inside and "Norm" in type(part).__name__]


def _norm_before(model: nn.Module, layer: int) -> nn.Module:
    """The norm whose output enters this block, in a model where a norm ends the embedding and each block."""
    if layer:
        found = [part for part in blocks_of(model)[layer - 1].modules() if "Norm" in type(part).__name__][-1:]
    else:
        found = _norms_outside(model)
    if len(found) != 1 or not any(True for _ in found[0].parameters(recurse=False)):
        raise _refusal(model, f"no norm with a gain ends where layer {layer} begins")
    return found[0]


def _measured(model: nn.Module, runs: list[tuple[int, int]], batches: Iterable[dict]) -> list[Cut]:
    """The factor of each cut, from one forward pass over the whole model without the head."""
    # Sums of absolute values a channel, before and behind each cut, by the layer that they enter or leave.
    entering = dict.fromkeys((first for first, _ in runs), 0)
    leaving = dict.fromkeys((last for _, last in runs), 0)
    # The outputs of the norms before the cuts, where norms come last: they have to be the inputs of the runs.
    normed: dict[int, Tensor] = {}
    mask = torch.empty(0, dtype=torch.bool)

    def receive(layer: int, output: Tensor, given: Tensor | None) -> None:
        if layer in normed and not torch.allclose(
            normed[layer].to(given.device), given, rtol=0, atol=0, equal_nan=True
        ):
            raise _refusal(model, f"no norm with a gain ends where layer {layer} begins")
        for sums, hidden in ((entering, given), (leaving, output)):
            if layer in sums:
                real = hidden.reshape(-1, hidden.shape[-1])[mask.to(hidden.device).reshape(-1)]
                sums[layer] = sums[layer] + real.to(torch.float64).abs().sum(0)

    # Before the hooks, as it runs the model on a text of its own.
    norms_last = not _norms_first(model)
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(hooked(model, "block_update", receive))
        for first in entering if norms_last else ():
            norm = _norm_before(model, first)
            handle = norm.register_forward_hook(
                lambda module, args, output, first=first: normed.update({first: output})
            )
            stack.callback(handle.remove)
        for each in passes(model, batches, "calibrating"):
            mask = each.mask
            model.base_model(**each.inputs, **uncached(model))
    return [Cut(first, last, _scale(first, last, entering[first].cpu(), leaving[last].cpu())) for first, last in runs]


def _scale(first: int, last: int, before: Tensor, behind: Tensor) -> float:
    """The factor of one cut. before, behind: (F,) float64, sums of absolute values of each channel."""
    moving = before > 0
    scale = (behind[moving] / before[moving]).mean().item()
    finite = torch.stack((before, behind)).isfinite().all()
    if not (finite and 0 < scale < float("inf")):
        raise InputError(
            f"the factor for removed layers {first} to {last} is {scale:g}: hidden states there are zero, NaN or "
            f"infinite; load the model in a wider dtype, or prune it without compensation"
        )
    return scale


def _changes(model: nn.Module, cuts: list[Cut]) -> list[tuple[nn.Parameter, float]]:
    """The parameters that hold the factors, each with the number that it is multiplied by."""
    if not _norms_first(model):
        changes = [(_norm_before(model, cut.first), cut.scale) for cut in cuts]
    else:
        removed = {layer for cut in cuts for layer in range(cut.first, cut.last + 1)}
        changes, ends = [], _branch_ends(model)
        for layer in range(cuts[0].last + 1, len(blocks_of(model))):
            if layer not in removed:
                factor = 1 / math.prod(cut.scale for cut in cuts if cut.last < layer)
                changes += [(module, factor) for module in ends[layer].values()]
    return [(parameter, factor) for module, factor in changes for parameter in module.parameters(recurse=False)]
