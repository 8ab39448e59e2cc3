"""A model folder, judged by its config and the headers of its weights before anything is built from it.

In every function `name` is the model's name as the user gave it, for messages. The format of the headers is that of
safetensors (https://github.com/huggingface/safetensors#format).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CONFIG_MAPPING
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from avss.architectures import ARCHITECTURES, Architecture
from avss.errors import InputError
from avss.files import reachable

CONFIG = "config.json"
# The weights are in one file, or in several that an index lists.
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# One of them is beside every model that has a tokenizer.
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
# Files that hold one JSON object each, where they are there. transformers passes over a damaged generation config.
OBJECTS = (
    "generation_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Prefixes that wrappers and adapters put before the names of a model's own weights.
WRAPPERS = ("base_model.model.", "module.", "_orig_mod.", "_forward_module.")
# Fields that count things which a model builds one by one.
COUNTED = re.compile("layer|block|expert|label|depth", re.IGNORECASE)
# A model may have more elements than its checkpoint: tied weights, and buffers that are computed. Packed weights hold
# up to sixteen elements in one.
SPARE, LARGER, LARGER_PACKED = 10**7, 2, 16
SHOWN = 3


@dataclass(frozen=True)
class Checkpoint:
    """A folder's config, and the shape and dtype of every tensor in its weights.

    config: the content of `config.json`. shapes, dtypes: by the tensor's key; a dtype as safetensors names it, such as
    BF16.
    """

    folder: Path
    config: dict
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]

    @property
    def elements(self) -> int:
        """How many numbers the weights hold, of any dtype; packed weights hold several in one."""
        return sum(map(_size, self.shapes.values()))

    def dtype(self) -> torch.dtype | None:
        """The dtype among `DTYPES` that most of the numbers have; None where no tensor has one of them."""
        held: Counter = Counter()
        for name, dtype in self.dtypes.items():
            if dtype in DTYPES:
                held[DTYPES[dtype]] += _size(self.shapes[name])
        return held.most_common(1)[0][0] if held else None


def read(name: str, folder: Path) -> Checkpoint:
    """The checkpoint in a folder that is there; only headers of the weights are read.

    Raises `InputError` for files that are missing, damaged or of another form, for weights that are no safetensors,
    for an adapter, for a model that needs code of its own, and for a config that describes another depth, or more
    layers, experts or labels, than the weights hold.
    """
    config = json_object(name, folder / CONFIG)
    for file in OBJECTS:
        if (folder / file).is_file():
            json_object(name, folder / file)
    _check_form(name, folder, config)
    shapes, dtypes = {}, {}
    for file in weight_files(name, folder):
        try:
            with reachable(file.parent) as place, safe_open(place / file.name, "pt") as weights:
                for key in weights.keys():  # noqa: SIM118  (it is no mapping)
                    part = weights.get_slice(key)
                    shapes[key], dtypes[key] = tuple(part.get_shape()), part.get_dtype()
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"model {name} has no usable safetensors weights ({file.name}: {reason(error)}); fetch it again"
            ) from error
    if not shapes:
        raise InputError(f"model {name} has no usable safetensors weights (no tensor in them); fetch it again")
    found = Checkpoint(folder, config, shapes, dtypes)
    _check_counts(name, found)
    return found


def json_object(name: str, path: Path) -> dict:
    """The JSON object in a file. Raises `InputError` for a file that cannot be read or holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"model {name}: {path.name} is not JSON ({reason(error)}); fetch it again") from error
    if not isinstance(value, dict):
        raise InputError(f"model {name}: {path.name} holds no JSON object but a {type(value).__name__}; fetch it again")
    return value


def weight_files(name: str, folder: Path) -> list[Path]:
    """The safetensors files of a folder, some of which may be missing where an index names them.

    Raises `InputError` where there are none, and for an index of another form or with files outside of the folder.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise InputError(
            f"model {name} has no usable safetensors weights ({SINGLE} is missing); convert it, or fetch it again"
        )
    files = json_object(name, folder / INDEX).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise InputError(f"model {name}: {INDEX} has no weight_map from keys to files; fetch it again")
    for file in files.values():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise InputError(f"model {name}: {INDEX} names {file}, which is no safetensors file of this folder")
    return [folder / file for file in sorted(set(files.values()))]


def _check_form(name: str, folder: Path, config: dict) -> None:
    if (folder / "adapter_config.json").is_file():
        raise InputError(f"model {name} has an adapter beside it; merge it into its base model and save that")
    if any(folder.glob("shard-*-model-*.safetensors")):
        raise InputError(f"model {name} is a distributed checkpoint (shard-...); save it as {SINGLE}")
    if "transformers_weights" in config:
        raise InputError(f"model {name}: {CONFIG} names weights of its own (transformers_weights); remove that field")
    for field in ("attn_implementation", "_attn_implementation"):
        # A name with a slash is that of a repository with code.
        if "/" in str(config.get(field)):
            raise InputError(f"model {name}: {CONFIG} asks for {field} = {config[field]}; remove that field")
    quantization = config.get("quantization_config")
    if quantization is not None:
        _check_quantization(name, quantization)
    family = config.get("model_type")
    if not isinstance(family, str) or family not in CONFIG_MAPPING:
        if "auto_map" in config:
            raise InputError(
                f"model {name} needs code of its own (auto_map in {CONFIG}), which is never run; "
                f"take a model of a class that transformers has"
            )
        raise InputError(
            f"model {name}: {CONFIG} says model_type = {family!r}, which transformers {transformers.__version__} "
            f"does not know; take a model that it knows"
        )
    if not any((folder / file).is_file() for file in VOCABULARIES):
        raise InputError(f"model {name} has no tokenizer (such as {VOCABULARIES[0]}); save one into its folder")


def _check_quantization(name: str, stated: object) -> None:
    if not isinstance(stated, dict):
        raise InputError(f"model {name}: {CONFIG} says quantization_config = {stated!r}; take an unquantised model")
    method = stated.get("quant_method")
    # Older checkpoints of bitsandbytes do not name their number of bits here, or do not name a method.
    if method not in (None, "bitsandbytes", *AUTO_QUANTIZATION_CONFIG_MAPPING):
        raise InputError(
            f"model {name}: {CONFIG} says quant_method = {method!r}, which transformers {transformers.__version__} "
            f"does not know; take an unquantised model"
        )


def _check_counts(name: str, found: Checkpoint) -> None:
    family = found.config["model_type"]
    aliases = {"num_hidden_layers", CONFIG_MAPPING[family].attribute_map.get("num_hidden_layers", "num_hidden_layers")}
    for field in sorted(aliases & found.config.keys()):
        check_depth(name, found, field, found.config[field])
    most = max(len(found.shapes), *(max(shape, default=0) for shape in found.shapes.values()))
    for field, value in _numbers(found.config):
        if COUNTED.search(field) and not -most <= value <= most:
            raise InputError(
                f"model {name}: {CONFIG} says {field} = {value}, and no tensor of the weights is as large; "
                f"take config and weights of one model"
            )


def check_depth(name: str, found: Checkpoint, field: str, depth: object) -> None:
    """Raises `InputError` for a depth that is no whole number from 1, or larger than the blocks that the weights hold.

    field: the depth's name in the config. depth: its value. Blocks are counted as the different numbers in the longest
    list of keys, such as `model.layers.3.`; those of an encoder, and of families that are refused anyway, are not
    counted. Weights of more blocks than the depth are left over when the model is loaded, and named then.
    """
    if not isinstance(depth, int) or isinstance(depth, bool) or depth < 1:
        raise InputError(f"model {name}: {CONFIG} says {field} = {depth!r}; give a whole number from 1")
    # A decoder that is stored alone has the depth of its encoder in its config all the same.
    if "encoder" in field or ARCHITECTURES.get(found.config["model_type"], Architecture()).refused:
        return
    numbers: dict[str, set[str]] = {"no list": set()}
    for key in found.shapes:
        if match := re.match(r"(.*?)\.(\d+)\.", key):
            numbers.setdefault(match[1], set()).add(match[2])
    longest = max(numbers, key=lambda path: len(numbers[path]))
    held = len(numbers[longest])
    if held < depth:
        raise InputError(
            f"model {name}: {CONFIG} says {field} = {depth}, and the weights hold {held} blocks "
            f"({longest}); take config and weights of one model"
        )


def _numbers(value: dict) -> Iterator[tuple[str, int]]:
    """Fields that are whole numbers, at any depth."""
    for field, entry in value.items():
        if isinstance(entry, dict):
            yield from _numbers(entry)
        elif isinstance(entry, int):
            yield field, entry


def check_size(name: str, found: Checkpoint, model: nn.Module) -> None:
    """Raises `InputError` where a model of this config is far larger than the weights.

    model: on the meta device. It may have `LARGER` times as many numbers as the weights, `LARGER_PACKED` times where
    these are quantised, and `SPARE` more.
    """
    wanted = sum(tensor.numel() for tensors in (model.parameters(), model.buffers()) for tensor in tensors)
    larger = LARGER_PACKED if "quantization_config" in found.config else LARGER
    if wanted > larger * found.elements + SPARE:
        raise InputError(
            f"model {name}: {CONFIG} describes a model of {wanted:,} numbers, and the weights hold "
            f"{found.elements:,}; take config and weights of one model"
        )


def check_keys(name: str, model: nn.Module, loading: dict) -> None:
    """Raises `InputError` where weights of the model were not in its checkpoint, did not fit, or were left over.

    loading: the report of `from_pretrained` with `output_loading_info`. Keys that transformers declares to be ignorable
    are not in it.
    """
    missing, unexpected = sorted(loading["missing_keys"]), sorted(loading["unexpected_keys"])
    mismatched = [f"{key} {list(held)} for {list(wanted)}" for key, held, wanted in sorted(loading["mismatched_keys"])]
    parts = [
        f"{len(keys)} {what} ({', '.join(keys[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
        for what, keys in (("missing", missing), ("of another shape", mismatched), ("unexpected", unexpected))
        if keys
    ]
    if parts:
        raise InputError(
            f"the weights of model {name} are not those of a {type(model).__name__}: keys {', '.join(parts)}; "
            f"{_cause(model, missing, mismatched, unexpected)}"
        )


def _cause(model: nn.Module, missing: list[str], mismatched: list[str], unexpected: list[str]) -> str:
    """The likely cause, and the next step."""
    if any(".lora_" in key for key in unexpected):
        return "they are those of a LoRA adapter; merge it into its base model and save that"
    for prefix in WRAPPERS:
        if any(key.startswith(prefix) for key in unexpected):
            return f"a wrapper or an adapter put {prefix!r} before the keys; save the model inside it"
    if mismatched:
        return f"{CONFIG} states other sizes than the weights have; take both from one model"
    base = f"{getattr(model, 'base_model_prefix', '')}."
    if missing and not any(key.startswith(base) for key in missing):
        plain = type(getattr(model, "base_model", model)).__name__
        return (
            f"its head is not in the checkpoint; train one, or only score it, with {plain} as architectures in {CONFIG}"
        )
    return "the file is incomplete or belongs to another model; take config and weights of one model"


def reason(error: BaseException) -> str:
    """An error in at most 200 characters of one line; its type where its text alone would be no sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    text = text if isinstance(error, (OSError, ValueError, ImportError)) and text else f"{type(error).__name__}: {text}"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
