"""Reads the topics and stories of the microworld from the TOML files of `grammars/`.

`[topics]` names each topic of a file and its parts. Where two parts have an entry, that of the later part counts. The
tables of a part are

- `rules`: the templates of each symbol (see `grammar`). A template is a string, `[weight, string]`, or `{ all = list }`
  for all words of a list.
- `roles`: the source of each fact (see `world`). A source is a pool of entities (`"people"`), a list,
  `{ numbers = [first, last] }`, `{ hundreds = [first, last] }` (each hundredth number, with a comma),
  `{ after = role, least = 1, most = 9 }`, or `{ form_of = role, forms = list }`.
- `questions` of a story (see `stories`), and `signs` where not both occur.

`[lists]` has the lists of words. An entry with `@` in its name is two entries, with x and with y in place of `@`. In
the one with x, `^` is nothing; in the one with y it is `~`, because the second of two has the opposite sign.
"""

import tomllib
from pathlib import Path

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.stories import Question, Story
from avss.microworld.world import NAMES, After, Form, Source, Topic, numbers

FOLDER = Path(__file__).parent / "grammars"


def read(name: str) -> dict:
    """The tables of `grammars/<name>.toml`."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def rules(content: dict, parts: list[str]) -> Rules:
    """The rules of these parts of a file."""
    lists = content.get("lists", {})
    return {symbol: _weighted(entries, lists) for symbol, entries in _merged(content, parts, "rules").items()}


def topics(name: str) -> list[Topic]:
    """The topics of a file. Raises ValueError for a role whose source is not known."""
    content = read(name)
    return [topic(content, parts) for parts in content["topics"].values()]


def stories(name: str) -> list[Story]:
    """The topics of a file with their questions. Raises ValueError for a role whose source is not known."""
    content = read(name)
    return [
        Story(
            topic(content, parts),
            tuple(
                Question(question, tuple(facts["answers"]), tuple(facts["told"]))
                for question, facts in _merged(content, parts, "questions").items()
            ),
        )
        for parts in content["topics"].values()
    ]


def topic(content: dict, parts: list[str]) -> Topic:
    """The topic of these parts of a file. Raises ValueError for a role whose source is not known."""
    lists = {name: tuple(words) for name, words in content.get("lists", {}).items()}
    roles = {role: _source(role, source, lists) for role, source in _merged(content, parts, "roles").items()}
    signs = [content[part]["signs"] for part in parts if "signs" in content[part]]
    return Topic(Grammar(rules(content, parts)), roles, tuple(signs[-1]) if signs else (1, -1))


def _merged(content: dict, parts: list[str], section: str) -> dict:
    """The entries of a section of these parts, those with `@` as two."""
    found = {}
    for part in parts:
        for name, value in content[part].get(section, {}).items():
            if "@" not in name:
                found[name] = value
                continue
            for one, flip in (("x", ""), ("y", "~")):
                found[_replaced(name, one, flip)] = _replaced(value, one, flip)
    return found


def _replaced(value, one: str, flip: str):
    """`value` with `@` and `^` replaced in all its strings."""
    if isinstance(value, str):
        return value.replace("@", one).replace("^", flip)
    if isinstance(value, list):
        return [_replaced(each, one, flip) for each in value]
    if isinstance(value, dict):
        return {key: _replaced(each, one, flip) for key, each in value.items()}
    return value


def _weighted(entries: list, lists: dict[str, list[str]]) -> dict[str, int]:
    weights = {}
    for entry in entries:
        if isinstance(entry, dict):
            weights |= dict.fromkeys(lists[entry["all"]], 1)
        else:
            weight, template = (1, entry) if isinstance(entry, str) else entry
            weights[template] = weight
    return weights


def _source(role: str, source: str | dict, lists: dict[str, tuple[str, ...]]) -> Source:
    match source:
        case str() if source in lists:
            return lists[source]
        case str() if source in NAMES:
            return source
        case {"numbers": [first, last]}:
            return numbers(first, last)
        case {"hundreds": [first, last]}:
            return tuple(f"{number:,}" for number in range(first, last + 1, 100))
        case {"after": other, "least": least, "most": most}:
            return After(other, least, most)
        case {"form_of": other, "forms": forms}:
            return Form(other, lists[forms])
    known = ", ".join([*lists, *NAMES])
    raise ValueError(f"the role {role!r} has the source {source!r}; name a list or a pool of entities: {known}")
