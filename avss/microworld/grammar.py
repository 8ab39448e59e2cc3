"""A weighted grammar whose symbols carry a sign: the engine that all genres share.

A rule gives the templates a symbol may become. In a template, `{x}` is expanded with the sign of the symbol around it,
`{~x}` with the opposite sign, `{?x}` with a sign tossed anew (an opinion that does not count), and `{$x}` is replaced
by the entity bound to x. A symbol whose words depend on the sign has two rules, `x+` and `x-`. The sign of the start
symbol is therefore the label of the text, known without reading it.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

from avss.microworld.randomness import SplitMix64

Rules = Mapping[str, list[str] | dict[str, int]]

SLOT = re.compile(r"\{([~?$]?)(\w+)\}")
FLIPS = {"": 1, "~": -1}
SENTENCE_START = re.compile(r"(?:^|(?<=[.!?] ))[a-z]")
INDEFINITE = re.compile(r"\b([Aa])(?= [aeiouAEIOU])")


class Grammar:
    """Rules ready to derive from. `rules` maps a symbol to templates, equally likely (list) or by weight (dict).

    Raises ValueError if a template names a symbol without a rule. The rules must not be recursive: the depth of a
    text is bounded, and the probability of each derivation is a product over finitely many choices.
    """

    def __init__(self, rules: Rules):
        self.rules = {
            symbol: dict.fromkeys(templates, 1) if isinstance(templates, list) else templates
            for symbol, templates in rules.items()
        }
        self._choices = {
            symbol: (list(accumulate(weights.values())), [_parts(template) for template in weights])
            for symbol, weights in self.rules.items()
        }
        for symbol, (_, productions) in self._choices.items():
            for marker, name in (part for parts in productions for part in parts if isinstance(part, tuple)):
                if marker != "$" and not ({name} <= rules.keys() or {name + "+", name + "-"} <= rules.keys()):
                    raise ValueError(f"the rule of {symbol!r} names {name!r}, which has no rule")

    def derive(self, symbol: str, sign: int, random: SplitMix64, entities: Mapping[str, str]) -> str:
        """A text derived from `symbol` with `sign` (+1 or -1), as written English: articles, capitals."""
        words: list[str] = []
        self._expand(symbol, sign, random, entities, words)
        return written("".join(words))

    def productions(self, symbol: str, sign: int) -> list[tuple[float, list[str | tuple[str, str]]]]:
        """The templates that `symbol` may become: their probability and parts, strings and (marker, name) slots."""
        rule = symbol if symbol in self.rules else symbol + ("+" if sign > 0 else "-")
        total = sum(self.rules[rule].values())
        return [
            (weight / total, parts)
            for weight, parts in zip(self.rules[rule].values(), self._choices[rule][1], strict=True)
        ]

    def choose(self, symbol: str, random: SplitMix64) -> list[str | tuple[str, str]]:
        """The parts of one template of a rule, drawn by its weight: strings and (marker, name) slots."""
        bounds, productions = self._choices[symbol]
        return productions[bisect_right(bounds, random.below(bounds[-1]))]

    def _expand(
        self, symbol: str, sign: int, random: SplitMix64, entities: Mapping[str, str], words: list[str]
    ) -> None:
        if symbol not in self._choices:
            symbol += "+" if sign > 0 else "-"
        for part in self.choose(symbol, random):
            if isinstance(part, str):
                words.append(part)
                continue
            marker, name = part
            if marker == "$":
                words.append(entities[name])
            else:
                flip = FLIPS[marker] if marker in FLIPS else 1 - 2 * random.below(2)
                self._expand(name, sign * flip, random, entities, words)


def _parts(template: str) -> list[str | tuple[str, str]]:
    """The template cut into literal strings and (marker, name) slots."""
    parts: list[str | tuple[str, str]] = []
    end = 0
    for slot in SLOT.finditer(template):
        parts += [template[end : slot.start()], (slot[1], slot[2])]
        end = slot.end()
    return [part for part in [*parts, template[end:]] if part]


def written(text: str) -> str:
    """`text` with "a" turned into "an" before a vowel letter and a capital at the start of each sentence."""
    text = INDEFINITE.sub(r"\1n", text)
    return SENTENCE_START.sub(lambda first: first[0].upper(), text)
