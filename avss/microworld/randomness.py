"""The random numbers of the microworld: SplitMix64 (Steele, Lea and Flood 2014), in whole numbers only.

The streams of `random` and `numpy.random` may change between versions; this one is fixed by its definition, so the
same key gives the same draws on every platform and Python version.
"""

import hashlib
from collections.abc import Sequence

MASK = 2**64 - 1


class SplitMix64:
    """A stream of 64-bit integers, seeded by any number of strings and integers: `SplitMix64("reviews", 0)`."""

    def __init__(self, *key: str | int):
        digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
        self._state = int.from_bytes(digest[:8], "big")

    def bits(self) -> int:
        """The next integer in [0, 2**64)."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        """An integer in [0, n), exactly uniform: draws beyond the last multiple of n are rejected."""
        limit = (MASK + 1) // n * n
        while (drawn := self.bits()) >= limit:
            pass
        return drawn % n

    def choose(self, items: Sequence):
        return items[self.below(len(items))]

    def distinct(self, items: Sequence, count: int) -> list:
        """`count` different items, in the order drawn. Raises ValueError if there are fewer."""
        if count > len(items):
            raise ValueError(f"{count} distinct items asked for, {len(items)} there")
        found: list[int] = []
        while len(found) < count:
            index = self.below(len(items))
            if index not in found:
                found.append(index)
        return [items[index] for index in found]

    def shuffled(self, items: Sequence) -> list:
        """A Fisher-Yates shuffle of a copy."""
        copy = list(items)
        for last in range(len(copy) - 1, 0, -1):
            other = self.below(last + 1)
            copy[last], copy[other] = copy[other], copy[last]
        return copy
