"""A model's name (hub id, folder, or embedded name) to a model and its tokenizer. Safetensors only, no remote code."""

import json
import os
import sys
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from avss import mini
from avss.engine.parallel import own_device
from avss.errors import InputError, look_up
from avss.files import clear_leftovers, may_be_hub_id, sha256

EMBEDDED = "mini/"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO_CLASSES = {
    "ForSequenceClassification": AutoModelForSequenceClassification,
    "ForCausalLM": AutoModelForCausalLM,
    "LMHeadModel": AutoModelForCausalLM,
    "ForMaskedLM": AutoModelForMaskedLM,
    "ForTokenClassification": AutoModelForTokenClassification,
    "ForQuestionAnswering": AutoModelForQuestionAnswering,
    "ForMultipleChoice": AutoModelForMultipleChoice,
    "ForNextSentencePrediction": AutoModelForNextSentencePrediction,
    "ForPreTraining": AutoModelForPreTraining,
}
# How attention may be computed; the last needs a package of its own.
ATTENTION = ("eager", "sdpa", "flash_attention_2")
# How accelerate may spread a model over the devices there are.
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
# One of them is in every checkpoint that can be loaded here: weights in one file, or the index of several.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def resolve(name: str) -> str:
    """The folder of an embedded or local model, or the hub id unchanged; variables such as $AVSS_MODELS are expanded.

    Raises `InputError` for an unset variable, a folder without a config, and an unknown or damaged embedded model.
    """
    expanded = os.path.expanduser(os.path.expandvars(name))
    if "$" in expanded:
        raise InputError(f"model {name}: the variable is not set; set it to the folder that holds the models")
    if expanded.startswith(EMBEDDED):
        return str(mini.folder(expanded.removeprefix(EMBEDDED)))
    path = Path(expanded)
    if path.parent.is_dir() and not path.exists():
        clear_leftovers(path.parent)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"model folder {name} has no config.json; give a folder made by save_pretrained")
        return expanded
    if not may_be_hub_id(expanded):
        raise InputError(
            f"model {name} does not exist; give a hub id (owner/name), a folder, or one of "
            f"{', '.join(EMBEDDED + known for known in mini.names())}"
        )
    return expanded


def load_model(
    name: str,
    *,
    dtype: str = "float32",
    device: str | None = None,
    revision: str | None = None,
    device_map: str | None = None,
    attn_implementation: str | None = None,
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The model in evaluation mode and its tokenizer.

    name: hub id, folder, or embedded (`mini/distilbert`). The class (classifier, causal LM, plain encoder) is read
    from the checkpoint's config. dtype: float32, bfloat16 or float16. device: a torch device, by default a GPU where
    there is one. device_map: in place of a device, how accelerate spreads the blocks, one of `DEVICE_MAPS`.
    attn_implementation: one of `ATTENTION` (None: the class's own choice). Raises `InputError` where the model cannot
    be had: no such model or device, no safetensors, gated without a token, no network, a missing package; and where a
    device map would leave weights outside of the devices, where not all methods find them.
    """
    torch_dtype = look_up("dtype", dtype, DTYPES)
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    if device_map is not None:
        look_up("device_map", device_map, dict.fromkeys(DEVICE_MAPS))
    device = device or own_device()
    try:
        torch.empty(1, device=device).tolist()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise InputError(
            f"device {device} cannot be used ({_first_line(str(error))}); give another, such as cpu"
        ) from error
    where = resolve(name)
    common = {"revision": revision or "main", "trust_remote_code": False}
    stated = {"device_map": device_map, "attn_implementation": attn_implementation}
    stated = {option: value for option, value in stated.items() if value is not None}
    try:
        config = AutoConfig.from_pretrained(where, **common)
        model = _auto_class(config).from_pretrained(
            where, config=config, dtype=torch_dtype, use_safetensors=True, **stated, **common
        )
        tokenizer = AutoTokenizer.from_pretrained(where, **common)
    except (ImportError, OSError, ValueError, SafetensorError) as error:
        raise InputError(_explained(name, error)) from error
    if not device_map:
        return model.eval().to(device), tokenizer
    offloaded = [parameter for parameter in model.parameters() if parameter.is_meta]
    if offloaded:
        raise InputError(
            f"model {name} does not fit into the memory of the devices ({len(offloaded)} of its parameters are left "
            f"out); give a narrower dtype, free their memory, or run it on more or larger devices"
        )
    return model.eval(), tokenizer


def _auto_class(config: PreTrainedConfig) -> type:
    architecture = (config.architectures or [""])[0]
    return next((auto for suffix, auto in AUTO_CLASSES.items() if architecture.endswith(suffix)), AutoModel)


def skeleton(name: str, *, dtype: str = "float32", revision: str | None = None, shape: dict | None = None) -> nn.Module:
    """The model without its weights: its own class on the meta device, made from the config alone.

    shape: what the checkpoint's `config.json` says, `model_type` and `architectures` among it (None: that file is
    read, from the folder or the hub). Raises `InputError` for a config that cannot be had, or of no known class.
    """
    where = resolve(name) if shape is None else name
    try:
        if shape is None:
            config = AutoConfig.from_pretrained(where, revision=revision or "main", trust_remote_code=False)
        else:
            config = AutoConfig.for_model(**shape)
        with torch.device("meta"):
            return _auto_class(config).from_config(config, dtype=config.dtype).eval()
    except (OSError, TypeError, ValueError) as error:
        raise InputError(_explained(name, error)) from error


def stored_dtype(name: str) -> str:
    """The dtype of a checkpoint's floating-point weights, a key of `DTYPES`; float32 where there are several.

    Raises `InputError` where the weights cannot be had, or are of no such dtype.
    """
    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    found = set()
    try:
        for file in _weight_files(resolve(name)):
            with safe_open(file, "pt") as tensors:
                found |= {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(_explained(name, error)) from error
    other = {dtype for dtype in found - set(names) if dtype.startswith("F")}
    if other:
        raise InputError(f"model {name} stores {', '.join(sorted(other))}; name the dtype to use, such as float32")
    chosen = found & set(names)
    return names[chosen.pop()] if len(chosen) == 1 else "float32"


def _weight_files(where: str) -> list[str]:
    """The safetensors files of a folder or, downloaded, of a hub id. Raises `OSError` where there are none."""
    try:
        return [cached_file(where, WEIGHTS[0])]
    except OSError:
        index = cached_file(where, WEIGHTS[1])
    parts = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()
    return [cached_file(where, part) for part in sorted(set(parts))]


def on_hub(name: str) -> bool:
    """Whether this names a model of the hub. Raises `InputError` as `resolve`."""
    return not Path(resolve(name)).is_dir()


def at_hand(name: str, revision: str | None = None) -> bool:
    """Whether weights of the hub lie in its cache, so that neither network nor token is needed."""
    found = (try_to_load_from_cache(name, file, revision=revision) for file in WEIGHTS)
    return any(isinstance(path, str) for path in found)


def revision_of(model: nn.Module) -> str:
    """What pins the weights: the hub commit, or the SHA-256 of the local safetensors file(s), twelve digits."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return commit[:12]
    files = sorted(Path(model.config._name_or_path).glob("*.safetensors"))
    return "+".join(sha256(file)[:12] for file in files) or "unknown"


def _explained(name: str, error: Exception) -> str:
    text = str(error)
    if "gated" in text.lower() or "401" in text or "403" in text:
        return f"model {name} is gated; accept its licence at huggingface.co/{name} and log in with `hf auth login`"
    if "safetensors" in text.lower():
        return f"model {name} has no usable safetensors weights ({_first_line(text)}); convert it, or fetch it again"
    return f"model {name} cannot be loaded ({_first_line(text)}); check the name, the folder and the network"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else "no reason given"
