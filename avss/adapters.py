"""Folders with an adapter of PEFT, such as LoRA, which is merged into its base model when it is loaded.

The config of such a model has a field `merged_adapter`. Saving, loading and pruning keep it, so that every result can
state where the weights come from.
"""

import os
import warnings
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn
from transformers.utils import is_peft_available

from avss.checkpoint import INDEX, SINGLE, json_object, reason
from avss.errors import InputError
from avss.files import expanded, sha256

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# The field of a config that says which adapter was merged.
SOURCE = "merged_adapter"


def is_adapter(path: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (path / CONFIG).is_file() and not any((path / name).is_file() for name in (SINGLE, INDEX))


def base_of(name: str, folder: Path) -> tuple[str, str | None]:
    """The base model that an adapter names, a hub id or a path, and its revision (None: the newest).

    A relative path counts from here or, where it leads nowhere, from the adapter's folder. Raises `InputError` for a
    config without a base, a base that is a path and not there, and for weights that are no safetensors.
    """
    config = json_object(name, folder / CONFIG)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(base, str) or not base.strip():
        raise InputError(f"model {name} is a LoRA adapter whose {CONFIG} names no base model; merge it and save that")
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"model {name} is a LoRA adapter without {WEIGHTS}; save it again as safetensors")
    beside = folder / base
    if not os.path.lexists(expanded(base)) and beside.is_dir():
        base = str(beside)
    if is_adapter(Path(expanded(base))):
        raise InputError(f"model {name} is an adapter of the adapter {base}; merge that one first")
    return base, revision if isinstance(revision, str) and not os.path.lexists(expanded(base)) else None


def missing_base(name: str, base: str, error: InputError) -> InputError:
    """The error where the base of an adapter cannot be had."""
    return InputError(
        f"model {name} is an adapter of {base}, which cannot be had ({reason(error)}); put it there, or name its place "
        f"as base_model_name_or_path in {CONFIG}"
    )


def check(name: str, folder: Path) -> None:
    """Raises `InputError` where peft is missing, and for an adapter that cannot be merged; no base model is needed."""
    if not is_peft_available():
        raise InputError(f"model {name} is a LoRA adapter, for which the package peft is missing; pip install peft")
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise _unmergeable(name, config)


def merged(name: str, folder: Path, base: str, commit: str | None, model: nn.Module) -> nn.Module:
    """The base model with the adapter of a folder merged into its weights, in place; no trace of PEFT is left in it.

    base, commit: where the base model came from, and its commit if that was the hub.
    Raises `InputError` for an adapter that is damaged, that cannot be merged, or that does not fit the base model, and
    the errors of peft. `check` has passed.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    held = _keys(name, folder)
    config = PeftConfig.from_pretrained(str(folder))
    with warnings.catch_warnings():
        # What it warns of is the error below, or a name that it will have in transformers 6.
        warnings.simplefilter("ignore")
        wrapped = PeftModel.from_pretrained(model, str(folder), config=config)
        wanted = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
        _check_keys(name, base, sorted(wanted - held), sorted(key for key in held - wanted if "lora_" in key))
        if not hasattr(wrapped.base_model, "merge_and_unload"):
            raise _unmergeable(name, config)
        whole = wrapped.merge_and_unload(safe_merge=True)
    vars(whole).pop("peft_config", None)
    for parameter in whole.parameters():
        # PEFT freezes what it wraps.
        parameter.requires_grad_(parameter.is_floating_point())
    kind = config.peft_type.value
    facts = {"adapter": folder.name, "kind": kind, "base": base, "sha256": sha256(folder / WEIGHTS)}
    setattr(whole.config, SOURCE, facts | ({"commit": commit} if commit else {}))
    return whole.eval()


def _unmergeable(name: str, config) -> InputError:
    kind = getattr(config.peft_type, "value", config.peft_type)
    return InputError(f"model {name} is an adapter of kind {kind}, which cannot be merged")


def adapter_of(model: nn.Module) -> dict[str, str] | None:
    """The adapter that was merged into a model: `adapter`, `kind`, `base`, `sha256`, maybe `commit`; None for others.

    adapter: the name of its folder. kind: as PEFT calls it, such as LORA. base: the model that it was merged into.
    commit: of that, if it came from the hub. sha256: of the adapter's weights.
    """
    return getattr(getattr(model, "config", None), SOURCE, None)


def _check_keys(name: str, base: str, missing: list[str], left: list[str]) -> None:
    parts = [f"{len(keys)} {what} ({keys[0]})" for what, keys in (("missing", missing), ("left over", left)) if keys]
    if parts:
        raise InputError(
            f"model {name} is an adapter that does not fit {base}: keys {', '.join(parts)}; "
            f"name the base model that it was trained on"
        )


def _keys(name: str, folder: Path) -> set[str]:
    try:
        with safe_open(folder / WEIGHTS, "pt") as weights:
            return set(weights.keys())
    except (OSError, SafetensorError) as error:
        raise InputError(f"model {name} has no usable {WEIGHTS} ({reason(error)}); fetch it again") from error
