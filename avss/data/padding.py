"""Texts and examples to batches of token ids: cut, grouped by length, padded."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avss.engine.gold import UNSCORED
from avss.errors import InputError


def context_of(model, tokenizer, context: int | None) -> int:
    """Tokens a document or window may have: `context`, or the number of the model's positions if that is lower.

    Raises `InputError` where `context` is below 2.
    """
    if context is not None and context < 2:
        raise InputError(f"context is {context} tokens; give at least 2")
    limits = [context or 512, getattr(model.config, "max_position_embeddings", None), tokenizer.model_max_length]
    return min(limit for limit in limits if limit)


def pad(
    sequences: list[list[int]], filler: int, length: int | None = None, *, left: bool = False
) -> dict[str, torch.Tensor]:
    """Padded `input_ids` and `attention_mask`, (B, T) int64 each; T is the longest sequence, or `length`.

    Padding is on the right, or on the left where `left`.
    """
    width = length or max(map(len, sequences))
    ids = torch.full((len(sequences), width), filler, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        real = slice(width - len(sequence), width) if left else slice(len(sequence))
        ids[row, real] = torch.tensor(sequence, dtype=torch.int64)
        mask[row, real] = 1
    return {"input_ids": ids, "attention_mask": mask}


def padding_id(tokenizer) -> int:
    """The id that fills up a batch; without a padding token any id will do, because the mask covers it."""
    return next(known for known in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if known is not None)


def beginning(tokenizer) -> list[int]:
    """The token that starts a text: BOS if the tokenizer adds one by itself, otherwise none."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def joined(tokenizer, texts: Sequence[str]) -> tuple[Tensor, list[int]]:
    """The tokens of all texts, each followed by EOS, as one stream (N,) int64, and how many of them each text has.

    Raises `InputError` for a tokenizer without EOS.
    """
    if tokenizer.eos_token_id is None:
        raise InputError("documents are joined with EOS, and the tokenizer has none; set eos_token")
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if len(texts) else []
    stream = [token for ids in encoded for token in [*ids, tokenizer.eos_token_id]]
    return torch.tensor(stream, dtype=torch.int64), [len(ids) + 1 for ids in encoded]


def usable_size(batch_size: int) -> None:
    """Raises `InputError` for a batch size below 1."""
    if batch_size < 1:
        raise InputError(f"batch size is {batch_size}; give at least 1")


def by_length(sequences: Sequence[Sequence], batch_size: int) -> list[list[int]]:
    """The indices of the sequences, shortest first, in groups of `batch_size`, to keep padding low.

    Raises `InputError` as `usable_size`.
    """
    usable_size(batch_size)
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def batches(
    texts: list[str], tokenizer, *, context: int, batch_size: int = 32, fill: bool = False
) -> list[dict[str, torch.Tensor]]:
    """Token ids of whole documents, cut at `context` tokens, in batches of similar length.

    fill: pads every batch to `context`, as the released scripts do, for readings in which padding counts.
    Raises `InputError` where no text has a token, for one text in place of a list, a context below 1 and a batch size
    below 1.
    """
    if isinstance(texts, str):
        raise InputError(f"texts is one string ({texts[:20]!r}); give a list of them")
    if context < 1:
        raise InputError(f"context is {context} tokens; give at least 1")
    texts = list(texts)
    encoded = tokenizer(texts, truncation=True, max_length=context)["input_ids"] if texts else []
    encoded = [ids for ids in encoded if ids]
    if not encoded:
        raise InputError("no usable rows: no text has a single token; check the text column and the tokenizer")
    filler = padding_id(tokenizer)
    return [
        pad([encoded[index] for index in chosen], filler, context if fill else None)
        for chosen in by_length(encoded, batch_size)
    ]


@dataclass(frozen=True)
class Example:
    """One document and its labels.

    labels: the class (a classifier), or one token id for each of `input_ids`, not shifted, -100 where nothing is
    scored (a causal language model; the convention of `avss.engine.gold`).
    """

    input_ids: list[int]
    labels: list[int] | int


def batched(
    examples: list[Example], filler: int, batch_size: int, length: int | None = None
) -> list[dict[str, torch.Tensor]]:
    """Examples in batches of similar length, padded on the right with `filler` (labels with -100).

    Each batch has `input_ids`, `attention_mask`, (B, T) int64, and `labels`, (B,) or (B, T) int64; T is the longest
    example of the batch, or `length`. Raises `InputError` where there is no example.
    """
    if not examples:
        raise InputError("no usable rows: there is no example with labels; check the columns and the tokenizer")
    groups = by_length([example.input_ids for example in examples], batch_size)
    return [one_batch([examples[index] for index in chosen], filler, length) for chosen in groups]


def one_batch(examples: Sequence[Example], filler: int, length: int | None = None) -> dict[str, torch.Tensor]:
    """These examples in their order, as a batch of `batched`."""
    labels = [example.labels for example in examples]
    batch = pad([example.input_ids for example in examples], filler, length)
    of_tokens = isinstance(labels[0], list)
    return batch | {"labels": pad(labels, UNSCORED, length)["input_ids"] if of_tokens else torch.tensor(labels)}
