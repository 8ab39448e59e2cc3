"""Data: a name to rows (`load`; files by `rows` and `delimited`, folders by `splits` and `saved`, the hub by `hub`).

Their text and labels are found by `columns`, and texts become batches by `padding`.
"""

from avss.data.columns import labelled_by, usable_rows
from avss.data.hub import at_hand
from avss.data.load import fingerprint, load_data, on_hub, sample
from avss.data.padding import (
    Example,
    batched,
    batches,
    beginning,
    by_length,
    context_of,
    joined,
    one_batch,
    pad,
    padding_id,
    usable_size,
)

__all__ = [
    "Example",
    "at_hand",
    "batched",
    "batches",
    "beginning",
    "by_length",
    "context_of",
    "fingerprint",
    "joined",
    "labelled_by",
    "load_data",
    "on_hub",
    "one_batch",
    "pad",
    "padding_id",
    "sample",
    "usable_rows",
    "usable_size",
]
