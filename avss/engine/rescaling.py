"""The same function on another scale: weights that change a model's activations and none of its outputs.

For blocks of the LLaMA family, which normalise the input of a branch and not its output. With a power of two even the
rounding stays the same, short of numbers too small or too large for the dtype.
"""

import torch
from torch import nn

from avss.architectures import blocks_of
from avss.errors import InputError


def _checked(model: nn.Module) -> nn.ModuleList:
    if model.config.model_type != "llama":
        raise InputError(f"a model of type {model.config.model_type} cannot be rescaled; give one of type llama")
    return blocks_of(model)


@torch.no_grad()
def scale_stream(model: nn.Module, factor: float) -> nn.Module:
    """The model itself, its whole residual stream multiplied by `factor` and its logits as they were.

    Embedding and the last matrix of both branches grow by the factor, the constant inside each normalisation by its
    square, and a head that shares the embedding's weights is made up for by the gain before it. Raises `InputError`
    for a model of another family.
    """
    for block in _checked(model):
        block.self_attn.o_proj.weight *= factor
        block.mlp.down_proj.weight *= factor
    for part in model.modules():
        if hasattr(part, "variance_epsilon"):
            part.variance_epsilon *= factor**2
    model.base_model.embed_tokens.weight *= factor
    if model.config.tie_word_embeddings:
        model.base_model.norm.weight /= factor
    return model


@torch.no_grad()
def scale_hidden(model: nn.Module, layer: int, factor: float) -> nn.Module:
    """The model itself, one block's `mlp_hidden` multiplied by `factor` and its logits as they were.

    Raises `InputError` for a model of another family.
    """
    mlp = _checked(model)[layer].mlp
    mlp.up_proj.weight *= factor
    mlp.down_proj.weight /= factor
    return model
