"""Pairs to batches of token ids: each answer after its question, labelled, in the prompt of the task of questions."""

import torch

from avss.data import Example, by_length, context_of, one_batch, padding_id
from avss.engine.gold import UNSCORED
from avss.errors import InputError
from avss.hallucination.pairs import Pair
from avss.tasks.prompts import common_prefix, fitted
from avss.tasks.question_answering import PROMPT

# What stands in the place of the passage where a question has none.
WITHOUT_CONTEXT = "Answer the question."


def context_for(pair: Pair) -> str:
    """The passage of the question, or the line that stands in its place."""
    return pair.context or WITHOUT_CONTEXT


def encoded(tokenizer, pairs: list[Pair], answers: list[list[str]], room: int) -> list[list[Example]]:
    """For each pair, its prompt followed by each of these answers; the labels are the tokens of the answer.

    The prompt is that of the task question_answering. The passage is cut at its end so that prompt and longest answer
    have at most `room` tokens. The answer begins at the first token that differs from those of the prompt alone. Raises
    `InputError` for an answer without tokens, and for a question that does not fit.
    """

    def render(index: int, text: str) -> list[str]:
        prompt = PROMPT.format(context=text, question=pairs[index].question)
        return [prompt, *(f"{prompt} {answer}" for answer in answers[index])]

    _, ids = fitted(tokenizer, [context_for(pair) for pair in pairs], render, room)
    result = []
    for pair, (prompt, *whole) in zip(pairs, ids, strict=True):
        starts = [common_prefix([prompt, sequence]) for sequence in whole]
        for start, sequence in zip(starts, whole, strict=True):
            if start == len(sequence):
                raise InputError(f"an answer to {pair.question!r} has no tokens; leave the pair out")
        labelled = zip(starts, whole, strict=True)
        result.append([Example(ids, [UNSCORED] * start + ids[start:]) for start, ids in labelled])
    return result


def pair_batches(
    model, tokenizer, pairs: list[Pair], *, context: int | None = None, batch_size: int = 16
) -> tuple[list[dict[str, torch.Tensor]], list[dict[str, torch.Tensor]]]:
    """Batches of the supported and of the hallucinated answers, the same questions in the same order.

    Each batch has `input_ids`, `attention_mask` and `labels`, (B, T) int64; labels are -100 outside of the answer.
    context: tokens that question and answer may have together (default: 512, or fewer if the model has fewer
    positions). Raises `InputError` for no pairs, and as `encoded`.
    """
    if not pairs:
        raise InputError("no pairs were given; give at least one question with a supported and a hallucinated answer")
    answers = [[pair.supported[0], pair.hallucinated[0]] for pair in pairs]
    examples = encoded(tokenizer, pairs, answers, context_of(model, tokenizer, context))
    longest = [max((example.input_ids for example in both), key=len) for both in examples]
    filler = padding_id(tokenizer)
    sides = ([], [])
    for chosen in by_length(longest, batch_size):
        for side, batches in enumerate(sides):
            batches.append(one_batch([examples[index][side] for index in chosen], filler))
    return sides
