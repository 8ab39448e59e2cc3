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
    """

    blocks: str
    attention: str
    mlp: str
    bound_to_depth: str | None = None


_LLAMA = Architecture("layers", "self_attn.o_proj", "mlp.down_proj")

# Keyed by `config.model_type` of transformers.
ARCHITECTURES = {
    "bert": Architecture("encoder.layer", "attention.output.dense", "output.dense"),
    "distilbert": Architecture("transformer.layer", "attention.out_lin", "ffn.lin2"),
    "gpt2": Architecture("h", "attn.c_proj", "mlp.c_proj", bound_to_depth="scale_attn_by_inverse_layer_idx"),
    "gpt_neox": Architecture("layers", "attention.dense", "mlp.dense_4h_to_h"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "opt": Architecture("decoder.layers", "self_attn.out_proj", "fc2"),
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
