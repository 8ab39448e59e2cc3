"""Removing blocks from a model so that what is left is a plain, smaller model of the same class.

The list of blocks, the depth in the config, every per-layer list of the config and the cache index of every attention
move together (`avss.surgery`); that is what makes a saved checkpoint load with the plain Auto class and generate with
its cache.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from safetensors import SafetensorError
from torch import nn

from avss import compensation
from avss.architectures import adapted, architecture_of, blocks_of, unwrapped
from avss.errors import InputError
from avss.files import reachable, sha256, whole_folder
from avss.outputs import FACTS, check_own_folder, check_space, checked_output
from avss.selection import checked_layers
from avss.surgery import Changes, changes_for

# A flag of GPT-2 and its kin, under which a block computes something else where its index is another.
SCALES_BY_INDEX = "scale_attn_by_inverse_layer_idx"


def kept_layers(model: nn.Module, layers: Iterable[int]) -> list[int]:
    """The indices of the blocks that stay, ascending. Raises `InputError` as `prune`."""
    reason = architecture_of(model).bound
    if getattr(model.config, SCALES_BY_INDEX, False):
        reason = f"config.{SCALES_BY_INDEX} is True: each block scales by its index"
    if reason:
        raise InputError(
            f"{reason}, so a block that moves up computes something else; no layer of such a model can be removed"
        )
    total = len(blocks_of(model))
    removed = set(checked_layers(layers, total))
    return [index for index in range(total) if index not in removed]


def prune(model: nn.Module, layers: Iterable[int], *, compensate: Iterable[dict] | None = None) -> nn.Module:
    """Remove these blocks (indices from 0) in place and return the model.

    compensate: calibration batches, dicts of tensors (B, T) as `avss.batches` gives. With them the hidden state behind
    each run of removed blocks gets back its size; `avss.compensation.compensate` has the formula.

    A wrapper of torch, such as torch.compile, is returned as it was given, with the smaller model inside. Raises
    `InputError` for a layer out of range or named twice, for no layer or all, for a model without one list of blocks,
    for one whose blocks scale by their index, for one with an adapter that is not merged, for one that would no longer
    be what its config describes, and, with `compensate`, as `avss.compensation.compensate` does.
    """
    layers, whole = list(layers), unwrapped(model)
    if adapted(whole):
        raise InputError(
            f"an adapter acts in this {type(whole).__name__}, and would not fit the pruned one; merge it first, with "
            f"model = model.merge_and_unload()"
        )
    changes = changes_for(whole, kept_layers(whole, layers))
    if compensate is not None:
        compensation.compensate(whole, layers, compensate)
    changes.apply()
    return model


@contextmanager
def skipping(model: nn.Module, layers: Iterable[int], scales: Iterable[float] | None = None) -> Iterator[nn.Module]:
    """The model without these blocks, inside the context; nothing is copied and everything is restored, also on error.

    scales: for each maximal run of removed blocks, ascending, the factor of the hidden state behind it, as
    `avss.compensation.factors` measures it: the model that `prune` makes with `compensate`, but for rounding and the
    epsilon of norms. Unlike those of `prune`, `layers` may be empty. Raises `InputError` as it does, and for scales
    that are not one finite factor above 0 a run.
    """
    layers, whole = list(layers), unwrapped(model)
    changes = changes_for(whole, kept_layers(whole, layers)) if layers else Changes()
    with changed(whole, changes, layers, [] if scales is None else compensation.checked_scales(layers, scales)):
        yield model


@contextmanager
def changed(model: nn.Module, changes: Changes, layers: list[int], scales: list[float]) -> Iterator[None]:
    """The model with these changes, by which `layers` go; scales: one factor a run of them, or none at all."""
    with ExitStack() as stack:
        stack.callback(changes.undo)
        changes.apply()
        if scales:
            stack.enter_context(compensation.scaling(model, layers, scales))
        yield


def parameter_share(model: nn.Module, layers: Iterable[int]) -> float:
    """The share of the model's parameters (tied ones counted once) that these blocks hold."""
    blocks = blocks_of(unwrapped(model))
    gone = sum(parameter.numel() for layer in layers for parameter in blocks[layer].parameters())
    return gone / sum(parameter.numel() for parameter in model.parameters())


def save_pruned(model: nn.Module, tokenizer, folder: str | os.PathLike, facts: dict, *, force: bool = False) -> None:
    """Save model and tokenizer as safetensors, and `facts` as `pruning.json`, whole or not at all.

    `pruning.json` also lists the SHA-256 of every other file, by which `force` knows its own folders. Raises
    `InputError` where the parent folder does not exist or has not enough space, and where `folder` exists and `force`
    is not given, or it holds anything that this function did not write. Raises `OSError` where writing fails; an
    existing folder is then still there.
    """
    model = unwrapped(model)
    folder = checked_output(folder, force, folder=True, own=check_own_folder)
    tensors = {tensor.data_ptr(): tensor for tensor in (*model.parameters(), *model.buffers())}
    check_space(folder, sum(tensor.nbytes for tensor in tensors.values()))
    with whole_folder(folder) as made:
        with reachable(made) as place:
            try:
                model.save_pretrained(place, safe_serialization=True)
            except SafetensorError as error:
                raise OSError(errno.EIO, f"the weights cannot be written ({error})", str(folder)) from error
            tokenizer.save_pretrained(place)
        files = {path.relative_to(made).as_posix(): sha256(path) for path in sorted(made.rglob("*")) if path.is_file()}
        (made / FACTS).write_text(json.dumps(facts | {"files": files}, indent=1) + "\n", encoding="utf-8")
