"""What else must change when blocks go: the config, indices that blocks hold, and sizes that follow the depth.

Nothing here knows a family. A config that states fewer blocks is tried out: the model's class builds the whole and the
smaller model on the meta device, without weights, and every block that stays must come out as the same block. So rules
by which a config gives each block its kind (periods, lists, counts of leading blocks) either survive the surgery or
are refused before anything has changed.
"""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedConfig

from avss.architectures import depths_of, family_of, place_of
from avss.errors import InputError

# Lists under these names are no lists of layers, whatever their length.
NO_LAYERS = re.compile("token|architectures|rope_(param|scal)|vocab|label|lang|axial|multipliers|limit", re.IGNORECASE)
# Fields that list indices of blocks, and fields that count leading blocks.
INDICES = re.compile("layer|idx|index", re.IGNORECASE)
COUNTS = re.compile("first_|dense_layers|window_layers|_index$|prefix|leading", re.IGNORECASE)
# Attributes by which a module knows the place of its block.
PLACE = re.compile("(layer|block|depth).*(id|idx|index|num|number)$|^(layer|idx|index)$", re.IGNORECASE)
# Fields that differ from block to block, by the index of the block.
OVERRIDES = "per_layer_config"
SCALARS = (bool, int, float, str, type(None))

Facts = dict[tuple[str, str], object]


@dataclass
class Changes:
    """Attributes to set: on each object, by name, the new value. Undone by `undo` after `apply`."""

    wanted: list[tuple[object, str, object]] = field(default_factory=list)
    before: list[tuple[object, str, object]] = field(default_factory=list)

    def apply(self) -> None:
        for thing, name, value in self.wanted:
            self.before.append((thing, name, _value(thing, name)))
            setattr(thing, name, value)

    def undo(self) -> None:
        while self.before:
            setattr(*self.before.pop())


def _value(thing: object, name: str):
    # Only the written form of these fields can be set; reading them gives a view.
    return thing.to_dict()[name] if name == OVERRIDES else getattr(thing, name)


class _Needs(NamedTuple):
    """What a set of blocks that stay asks for: whether counts of leading blocks follow it, and what else does.

    outside: attributes outside of the blocks, by path and name, with their new values.
    """

    with_counts: bool
    outside: list[tuple[str, str, object]]


@dataclass
class _Trials:
    """What was tried out on a config as it stood. written: the config. whole: the model of it on the meta device."""

    written: str
    whole: nn.Module
    needs: dict[tuple[int, ...], _Needs] = field(default_factory=dict)


# A search for blocks asks for the same sets again and again, and trying one out takes as long as a batch of a small
# model.
_TRIALS: WeakKeyDictionary[nn.Module, _Trials] = WeakKeyDictionary()


def changes_for(model: nn.Module, keep: list[int]) -> Changes:
    """All that must change so that only these blocks, in this order, are left; nothing is changed yet.

    Raises `InputError` for a family whose config cannot describe the blocks that stay, and for weights outside of the
    blocks whose size follows the depth.
    """
    place, needs, changes = place_of(model), _needs_of(model, keep), Changes()
    for config in _configs(model):
        edits = _edits(config, len(place.blocks), keep, needs.with_counts)
        changes.wanted += [(config, name, value) for name, value in edits.items()]
    changes.wanted += [(model.get_submodule(path), name, value) for path, name, value in needs.outside]
    changes.wanted.append((place.parent, place.name, nn.ModuleList(place.blocks[index] for index in keep)))
    places = _places(place.blocks)
    for new, index in enumerate(keep):
        for path, name in places:
            module = _at(place.blocks[index], path)
            if module is not None and getattr(module, name, None) == index:
                changes.wanted.append((module, name, new))
    return changes


def _needs_of(model: nn.Module, keep: list[int]) -> _Needs:
    """What these blocks ask for, tried out unless it is known for the config as it stands. Raises as `changes_for`."""
    written, known = repr((model.config.to_dict(), model.config._attn_implementation)), _TRIALS.get(model)
    new = known is None or known.written != written
    if new:
        known = _TRIALS[model] = _Trials(written, _built(model, {}))
    key = tuple(keep)
    if key not in known.needs:
        try:
            known.needs[key] = _tried(model, known.whole, keep)
        except InputError:
            if new:
                raise
            # A part may have another class since the whole was built, as of a library of faster kernels.
            known = _TRIALS[model] = _Trials(written, _built(model, {}))
            known.needs[key] = _tried(model, known.whole, keep)
    return known.needs[key]


def _tried(model: nn.Module, whole: nn.Module, keep: list[int]) -> _Needs:
    depth, configs, reason = len(place_of(model).blocks), _configs(model), ""
    for with_counts in (False, True):
        edits = {id(config): _edits(config, depth, keep, with_counts) for config in configs}
        try:
            small = _built(model, edits)
        except Exception as error:  # A class rejects a config by errors of any type.
            reason = reason or f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            continue
        differs = _difference(whole, small, keep)
        if differs is None:
            _check_rest(model, whole, small)
            return _Needs(with_counts, _outside(whole, small))
        reason = reason or differs
    raise InputError(
        f"model family {family_of(model)!r} cannot lose these blocks, because its config would then describe "
        f"another model ({reason}); remove other blocks, such as a whole period of its pattern"
    )


def _configs(model: nn.Module) -> list[PreTrainedConfig]:
    """Every config that the model or a part of it holds, each once; some classes give their parts copies."""
    found: dict[int, PreTrainedConfig] = {}

    def add(config) -> None:
        if isinstance(config, PreTrainedConfig) and id(config) not in found:
            found[id(config)] = config
            for name in getattr(config, "sub_configs", {}):
                add(getattr(config, name, None))

    for module in model.modules():
        add(getattr(module, "config", None))
    own = type(model.config.get_text_config(decoder=True))
    return [config for config in found.values() if type(config) in (own, type(model.config))]


def _edits(config: PreTrainedConfig, depth: int, keep: list[int], with_counts: bool) -> dict[str, object]:
    """The fields of this config that follow the blocks, with their values for those that stay."""
    depths = {name: len(keep) for name, value in depths_of(config).items() if value == depth}
    if not depths:
        return {}
    edits: dict[str, object] = {}
    fields = dict(vars(config))
    if getattr(config, "_heterogeneity_spec", None):
        fields[OVERRIDES] = _value(config, OVERRIDES)
    for name, value in fields.items():
        if name.startswith("_") and not isinstance(value, (list, tuple)):
            continue
        new = _shortened(name, value, depth, keep, with_counts)
        if new is not value:
            edits[name] = new
    # Of two names of one value only the true one is set.
    alias = config.attribute_map
    return edits | {name: value for name, value in depths.items() if name not in alias}


def _shortened(name: str, value, depth: int, keep: list[int], with_counts: bool):
    """The value of a field for the blocks that stay; the value itself where it does not follow the blocks."""
    if NO_LAYERS.search(name):
        return value
    if isinstance(value, (list, tuple)):
        if _is_run_lengths(value, depth):
            spread = [item for items, times in value for item in list(items) * times]
            return type(value)([[[spread[index] for index in keep], 1]])
        if len(value) == depth:
            return type(value)(value[index] for index in keep)
        if _lists_blocks(name, value, depth):
            return type(value)(keep.index(index) for index in value if index in keep)
    elif isinstance(value, str) and len(value) == depth and "pattern" in name:
        return "".join(value[index] for index in keep)
    elif isinstance(value, dict) and value and all(str(key).isdecimal() and int(key) < depth for key in value):
        if INDICES.search(name):
            kept = {key: entry for key, entry in value.items() if int(key) in keep}
            return type(value)({_renumbered(key, keep): entry for key, entry in kept.items()})
    elif isinstance(value, dict):
        new = {key: _shortened(f"{name}.{key}", entry, depth, keep, with_counts) for key, entry in value.items()}
        if any(new[key] is not entry for key, entry in value.items()):
            return type(value)(new)
    elif with_counts and type(value) is int and 0 < value <= depth and COUNTS.search(name):
        return sum(index < value for index in keep)
    return value


def _renumbered(key: int | str, keep: list[int]) -> int | str:
    """The new index of a block, in the form of the old one, `2` or `02`."""
    new = keep.index(int(key))
    return new if isinstance(key, int) else f"{new:0{len(key)}d}"


def _lists_blocks(name: str, value, depth: int) -> bool:
    """Whether a list names blocks by their indices."""
    numbers = all(type(index) is int and 0 <= index < depth for index in value)
    return bool(value) and numbers and list(value) == sorted(set(value)) and bool(INDICES.search(name))


def _is_run_lengths(value, depth: int) -> bool:
    """Whether a list is of the form [[kinds, times], ...] and spreads to one kind a block."""
    pairs = all(isinstance(run, (list, tuple)) and len(run) == 2 and isinstance(run[0], (list, tuple)) for run in value)
    if not value or not pairs or not all(type(run[1]) is int for run in value):
        return False
    return sum(len(kinds) * times for kinds, times in value) == depth


def _built(model: nn.Module, edits: dict[int, dict[str, object]]) -> nn.Module:
    """A model of the same class on the meta device, from a copy of the config with these edits."""
    config = copy.deepcopy(model.config)
    for original, copied in zip(_family_tree(model.config), _family_tree(config), strict=True):
        for name, value in edits.get(id(original), {}).items():
            setattr(copied, name, value)
    # Read anew, as it will be from a file: what the class derives from other fields is derived again.
    config = type(config).from_dict(config.to_dict())
    config._attn_implementation = model.config._attn_implementation
    with torch.device("meta"):
        return type(model)(config)


def _family_tree(config: PreTrainedConfig) -> Iterator[PreTrainedConfig]:
    yield config
    for name in getattr(config, "sub_configs", {}):
        inner = getattr(config, name, None)
        if isinstance(inner, PreTrainedConfig):
            yield from _family_tree(inner)


def _facts(module: nn.Module, skip: Callable[[str, str], bool]) -> Facts:
    """Scalar attributes and classes of a module and those in it, and shapes of parameters, by path and name."""
    found: Facts = {}
    for path, part in module.named_modules():
        if skip(path, ""):
            continue
        found[path, "class"] = type(part)
        for name, value in vars(part).items():
            if type(value) in SCALARS and not name.startswith("_") and name != "training" and not skip(path, name):
                found[path, name] = value
        for name, parameter in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            found[path, name] = tuple(parameter.shape)
    return found


def _places(blocks: nn.ModuleList) -> set[tuple[str, str]]:
    """Paths and names of the attributes, below a block, that hold the index of the block."""
    seen: dict[tuple[str, str], list[tuple[int, object]]] = {}
    for index, block in enumerate(blocks):
        for path, module in block.named_modules():
            for name, value in vars(module).items():
                if type(value) is int:
                    seen.setdefault((path, name), []).append((index, value))
    return {
        key
        for key, held in seen.items()
        if all(index == value for index, value in held)
        and (PLACE.search(key[1]) or (len(held) == len(blocks) and len(blocks) > 1))
    }


def _at(block: nn.Module, path: str) -> nn.Module | None:
    try:
        return block.get_submodule(path)
    except AttributeError:
        return None


def _difference(whole: nn.Module, small: nn.Module, keep: list[int]) -> str | None:
    """Where a block of the small model is not the block of the whole model that stays; None where it is everywhere."""
    before, after = place_of(whole).blocks, place_of(small).blocks
    places = _places(before)

    def facts(block: nn.Module) -> Facts:
        return _facts(block, lambda path, name: (path, name) in places)

    for index, block in zip(keep, after, strict=True):
        old, new = facts(before[index]), facts(block)
        for key in [*old, *new]:
            if old.get(key) != new.get(key):
                values = (getattr(facts.get(key), "__name__", facts.get(key)) for facts in (old, new))
                return f"block {index}: {'.'.join(filter(None, key))} {' would be '.join(map(str, values))}"
    return None


def _rest(model: nn.Module) -> Facts:
    place = place_of(model)
    inside = {id(module) for module in place.blocks.modules()}
    paths = {path for path, module in model.named_modules(remove_duplicate=False) if id(module) in inside}
    return _facts(model, lambda path, name: path in paths)


def _check_rest(model: nn.Module, whole: nn.Module, small: nn.Module) -> None:
    """Raises `InputError` for weights outside of the blocks whose size follows the depth."""
    before, after = _rest(whole), _rest(small)
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new and (isinstance(old, (tuple, type)) or isinstance(new, (tuple, type))):
            where = ".".join(part for part in key if part != "class")
            raise InputError(
                f"model family {family_of(model)!r} has weights outside of its blocks whose size follows the depth "
                f"({where}); its blocks can be scored, and not removed"
            )


def _outside(whole: nn.Module, small: nn.Module) -> list[tuple[str, str, object]]:
    """Attributes outside of the blocks that follow the depth, by path and name, with their new values."""
    before, after = _rest(whole), _rest(small)
    return [
        (path, name, after[path, name])
        for (path, name), value in before.items()
        if (path, name) in after and after[path, name] != value
    ]
