"""The text that the embedded language models learn: all genres of the microworld, with the prompts of the tasks.

Documents of all genres are mixed and joined, each followed by EOS, and cut into windows, as they are for evaluation
(`avss.tasks.language_modeling`). The tokens that answer a prompt weigh more in the loss, because they are few.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from avss.microworld import GENRES, names
from avss.tasks import question_answering, sentiment

FULL_ANSWER = "{context}\nQuestion: {question}\nFull answer:"
# A word or number after its space, one digit at a time, or any other sign.
PIECES = r"\n| ?[A-Za-z]+| ?[0-9]| ?[^A-Za-z0-9\s]"
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
VOCABULARY_ROWS = 8_000
NAMES = (names.people, names.surnames, names.towns, names.rivers, names.instruments, names.brands)


def prompted(genre: str, row: dict) -> tuple[str, str]:
    """A row as the text of a document: the prompt, or the text that has none, and the answer that follows it."""
    if genre == "reviews":
        return sentiment.PROMPT.format(text=row["sentence"]), sentiment.VERBALIZED[row["label"]]
    if genre == "passages":
        prompt = question_answering.PROMPT.format(context=row["context"], question=row["question"])
        return prompt, f" {row['answers']['text'][0]}\n"
    if genre == "answers":
        prompt = FULL_ANSWER.format(context=row["context"], question=row["question"])
        return prompt, f" {row['true_answer']}\n"
    return row["text"], ""


def rows(genre: str, split: str, seed: int) -> Iterator[tuple[str, str]]:
    return (prompted(genre, row) for row in GENRES[genre](split, seed))


def tokenizer(texts: list[str], *, bos: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words with the space before them, of digits, and of the syllables of names.

    A name is always cut into its syllables, so that the people of the evaluation world, never met in training, look
    like those of training. Single letters keep any other word from being unknown. bos: a text begins with <s>.
    """
    own = {name.lower() + end for pool in NAMES for name in pool("train") for end in ("", "s")}
    words = {piece for text in texts for piece in re.findall(PIECES, text) if piece.strip().lower() not in own}
    first = {*names.FIRST, *(syllable.lower() for syllable in names.FIRST), *string.ascii_letters, *string.digits}
    last = {*names.PERSON_LAST, *names.BRAND_LAST, *names.SURNAME_LAST, *names.TOWN_LAST, *names.RIVER_LAST}
    last |= {*names.INSTRUMENT_LAST, *string.ascii_lowercase}
    starts = words | first | {f" {syllable}" for syllable in first} | {" ", "\n"}
    pieces = [*SPECIAL, *sorted(starts), *sorted(f"##{syllable}" for syllable in last)]

    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    backend.decoder = decoders.Sequence([decoders.Replace("##", ""), decoders.Fuse()])
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocabulary["<s>"])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@dataclass(frozen=True)
class Stream:
    """Joined documents: ids (N,) int16, and answers (N,) bool, True for a token that answers a prompt."""

    ids: np.ndarray
    answers: np.ndarray


def encode(documents: list[tuple[str, str]], tokenizer) -> list[tuple[np.ndarray, int]]:
    """The ids of each document, EOS at the end, and how many of them answer its prompt (EOS not counted)."""
    prompts = tokenizer([prompt for prompt, _ in documents], add_special_tokens=False)["input_ids"]
    answers = tokenizer([answer for _, answer in documents], add_special_tokens=False)["input_ids"]
    return [
        (np.array([*prompt, *answer, tokenizer.eos_token_id], dtype=np.int16), len(answer))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def mixed(shares: dict[str, float], tokens: int, tokenizer, *, split: str = "train", seed: int = 0) -> Stream:
    """At least `tokens` tokens of all genres, each with its share of them.

    The documents of a genre come in the order in which the grammar makes them, except that the reviews of the first
    half are sorted little by little: see `paced`.
    """
    encoded = {}
    for genre, share in shares.items():
        wanted, length, documents = share * tokens, 0, []
        source = rows(genre, split, seed)
        while length < wanted:
            part = encode([next(source) for _ in range(1000)], tokenizer)
            documents += part
            length += sum(len(ids) for ids, _ in part)
        encoded[genre] = paced(documents) if genre == "reviews" else documents
    # Each genre is spread evenly over the whole stream.
    places = [
        ((place + 0.5) / len(found), genre, place) for genre, found in encoded.items() for place in range(len(found))
    ]
    chosen = [encoded[genre][place] for _, genre, place in sorted(places)]
    ids = np.concatenate([ids for ids, _ in chosen])
    answers = np.zeros(len(ids), dtype=bool)
    ends = np.cumsum([len(ids) for ids, _ in chosen])
    for end, (_, count) in zip(ends, chosen, strict=True):
        answers[end - 1 - count : end - 1] = True
    return Stream(ids, answers)


def paced(documents: list, until: float = 0.6) -> list:
    """Reviews in an order in which the early ones are short: from a document's place in the list follows the length
    up to which it may go, at `until` of the list any.

    The label is one bit on a whole composition; its parts are learnt from short reviews.
    """
    by_length = sorted(range(len(documents)), key=lambda index: len(documents[index][0]))
    generator = np.random.Generator(np.random.PCG64(0))
    ordered, waiting, taken = [], [], 0
    for place in range(len(documents)):
        reach = min(len(documents), int(len(documents) * (0.15 + 0.85 * place / (until * len(documents)))) + 1)
        while taken < reach:
            waiting.append(by_length[taken])
            taken += 1
        pick = int(generator.integers(len(waiting)))
        waiting[pick], waiting[-1] = waiting[-1], waiting[pick]
        ordered.append(documents[waiting.pop()])
    return ordered
