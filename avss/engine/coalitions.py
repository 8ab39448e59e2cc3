"""Outcomes of a model under layer masks, stored in one file a batch. A killed run resumes from them.

A file belongs to the content of a model and of a batch, and to nothing else: every method that asks for the same mask
of the same model finds it there, and no other model does.
"""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avss.errors import InputError
from avss.files import write_whole
from avss.identity import weights_digest

# Raised by one whenever the same model, batch and mask would give other numbers.
VERSION = 2
SAVE_EVERY = 10.0


class Scale(NamedTuple):
    """In the place of a block: the hidden state is multiplied by this factor."""

    factor: float


# A block's gate, or a pair of them (attention, MLP), or what stands in its place.
Mask = tuple[float | tuple[float, float] | Scale, ...]


class Coalitions:
    """Outcomes of each document of a batch by mask, a (B,) list of floats a quantity; count: scored predictions, (B,).

    Lives in memory where path is None. With a path it starts from the content of the file.
    """

    def __init__(self, path: Path | None):
        self.path, self.changed, self.saved = path, False, time.monotonic()
        self.count: list[int] | None = None
        self.masks: dict[str, list[list[float]]] = {}
        # Asked first: another process may write the file after it was looked for.
        there = path is not None and path.exists()
        if path and (found := _read(path)):
            self.count, self.masks = found
        elif there:
            warnings.warn(f"cache file {path} is damaged; its losses are computed again", stacklevel=2)

    def __contains__(self, mask: Mask) -> bool:
        return json.dumps(mask) in self.masks

    def __getitem__(self, mask: Mask) -> list[list[float]]:
        return self.masks[json.dumps(mask)]

    def add(self, mask: Mask, outcome: list[list[float]], count: list[int]) -> None:
        """Add one outcome. The file is written every ten seconds, so a killed run loses at most ten seconds."""
        self.masks[json.dumps(mask)] = outcome
        self.count, self.changed = count, True
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        if not (self.path and self.changed):
            return
        # Another process may have added to the file meanwhile.
        _, others = _read(self.path) or (None, {})
        self.masks = others | self.masks
        content = {"count": self.count, "masks": self.masks, "checksum": _checksum(self.count, self.masks)}
        try:
            write_whole(self.path, json.dumps(content))
        except OSError as error:
            warnings.warn(f"losses cannot be kept in {self.path} ({error}); the run goes on without", stacklevel=2)
            self.path = None
        self.changed, self.saved = False, time.monotonic()


def _checksum(count: list[int] | None, masks: dict[str, list[list[float]]]) -> str:
    return hashlib.blake2b(json.dumps([count, masks]).encode(), digest_size=16).hexdigest()


def _read(path: Path) -> tuple[list[int] | None, dict[str, list[list[float]]]] | None:
    """Counts and outcomes of a file; None where there is none, or where it differs from the one that was written."""
    try:
        found = json.loads(path.read_bytes())
        intact = found["checksum"] == _checksum(found["count"], found["masks"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return (found["count"], found["masks"]) if intact else None


class Cache:
    """The outcomes of one model, in a folder or (folder None) in memory.

    key: what the outcomes depend on besides the model's content. Raises `InputError` for a folder that cannot be made.
    """

    def __init__(self, folder: str | os.PathLike | None, model: nn.Module, key: str | None = None):
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cache {folder} cannot be made ({error}); give a folder that can be written") from error
        attention = getattr(model.config, "_attn_implementation", None)
        # The names of the modules hold settings that are in no weight, such as the constant inside a norm.
        self.model = json.dumps([VERSION, key, weights_digest(model), repr(model), attention])

    @contextmanager
    def batch(self, tensors: Mapping[str, Tensor]) -> Iterator[Coalitions]:
        """The coalitions of one batch; all that was added is on disk at the end, also after an error or interrupt."""
        coalitions = Coalitions(self.folder and self.folder / f"{self._name(tensors)}.json")
        try:
            yield coalitions
        finally:
            coalitions.save()

    def _name(self, tensors: Mapping[str, Tensor]) -> str:
        digest = hashlib.sha256(self.model.encode())
        for name in sorted(tensors):
            _add(digest, name, tensors[name])
        return digest.hexdigest()


def _add(digest, name: str, tensor: Tensor) -> None:
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    # As bytes, because NumPy has no bfloat16.
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
