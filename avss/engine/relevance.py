"""Layer-wise relevance propagation through a transformer, by the AttnLRP rules of Achtibat et al. 2024.

The rules are written as modified gradients: inside `attnlrp` the outputs of a model stay the same, and the relevance of
any activation is its value times the gradient of the explained logit with respect to it. In that form

- a linear layer needs nothing: value times gradient is the epsilon rule for epsilon -> 0, and no division is left that
  an epsilon would have to guard. A bias keeps its share of the relevance;
- an element-wise activation passes relevance on unchanged (identity rule): its slope is taken as output / input;
- a norm passes it on unchanged too (identity rule): its divisor is taken as a constant;
- a product of two activations (weights x values, query x key, gate x up) gives each factor half (uniform rule): the
  gradient at the product is halved;
- a softmax is expanded to first order around its input: its gradient stays as it is. The constant term of the expansion
  belongs to no input and keeps its share, as a bias does. So of all the rules this one alone loses relevance on a model
  without biases; `softmax="constant"` takes the attention weights as constants instead, as Ali et al. 2022 do, and
  loses none.

The rules are from the literature: arXiv 2402.05602 and, for the form as gradients, Arras et al. 2025, arXiv 2502.15886;
the code is ours. The authors of AttnLRP state in their repository (rachtibat/LRP-eXplains-Transformers) that LRP is a
patented technology, free of charge for personal and scientific use only. Whoever uses it for anything else should ask
them first.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.activations import ACT2FN
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.pytorch_utils import Conv1D

from avss.architectures import ARCHITECTURES, architecture_of, family_of
from avss.errors import InputError

SOFTMAX = ("taylor", "constant")


def halved(product: Tensor) -> Tensor:
    """The same value with half the gradient: the uniform rule, applied to a product of two factors."""
    return product / 2 + (product / 2).detach()


def identity_activation(entering: Tensor, leaving: Tensor) -> Tensor:
    """`leaving` = f(`entering`) element-wise with f(0) = 0, with a gradient that hands relevance on unchanged."""
    slope = torch.where(entering == 0, 0, leaving / entering)
    return entering * slope.detach()


def identity_norm(norm: nn.Module, entering: Tensor) -> Tensor:
    """The output of an RMSNorm or a `LayerNorm` for `entering`, with its divisor held constant."""
    wide = entering if entering.dtype == torch.float64 else entering.float()
    if isinstance(norm, nn.LayerNorm):
        wide, epsilon = wide - wide.mean(-1, keepdim=True), norm.eps
    else:
        epsilon = norm.variance_epsilon
    normalised = wide * (wide.square().mean(-1, keepdim=True) + epsilon).rsqrt().detach()
    scaled = normalised.to(entering.dtype) if norm.weight is None else norm.weight * normalised.to(entering.dtype)
    return scaled if getattr(norm, "bias", None) is None else scaled + norm.bias


def attention_weights(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over keys of `scores` (B, H, T, T); mask is added and takes no relevance."""
    wide = scores if scores.dtype == torch.float64 else scores.float()
    return (wide if mask is None else wide + mask).softmax(-1).to(scores.dtype)


def _attention(softmax: str) -> Callable:
    """An attention function for transformers' registry, with halved products."""

    def forward(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
        groups = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        scores = halved(query @ key.transpose(-1, -2)) * scale
        weights = attention_weights(scores, attention_mask)
        mixed = weights.detach() @ value if softmax == "constant" else halved(weights @ value)
        return mixed.transpose(1, 2).contiguous(), None

    return forward


# Transformers looks attention up by a name in the config; what builds its mask, by the same name.
for _softmax in SOFTMAX:
    AttentionInterface.register(f"avss_lrp_{_softmax}", _attention(_softmax))
    AttentionMaskInterface.register(f"avss_lrp_{_softmax}", eager_mask)

_LINEAR = (nn.Linear, Conv1D, nn.Embedding, nn.Dropout, nn.Identity)
_ACTIVATIONS = tuple({type(ACT2FN[name]) for name in ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh")})


def _attach(module: nn.Module, name: str) -> list:
    """The hooks that make this one module follow its rule; the handles to remove them."""
    kind = type(module).__name__
    if {"gate_proj", "up_proj", "down_proj"} <= {child for child, _ in module.named_children()}:
        return [module.down_proj.register_forward_pre_hook(lambda _, args: (halved(args[0]), *args[1:]))]
    if isinstance(module, nn.LayerNorm) or kind.endswith("RMSNorm"):
        return [module.register_forward_hook(lambda norm, args, leaving: identity_norm(norm, args[0]))]
    if isinstance(module, _ACTIVATIONS):
        return [module.register_forward_hook(lambda _, args, leaving: identity_activation(args[0], leaving))]
    # Rotations are linear in what they rotate.
    known = isinstance(module, _LINEAR) or kind.endswith("RotaryEmbedding")
    if not known and not isinstance(module, nn.ModuleList) and not any(True for _ in module.children()):
        raise InputError(
            f"lrp has no rule for {name} of class {kind}; "
            f"load the model unquantised and without adapters, or add a rule in avss/engine/relevance.py"
        )
    return []


@contextmanager
def attnlrp(model: nn.Module, softmax: str = "taylor") -> Iterator[None]:
    """Inside, a value in `model` times its gradient is its relevance. The outputs of the model stay the same.

    softmax: "taylor", the rule of AttnLRP, or "constant", attention weights as constants. Everything is restored on
    exit, also on error. Raises `InputError` for another softmax, a family whose rules are not here, and a module
    without a rule.
    """
    if softmax not in SOFTMAX:
        raise InputError(f"softmax is {softmax!r}; choose one of {', '.join(SOFTMAX)}")
    if not architecture_of(model).relevance:
        known = ", ".join(family for family, names in ARCHITECTURES.items() if names.relevance)
        raise InputError(f"lrp has no rules for model family {family_of(model)!r}; it has for {known}")
    found = (getattr(module, "config", None) for module in model.modules())
    configs = {id(config): config for config in found if hasattr(config, "_attn_implementation")}.values()
    with ExitStack() as stack:
        for name, module in model.named_modules():
            for handle in _attach(module, name):
                stack.callback(handle.remove)
        for config in configs:
            stack.callback(setattr, config, "_attn_implementation", config._attn_implementation)
            config._attn_implementation = f"avss_lrp_{softmax}"
        yield
