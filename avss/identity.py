"""The content that decides a model's numbers, as a short digest.

Two models with one digest give the same numbers, apart from the rounding of device, attention kernel and batch shape.
Nothing is cached: the digest is of the tensors that are in memory at the time of the call.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
import xxhash
from torch import Tensor, nn

from avss.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DIGITS = 12
# The attribute of a model from the hub that holds the commit of its checkpoint.
COMMIT = "hub_commit"
# Fields of a config that change no number: names and versions, the class and dtype (taken from the model itself), and
# the outputs that a forward pass returns besides its logits.
NEUTRAL = {
    "_commit_hash",
    "_from_model_config",
    "_name_or_path",
    "architectures",
    "dequantized_from",
    "dtype",
    "merged_adapter",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "transformers_version",
    "use_cache",
}
# Attributes of a tokenizer that are not part of its backend and decide its ids and its padding.
SETTINGS = (
    "add_prefix_space",
    "chat_template",
    "clean_up_tokenization_spaces",
    "model_input_names",
    "model_max_length",
    "pad_token_type_id",
    "padding_side",
    "split_special_tokens",
    "truncation_side",
)


def identity_of(model: nn.Module, tokenizer: "PreTrainedTokenizerBase | None" = None) -> str:
    """Twelve hexadecimal digits of all that decides the numbers of this model with this tokenizer.

    They cover the weights, class and config (`weights_digest`), the generation config, and of the tokenizer its
    vocabulary, its pipeline, its special tokens, its padding side and its length limit. Names, paths and versions do
    not count, nor do the device and the attention kernel. A model keeps its digits when it is saved and loaded again in
    the same dtype. Raises `InputError` as `weights_digest`.
    """
    generation = getattr(model, "generation_config", None)
    facts = {
        "model": weights_digest(model),
        "generation": generation and _telling(generation.to_dict()),
        "tokenizer": tokenizer and _tokenizer_facts(tokenizer),
    }
    return _short(facts)[:DIGITS]


def revision_of(model: nn.Module, tokenizer: "PreTrainedTokenizerBase | None" = None) -> str:
    """The pin of a model with its tokenizer in stored results: the digits of `identity_of`.

    For a model that was loaded from the hub, the first twelve digits of its commit and a hyphen come before them.
    """
    commit, identity = getattr(model, COMMIT, None), identity_of(model, tokenizer)
    return f"{commit[:DIGITS]}-{identity}" if commit else identity


def weights_digest(model: nn.Module) -> str:
    """32 hexadecimal digits of the weights in memory, and of the class and config that run them.

    They cover the name, shape, dtype and bytes of every parameter and buffer (tied ones once). A model that was edited,
    fine-tuned or pruned in memory therefore has digits of its own. Weights on an accelerator are copied to the host
    one tensor at a time. Raises `InputError` for weights that are on the meta device.
    """
    config = getattr(model, "config", None)
    tensors = [(name, str(tensor.dtype), list(tensor.shape), _content(name, tensor)) for name, tensor in _held(model)]
    return _short({"class": type(model).__name__, "config": config and _telling(config.to_dict()), "tensors": tensors})


def _held(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _content(name: str, tensor: Tensor) -> str:
    if tensor.is_meta:
        raise InputError(f"{name} is on the meta device, so its values are not known; load the model onto a device")
    whole = tensor.detach().contiguous()
    # A dimension of one entry or none may have any stride, and torch views bytes only where the last is 1.
    flat = whole.as_strided((whole.numel(),), (1,))
    return xxhash.xxh3_128_hexdigest(flat.view(torch.uint8).cpu().numpy())


def _telling(value: object) -> object:
    """A config without its neutral fields, at any depth."""
    if isinstance(value, Mapping):
        return {str(key): _telling(entry) for key, entry in value.items() if key not in NEUTRAL}
    return [_telling(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _tokenizer_facts(tokenizer: "PreTrainedTokenizerBase") -> dict:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        pipeline = json.loads(backend.to_str())
        # Each call of a tokenizer sets these two by its arguments.
        del pipeline["padding"], pipeline["truncation"]
    else:
        pipeline = {"class": type(tokenizer).__name__, "vocabulary": sorted(tokenizer.get_vocab().items())}
    settings = {name: getattr(tokenizer, name, None) for name in SETTINGS}
    return {"pipeline": pipeline, "special": tokenizer.special_tokens_map, **settings}


def _short(facts: dict) -> str:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
