"""Topics: a grammar together with the facts that its texts tell, drawn anew for every text.

A fact is a role with a value: an entity of the split (`people`, `towns`...), a word of a list, or a number later than
another fact. Roles that draw from the same pool get different values, so that two people of a text never share a name
and a list never repeats an item; everything else is the grammar's. The facts of a text are therefore a product
of independent, equally likely draws, and `avss.microworld.floor` can sum over them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from avss.microworld import names
from avss.microworld.grammar import Grammar
from avss.microworld.randomness import SplitMix64

NAMES = {
    "people": names.people,
    "surnames": names.surnames,
    "towns": names.towns,
    "rivers": names.rivers,
    "instruments": names.instruments,
    "brands": names.brands,
    "films": names.films,
}
# The rule from which every text is derived.
START = "text"


@dataclass(frozen=True)
class After:
    """A whole number that is `least` to `most` above that of another role, each equally likely."""

    role: str
    least: int
    most: int


@dataclass(frozen=True)
class Form:
    """Another form of the value of a role that draws from a list: the i-th of `forms` for the i-th of the list.

    The forms differ from one another, so each form reveals the fact.
    """

    role: str
    forms: tuple[str, ...]


Source = str | tuple[str, ...] | After | Form


@dataclass(frozen=True)
class Topic:
    """What a text may be about. `grammar` has the rule `text`; `roles` gives the source of each fact that it names.

    A source is the name of a pool of entities (a key of NAMES), a tuple of words, `After` an earlier role, or a `Form`
    of one. The sign of a text is one of `signs`, each equally likely: the gender of the person, say, or the number of
    the subject.
    """

    grammar: Grammar
    roles: Mapping[str, Source]
    signs: tuple[int, ...] = (1, -1)

    def facts(self, split: str, random: SplitMix64) -> dict[str, str]:
        """A value for each role, from the entities of `split`."""
        found: dict[str, str] = {}
        for source, members in self.groups.items():
            if isinstance(source, After):
                for role in members:
                    later = source.least + random.below(source.most - source.least + 1)
                    found[role] = str(int(found[source.role]) + later)
            elif isinstance(source, Form):
                place = self.roles[source.role].index(found[source.role])
                found |= dict.fromkeys(members, source.forms[place])
            else:
                found |= zip(members, random.distinct(pool(source, split), len(members)), strict=True)
        return found

    def kind(self, role: str) -> Source:
        """The source that a role's values come from in the end: a later year is a year, a form is of its list."""
        source = self.roles[role]
        return self.kind(source.role) if isinstance(source, After) else source

    @cached_property
    def groups(self) -> dict[Source, list[str]]:
        """The roles by their source, in the order in which the topic names them."""
        groups: dict[Source, list[str]] = {}
        for role, source in self.roles.items():
            groups.setdefault(source, []).append(role)
        return groups


@lru_cache
def pool(source: str | tuple[str, ...], split: str | None) -> tuple[str, ...]:
    """The values that a source may give in a split; with `None`, in all splits together."""
    if isinstance(source, tuple):
        return source
    return tuple(name for each in ([split] if split else names.TENTHS) for name in NAMES[source](each))


def numbers(first: int, last: int) -> tuple[str, ...]:
    """The whole numbers from first to last, in digits."""
    return tuple(map(str, range(first, last + 1)))


def texts(topics: Sequence[Topic], random: SplitMix64, split: str) -> Iterator[str]:
    """Endless texts, independent of one another: topic and sign equally likely, then facts, then the wording."""
    while True:
        topic = random.choose(topics)
        sign = random.choose(topic.signs)
        yield topic.grammar.derive(START, sign, random, topic.facts(split, random))
