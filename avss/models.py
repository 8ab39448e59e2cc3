"""A model's name (hub id, folder, or embedded name) to a model and its tokenizer. Safetensors only, no remote code."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from avss import adapters, checkpoint, gguf_files
from avss.architectures import depths_of
from avss.engine.parallel import own_device
from avss.errors import InputError, is_out_of_memory, is_panic, look_up
from avss.files import reachable
from avss.hub import at_hand, config_folder, fetched, on_hub, resolve
from avss.identity import COMMIT, identity_of, revision_of, weights_digest

__all__ = [
    "ATTENTION",
    "DEVICE_MAPS",
    "DTYPES",
    "at_hand",
    "identity_of",
    "load_model",
    "on_hub",
    "resolve",
    "revision_of",
    "skeleton",
    "weights_digest",
]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The dtype that the checkpoint itself has.
OWN_DTYPE = "auto"
AUTO_CLASSES = {"ForSequenceClassification": AutoModelForSequenceClassification, "ForCausalLM": AutoModelForCausalLM}
AUTO_CLASSES["LMHeadModel"] = AutoModelForCausalLM
LOCAL = {"local_files_only": True, "trust_remote_code": False}
# How attention may be computed; the last needs a package of its own.
ATTENTION = ("eager", "sdpa", "flash_attention_2")
# How accelerate may spread a model over the devices there are.
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def load_model(
    name: str,
    *,
    dtype: str = "float32",
    device: str | None = None,
    revision: str | None = None,
    device_map: str | None = None,
    attn_implementation: str | None = None,
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The model, in evaluation mode and with all its weights on a device, and its tokenizer.

    name: hub id, folder, embedded (`mini/distilbert`), a GGUF file or a folder with one, which is dequantised
    (`avss.gguf_files`), or a folder with an adapter of PEFT, which is merged into its base (`avss.adapters`). The class
    is the one that the checkpoint's config names. dtype: that of the floating-point weights in memory, a key of
    `DTYPES`, or `auto` for the one that most of the checkpoint's weights have (of a GGUF file: float32). device: a
    torch device, by default a GPU where there is one. revision: a commit, branch or tag of a hub id. device_map: in
    place of a device, how accelerate spreads the blocks, one of `DEVICE_MAPS`. attn_implementation: one of `ATTENTION`
    (None: the class's own choice).

    The network is used only for a hub model that the cache does not hold whole. Raises `InputError` where the model
    cannot be had: no such model or device, no safetensors, gated without a token, no network, a missing package;
    where its folder is damaged or its config wrong; where its weights are not those of its class, one by one; where
    its tokenizer has ids beyond its embedding; where one token cannot be run; and where a device map would leave
    weights outside of the devices, where not all methods find them. A `RuntimeError` of torch passes through where
    memory runs out.
    """
    torch_dtype = look_up("dtype", dtype, DTYPES | {OWN_DTYPE: None})
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    if device_map is not None:
        look_up("device_map", device_map, dict.fromkeys(DEVICE_MAPS))
    if attn_implementation is not None:
        look_up("attn_implementation", attn_implementation, dict.fromkeys(ATTENTION))
    device = device or own_device()
    try:
        torch.empty(1, device=device).tolist()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise InputError(
            f"device {device} cannot be used ({checkpoint.reason(error)}); give another, such as cpu"
        ) from error
    where, commit, adapter, source = Path(resolve(name, revision)), None, None, name
    if adapters.is_adapter(where):
        adapter = where
        source, revision, where = _base(name, adapter)
        with _blaming(name):
            adapters.check(name, adapter)
    file = gguf_files.gguf_in(where)
    if not where.exists():
        where = fetched(source, revision)
        commit = where.name
    stated = {"device_map": device_map, "attn_implementation": attn_implementation}
    stated = {option: value for option, value in stated.items() if value is not None}
    if file:
        with _blaming(name):
            model, loading, tokenizer = gguf_files.read(source, file, torch_dtype, stated)
            _check_vocabulary(source, model, tokenizer)
    else:
        model, loading, tokenizer = _read(source, where, torch_dtype, stated)
    checkpoint.check_keys(source, model, loading)
    if adapter:
        with _blaming(name):
            model = adapters.merged(name, adapter, source, commit, model)
            if any((adapter / vocabulary).is_file() for vocabulary in checkpoint.VOCABULARIES):
                tokenizer = AutoTokenizer.from_pretrained(adapter, config=model.config, **LOCAL)
                _check_vocabulary(name, model, tokenizer)
    elif commit:
        setattr(model, COMMIT, commit)
    offloaded = [parameter for parameter in model.parameters() if parameter.is_meta]
    if offloaded:
        raise InputError(
            f"model {name} does not fit into the memory of the devices ({len(offloaded)} of its parameters are left "
            f"out); give a narrower dtype, free their memory, or run it on more or larger devices"
        )
    model = model.eval() if device_map else model.eval().to(device)
    if model.main_input_name == "input_ids" and not model.config.is_encoder_decoder:
        with _blaming(name), torch.no_grad():
            model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device))
    return model, tokenizer


def _base(name: str, adapter: Path) -> tuple[str, str | None, Path]:
    """The base model of an adapter: its name, its revision, and the folder that it has or would have.

    Raises `InputError` for an adapter that names no base, and for a base that cannot be had.
    """
    base, revision = adapters.base_of(name, adapter)
    try:
        return base, revision, Path(resolve(base, revision))
    except InputError as error:
        raise adapters.missing_base(name, base, error) from error


def _read(
    name: str, where: Path, dtype: torch.dtype | None, stated: dict
) -> tuple[nn.Module, dict, PreTrainedTokenizerBase]:
    """The model of a folder in a dtype (None: that of its weights), the report on its keys, and its tokenizer.

    where: the folder. stated: further options of `from_pretrained`. Raises `InputError` as `load_model` for a folder
    that is damaged; before the weights are read, where its config describes another model than they are.
    """
    found = checkpoint.read(name, where)
    with _blaming(name), reachable(where) as where:
        config = AutoConfig.from_pretrained(where, **LOCAL)
        for field, depth in depths_of(config).items():
            # A config that leaves the depth out gets that of its class.
            if field in vars(config):
                checkpoint.check_depth(name, found, field, depth)
        hollow = _on_meta(config)
        checkpoint.check_size(name, found, hollow)
        tokenizer = AutoTokenizer.from_pretrained(where, **LOCAL)
        _check_vocabulary(name, hollow, tokenizer)
        model, loading = _class_of(config).from_pretrained(
            where,
            config=config,
            dtype=dtype or found.dtype() or OWN_DTYPE,
            use_safetensors=True,
            # Weights of another shape are reported by `check_keys`, together with all others that do not fit.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **stated,
            **LOCAL,
        )
    return model, loading, tokenizer


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    """Any error in here is the fault of the model's folder, and is raised as an `InputError`.

    Inside are calls of transformers alone, and checks of their outcome. A damaged folder makes it raise errors of
    every type, so none can be left out. Memory that runs out is no fault of the folder.
    """
    loading = logging.getLogger("transformers.modeling_utils")
    # Its table of keys would come before our one line about them.
    loading.addFilter(_is_error)
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        ran_out = isinstance(error, RuntimeError) and is_out_of_memory(error)
        if ran_out or not (isinstance(error, Exception) or is_panic(error)):
            raise
        raise InputError(_explained(name, error)) from error
    finally:
        loading.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _explained(name: str, error: BaseException) -> str:
    next_step = "install it" if isinstance(error, ImportError) else "check its config, or fetch it again"
    return f"model {name} cannot be loaded ({checkpoint.reason(error)}); {next_step}"


def _class_of(config: PreTrainedConfig) -> type:
    """The class that a config names where transformers has it for this family, else the nearest Auto class."""
    named = (config.architectures or [""])[0]
    found = getattr(transformers, named, None)
    if isinstance(found, type) and issubclass(found, PreTrainedModel) and found.config_class is type(config):
        return found
    return next((auto for suffix, auto in AUTO_CLASSES.items() if named.endswith(suffix)), AutoModel)


def _on_meta(config: PreTrainedConfig) -> nn.Module:
    """A model of this config whose tensors have shapes and dtypes, and no values."""
    kind = _class_of(config)
    make = kind._from_config if issubclass(kind, PreTrainedModel) else kind.from_config
    with torch.device("meta"):
        return make(config, dtype=config.dtype).eval()


def _check_vocabulary(name: str, model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises `InputError` for a tokenizer with ids beyond the model's embedding, or one that cannot read a word."""
    tokenizer("a")
    rows = model.get_input_embeddings().num_embeddings
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= rows:
        raise InputError(
            f"the tokenizer of model {name} has ids up to {largest}, and the model's embedding has {rows} rows; "
            f"give the tokenizer that the model was trained with"
        )


def stored_dtype(name: str, revision: str | None = None) -> str:
    """The dtype of a checkpoint's floating-point weights, a key of `DTYPES`; float32 for several and for GGUF.

    name, revision: as in `load_model`; of an adapter, its base is meant. Only headers of the weights are read. Raises
    `InputError` as `load_model` for files that cannot be had or read, and for weights of any other floating dtype.
    """
    where = Path(resolve(name, revision))
    if adapters.is_adapter(where):
        name, revision, where = _base(name, where)
    if gguf_files.gguf_in(where):
        return "float32"
    found = set(checkpoint.read(name, where if where.is_dir() else fetched(name, revision)).dtypes.values())
    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    other = {dtype for dtype in found - set(names) if dtype.startswith("F")}
    if other:
        raise InputError(f"model {name} stores {', '.join(sorted(other))}; name the dtype to use, such as float32")
    chosen = found & set(names)
    return names[chosen.pop()] if len(chosen) == 1 else "float32"


def skeleton(name: str, *, revision: str | None = None, shape: dict | None = None) -> nn.Module:
    """The model without its weights: its own class on the meta device, in evaluation mode, made from the config alone.

    name, revision: as in `load_model`. shape: what the checkpoint's `config.json` says, `model_type` and
    `architectures` among it (None: that file is read, from the folder or the hub). The dtype is that of the config.
    Raises `InputError` for a config that cannot be had, or of no known class.
    """
    file = None
    if shape is None:
        folder = config_folder(name, revision)
        file = gguf_files.gguf_in(folder)
    with _blaming(name):
        if file:
            config = gguf_files.config_of(name, file)
        elif shape is None:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        else:
            config = AutoConfig.for_model(**shape)
        return _on_meta(config)
