"""The text that the embedded language models learn: all genres of the microworld, with the prompts of the tasks.

Documents of all genres are mixed and joined, each followed by EOS, and cut into windows, as they are for evaluation
(`avss.tasks.language_modeling`). The tokens that answer a prompt weigh more in the loss, because they are few.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from avss.microworld import GENRES, names, passages
from avss.tasks import question_answering, sentiment

FULL_ANSWER = "{context}\nQuestion: {question}\nFull answer:"
# A word or number after its space, one digit at a time, or any other sign.
PIECES = r"\n| ?[A-Za-z]+| ?[0-9]| ?[^A-Za-z0-9\s]"
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
VOCABULARY_ROWS = 8_000
# Documents of a genre come in such portions, which are small beside the millions of tokens of a training.
AT_ONCE = 1000
EXCERPTS = "excerpts"
NAMES = (names.people, names.surnames, names.towns, names.rivers, names.instruments, names.brands)


# A prompt, or text without a question, and the answer that follows it; a document has one of them or more.
Turn = tuple[str, str]


def prompted(genre: str, row: dict) -> Turn:
    """A row as the text of a document."""
    if genre == "reviews":
        return sentiment.PROMPT.format(text=row["sentence"]), sentiment.VERBALIZED[row["label"]]
    if genre == "passages":
        prompt = question_answering.PROMPT.format(context=row["context"], question=row["question"])
        return prompt, f" {row['answers']['text'][0]}\n"
    if genre == "answers":
        prompt = FULL_ANSWER.format(context=row["context"], question=row["question"])
        return prompt, f" {row['true_answer']}\n"
    return row["text"], ""


def rows(genre: str, split: str, seed: int) -> Iterator[list[Turn]]:
    """The documents of a genre, or `EXCERPTS`: parts of passages with the questions that they answer."""
    if genre == EXCERPTS:
        return (conversation(context, asked) for context, asked in passages.excerpts(split, seed))
    return ([prompted(genre, row)] for row in GENRES[genre](split, seed))


def interviews(split: str, seed: int) -> Iterator[list[Turn]]:
    """Passages with all their questions."""
    return (conversation(context, asked) for context, asked in passages.interviews(split, seed))


def conversation(context: str, asked: list[tuple[str, str]]) -> list[Turn]:
    """A passage and (question, answer) pairs, each question as the task asks it."""
    follow = question_answering.PROMPT.removeprefix("{context}\n")
    turns = [(follow.format(question=question), f" {answer}\n") for question, answer in asked]
    (first, answer), *more = turns
    return [(f"{context}\n{first}", answer), *more]


def tokenizer(texts: list[str], *, bos: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words with the space before them, of digits, and of the syllables of names.

    A name is always cut into its syllables. The people of the evaluation world, never met in training, then look like
    those of training. Single letters keep any other word from being unknown. bos: a text begins with <s>.
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


# The ids of a document, EOS at the end, and which of them answer a prompt (EOS does not).
Encoded = tuple[np.ndarray, np.ndarray]


def encode(documents: list[list[Turn]], tokenizer) -> list[Encoded]:
    parts = [text for document in documents for turn in document for text in turn]
    pieces = iter(tokenizer(parts, add_special_tokens=False)["input_ids"])
    encoded = []
    for document in documents:
        ids, answers = [], []
        for _ in document:
            for is_answer in (False, True):
                piece = next(pieces)
                ids += piece
                answers += [is_answer] * len(piece)
        encoded.append((np.array([*ids, tokenizer.eos_token_id], dtype=np.int16), np.array([*answers, False])))
    return encoded


def _taken(source: Iterator[list[Turn]], tokens: float, tokenizer) -> list[Encoded]:
    """Documents, `AT_ONCE` at a time, until they have so many tokens."""
    found, length = [], 0
    while length < tokens:
        part = encode(list(islice(source, AT_ONCE)), tokenizer)
        found += part
        length += sum(len(ids) for ids, _ in part)
    return found


def _joined(documents: list[Encoded]) -> Stream:
    ids, answers = zip(*documents, strict=True)
    return Stream(np.concatenate(ids), np.concatenate(answers))


def mixed(
    shares: dict[str, float], tokens: int, tokenizer, *, split: str = "train", seed: int = 0, paces: bool = True
) -> Stream:
    """At least `tokens` tokens of all genres, each with its share of them.

    The documents of a genre come in the order in which the grammar makes them, except that with `paces` the reviews of
    the first half are sorted little by little: see `paced`.
    """
    encoded = {}
    for genre, share in shares.items():
        documents = _taken(rows(genre, split, seed), share * tokens, tokenizer)
        encoded[genre] = paced(documents) if paces and genre == "reviews" else documents
    return spread(encoded)


def spread(documents: dict[str, list[Encoded]]) -> Stream:
    """The documents of all genres joined, each genre spread evenly over the whole stream, in its own order."""
    places = [
        ((place + 0.5) / len(found), genre, place) for genre, found in documents.items() for place in range(len(found))
    ]
    return _joined([documents[genre][place] for _, genre, place in sorted(places)])


def asked(
    shares: dict[str, float],
    windows: int,
    body: int,
    tokenizer,
    *,
    split: str = "train",
    seed: int = 0,
    paces: bool = True,
) -> Stream:
    """As `mixed`, for windows of `body` tokens, but many questions on a passage, which begins a window.

    If a window cuts a passage, the questions behind the cut are lost. All other documents are joined and fill the room
    that the passages leave. Raises ValueError if there would be more passages than windows.
    """
    tokens = windows * body
    begun = _taken(interviews(split, seed), shares["passages"] * tokens, tokenizer)
    if len(begun) > windows:
        raise ValueError(f"{len(begun)} passages for {windows} windows; give passages a smaller share")
    others = {genre: share / (1 - shares["passages"]) for genre, share in shares.items() if genre != "passages"}
    fill = mixed(others, tokens - sum(len(ids) for ids, _ in begun), tokenizer, split=split, seed=seed, paces=paces)
    parts, used = [], 0
    for window in range(windows):
        place = window * len(begun) // windows
        length = 0
        if place < (window + 1) * len(begun) // windows:
            ids, answers = (array[:body] for array in begun[place])
            parts.append((ids, answers))
            length = len(ids)
        parts.append((fill.ids[used : used + body - length], fill.answers[used : used + body - length]))
        used += body - length
    return _joined(parts)


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
