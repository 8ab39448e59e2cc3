"""The layers that a cell chose, kept in one file a cell until the model was evaluated without them.

Scoring may take hours, and a set of layers is evaluated together with others. So a run that is killed in between finds
here what it had scored.
"""

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from avss.files import write_whole


@dataclass(frozen=True)
class Choice:
    """removed: the layers that go. seconds: all scoring. peak_memory_mb: meanwhile. layers: scores in long form.

    scores_from: the run that scored, where it was an earlier one, whose scores are in the store.
    """

    removed: list[int]
    seconds: float
    peak_memory_mb: float
    layers: list[dict]
    scores_from: str | None = None


class Choices:
    """The choices of cells by their keys, in a folder `choices` of `folder`, or nowhere (None)."""

    def __init__(self, folder: Path | None):
        self.folder = None if folder is None else folder / "choices"

    def found(self, key: str, make: Callable[[], Choice]) -> Choice:
        """The choice that an earlier run kept under this key, or else the one that `make` gives, kept from now on."""
        if self.folder is None:
            return make()
        choice = _read(self._path(key))
        if choice is None:
            if self._path(key).exists():
                warnings.warn(f"choice {self._path(key)} is damaged; its layers are scored again", stacklevel=2)
            choice = make()
            content = asdict(choice)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                write_whole(self._path(key), json.dumps({"choice": content, "checksum": _checksum(content)}))
            except OSError as error:
                warnings.warn(f"choices cannot be kept in {self.folder} ({error}); the run goes on", stacklevel=2)
        return choice

    def forget(self, key: str) -> None:
        """Remove a choice that is stored as an observation."""
        if self.folder is not None:
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _checksum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read(path: Path) -> Choice | None:
    """The choice in a file; None where there is none, or where it differs from the one that was written."""
    try:
        found = json.loads(path.read_bytes())
        return Choice(**found["choice"]) if found["checksum"] == _checksum(found["choice"]) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
