"""The embedded models, one folder each: weights (safetensors), tokenizer, configuration, and how they were made.

They are made by `recipes/mini.py` and read with `avss.load_model("mini/distilbert")`, or with the plain Auto class
from `folder("distilbert")`.
"""

import json
from pathlib import Path

from avss.errors import InputError
from avss.files import sha256

FOLDER = Path(__file__).parent
WEIGHTS, CARD = "model.safetensors", "card.json"
# Of the names by which they are loaded, such as mini/distilbert.
PREFIX = "mini/"


def names() -> list[str]:
    """The names of the embedded models, in alphabetical order."""
    return sorted(card.parent.name for card in FOLDER.glob(f"*/{CARD}"))


def card(checkpoint: str) -> dict | None:
    """How the embedded model of this name, such as `mini/distilbert`, was made; None for any other checkpoint."""
    path = FOLDER / checkpoint.removeprefix(PREFIX) / CARD
    known = checkpoint.startswith(PREFIX) and path.is_file()
    return json.loads(path.read_text(encoding="utf-8")) if known else None


def folder(name: str) -> Path:
    """The folder of an embedded model, once its weights are known to be the ones that its card describes.

    Raises `InputError` for an unknown name, and if the SHA-256 of the weights differs from the card's.
    """
    if name not in names():
        raise InputError(f"no embedded model {name!r}; choose one of: {', '.join(names())}")
    weights, card = FOLDER / name / WEIGHTS, FOLDER / name / CARD
    if not weights.is_file() or sha256(weights) != json.loads(card.read_text(encoding="utf-8"))["sha256"]:
        raise InputError(
            f"{weights} is missing or is not the file that its card describes; "
            "reinstall the package, or `git checkout` the file"
        )
    return weights.parent
