"""Where the blocks of a model live, found in its own structure, and the few facts that structure does not show."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedConfig

from avss.errors import InputError

# The names that families give to their depth.
DEPTHS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_blocks",
    "decoder_layers",
    "num_decoder_layers",
    "encoder_layers",
    "num_encoder_layers",
)
# What families call their list of blocks; it decides only between lists of the same length.
NAMES = ("layers", "layer", "h", "block", "blocks")


@dataclass(frozen=True)
class Architecture:
    """Facts about one model family that cannot be read off its structure.

    refused: why its blocks can be neither scored nor removed. bound: why a block cannot move to another depth.
    relevance: whether the rules of `avss.engine.relevance` cover every step of its forward pass.
    """

    refused: str | None = None
    bound: str | None = None
    relevance: bool = False


_LRP = Architecture(relevance=True)

# Keyed by `config.model_type` of transformers. A family without a line has none of these peculiarities.
ARCHITECTURES = {
    **dict.fromkeys(
        ("bert", "distilbert", "gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2", "qwen3", "stablelm"), _LRP
    ),
    "albert": Architecture(refused="all layers share the weights of one block"),
    "reformer": Architecture(refused="its layers are reversible and hand on two streams"),
    "zamba2": Architecture(bound="the blocks look up what they share by their index"),
    "xlnet": Architecture(refused="its hidden states are laid out by token, then by document"),
}


def architecture_of(model: nn.Module) -> Architecture:
    """The line of the table for this model; an empty one for a family that is not in it."""
    return ARCHITECTURES.get(family_of(model), Architecture())


def unwrapped(model: nn.Module) -> nn.Module:
    """The model of transformers inside of the wrappers of torch and PEFT; the model itself where there is none.

    These are torch.compile, DataParallel, DistributedDataParallel and PeftModel, also one in another. An adapter stays
    in place in its model, and acts.
    """
    while (inner := _inside(model)) is not None:
        model = inner
    return model


def _inside(model: nn.Module) -> nn.Module | None:
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return model.module
    if "_orig_mod" in getattr(model, "_modules", {}):
        return model._orig_mod
    # Named and not imported, which would take seconds.
    if any(kind.__module__ == "peft.peft_model" and kind.__name__ == "PeftModel" for kind in type(model).__mro__):
        return model.get_base_model()
    return None


def adapted(model: nn.Module) -> bool:
    """Whether an adapter of PEFT acts inside of the model."""
    return any(type(module).__module__.startswith("peft.") for module in model.modules())


def family_of(model: nn.Module) -> str | None:
    """The name of the model's family, `config.model_type`; None for a model without a config."""
    return getattr(getattr(model, "config", None), "model_type", None)


@dataclass(frozen=True)
class Place:
    """Where the blocks hang: the list, the module that holds it, its name there, and its path from the base model."""

    blocks: nn.ModuleList
    parent: nn.Module
    name: str
    path: str

    def put(self, blocks: nn.ModuleList) -> None:
        """Hang this list in the place of the blocks."""
        setattr(self.parent, self.name, blocks)


def depths_of(config: PreTrainedConfig) -> dict[str, int]:
    """The fields of a config that state a depth, with their values; several names may stand for one number."""
    names = dict.fromkeys((*DEPTHS, config.attribute_map.get(DEPTHS[0], DEPTHS[0])))
    found = {name: getattr(config, name, None) for name in names}
    return {name: value for name, value in found.items() if type(value) is int}


def place_of(model: nn.Module) -> Place:
    """The list of blocks below the base model whose length is the depth that the config states.

    Lists inside a list, such as experts of a block, are no candidates. Of a model that reads images or sound as well,
    only the part that reads text is searched. Raises `InputError` where no
    list fits, where several do, and for a family whose blocks cannot be told apart.
    """
    family = family_of(model)
    if family is None:
        raise InputError(f"a {type(model).__name__} has no config of transformers; give a model of one of its classes")
    reason = architecture_of(model).refused
    if reason:
        raise InputError(f"model family {family!r} has no blocks to score or remove: {reason}; take another family")
    root, config = _text_part(model)
    depths = depths_of(config)
    every = _lists(root)
    lists = [place for place in every if len(place.blocks) in depths.values()]
    # A list of single layers, such as one norm a block, is as long as that of the blocks.
    lists = [place for place in lists if all(any(True for _ in block.children()) for block in place.blocks)] or lists
    if len(lists) > 1:
        lists = [place for place in lists if place.name in NAMES] or lists
        # What reads images or sound hangs deeper.
        nearest = min(place.path.count(".") for place in lists)
        lists = [place for place in lists if place.path.count(".") == nearest]
    if len(lists) != 1:
        stated = ", ".join(f"{name} = {value}" for name, value in depths.items()) or "no depth"
        found = ", ".join(f"{place.path} of {len(place.blocks)}" for place in lists or every) or "none"
        raise InputError(
            f"model family {family!r} has {'several lists' if lists else 'no list'} of blocks as long as its depth "
            f"(config: {stated}; lists: {found}); take a model with one stack of blocks"
        )
    base = model.base_model
    prefix = next(path for path, module in base.named_modules() if module is root)
    place = lists[0]
    return Place(place.blocks, place.parent, place.name, f"{prefix}.{place.path}".lstrip("."))


def _text_part(model: nn.Module) -> tuple[nn.Module, PreTrainedConfig]:
    """The module that holds the text model, and its config."""
    base, config = model.base_model, model.config
    inner = config.get_text_config(decoder=True)
    if not any(inner is getattr(config, name, None) for name in getattr(config, "sub_configs", {})):
        return base, config
    for module in base.modules():
        if type(getattr(module, "config", None)) is type(inner):
            return module, inner
    return base, inner


def _lists(root: nn.Module, path: str = "") -> list[Place]:
    """The outermost lists of modules, in order."""
    found = []
    for name, child in root.named_children():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(child, nn.ModuleList):
            found.append(Place(child, root, name, here))
        else:
            found += _lists(child, here)
    return found


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The model's M transformer blocks, in order of depth. Raises `InputError` as `place_of`."""
    return place_of(model).blocks
