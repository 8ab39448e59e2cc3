"""A model's name to the folder that holds it: an embedded model, a local folder, or a snapshot in the hub's cache.

The hub is asked only for a model that the cache does not hold whole.
"""

import os
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from avss import mini
from avss.adapters import CONFIG as ADAPTER
from avss.adapters import base_of, is_adapter
from avss.checkpoint import CONFIG, INDEX, SINGLE, VOCABULARIES, reason, weight_files
from avss.errors import InputError
from avss.files import clear_leftovers, expanded, may_be_hub_id
from avss.gguf_files import gguf_in

# Endings of the files beside the weights: configs, vocabularies, chat templates.
SMALL = (".json", ".txt", ".model", ".jinja")


def resolve(name: str, revision: str | None = None) -> str:
    """The folder or GGUF file of an embedded or local model, or the hub id unchanged.

    Variables such as $AVSS_MODELS are expanded. Raises `InputError` for an unset variable, a folder without a config,
    a folder with several GGUF files, a path that is no folder, an unknown or damaged embedded model, and for a
    revision of a model that is not on the hub.
    """
    place = _place_of(name)
    if revision is not None and os.path.lexists(place):
        raise InputError(
            f"revision {revision} is given with a folder or an embedded model ({name}); leave it out, or give a hub id"
        )
    return place


def _place_of(name: str) -> str:
    place = expanded(name)
    if "$" in place and not os.path.lexists(place):
        raise InputError(f"model {name}: the variable is not set; set it to the folder that holds the models")
    if place.startswith(mini.PREFIX):
        return str(mini.folder(place.removeprefix(mini.PREFIX)))
    path = Path(place)
    if path.parent.is_dir() and not path.exists():
        clear_leftovers(path.parent)
    if gguf_in(path):
        return place
    if path.is_dir():
        if is_adapter(path):
            return place
        if not (path / CONFIG).is_file():
            kind = "is a LoRA adapter" if (path / "adapter_config.json").is_file() else f"has no {CONFIG}"
            raise InputError(f"model folder {name} {kind}; give a folder that save_pretrained made of a whole model")
        return place
    if os.path.lexists(path):
        raise InputError(
            f"model {name} is a file, or a link that leads nowhere; give a folder that save_pretrained made"
        )
    if not _hub_id(place):
        raise InputError(
            f"model {name} does not exist; give a hub id (owner/name), a folder, or one of "
            f"{', '.join(mini.PREFIX + known for known in mini.names())}"
        )
    return place


def _hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return may_be_hub_id(name)


def on_hub(name: str) -> bool:
    """Whether this names a model of the hub. Raises `InputError` as `resolve`."""
    return not Path(resolve(name)).exists()


def at_hand(name: str, revision: str | None = None) -> bool:
    """Whether the hub's cache holds this model whole, so that neither network nor token is needed."""
    return _cached(name, revision) is not None


def _cached(name: str, revision: str | None) -> Path | None:
    """The snapshot in the cache, if it holds the config, all weights and a vocabulary.

    Both transformers and `fetched` fetch a tokenizer's settings before its vocabulary, so a snapshot with a vocabulary
    has them.
    """
    config = try_to_load_from_cache(name, CONFIG, revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    try:
        weights = weight_files(name, folder)
    except InputError:
        return None
    whole = weights and all(file.is_file() for file in weights)
    return folder if whole and any((folder / file).is_file() for file in VOCABULARIES) else None


def fetched(name: str, revision: str | None = None) -> Path:
    """The snapshot of a hub model; its last folder is the commit.

    A snapshot that the cache holds whole is taken as it is, also for a branch that has moved on since. Raises
    `InputError` for a model that is gated, does not exist, has no safetensors weights, or cannot be reached.
    """
    if found := _cached(name, revision):
        return found
    # Which errors there are depends on the client that huggingface_hub brings along.
    try:
        listed = HfApi().model_info(name, revision=revision).siblings or []
        files = {file.rfilename for file in listed}
        if not files & {SINGLE, INDEX} and ADAPTER in files:
            raise InputError(f"model {name} is a LoRA adapter; fetch it with `hf download {name}` and give the folder")
        if not files & {SINGLE, INDEX}:
            raise InputError(
                f"model {name} has no usable safetensors weights ({SINGLE}); take a model that has, or convert it"
            )
        small = [file for file in files if file.endswith(SMALL) and "/" not in file]
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=small))
        weights = [SINGLE] if SINGLE in files else [file.name for file in weight_files(name, folder)]
        return Path(snapshot_download(name, revision=revision, allow_patterns=[*small, *weights]))
    except InputError:
        raise
    except Exception as error:
        raise InputError(unreached(name, revision, error)) from error


def config_folder(name: str, revision: str | None = None) -> Path:
    """A folder, or a GGUF file, with the config of a model; no weights are fetched.

    Raises `InputError` as `resolve` and `fetched`.
    """
    where = Path(resolve(name, revision))
    if is_adapter(where):
        return config_folder(*base_of(name, where))
    if where.exists():
        return where
    found = try_to_load_from_cache(name, CONFIG, revision=revision)
    if isinstance(found, str):
        return Path(found).parent
    try:
        return Path(hf_hub_download(name, CONFIG, revision=revision)).parent
    except Exception as error:
        raise InputError(unreached(name, revision, error)) from error


def unreached(name: str, revision: str | None, error: Exception) -> str:
    """Why the hub did not give a model, by the type of its answer, and the next step."""
    page = f"{constants.ENDPOINT}/{name}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
    if isinstance(error, GatedRepoError):
        return f"model {name} is gated; accept its licence at {page} and log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"model {name} has no revision {revision}; take one that is listed at {page}"
    if isinstance(error, RepositoryNotFoundError):
        return f"model {name} is not on the hub, or is private; check the name, or log in with `hf auth login`"
    if status in (401, 403):
        return f"the hub refuses model {name} (HTTP {status}); log in with `hf auth login`, or ask its owner for access"
    return f"model {name} cannot be loaded ({reason(error)}); check the name and the network"
