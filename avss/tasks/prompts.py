"""Prompts as token ids, for any tokenizer: the question, after solved examples, as plain text or through the chat
template. A plain prompt starts with BOS if the tokenizer adds one. Only the text is cut if a prompt is too long.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import TemplateError

from avss.data import beginning
from avss.errors import InputError

# Between a solved example and the next question.
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Prompting:
    """How a question is put to a causal language model.

    chat: as a message of the user through the tokenizer's own template. solved: question and answer of each solved
    example before the question, in order; in a chat they are earlier turns.
    """

    chat: bool = False
    solved: tuple[tuple[str, str], ...] = ()

    @property
    def shares(self) -> bool:
        """Whether all prompts begin alike, so that the keys and values of their beginning are computed once."""
        return self.chat or bool(self.solved)

    def prompt(self, tokenizer, question: str) -> str:
        """The text before the answer. Raises `InputError` where the tokenizer's template does not take these turns."""
        if not self.chat:
            before = [self.prompt_and_answer(*example) for example in self.solved]
            return SEPARATOR.join([*before, question])
        turns = [*self.solved, (question, "")]
        roles = [(("user", asked), ("assistant", answer)) for asked, answer in turns]
        messages = [{"role": role, "content": text} for turn in roles for role, text in turn][:-1]
        try:
            return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except (TemplateError, ValueError) as error:
            raise InputError(
                f"the tokenizer's chat template does not take {len(turns)} questions and {len(self.solved)} answers "
                f"({' '.join(str(error).split())[:200]}); leave prompt chat out"
            ) from error

    def prompt_and_answer(self, prompt: str, answer: str) -> str:
        """The text with its answer. A chat template ends its prompts where an answer starts without a space."""
        return f"{prompt}{'' if self.chat else ' '}{answer.strip()}"

    def begin(self, tokenizer) -> list[int]:
        """The tokens before the text: BOS where the tokenizer adds one; a chat template writes its own."""
        return [] if self.chat else beginning(tokenizer)

    def described(self, tokenizer) -> str:
        """The words of a protocol."""
        words = "as a message of the user through the chat template of the tokenizer"
        if not self.chat:
            words = "BOS first" if beginning(tokenizer) else "no BOS"
        if not self.solved:
            return words
        what = f"{len(self.solved)} solved examples" if len(self.solved) > 1 else "1 solved example"
        return f"{words}, after {what} of the calibration split drawn by seed 0"


PLAIN = Prompting()


def encode(tokenizer, texts: list[str], begin: list[int]) -> list[list[int]]:
    """Token ids of each text, after those of `begin`, and with no other special token than the text names."""
    # By default a tokenizer may also add an end token, and no text could follow the prompt. It would warn of long
    # texts, which are cut later.
    return [begin + ids for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]


def fitted(
    tokenizer, texts: list[str], render: Callable[[int, str], list[str]], room: int, prompting: Prompting = PLAIN
) -> tuple[list[str], list[list[list[int]]]]:
    """The texts, cut at their end where they are too long, and the token ids of the strings made of each.

    render(index, text): the strings that hold this text, none of which may have more than `room` tokens. Raises
    `InputError` where one has more without any text, and where solved examples leave no token for a text.
    """
    whole, texts, ids = texts, list(texts), [[] for _ in texts]
    ends: dict[int, list[int]] = {}
    kept: dict[int, int] = {}
    pending, begin = list(range(len(texts))), prompting.begin(tokenizer)
    # Together in each round, because tokenizers are fast on many texts at a time.
    while pending:
        rendered = [render(index, texts[index]) for index in pending]
        encoded = iter(encode(tokenizer, [string for strings in rendered for string in strings], begin))
        for index, strings in zip(pending, rendered, strict=True):
            ids[index] = [next(encoded) for _ in strings]
        emptied = [index for index in pending if prompting.solved and whole[index] and not texts[index]]
        pending = [index for index in pending if max(map(len, ids[index])) > room]
        new = [index for index in pending if index not in ends]
        ends |= dict(zip(new, _token_ends(tokenizer, [whole[index] for index in new]), strict=True))
        for index in [*emptied, *pending]:
            total = max(map(len, ids[index]))
            if not texts[index]:
                fewer = f" or fewer than {len(prompting.solved)} shots" if prompting.solved else ""
                raise InputError(
                    f"context is too short: the prompt of document {index} has {total} tokens without its text, "
                    f"and there is room for {room}; give a larger context{fewer}"
                )
            last = kept.get(index, len(ends[index]) - 1)
            # In proportion, because the ends may be those of characters. From above, to cut little more than needed.
            kept[index] = max(0, last - max(1, (total - room) * last // total))
            texts[index] = whole[index][: ends[index][kept[index]]]
    if prompting.solved and kept:
        warnings.warn(
            f"{len(kept)} of {len(texts)} texts are cut to fit with {len(prompting.solved)} solved examples into "
            f"{room} tokens; a larger context cuts fewer",
            stacklevel=2,
        )
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
