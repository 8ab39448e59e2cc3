"""Short reviews of films, restaurants and products, labelled 0 (negative) or 1 (positive) by the grammar.

One judgement counts, the author's on the thing reviewed, and it is put together from parts: negation and its scope
("hardly", "not only", "never less than"), contrast (the main clause wins), expectations, embedded claims, agreement
with somebody's opinion or disagreement. The review also has words of praise and blame that do not count: the opinions
of other people, remarks on other things, a plot, a title.
"""

from collections.abc import Iterator

from avss.microworld import names
from avss.microworld.grammar import Grammar
from avss.microworld.loading import read, rules
from avss.microworld.randomness import SplitMix64

FILE = read("reviews")
APPLIANCES = FILE["lists"]["appliances"]
POOLS = {"film": names.films, "restaurant": names.restaurants, "product": names.brands}
# For each kind of thing: its grammar, and the names of its things in a split.
THINGS = {kind: (Grammar(rules(FILE, parts)), POOLS[kind]) for kind, parts in FILE["topics"].items()}


def generate(split: str, seed: int) -> Iterator[dict]:
    """Endless reviews, no two the same: dictionaries of `sentence` (str) and `label` (0 negative, 1 positive).

    Both labels and the three kinds of thing are equally likely; all names are of `split`.
    """
    random = SplitMix64("reviews", split, seed)
    seen: set[str] = set()
    while True:
        grammar, pool = random.choose(list(THINGS.values()))
        label = random.below(2)
        people = random.distinct(names.people(split), 4)
        entities = dict(zip(("first", "second", "third", "fourth"), people, strict=True))
        entities["title"], entities["rival"] = random.distinct(pool(split), 2)
        entities["kind"] = random.choose(APPLIANCES)
        sentence = grammar.derive("review", 2 * label - 1, random, entities)
        if sentence not in seen:
            seen.add(sentence)
            yield {"sentence": sentence, "label": label}
