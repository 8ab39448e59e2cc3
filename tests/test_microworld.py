"""The embedded world: the same rows everywhere, splits apart, labels that follow from the sentence; the mini models."""

import hashlib
import re
import shutil
from functools import cache
from itertools import islice

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from avss import microworld, mini
from avss.errors import InputError
from avss.microworld import names, reviews
from avss.microworld.grammar import Grammar
from avss.microworld.randomness import SplitMix64

GOLDEN = "2fcc426e1969aa4d27c614e4a6e53f2dbb33c0d2442ccf5d72e787399cb27c01"
FILM, _ = reviews.THINGS["film"]
ENTITIES = {
    "first": "Marlen",
    "second": "Tomon",
    "third": "Selva",
    "fourth": "Dordia",
    "title": "The Dreadful Harbour",
    "rival": "The Widow's Clock",
    "kind": "kettle",
}


def rows(split: str, count: int, seed: int = 0) -> list[dict]:
    return list(islice(reviews.generate(split, seed), count))


def signs(grammar: Grammar, text: str, entities: dict[str, str]) -> set[int]:
    """The labels under which `text` can be derived: a slow recogniser, which tries every template at every place."""
    text = re.sub(r"\ban (?=[aeiou])", "a ", text.lower())

    @cache
    def ends(symbol: str, sign: int, start: int) -> frozenset[int]:
        rule = grammar.rules.get(symbol) or grammar.rules[symbol + ("+" if sign > 0 else "-")]
        return frozenset(end for template in rule for end in match(template, sign, start))

    def match(template: str, sign: int, start: int) -> set[int]:
        places = {start}
        for part in filter(None, re.split(r"(\{.*?\})", template)):
            slot = re.fullmatch(r"\{([~?$]?)(\w+)\}", part)
            literal = entities[slot[2]] if slot and slot[1] == "$" else part
            if slot and slot[1] != "$":
                inherited = {"": (sign,), "~": (-sign,), "?": (1, -1)}[slot[1]]
                places = {end for place in places for each in inherited for end in ends(slot[2], each, place)}
            else:
                places = {place + len(literal) for place in places if text.startswith(literal.lower(), place)}
        return places

    return {sign for sign in (1, -1) if len(text) in ends("review", sign, 0)}


def test_the_same_seed_gives_the_same_bytes():
    lines = "".join(f"{row['label']}\t{row['sentence']}\n" for split in microworld.SPLITS for row in rows(split, 500))
    assert hashlib.sha256(lines.encode()).hexdigest() == GOLDEN
    assert rows("train", 20) != rows("train", 20, seed=1)


def test_random_numbers_are_those_of_splitmix64():
    random = SplitMix64()
    random._state = 1234567
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [random.bits() for _ in published] == published


def test_load_gives_the_columns_of_sst2_and_a_smaller_size_is_a_prefix():
    small, large = (microworld.load("reviews", "calibration", size) for size in (50, 200))
    assert large.column_names == ["idx", "sentence", "label"]
    assert large.features["label"].dtype == large.features["idx"].dtype == "int64"
    assert small[:] == large[:50]
    assert large["idx"] == list(range(200))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("novels", "train"), "no genre 'novels' in the microworld; choose one of: .*reviews"),
        (("reviews", "test"), "no split 'test' of microworld/reviews; choose one of: train, calibration, validation"),
        (("reviews", "train", 0), "size 0 of microworld/reviews is below 1"),
    ],
)
def test_unknown_genres_splits_and_sizes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        microworld.load(*arguments)


def test_splits_share_no_entity_and_no_sentence():
    pools = (names.people, names.brands, names.films, names.restaurants)
    entities = [{name for pool in pools for name in pool(split)} for split in microworld.SPLITS]
    sentences = [{row["sentence"] for row in rows(split, 5000)} for split in microworld.SPLITS]
    for apart in (entities, sentences):
        assert len(set.union(*apart)) == sum(map(len, apart))
    for split, texts in zip(microworld.SPLITS, sentences, strict=True):
        own = {name for pool in pools[1:] for name in pool(split)}
        mentioned = re.compile("|".join(map(re.escape, own)))
        assert all(mentioned.search(text) for text in texts)


def test_rows_are_balanced_and_never_repeat():
    found = rows("train", 5000)
    assert len({row["sentence"] for row in found}) == len(found)
    assert 0.47 < np.mean([row["label"] for row in found]) < 0.53


def test_sentences_are_written_as_english():
    for row in rows("train", 3000):
        text = row["sentence"]
        assert re.fullmatch(r"[A-Z][A-Za-z ,.;'-]*\.", text), text
        assert not re.search(r"  | [,.;]|\ba [aeiou]|\ban [^aeiouAEIOU]|[.] [a-z]|\b(\w+) \1\b", text), text


@pytest.mark.parametrize(
    ("verdict", "label"),
    [
        ("The film was dull.", 0),
        ("The film was not dull.", 1),
        ("It is not true that the film was not dull.", 0),
        ("The film was not only good but also moving.", 1),
        ("The film was never less than tedious.", 0),
        ("The jokes were hardly brilliant.", 0),
        ("The film could not have been more boring.", 0),
        ("It was free of plot holes.", 1),
        ("There was no lack of plot holes.", 0),
        ("Although the plot was weak, I enjoyed the film.", 1),
        ("The plot was brilliant, but I was bored.", 0),
        ("I was bored, even though the songs were not dull.", 0),
        ("I expected the film to be tedious. It was anything but.", 1),
        ("I did not expect the film to be tedious, and it was not.", 1),
        ("I expected it to be charming, and I was wrong.", 0),
        ("Marlen said that the film was dull, but I disagree.", 1),
        ("Marlen said that the film was dull. I cannot disagree.", 0),
        ("Marlen hated it; I did not.", 1),
        ("Marlen did not hate it, and neither did I.", 1),
        ("Marlen hated it and Tomon loved it; I side with Tomon.", 1),
        ("Marlen hated it and Tomon loved it; I do not agree with Tomon.", 0),
        ("My uncle called it awful and my aunt did not dislike it; I agree with him.", 0),
        ("Marlen hated it. Tomon disagreed with Marlen, and I side with Tomon.", 1),
        ("The Widow's Clock was dull; The Dreadful Harbour was the opposite.", 1),
        ("The Widow's Clock was dull, and The Dreadful Harbour was no better.", 0),
        ("Selva hated it. The film was good.", 1),
        ("The film was good. The cinema was awful.", 1),
    ],
)
def test_the_label_follows_from_composition(verdict, label):
    assert signs(FILM, f"Selva took me to see The Dreadful Harbour. {verdict}", ENTITIES) == {2 * label - 1}


@pytest.mark.parametrize("thing", reviews.THINGS)
def test_no_sentence_has_both_labels(thing):
    grammar, _ = reviews.THINGS[thing]
    random = SplitMix64("test", thing)
    for _ in range(150):
        sign = 1 - 2 * random.below(2)
        text = grammar.derive("review", sign, random, ENTITIES)
        assert signs(grammar, text, ENTITIES) == {sign}, text


def test_a_symbol_without_a_rule_is_named():
    with pytest.raises(ValueError, match="the rule of 'a' names 'b', which has no rule"):
        Grammar({"a": ["some {b}"], "b+": ["only one sign"]})


def test_a_bag_of_words_is_not_enough():
    """Logistic regression on unigram counts, ridge-penalised Newton steps; the mini model has 0.95 and more."""
    splits = [rows("train", 4000), rows("validation", 1000)]
    bags = [[re.findall(r"[a-z]+", row["sentence"].lower()) for row in split] for split in splits]
    common = {word: 0 for bag in bags[1] for word in bag} & {word: 0 for bag in bags[0] for word in bag}.keys()
    column = {word: index for index, word in enumerate(sorted(common))}
    counts, labels = [], [np.array([row["label"] for row in split]) for split in splits]
    for split in bags:
        matrix = np.zeros((len(split), len(column) + 1))
        matrix[:, -1] = 1
        for row, bag in enumerate(split):
            for word in bag:
                if word in column:
                    matrix[row, column[word]] += 1
        counts.append(matrix)
    weights = np.zeros(len(column) + 1)
    for _ in range(6):
        p = 1 / (1 + np.exp(-counts[0] @ weights))
        gradient = counts[0].T @ (p - labels[0]) + 5 * weights
        weights -= np.linalg.solve((counts[0].T * (p * (1 - p))) @ counts[0] + 5 * np.eye(len(weights)), gradient)
    assert 0.5 < np.mean((counts[1] @ weights > 0) == labels[1]) < 0.8


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """A copy of the mini DistilBERT, for the tests to damage."""
    shutil.copytree(mini.FOLDER / "distilbert", tmp_path / "distilbert")
    monkeypatch.setattr(mini, "FOLDER", tmp_path)
    assert mini.folder("distilbert") == tmp_path / "distilbert"
    return tmp_path / "distilbert" / mini.WEIGHTS


def test_truncated_changed_or_missing_weights_give_one_clear_line(damaged):
    content = damaged.read_bytes()
    for bad in (content[:-100], content[:-1] + bytes([content[-1] ^ 1]), None):
        damaged.unlink() if bad is None else damaged.write_bytes(bad)
        with pytest.raises(
            InputError, match="is not the file that its card describes; reinstall the package"
        ) as raised:
            mini.folder("distilbert")
        assert "\n" not in str(raised.value)


def test_an_unknown_model_is_answered_with_the_known_ones():
    assert "distilbert" in mini.names()
    with pytest.raises(InputError, match=r"no embedded model 'gpt-9'; choose one of: .*distilbert"):
        mini.folder("gpt-9")


def test_the_mini_model_loads_completely_and_reads_reviews_of_an_unseen_world():
    folder = mini.folder("distilbert")
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(loading.values()), loading
    tokenizer = AutoTokenizer.from_pretrained(folder)
    validation = microworld.load("reviews", "validation", 200)
    inputs = tokenizer(validation["sentence"][:], padding=True, return_tensors="pt")
    assert not (inputs["input_ids"] == tokenizer.unk_token_id).any()
    with torch.inference_mode():
        guesses = model.eval()(**inputs).logits.argmax(-1)
    assert (guesses == torch.tensor(validation["label"])).float().mean() >= 0.95
