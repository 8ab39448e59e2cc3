"""What a model made of one batch under each layer mask, kept in one file a batch so that a killed run resumes.

A file belongs to a model, a batch and nothing else, so that every method that asks for the same mask finds it there.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn

from avss.files import write_whole

# Raised by one whenever the same model, batch and mask would give other numbers.
VERSION = 1
SAVE_EVERY = 10.0

# One gate a block, or a pair (attention, MLP) a block.
Mask = tuple[float | tuple[float, float], ...]


class Coalitions:
    """loss and probability of each document of a batch, (B,) lists of floats, by mask; count: scored predictions, (B,).

    Lives in memory where path is None. With a path it starts from what the file holds.
    """

    def __init__(self, path: Path | None):
        self.path, self.changed, self.saved = path, False, time.monotonic()
        found = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
        self.count: list[int] | None = found.get("count")
        self.masks: dict[str, list[list[float]]] = found.get("masks", {})

    def __contains__(self, mask: Mask) -> bool:
        return json.dumps(mask) in self.masks

    def __getitem__(self, mask: Mask) -> list[list[float]]:
        return self.masks[json.dumps(mask)]

    def add(self, mask: Mask, loss: list[float], probability: list[float], count: list[int]) -> None:
        """Keep one outcome; the file follows every ten seconds, so that a run killed outright loses no more."""
        self.masks[json.dumps(mask)] = [loss, probability]
        self.count, self.changed = count, True
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        if self.path and self.changed:
            write_whole(self.path, json.dumps({"count": self.count, "masks": self.masks}))
            self.changed, self.saved = False, time.monotonic()


@contextmanager
def kept(path: Path | None) -> Iterator[Coalitions]:
    """The coalitions of one batch; what was added is on disk at the end, also after an error or an interrupt."""
    coalitions = Coalitions(path)
    try:
        yield coalitions
    finally:
        coalitions.save()


def file_for(folder: str | os.PathLike, key: str, model: nn.Module, tensors: Mapping[str, Tensor]) -> Path:
    """The file of a batch in `folder`, named by the SHA-256 of the model's key, class and dtype, and of the tensors."""
    digest = hashlib.sha256(json.dumps([VERSION, key, type(model).__name__, str(model.dtype)]).encode())
    for name in sorted(tensors):
        array = tensors[name].cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return Path(folder) / f"{digest.hexdigest()}.json"
