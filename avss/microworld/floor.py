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
from math import exp, log

from avss.microworld.grammar import FLIPS
from avss.microworld.world import START, After, Form, Topic, pool

# Which facts a text tells, and with what probability.
Told = dict[frozenset[str], float]


@dataclass(frozen=True)
class Entropy:
    """Expected information in one document of a genre, exact.

    nats_per_document: entropy, in nats, of the whole text with its end (natural logarithm).
    """

    nats_per_document: float


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
    nats = 0.0
    for topic in topics:
        for sign in topic.signs:
            weight = 1 / len(topics) / len(topic.signs)
            nats += weight * (_Recursion(topic, split).nats(sign) - log(weight))
    return Entropy(nats)


class _Recursion:
    """Expectations over all that a symbol may become, for one topic and the names of one split."""

    def __init__(self, topic: Topic, split: str | None):
        self.topic, self.split = topic, split
        self.expand = lru_cache(maxsize=None)(self._expand)

    def nats(self, sign: int) -> float:
        """Nats of a text with this sign: those of its wording and those of the facts that it tells."""
        nats, told = self.expand(START, sign)
        return nats + sum(probability * self.facts(roles) for roles, probability in told.items())

    def _expand(self, symbol: str, sign: int) -> tuple[float, Told]:
        """Expected nats of the wording, and the facts told."""
        total, all_told = 0.0, {}
        for probability, parts in self.topic.grammar.productions(symbol, sign):
            nats, told = -log(probability), {frozenset(): 1.0}
            for marker, name in (part for part in parts if isinstance(part, tuple)):
                more, also = self.slot(marker, name, sign)
                nats += more
                told = _product(told, also)
            total += probability * nats
            for roles, share in told.items():
                all_told[roles] = all_told.get(roles, 0.0) + probability * share
        return total, all_told

    def slot(self, marker: str, name: str, sign: int) -> tuple[float, Told]:
        """As `_expand`, for a slot of a template."""
        if marker == "$":
            source = self.topic.roles[name]
            return 0.0, {frozenset([source.role if isinstance(source, Form) else name]): 1.0}
        if marker in FLIPS:
            return self.expand(name, sign * FLIPS[marker])
        # A sign tossed anew is a choice of its own.
        (one_nats, one), (other_nats, other) = self.expand(name, 1), self.expand(name, -1)
        told = {roles: (one.get(roles, 0.0) + other.get(roles, 0.0)) / 2 for roles in one | other}
        return (one_nats + other_nats) / 2 + log(2), told

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


def _product(told: Told, also: Told) -> Told:
    """The facts told by two independent parts together."""
    both: Told = {}
    for roles, probability in told.items():
        for more, chance in also.items():
            both[roles | more] = both.get(roles | more, 0.0) + probability * chance
    return both
