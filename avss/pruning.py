"""Removing blocks from a model so that what is left is a plain, smaller model of the same class.

The list of blocks, the depth in the config, every per-layer list of the config and the cache index of every attention
move together; that is what makes a saved checkpoint load with the plain Auto class and generate with its cache.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from safetensors import SafetensorError
from torch import nn

from avss import compensation
from avss.architectures import architecture_of, blocks_of
from avss.errors import InputError
from avss.files import sha256, whole_folder
from avss.outputs import FACTS, check_own_folder, check_space, checked_output
from avss.selection import checked_layers


def _per_layer_lists(config, depth: int) -> dict[str, list]:
    """The config's lists with one entry a layer, such as `layer_types`."""
    return {
        name: value
        for name, value in vars(config).items()
        if "layer" in name and isinstance(value, (list, tuple)) and len(value) == depth
    }


def _install(model: nn.Module, blocks: nn.ModuleList) -> None:
    """Put this list of blocks into the model and number their attention caches from 0."""
    parent, _, name = architecture_of(model).blocks.rpartition(".")
    setattr(model.base_model.get_submodule(parent), name, blocks)
    for index, block in enumerate(blocks):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = index


def _shorten(model: nn.Module, keep: list[int]) -> None:
    blocks, config = blocks_of(model), model.config
    lists = _per_layer_lists(config, len(blocks))
    _install(model, nn.ModuleList(blocks[index] for index in keep))
    config.num_hidden_layers = len(keep)
    for name, value in lists.items():
        setattr(config, name, type(value)(value[index] for index in keep))


def kept_layers(model: nn.Module, layers: Iterable[int]) -> list[int]:
    """The indices of the blocks that stay, ascending. Raises `InputError` as `prune`."""
    flag = architecture_of(model).bound_to_depth
    if flag and getattr(model.config, flag, False):
        raise InputError(
            f"config.{flag} is True: each block scales by its index, so a block that moves up computes something else; "
            f"no layer of such a model can be removed"
        )
    total = len(blocks_of(model))
    removed = set(checked_layers(layers, total))
    return [index for index in range(total) if index not in removed]


def prune(model: nn.Module, layers: Iterable[int], *, compensate: Iterable[dict] | None = None) -> nn.Module:
    """Remove these blocks (indices from 0) in place and return the model.

    compensate: calibration batches, dicts of tensors (B, T) as `avss.batches` gives. With them the hidden state behind
    each run of removed blocks gets back its size; `avss.compensation.compensate` has the formula.

    Raises `InputError` for a layer out of range or named twice, for no layer or all, for a family not in the table, for
    a model whose blocks scale by their index, and, with `compensate`, as `avss.compensation.compensate` does.
    """
    layers = list(layers)
    keep = kept_layers(model, layers)
    if compensate is not None:
        compensation.compensate(model, layers, compensate)
    _shorten(model, keep)
    return model


@contextmanager
def skipping(model: nn.Module, layers: Iterable[int]) -> Iterator[nn.Module]:
    """The model without these blocks, inside the context; nothing is copied and everything is restored, also on error.

    Unlike those of `prune`, `layers` may be empty. Raises `InputError` as it does.
    """
    layers = list(layers)
    blocks, config = blocks_of(model), model.config
    keep = kept_layers(model, layers) if layers else list(range(len(blocks)))
    depth, lists = config.num_hidden_layers, _per_layer_lists(config, len(blocks))
    try:
        _shorten(model, keep)
        yield model
    finally:
        _install(model, blocks)
        config.num_hidden_layers = depth
        for name, value in lists.items():
            setattr(config, name, value)


def parameter_share(model: nn.Module, layers: Iterable[int]) -> float:
    """The share of the model's parameters (tied ones counted once) that these blocks hold."""
    blocks = blocks_of(model)
    gone = sum(parameter.numel() for layer in layers for parameter in blocks[layer].parameters())
    return gone / sum(parameter.numel() for parameter in model.parameters())


def save_pruned(model: nn.Module, tokenizer, folder: str | os.PathLike, facts: dict, *, force: bool = False) -> None:
    """Save model and tokenizer as safetensors, and `facts` as `pruning.json`, whole or not at all.

    `pruning.json` also lists the SHA-256 of every other file, by which `force` knows its own folders. Raises
    `InputError` where the parent folder does not exist or has not enough space, and where `folder` exists and `force`
    is not given, or it holds anything that this function did not write. Raises `OSError` where writing fails; an
    existing folder is then still there.
    """
    folder = checked_output(folder, force, folder=True, own=check_own_folder)
    tensors = {tensor.data_ptr(): tensor for tensor in (*model.parameters(), *model.buffers())}
    check_space(folder, sum(tensor.nbytes for tensor in tensors.values()))
    with whole_folder(folder) as made:
        try:
            model.save_pretrained(made, safe_serialization=True)
        except SafetensorError as error:
            raise OSError(errno.EIO, f"the weights cannot be written ({error})", str(folder)) from error
        tokenizer.save_pretrained(made)
        files = {path.relative_to(made).as_posix(): sha256(path) for path in sorted(made.rglob("*")) if path.is_file()}
        (made / FACTS).write_text(json.dumps(facts | {"files": files}, indent=1) + "\n", encoding="utf-8")
