"""Models in GGUF, the single-file format of llama.cpp, read through transformers and dequantised.

The config of such a model has a field `dequantized_from`. Saving, loading and pruning keep it, so that every result
can state that the weights are not the original ones.
"""

from collections import Counter
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import is_gguf_available

from avss.checkpoint import INDEX, SINGLE, reason
from avss.errors import InputError
from avss.files import sha256

# The field of a config that says from which file the weights were dequantised.
SOURCE = "dequantized_from"
# Where transformers notes that a model is quantised.
QUANTIZED = (
    ("config", "quantization_config"),
    ("model", "hf_quantizer"),
    ("model", "quantization_method"),
    ("model", "is_quantized"),
)


def gguf_in(path: Path) -> Path | None:
    """The GGUF file that a path means: itself, or the one in a folder without safetensors; None where there is none.

    Raises `InputError` for a folder with several.
    """
    if path.suffix == ".gguf" and path.is_file():
        return path
    if not path.is_dir() or (path / SINGLE).is_file() or (path / INDEX).is_file():
        return None
    found = sorted(file for file in path.glob("*.gguf") if file.is_file())
    if len(found) > 1:
        raise InputError(
            f"model folder {path} holds {len(found)} GGUF files ({', '.join(file.name for file in found[:3])}); "
            f"give the path of one"
        )
    return found[0] if found else None


def source_of(model: nn.Module) -> dict[str, str] | None:
    """From which GGUF file the weights were dequantised: `file`, `quantization`, `sha256`; None for other models.

    file: its name. quantization: the type that most of its weights have, such as Q4_1 or F32. sha256: of the whole
    file. A model that was saved and loaded again, or pruned, still has it.
    """
    return getattr(getattr(model, "config", None), SOURCE, None)


def config_of(name: str, file: Path) -> PreTrainedConfig:
    """The config in a GGUF file; of its weights only names are read.

    Raises `InputError` where the package gguf is missing, and for a damaged file or a class that cannot be read.
    """
    if not is_gguf_available():
        raise InputError(
            f"model {name} is a GGUF file, for which the package gguf is missing; pip install gguf==0.19.0"
        )
    try:
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    except Exception as error:
        # Damaged files make the reader raise errors of every type.
        raise InputError(
            f"model {name} is a GGUF file that transformers {transformers.__version__} cannot read ({reason(error)}); "
            f"fetch it again, or take a class that it reads"
        ) from error
    named = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    if named is None:
        raise InputError(f"model {name} is a GGUF file of class {config.model_type}; take a causal language model")
    config.architectures = [named]
    return config


def read(
    name: str, file: Path, dtype: torch.dtype | None, stated: dict
) -> tuple[nn.Module, dict, PreTrainedTokenizerBase]:
    """The causal language model of a GGUF file in a dtype (None: float32), the report on its keys, its tokenizer.

    stated: more options of `from_pretrained`. The model can be saved: nothing in it or in its config says that it is
    still quantised. Raises `InputError` as `config_of` and for a truncated file, and the errors of transformers.
    """
    config = config_of(name, file)
    setattr(config, SOURCE, {"file": file.name, "quantization": _quantization(name, file), "sha256": sha256(file)})
    local = {"gguf_file": file.name, "local_files_only": True}
    model, loading = AutoModelForCausalLM.from_pretrained(
        file.parent,
        config=config,
        dtype=dtype or torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
        **stated,
        **local,
    )
    for owner, attribute in QUANTIZED:
        held = model.config if owner == "config" else model
        if attribute in vars(held):
            delattr(held, attribute)
    return model, loading, AutoTokenizer.from_pretrained(file.parent, **local)


def _quantization(name: str, file: Path) -> str:
    """The type that most weights in the file have, such as Q4_1, F16 or F32."""
    from gguf import GGUFReader

    sizes: Counter = Counter()
    try:
        for tensor in GGUFReader(file).tensors:
            sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    except Exception as error:
        # It does not check what it reads: the end of a truncated file shows in errors of several types.
        raise InputError(f"model {name} is no whole GGUF file ({reason(error)}); fetch it again") from error
    if not sizes:
        raise InputError(f"model {name} is a GGUF file without weights; fetch it again")
    return sizes.most_common(1)[0][0]
