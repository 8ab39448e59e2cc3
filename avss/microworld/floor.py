"""How many nats a text of the microworld holds, computed from its grammar: the floor of perplexity.

The choices behind a text (topic, sign, templates, facts) can be read off the text: no text has two derivations. Its
surprisal is then the sum of those of its choices, and the entropy is the expectation of that sum, which a recursion
over the rules gives exactly. Facts are counted where they are first told: m facts of the same pool of n names add
log n + log(n - 1) + ... (m terms), repeating one adds nothing, and a fact that the text keeps to itself adds nothing.
Texts are drawn independently, none is rejected, so the entropy of a corpus is that of a document times their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, log2
from statistics import fmean

from avss.microworld.grammar import FLIPS, INDEFINITE
from avss.microworld.world import START, After, Form, Topic, pool

VOWELS = tuple("aeiouAEIOU")
# Which facts a text tells, and with what probability.
Told = dict[frozenset[str], float]


@dataclass(frozen=True)
class Entropy:
    """Expected information and length of one document of a genre.

    nats_per_document: entropy, in nats, of the whole text with its end (natural logarithm). Exact recursion over the
    rules where `error` is 0, as for all genres of the microworld; otherwise `error` is its standard error.
    words_per_document: expected number of words, split at white space. characters_per_document: expected length.
    """

    nats_per_document: float
    error: float
    words_per_document: float
    characters_per_document: float

    @property
    def nats_per_word(self) -> float:
        return self.nats_per_document / self.words_per_document

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_document * log2(exp(1)) / self.characters_per_document


def perplexity_floor(entropy: Entropy, tokens_per_document: float) -> float:
    """The lowest expected perplexity that any model can reach with a lossless tokenizer.

    tokens_per_document: mean number of scored tokens, with the one that ends a document where it is scored.
    """
    return exp(entropy.nats_per_document / tokens_per_document)


def of_topics(topics: Sequence[Topic], split: str | None) -> Entropy:
    """The entropy of texts with equally likely `topics`; with split None, of texts with the names of all splits.

    The names of one split are the floor for a model that knows them; a model that meets a held-out world cannot, and
    its floor is nearer to that of all names together. Raises ValueError for a fact told without the one that it is
    counted from.
    """
    parts = [_of_topic(topic, sign, split) for topic in topics for sign in topic.signs]
    weights = [1 / len(topics) / len(topic.signs) for topic in topics for _ in topic.signs]
    nats, words, characters = (
        sum(weight * part[place] for weight, part in zip(weights, parts, strict=True)) for place in range(3)
    )
    return Entropy(nats - sum(weight * log(weight) for weight in weights), 0.0, words, characters)


def _of_topic(topic: Topic, sign: int, split: str | None) -> tuple[float, float, float]:
    recursion = _Recursion(topic, split)
    nats, spaces, characters, told = recursion.expand(START, sign)
    nats += sum(probability * recursion.facts(roles) for roles, probability in told.items())
    return nats, spaces + 1, characters


class _Recursion:
    """Expectations over all that a symbol may become, for one topic and the names of one split."""

    def __init__(self, topic: Topic, split: str | None):
        self.topic, self.split = topic, split
        self.expand = lru_cache(maxsize=None)(self._expand)
        self.starts_with_vowel = lru_cache(maxsize=None)(self._starts_with_vowel)

    def _expand(self, symbol: str, sign: int) -> tuple[float, float, float, Told]:
        """Nats of the wording, white space, characters (all expected), and the facts told."""
        totals, all_told = [0.0, 0.0, 0.0], {}
        for probability, parts in self.topic.grammar.productions(symbol, sign):
            sums, told = [-log(probability), 0.0, 0.0], {frozenset(): 1.0}
            for place, part in enumerate(parts):
                nats, spaces, characters, also = self.part(part, sign)
                sums = [sums[0] + nats, sums[1] + spaces, sums[2] + characters]
                told = _product(told, also)
                if isinstance(part, str) and (" " + part).endswith((" a ", " A ")) and place + 1 < len(parts):
                    sums[2] += self.vowel(parts[place + 1], sign)
            totals = [total + probability * each for total, each in zip(totals, sums, strict=True)]
            for roles, share in told.items():
                all_told[roles] = all_told.get(roles, 0.0) + probability * share
        return *totals, all_told

    def part(self, part: str | tuple[str, str], sign: int) -> tuple[float, float, float, Told]:
        if isinstance(part, str):
            spaces = sum(map(str.isspace, part))
            return 0.0, spaces, len(part) + len(INDEFINITE.findall(part)), {frozenset(): 1.0}
        marker, name = part
        if marker == "$":
            source = self.topic.roles[name]
            fact = source.role if isinstance(source, Form) else name
            spaces, characters, _ = _means(self.values(name))
            return 0.0, spaces, characters, {frozenset([fact]): 1.0}
        if marker in FLIPS:
            return self.expand(name, sign * FLIPS[marker])
        # A sign tossed anew is a choice of its own.
        one, other = self.expand(name, 1), self.expand(name, -1)
        nats, spaces, characters = ((a + b) / 2 for a, b in zip(one[:3], other[:3], strict=True))
        told = {roles: (one[3].get(roles, 0.0) + other[3].get(roles, 0.0)) / 2 for roles in one[3] | other[3]}
        return nats + log(2), spaces, characters, told

    def vowel(self, part: str | tuple[str, str], sign: int) -> float:
        """The probability that a part starts with a vowel, so that "a" before it is "an"."""
        if isinstance(part, str):
            return float(part.startswith(VOWELS))
        marker, name = part
        if marker == "$":
            return _means(self.values(name))[2]
        if marker in FLIPS:
            return self.starts_with_vowel(name, sign * FLIPS[marker])
        return (self.starts_with_vowel(name, 1) + self.starts_with_vowel(name, -1)) / 2

    def _starts_with_vowel(self, symbol: str, sign: int) -> float:
        return sum(
            probability * self.vowel(parts[0], sign)
            for probability, parts in self.topic.grammar.productions(symbol, sign)
        )

    def values(self, role: str) -> tuple[str, ...]:
        """The values of a role; those of the role counted from stand in for a number, which is as long."""
        source = self.topic.roles[role]
        if isinstance(source, Form):
            return source.forms
        return self.values(source.role) if isinstance(source, After) else pool(source, self.split)

    def facts(self, roles: frozenset[str]) -> float:
        """Nats of the values of the facts told."""
        nats = 0.0
        for source, members in self.topic.groups.items():
            told = len(roles.intersection(members))
            if not told:
                continue
            if isinstance(source, After):
                if source.role not in roles:
                    role = next(member for member in members if member in roles)
                    raise ValueError(f"{role!r} can be told without {source.role!r}; tell both or neither")
                nats += told * log(source.most - source.least + 1)
            else:
                size = len(pool(source, self.split))
                nats += sum(log(size - known) for known in range(told))
        return nats


@lru_cache
def _means(values: tuple[str, ...]) -> tuple[float, float, float]:
    """Spaces, characters and initial vowels of a value, on average."""
    counted = [(value.count(" "), len(value), value.startswith(VOWELS)) for value in values]
    spaces, characters, vowels = map(fmean, zip(*counted, strict=True))
    return spaces, characters, vowels


def _product(told: Told, also: Told) -> Told:
    """The facts told by two independent parts together."""
    both: Told = {}
    for roles, probability in told.items():
        for more, chance in also.items():
            both[roles | more] = both.get(roles | more, 0.0) + probability * chance
    return both
