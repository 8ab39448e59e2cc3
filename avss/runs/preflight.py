"""What has to be at hand before a row starts, checked before anything is downloaded: packages, hub, token, disk."""

import shutil
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from datasets import config
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import get_session

from avss import data, models
from avss.errors import InputError
from avss.runs.profile import Row


def problems(rows: Sequence[Row]) -> list[str]:
    """One line for each thing that keeps these rows from running: what it is, its value, and the next step."""
    found = [*_packages(rows), *_names(rows)]
    if found:
        return found
    checkpoints = {
        row.checkpoint: row
        for row in rows
        if models.on_hub(row.checkpoint) and not models.at_hand(row.checkpoint, row.revision)
    }
    sources = {
        row.data: row
        for row in rows
        if data.on_hub(row.data)
        and not data.at_hand(row.data, row.data_config, row.data_revision, (row.calibration, row.evaluation))
    }
    # Rows whose models and data are at hand need no hub.
    unreachable = _unreachable() if checkpoints or sources else None
    if unreachable:
        found.append(
            f"the hub {constants.ENDPOINT} cannot be reached ({unreachable}) and is needed for "
            f"{', '.join([*checkpoints, *sources])}; connect to it, or fetch them elsewhere and copy the caches "
            f"{constants.HF_HUB_CACHE} and {config.HF_DATASETS_CACHE}"
        )
    gated = [row for row in checkpoints.values() if row.alternative]
    found += [line for row in gated if (line := _closed(row, try_it=not unreachable))]
    return found + _space(checkpoints.values(), sources.values())


def require(row: Row) -> None:
    """Raises `InputError` with the first problem of this row."""
    found = problems([row])
    if found:
        raise InputError(found[0])


def stored_bytes(model) -> int:
    """What the parameters of a model take, in their dtype; tied ones count once."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _packages(rows: Iterable[Row]) -> list[str]:
    if all(row.attn_implementation != "flash_attention_2" for row in rows) or find_spec("flash_attn"):
        return []
    return ["package flash-attn is not installed; install it with `pip install flash-attn`"]


def _names(rows: Iterable[Row]) -> list[str]:
    found = []
    for name, revision in dict.fromkeys((row.checkpoint, row.revision) for row in rows):
        try:
            models.resolve(name, revision)
        except InputError as error:
            found.append(str(error))
    return found


def _unreachable() -> str | None:
    """Why the hub cannot be asked, or None."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    # Which errors there are depends on the client that huggingface_hub brings along.
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _closed(row: Row, try_it: bool) -> str | None:
    """Why a model behind a licence cannot be had, or None."""
    page = f"{constants.ENDPOINT}/{row.checkpoint}"
    open_one = f"or take the open {row.alternative} as the checkpoint"
    if get_token() is None:
        return (
            f"model {row.checkpoint} is gated and there is no token; accept its licence at {page} and set HF_TOKEN "
            f"or run `hf auth login`, {open_one}"
        )
    try:
        if try_it:
            HfApi().auth_check(row.checkpoint)
    except (GatedRepoError, RepositoryNotFoundError):
        return f"model {row.checkpoint} is gated and the token has no access; accept its licence at {page}, {open_one}"
    except HfHubHTTPError:
        # Any other answer is no verdict on the licence; loading the model will meet it again.
        return None
    return None


def _space(checkpoints: Iterable[Row], sources: Iterable[Row]) -> list[str]:
    """Weights go to the cache of the hub; data goes there and, unpacked, to the cache of `datasets`."""
    raw = sum(row.data_bytes for row in sources)
    weights = sum(
        stored_bytes(models.skeleton(row.checkpoint, revision=row.revision, shape=row.shape)) for row in checkpoints
    )
    needed: dict[int, tuple[Path, int]] = {}
    for folder, size in ((constants.HF_HUB_CACHE, weights + raw), (config.HF_DATASETS_CACHE, raw)):
        folder = next(path for path in (Path(folder), *Path(folder).absolute().parents) if path.exists())
        known = needed.get(folder.stat().st_dev, (folder, 0))
        needed[folder.stat().st_dev] = (known[0], known[1] + size)
    return [
        f"{folder} has {free / 1e9:.1f} GB left, and {size / 1e9:.1f} GB are to be downloaded; "
        f"free some, or set HF_HOME to a folder on a larger disk"
        for folder, size in needed.values()
        if size > (free := shutil.disk_usage(folder).free)
    ]
