"""Pairs of a supported and a hallucinated answer to one question: five public sets, the microworld, or your own data.

The follow-up paper (arXiv 2411.10069) names the five sets and not how it makes pairs of them. Every rule here is ours.
The splits for scoring, training and test share no question, in one set or across sets: a hash of it decides.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from avss.data import load_data
from avss.errors import InputError, look_up
from avss.metrics.answers import normalize

# Split: the part of the hashes, from 0 to 1, that belongs to it.
SPLITS = {"scoring": (0.0, 0.4), "training": (0.4, 0.8), "test": (0.8, 1.0)}
EMBEDDED = "microworld/answers"
OWN = ("question", "supported", "hallucinated")


@dataclass(frozen=True)
class Pair:
    """A question and the answers to it; the first of each kind are the pair, the others are further choices.

    context: the passage that the question is about, or "".
    """

    question: str
    supported: tuple[str, ...]
    hallucinated: tuple[str, ...]
    context: str = ""

    @property
    def key(self) -> str:
        """The question in lower case, its words and digits alone: equal for spellings of one question."""
        return " ".join(re.findall(r"\w+", self.question.casefold()))

    @property
    def split(self) -> str:
        """The split that the question belongs to, by the SHA-256 of its key."""
        place = int(hashlib.sha256(self.key.encode()).hexdigest()[:13], 16) / 16**13
        return next(name for name, (start, end) in SPLITS.items() if start <= place < end)


@dataclass(frozen=True)
class Source:
    """A set: its title, its file below $AVSS_DATA, and the answers of its rows, each row `(question, right, wrong)`."""

    title: str
    file: str
    rows: Callable[[list[dict]], list[tuple[str, list[str], list[str]]]]


def _truthfulqa(rows: list[dict]) -> list:
    def parts(cell: str) -> list[str]:
        return [part.strip() for part in cell.split(";")]

    return [
        (row["Question"], [row["Best Answer"], *parts(row["Correct Answers"])], parts(row["Incorrect Answers"]))
        for row in rows
    ]


def _nq_open(rows: list[dict]) -> list:
    return [(row["question"], row["answer"], [row["false_answer"]]) for row in rows]


def _triviaqa(rows: list[dict]) -> list:
    # The order of the aliases means nothing, and far-fetched ones are among them; the shortest is hardly ever one.
    return [
        (row["question"].replace('""', '"'), sorted(row["answer"], key=len), [row["false_answer"].strip('"')])
        for row in rows
    ]


def _sciq(rows: list[dict]) -> list:
    return [(row["question"], [row["answer"]], row["options"]) for row in rows]


def _wikiqa(rows: list[dict]) -> list:
    found: dict[str, tuple[str, list[str], list[str]]] = {}
    for row in rows:
        entry = found.setdefault(row["question_id"], (row["question"], [], []))
        entry[1 if row["label"] else 2].append(row["answer"])
    return list(found.values())


SETS: Mapping[str, Source] = {
    "truthfulqa": Source("TruthfulQA", "truthfulqa/TruthfulQA.csv", _truthfulqa),
    "nq_open": Source("NQ-Open", "nq_open/validation_false_answers.jsonl.gz", _nq_open),
    "triviaqa": Source("TriviaQA", "triviaqa/validation_false_answers.jsonl.gz", _triviaqa),
    "sciq": Source("SciQ", "sciq/test.jsonl.gz", _sciq),
    "wikiqa": Source("WikiQA", "wikiqa/test.jsonl.gz", _wikiqa),
}


def digest(pairs: Sequence[Pair]) -> str:
    """Twelve hexadecimal digits that stand for the content of these pairs, in their order."""
    return hashlib.sha256(json.dumps([asdict(pair) for pair in pairs]).encode()).hexdigest()[:12]


def load_pairs(name: str = EMBEDDED, split: str | None = None, size: int | None = None, seed: int = 0) -> list[Pair]:
    """The pairs of a set, in its order, or `size` of them drawn by `seed`.

    name: one of `SETS` (their files are below $AVSS_DATA), `microworld/answers`, or data as `avss.load_data` takes it
    with the columns `question`, `supported` and `hallucinated`, each answer a string or a list of strings, and
    `context` if there is one. split: scoring, training or test; all questions by default.

    A wrong answer that equals a right one after SQuAD's normalisation is dropped; so is a question that is left without
    one, and a question that comes again. Of several wrong answers the one whose length in characters is nearest to that
    of the right one makes the pair. Raises `InputError` for an unknown split, data that cannot be read, a missing
    column, and where no pair is left.
    """
    if split is not None:
        look_up("split of pairs", split, SPLITS)
    pairs = _unique(_read(name))
    if not pairs:
        raise InputError(
            f"data {name} has no usable pair: in every row an answer is blank or the wrong answer is also a right one; "
            "give answers that differ"
        )
    pairs = [pair for pair in pairs if split in (None, pair.split)]
    if not pairs:
        raise InputError(f"data {name} has no pair in the split {split}; give more questions")
    if size is not None and size < 1:
        raise InputError(f"number of pairs is {size}; give at least 1")
    if size is None or size >= len(pairs):
        return pairs
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(pairs))[:size]
    return [pairs[index] for index in drawn]


def _read(name: str) -> list[Pair]:
    """All rows as pairs, also those that are of no use."""
    if name in SETS:
        source = SETS[name]
        rows = source.rows(list(load_data(f"$AVSS_DATA/{source.file}")))
        return [_pair(question, right, wrong) for question, right, wrong in rows]
    if name == EMBEDDED:
        # The split that no mini model was trained on.
        rows = load_data(name, "calibration")
        return [_pair(row["question"], [row["true_answer"]], [row["false_answer"]], row["context"]) for row in rows]
    rows = load_data(name)
    lacking = [column for column in OWN if column not in rows.column_names]
    if lacking:
        raise InputError(
            f"data {name} has no column {' and '.join(lacking)}; it has {', '.join(rows.column_names)}: "
            f"pairs need {', '.join(OWN)}"
        )
    return [
        _pair(row["question"], _answers(row["supported"]), _answers(row["hallucinated"]), row.get("context") or "")
        for row in rows
    ]


def _answers(cell: object) -> list[str]:
    return [answer for answer in (cell if isinstance(cell, list) else [cell]) if isinstance(answer, str)]


def _pair(question: object, right: list[str], wrong: list[str], context: str = "") -> Pair:
    right = list(dict.fromkeys(answer.strip() for answer in right if answer.strip()))
    known = {normalize(answer) for answer in right}
    wrong = list(dict.fromkeys(answer.strip() for answer in wrong if answer.strip()))
    wrong = [answer for answer in wrong if normalize(answer) and normalize(answer) not in known]
    if right:
        wrong.sort(key=lambda answer: abs(len(answer) - len(right[0])))
    return Pair(question.strip() if isinstance(question, str) else "", tuple(right), tuple(wrong), context.strip())


def _unique(pairs: list[Pair]) -> list[Pair]:
    """The pairs that can be used, each question on a context once."""
    found: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        if pair.key and pair.supported and pair.hallucinated:
            found.setdefault((pair.key, pair.context), pair)
    return list(found.values())
