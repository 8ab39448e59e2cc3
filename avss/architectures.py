"""Where the blocks of each model family live, as data. A new family is a new line of `ARCHITECTURES`."""

from dataclasses import dataclass

from torch import nn

from avss.errors import InputError


@dataclass(frozen=True)
class Architecture:
    """Names inside one model family.

    blocks: path of the `ModuleList` of blocks from the base model (without head). attention, mlp: path, from a block,
    of the linear layer that ends the attention and the feed-forward branch; their outputs are what the branches add
    to the residual stream, and the input of `mlp` is the hidden activation of the feed-forward branch.
    bound_to_depth: a flag of the config under which what a block computes depends on its index, so that it cannot move.
    norm_first: whether branches normalise what they read, and nothing follows their sum with the residual stream; or
    the flag of the config that says so.
    relevance: whether the rules of `avss.engine.relevance` cover every step of its forward pass.
    """

    blocks: str
    attention: str
    mlp: str
    bound_to_depth: str | None = None
    norm_first: bool | str = True
    relevance: bool = False

    def normalises_first(self, config) -> bool:
        """Whether a block of this model hands its input on unchanged when both of its branches add nothing."""
        return getattr(config, self.norm_first) if isinstance(self.norm_first, str) else self.norm_first


_LLAMA = Architecture("layers", "self_attn.o_proj", "mlp.down_proj", relevance=True)

# Keyed by `config.model_type` of transformers.
ARCHITECTURES = {
    "bert": Architecture("encoder.layer", "attention.output.dense", "output.dense", norm_first=False, relevance=True),
    "distilbert": Architecture("transformer.layer", "attention.out_lin", "ffn.lin2", norm_first=False, relevance=True),
    "gpt2": Architecture(
        "h", "attn.c_proj", "mlp.c_proj", bound_to_depth="scale_attn_by_inverse_layer_idx", relevance=True
    ),
    "gpt_neox": Architecture("layers", "attention.dense", "mlp.dense_4h_to_h", relevance=True),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "opt": Architecture(
        "decoder.layers", "self_attn.out_proj", "fc2", norm_first="do_layer_norm_before", relevance=True
    ),
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "stablelm": _LLAMA,
}


def architecture_of(model: nn.Module) -> Architecture:
    """The line of the table for this model. Raises `InputError` for a family that has none, and says how to add it."""
    family = getattr(getattr(model, "config", None), "model_type", None)
    if family not in ARCHITECTURES:
        raise InputError(
            f"model family {family!r} is not in the table ({', '.join(ARCHITECTURES)}); "
            f"add a line for it to ARCHITECTURES in avss/architectures.py"
        )
    return ARCHITECTURES[family]


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The model's M transformer blocks, in order of depth. Raises `InputError` as `architecture_of`."""
    path = architecture_of(model).blocks
    return model.base_model.get_submodule(path)


def set_blocks(model: nn.Module, blocks: nn.ModuleList) -> None:
    """Put this list in the place of the model's blocks. Raises `InputError` as `architecture_of`."""
    parent, _, name = architecture_of(model).blocks.rpartition(".")
    setattr(model.base_model.get_submodule(parent), name, blocks)
