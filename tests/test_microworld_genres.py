"""The genres beyond reviews: texts whose entropy is known, passages with questions, pairs of answers."""

import hashlib
import json
import math
import re
from collections import defaultdict
from functools import cache
from itertools import islice, permutations

import numpy as np
import pytest

from avss import microworld
from avss.errors import InputError
from avss.microworld import answers, floor, loading, names, passages, world
from avss.microworld.grammar import Grammar
from avss.microworld.randomness import SplitMix64
from avss.microworld.world import After, Form, Topic

# Genres whose entropy is known, and the column that it is of.
TEXTS = {"posts": "text", "articles": "text", "passages": "context"}
GENRES = (*TEXTS, "answers")
# SHA-256 of the first 200 rows of seed 0.
GOLDEN = {
    ("reviews", "train"): "f5bbe32a0db0b64d6b9cafc580a8008568f7ba19b6a92215731691702e659a75",
    ("reviews", "calibration"): "f27f89830350831f8296b700e1e9b8f380f458ace01503221d4f9426793d96db",
    ("reviews", "validation"): "aebe602c10dc69bcd67f5e6715333cd2176d13f59431c6ae1f8a0894479c9a06",
    ("posts", "train"): "f55b82c11e125d5ce8e3ec11e1ff9293ef4be3ef46b0c0010cc777a2a5380d5e",
    ("posts", "calibration"): "4f7579f9fa3d49ece676f7bd220f971ef85cd077789c5845c8b2b7de87041460",
    ("posts", "validation"): "758264e63d6d258a5336fe62c4e04222766a24b28a030180ed509cc681723feb",
    ("articles", "train"): "6dbfe7f5f9b1fb7fdf50987911b58db04cc7d166ec1e9958cf6cddfd499db448",
    ("articles", "calibration"): "ba8d43aed1820d0cdce4b262a10991cd05d0210713b1eda3ef6342e4b64a9b47",
    ("articles", "validation"): "4f6a8ef0458af22e62f7eadfda9c37c017d53e9d4b09eec403d35ee65681c5f3",
    ("passages", "train"): "2039470cdef2552dd513376764f786f8e4212dc918f8681e217bdc52fc080aaa",
    ("passages", "calibration"): "0db9ddae8a7df0e121550ed5667f3794cd1917747db742faf9ef6cf0f9fffa3b",
    ("passages", "validation"): "e16786abf5085feb6143ca711acc0e993b71fcc54b0a36bde1b72ac23d402825",
    ("answers", "train"): "c56f17e35c53465b5a653a8928864871e31e9168162b906fcb4b06ca968a6339",
    ("answers", "calibration"): "e320599b8583dd1803fc6024a0eb1883b8500598b65a8d69f55d1ee8a15cf2c0",
    ("answers", "validation"): "9dbf91bcfaa29bd62af21cf2ecd70f3bf27c2b5a23700c72204b81e5aba43022",
    ("interviews", "train"): "5b962b66d21bd6ddb6ea1c819c2547f2b7a306bed81b4bed7cb852e38f3ceda3",
    ("excerpts", "train"): "a4b991578dfa48cb213831ea755629debafcf0bd57bbe7cc7fdadeac6e1f931d",
}


def rows(genre: str, split: str, count: int, seed: int = 0) -> list[dict]:
    return list(islice(microworld.GENRES[genre](split, seed), count))


def strings(row: dict) -> list[str]:
    """All that a row says, its identifier left out."""
    said = {key: value for key, value in row.items() if key != "id"}
    return [text for value in said.values() for text in (value["text"] if isinstance(value, dict) else [value])]


def entities(split: str) -> set[str]:
    return {name for kind in world.NAMES.values() for name in kind(split)} | set(names.restaurants(split))


@pytest.mark.parametrize("split", microworld.SPLITS)
@pytest.mark.parametrize("genre", microworld.GENRES)
def test_the_same_seed_gives_the_same_bytes(genre, split):
    lines = "".join(json.dumps(row) + "\n" for row in rows(genre, split, 200))
    assert hashlib.sha256(lines.encode()).hexdigest() == GOLDEN[genre, split]
    assert rows(genre, split, 20) != rows(genre, split, 20, seed=1)


@pytest.mark.parametrize("name", ["interviews", "excerpts"])
def test_lessons_on_passages_are_the_same_bytes(name):
    parts = islice(getattr(passages, name)("train", 0), 200)
    lines = "".join(json.dumps(part) + "\n" for part in parts)
    assert hashlib.sha256(lines.encode()).hexdigest() == GOLDEN[name, "train"]


def test_a_role_without_a_source_is_named():
    content = {"part": {"roles": {"@_name": "peple"}, "rules": {"text": ["{$x_name}"]}}}
    with pytest.raises(ValueError, match="the role 'x_name' has the source 'peple'; name a list or a pool"):
        loading.topic(content, ["part"])


@pytest.mark.parametrize(
    ("genre", "columns"),
    [
        ("posts", ["idx", "text"]),
        ("articles", ["idx", "text"]),
        ("passages", ["idx", "id", "title", "context", "question", "answers"]),
        ("answers", ["idx", "question", "context", "true_answer", "false_answer"]),
    ],
)
def test_columns_are_those_of_the_paper_s_data_and_a_smaller_size_is_a_prefix(genre, columns):
    small, large = (microworld.load(genre, "calibration", size) for size in (20, 60))
    assert large.column_names == columns
    assert small[:] == large[:20]


def test_splits_share_no_entity():
    worlds = [entities(split) for split in microworld.SPLITS]
    assert len(set.union(*worlds)) == sum(map(len, worlds))


@pytest.mark.parametrize("genre", GENRES)
def test_splits_share_no_row_and_no_sentence_that_names_an_entity(genre):
    def words(name: str) -> set[str]:
        return set(re.findall(r"[\w']+", name))

    pools = {split: {word for name in entities(split) for word in words(name)} for split in microworld.SPLITS}
    # Titles are made of common words; the other names are words that mean nothing else.
    common = {word for split in microworld.SPLITS for title in names.films(split) for word in words(title)}
    everyone = set.union(*pools.values()) - common
    texts, sentences = [], []
    for split in microworld.SPLITS:
        found = rows(genre, split, 200)
        texts.append({json.dumps(strings(row)) for row in found})
        assert len(texts[-1]) == len(found)
        assert all(words(" ".join(strings(row))) & everyone for row in found)
        parts = {part for row in found for text in strings(row) for part in re.split(r"(?<=[.!?])\s", text)}
        sentences.append({part for part in parts if words(part) & everyone})
        assert all(words(part) & everyone <= pools[split] for part in parts)
    for apart in (texts, sentences):
        assert len(set.union(*apart)) == sum(map(len, apart))


@pytest.mark.parametrize("genre", GENRES)
def test_texts_are_written_as_english(genre):
    for row in rows(genre, "train", 400):
        for text in strings(row):
            assert re.fullmatch(r"[A-Za-z0-9 ,.;:!?'()\n-]+", text), text
            assert not re.search(r"  | [,.;:!?]|\b[Aa] [aeiou]|\b[Aa]n [^aeiouAEIOU]|[.!?] [a-z]|[.!?,]{2}", text), text
            assert not re.search(r"\b(\w+) \1\b", text), text


@pytest.mark.parametrize(
    ("genre", "fewest", "most"), [("posts", 60, 200), ("articles", 45, 200), ("passages", 40, 120)]
)
def test_texts_are_of_the_length_of_a_paragraph(genre, fewest, most):
    lengths = [len(row[TEXTS[genre]].split()) for row in rows(genre, "train", 400)]
    assert fewest <= min(lengths) <= max(lengths) <= most


def derivations(topic: Topic, sign: int, text: str, split: str) -> list[float]:
    """The surprisal, in nats, of every derivation of `text`: a slow recogniser that tries everything everywhere."""
    text = plain(text)

    def values(role: str, facts: dict[str, str], start: int) -> list[str]:
        """What a role may still be at this place, given the facts told before."""
        source = topic.roles[role]
        if role in facts:
            return [facts[role]]
        if isinstance(source, Form):
            base = topic.roles[source.role]
            return [source.forms[base.index(value)] for value in values(source.role, facts, start)]
        if isinstance(source, After):
            return [year] if (year := text[start : start + 4]).isdigit() else []
        return [name for name in world.pool(source, split) if name not in told(source, facts)]

    def told(source, facts: dict[str, str]) -> set[str]:
        return {value for role, value in facts.items() if topic.roles[role] == source}

    def cost(facts: dict[str, str]) -> float:
        """The surprisal of all that is told: infinite for years out of order."""
        total = 0.0
        for role, source in topic.roles.items():
            if role in facts and isinstance(source, After):
                apart = int(facts[role]) - int(facts[source.role])
                total += math.log(source.most - source.least + 1) if source.least <= apart <= source.most else math.inf
        for source in set(topic.roles.values()):
            if not isinstance(source, After | Form):
                total += math.log(math.perm(len(world.pool(source, split)), len(told(source, facts))))
        return total

    def bind(role: str, value: str, facts: dict[str, str]) -> dict[str, str]:
        source = topic.roles[role]
        if isinstance(source, Form):
            return {**facts, source.role: topic.roles[source.role][source.forms.index(value)]}
        return {**facts, role: value}

    def match(parts, sign, start, facts, nats):
        if not parts:
            yield start, facts, nats
            return
        part, *rest = parts
        if isinstance(part, str):
            if text.startswith(plain(part), start):
                yield from match(rest, sign, start + len(plain(part)), facts, nats)
            return
        marker, name = part
        if marker == "$":
            for value in values(name, facts, start):
                if text.startswith(plain(value), start):
                    yield from match(rest, sign, start + len(plain(value)), bind(name, value, facts), nats)
            return
        inherited = {"": (sign,), "~": (-sign,), "?": (1, -1)}[marker]
        for each in inherited:
            for probability, inner in topic.grammar.productions(name, each):
                paid = nats - math.log(probability) + math.log(len(inherited))
                for end, known, total in match(inner, each, start, facts, paid):
                    yield from match(rest, sign, end, known, total)

    ends = match([("", world.START)], sign, 0, {}, 0.0)
    found = [nats + cost(facts) for end, facts, nats in ends if end == len(text)]
    return [nats for nats in found if nats < math.inf]


@cache
def plain(text: str) -> str:
    return re.sub(r"\ban (?=[aeiou])", "a ", text.lower())


TINY = [
    Topic(
        Grammar(
            {
                "text": {
                    "{he} has {$pet}{more}": 2,
                    "a {thing} of {?he} in {$year}": 1,
                    "{?thing} for {$friend} and {~he}": 3,
                },
                "more": {", then {$other} and {$pet} by {$later}, from {$year}": 1, " or the {$other_form}": 2},
                "he+": ["she"],
                "he-": ["he", "it"],
                "thing+": {"apple": 1, "red plum": 4},
                "thing-": ["egg"],
            }
        ),
        {
            "pet": ("a cat", "a dog", "an owl"),
            "other": ("a cat", "a dog", "an owl"),
            "friend": ("Ann", "Ben"),
            "year": ("1900", "1905"),
            "later": After("year", 1, 2),
            "other_form": Form("other", ("cats", "dogs", "owls")),
        },
    ),
    Topic(Grammar({"text": ["nothing, {$name}"]}), {"name": ("Cy", "Di Day")}, signs=(1,)),
]


def enumerated(topic: Topic, sign: int) -> dict[str, float]:
    """The probability of each text of a topic, by writing out every derivation with every choice of facts."""

    def expand(parts, sign) -> dict[tuple, float]:
        found = {(): 1.0}
        for part in parts:
            if isinstance(part, str) or part[0] == "$":
                ways = {(part,): 1.0}
            else:
                inherited = {"": (sign,), "~": (-sign,), "?": (1, -1)}[part[0]]
                ways = defaultdict(float)
                for each in inherited:
                    for probability, inner in topic.grammar.productions(part[1], each):
                        for end, chance in expand(inner, each).items():
                            ways[end] += probability * chance / len(inherited)
            found = {one + two: p * q for one, p in found.items() for two, q in ways.items()}
        return found

    bindings = [{}]
    for source, members in topic.groups.items():
        extended = []
        for facts in bindings:
            if isinstance(source, After):
                choices = [(str(int(facts[source.role]) + n),) for n in range(source.least, source.most + 1)]
            elif isinstance(source, Form):
                choices = [(source.forms[topic.roles[source.role].index(facts[source.role])],)]
            else:
                choices = list(permutations(source, len(members)))
            extended += [{**facts, **dict(zip(members, choice, strict=True))} for choice in choices]
        bindings = extended
    texts = defaultdict(float)
    for parts, probability in expand([("", world.START)], sign).items():
        for facts in bindings:
            text = "".join(part if isinstance(part, str) else facts[part[1]] for part in parts)
            texts[text] += probability / len(bindings)
    return texts


def test_entropy_is_that_of_all_texts_written_out():
    texts = defaultdict(float)
    for topic in TINY:
        for sign in topic.signs:
            for text, probability in enumerated(topic, sign).items():
                texts[microworld.grammar.written(text)] += probability / len(TINY) / len(topic.signs)
    assert len(texts) > 60
    assert sum(texts.values()) == pytest.approx(1)
    found = floor.of_topics(TINY, "train")
    assert found.nats_per_document == pytest.approx(-sum(p * math.log(p) for p in texts.values()))


def test_a_later_year_without_the_first_is_refused():
    topic = Topic(Grammar({"text": ["{$later}"]}), {"year": ("1900",), "later": After("year", 1, 2)}, signs=(1,))
    with pytest.raises(ValueError, match="'later' can be told without 'year'"):
        floor.of_topics([topic], "train")


@pytest.mark.parametrize("genre", TEXTS)
def test_texts_have_one_derivation_and_its_surprisal_is_the_entropy_on_average(genre):
    topics = microworld.TOPICS[genre]
    texts = [row[TEXTS[genre]] for row in rows(genre, "validation", 30)]
    surprisals = []
    for text in texts:
        found = [
            nats + math.log(len(topics) * len(topic.signs))
            for topic in topics
            for sign in topic.signs
            for nats in derivations(topic, sign, text, "validation")
        ]
        assert len(found) == 1, text
        surprisals += found
    entropy = microworld.entropy(genre, "validation")
    error = np.std(surprisals) / math.sqrt(len(texts))
    assert abs(np.mean(surprisals) - entropy.nats_per_document) < 4 * error
    assert error < 0.05 * entropy.nats_per_document


def test_floor_is_one_choice_a_token_for_equally_likely_digits():
    digits = Topic(Grammar({"text": ["{d} {d} {d}"], "d": list("0123456789")}), {}, signs=(1,))
    entropy = floor.of_topics([digits], None)
    assert floor.perplexity_floor(entropy, 3) == pytest.approx(10)
    assert entropy.nats_per_document == pytest.approx(3 * math.log(10))


def test_a_world_not_known_in_advance_holds_more():
    for genre in TEXTS:
        unknown, train, validation = (
            microworld.entropy(genre, split).nats_per_document for split in (None, "train", "validation")
        )
        assert unknown > train > validation


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reviews",), "the entropy of 'reviews' is not known"),
        (("posts", "test"), "no split 'test' of microworld/posts"),
    ],
)
def test_entropy_of_what_is_not_known_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        microworld.entropy(*arguments)


def test_answers_are_spans_of_the_passage():
    several = 0
    for row in rows("passages", "train", 1000):
        texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
        assert len(texts) == len(starts) == len(set(texts)) >= 1
        for text, start in zip(texts, starts, strict=True):
            assert row["context"][start : start + len(text)] == text
        assert row["question"].endswith("?")
        assert not set(texts) & set(re.findall(r"[\w']+", row["question"]))
        several += len(texts) > 1
    assert several > 250


def test_the_sentence_most_like_the_question_is_often_not_the_one_with_the_answer():
    hits = []
    for row in rows("passages", "train", 1000):
        asked = set(re.findall(r"\w+", row["question"].lower()))
        sentences = re.split(r"(?<=[.]) ", row["context"])
        alike = max(sentences, key=lambda sentence: len(asked & set(re.findall(r"\w+", sentence.lower()))))
        start = row["context"].index(alike)
        hits.append(start <= row["answers"]["answer_start"][0] < start + len(alike))
    assert np.mean(hits) < 0.8


def test_seven_passages_of_ten_are_about_one_subject():
    random = SplitMix64("test")
    plans = [passages.tell("train", random).sentences for _ in range(2000)]
    assert np.mean([not any(name.startswith("y_") for name in plan) for plan in plans]) == pytest.approx(0.7, abs=0.04)


def test_passages_tell_of_another_of_the_same_type():
    random = SplitMix64("test")
    told = [passages.tell("train", random) for _ in range(500)]
    assert np.mean([bool(answers.rivals(each)) for each in told]) > 0.6


def test_one_answer_is_told_by_the_passage_and_the_other_is_not():
    near = []
    for row in rows("answers", "train", 600):
        true, false = (re.findall(r"[\w',]+", row[key].lower().rstrip(".")) for key in ("true_answer", "false_answer"))
        context = set(re.findall(r"[\w',]+", row["context"].lower().replace(".", "")))
        assert row["true_answer"] != row["false_answer"]
        changed = set(false) - set(true)
        near.append(changed <= context)
        right = set(true) - set(false)
        assert {word for word in right if word[0].isdigit()} <= {word.rstrip(",") for word in context}
    assert 0.3 < np.mean(near) < 0.6
