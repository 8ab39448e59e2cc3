"""A model's name (hub id, folder, or embedded name) to a model and its tokenizer. Safetensors only, no remote code."""

import os
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from avss import mini
from avss.errors import InputError, look_up
from avss.files import may_be_hub_id, sha256

EMBEDDED = "mini/"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO_CLASSES = {"ForSequenceClassification": AutoModelForSequenceClassification, "ForCausalLM": AutoModelForCausalLM}
AUTO_CLASSES["LMHeadModel"] = AutoModelForCausalLM


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
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The model in evaluation mode and its tokenizer.

    name: hub id, folder, or embedded (`mini/distilbert`). The class (classifier, causal LM, plain encoder) is read
    from the checkpoint's config. dtype: float32, bfloat16 or float16. device: a torch device, by default a GPU where
    there is one. Raises `InputError` where it cannot be had: no such model, no safetensors, gated without a token, no
    network.
    """
    torch_dtype = look_up("dtype", dtype, DTYPES)
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    where = resolve(name)
    common = {"revision": revision or "main", "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(where, **common)
        architecture = (config.architectures or [""])[0]
        auto = next((auto for suffix, auto in AUTO_CLASSES.items() if architecture.endswith(suffix)), AutoModel)
        model = auto.from_pretrained(where, config=config, dtype=torch_dtype, use_safetensors=True, **common)
        tokenizer = AutoTokenizer.from_pretrained(where, **common)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(_explained(name, error)) from error
    return model.eval().to(device), tokenizer


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
