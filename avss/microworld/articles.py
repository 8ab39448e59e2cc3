"""Encyclopaedia articles, one paragraph each: people, towns, rivers, buildings, instruments, birds and plants.

Written in the third person and the past or the timeless present, with dates, lists, relative clauses between a
subject and its verb, and names that come back sentences later. Forum posts are the other style (`posts`).
"""

from collections.abc import Iterator

from avss.microworld.loading import topics
from avss.microworld.randomness import SplitMix64
from avss.microworld.world import texts

TOPICS = [topic for name in ("lives", "places", "buildings", "kinds") for topic in topics(name)]


def generate(split: str, seed: int) -> Iterator[dict]:
    """Endless articles: dictionaries of `text` (str). All names are of `split`."""
    for text in texts(TOPICS, SplitMix64("articles", split, seed), split):
        yield {"text": text}
