"""Prompts as token ids, for any tokenizer: BOS if it adds one. Only the text is cut if a prompt is too long."""

from collections.abc import Callable

from avss.data import beginning
from avss.errors import InputError


def encode(tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, after BOS where the tokenizer adds one, and with no other special token."""
    # By default a tokenizer may also add an end token, and no text could follow the prompt. It would warn of long
    # texts, which are cut later.
    begin = beginning(tokenizer)
    return [begin + ids for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]


def fitted(
    tokenizer, texts: list[str], render: Callable[[int, str], list[str]], room: int
) -> tuple[list[str], list[list[list[int]]]]:
    """The texts, cut at their end where they are too long, and the token ids of the strings made of each.

    render(index, text): the strings that hold this text, none of which may have more than `room` tokens. Raises
    `InputError` where one has more without any text.
    """
    whole, texts, ids = texts, list(texts), [[] for _ in texts]
    ends: dict[int, list[int]] = {}
    kept: dict[int, int] = {}
    pending = list(range(len(texts)))
    # Together in each round, because tokenizers are fast on many texts at a time.
    while pending:
        rendered = [render(index, texts[index]) for index in pending]
        encoded = iter(encode(tokenizer, [string for strings in rendered for string in strings]))
        for index, strings in zip(pending, rendered, strict=True):
            ids[index] = [next(encoded) for _ in strings]
        pending = [index for index in pending if max(map(len, ids[index])) > room]
        new = [index for index in pending if index not in ends]
        ends |= dict(zip(new, _token_ends(tokenizer, [whole[index] for index in new]), strict=True))
        for index in pending:
            total = max(map(len, ids[index]))
            if not texts[index]:
                raise InputError(
                    f"context is too short: the prompt of document {index} has {total} tokens without its text, "
                    f"and there is room for {room}; give a larger context"
                )
            last = kept.get(index, len(ends[index]) - 1)
            # In proportion, because the ends may be those of characters. From above, to cut little more than needed.
            kept[index] = max(0, last - max(1, (total - room) * last // total))
            texts[index] = whole[index][: ends[index][kept[index]]]
    return texts, ids


def _token_ends(tokenizer, texts: list[str]) -> list[list[int]]:
    """Where each text may be cut: after a token, or anywhere if the tokenizer does not report where tokens end."""
    if not texts or not tokenizer.is_fast:
        return [list(range(len(text) + 1)) for text in texts]
    found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [[0, *(end for _, end in offsets)] for offsets in found["offset_mapping"]]


def common_prefix(sequences: list[list[int]]) -> int:
    """How many tokens all sequences start with."""
    columns = enumerate(zip(*sequences, strict=False))
    return next((index for index, tokens in columns if len(set(tokens)) > 1), min(map(len, sequences)))
