"""Text to train on: windows of equal length, and documents that share no passage with those that are measured on."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from avss.data import beginning, joined
from avss.errors import InputError

# Words in a row that two documents must not share; the rule of GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C).
SHARED = 13


def windows(tokenizer, texts: Sequence[str], context: int) -> Tensor:
    """Windows of `context` tokens, (W, context) int64, that do not overlap.

    Documents are joined, each followed by EOS, and a tokenizer that adds BOS has it at the start of every window, as in
    the task `language_modeling`. The last tokens, which fill no window, are left out. Raises `InputError` for one text
    in place of a list, a tokenizer without EOS, a context that has no room for a prediction, and text that fills no
    window.
    """
    if isinstance(texts, str):
        raise InputError(f"texts is one string ({texts[:20]!r}); give a list of them")
    stream, _ = joined(tokenizer, texts)
    bos = beginning(tokenizer)
    body = context - len(bos)
    if context < 2 or body < 1:
        raise InputError(f"context is {context} tokens; give at least 2")
    count = len(stream) // body
    if not count:
        raise InputError(
            f"text to train on has {len(stream)} tokens, less than a window of {context}; give more text, or a smaller "
            f"context"
        )
    cut = stream[: count * body].view(count, body)
    return torch.cat([torch.tensor(bos, dtype=torch.int64).expand(count, -1), cut], dim=1)


def drawn(count: int, seed: int, step: int, size: int) -> list[int]:
    """The windows of a step, of `count`: all of them in an order of the seed, then all in another, and so on."""
    found = []
    for place in range(step * size, (step + 1) * size):
        turn, index = divmod(place, count)
        found.append(int(np.random.default_rng([seed, turn]).permutation(count)[index]))
    return found


def without_shared(texts: Sequence[str], measured: Iterable[str], words: int = SHARED) -> list[str]:
    """The texts that share no `words` words in a row with any text of `measured`, and that are none of them.

    Words are compared without case, punctuation and spaces between them.
    """
    known: set[tuple[str, ...]] = set()
    for text in measured:
        known |= _passages(text, words)
    return [text for text in texts if not known & _passages(text, words)]


def _passages(text: str, words: int) -> set[tuple[str, ...]]:
    """All runs of so many words; a shorter text as a whole."""
    found = re.findall(r"\w+", text.casefold())
    return {tuple(found[start : start + words]) for start in range(max(1, len(found) - words + 1))} - {()}
