"""SQuAD's comparison of an answer with its references (Rajpurkar et al. 2016, 2018), one function a step.

Written from the official evaluation script of version 2.0. If every answer has a word besides articles,
version 1.1 gives the same result. Version 2.0 also defines the score of an empty answer.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation, without English articles, words separated by one space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def f1(prediction: str, reference: str) -> float:
    """The harmonic mean of precision and recall over the words that both answers share, from 0 to 1.

    Where one is empty it is 1 if both are, otherwise 0.
    """
    predicted, expected = normalize(prediction).split(), normalize(reference).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = (Counter(predicted) & Counter(expected)).total()
    return 2 * shared / (len(predicted) + len(expected))


def exact_match(prediction: str, reference: str) -> float:
    """1 if both answers are the same once normalised, otherwise 0."""
    return float(normalize(prediction) == normalize(reference))


def best(score: Callable[[str, str], float], prediction: str, references: Iterable[str]) -> float:
    """The highest score over the references; those that normalise to nothing do not count.

    Without a reference that counts, the question has no answer and the empty string is the right one.
    """
    known = [reference for reference in references if normalize(reference)] or [""]
    return max(score(prediction, reference) for reference in known)
