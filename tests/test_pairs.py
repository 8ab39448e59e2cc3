"""Pairs of answers: what is kept of each set, splits that share no question, and the batches that are made of them."""

import functools
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.engine.gold import UNSCORED
from avss.hallucination.pairs import EMBEDDED, SETS, SPLITS, Pair
from avss.metrics.answers import normalize
from tests.conftest import tiny, word_tokenizer

# Set: questions that are left, of the rows that its README counts.
LEFT = {"truthfulqa": 817, "nq_open": 3369, "triviaqa": 3610 - 1338, "sciq": 1000, "wikiqa": 243}


@functools.cache
def pairs_of(name: str, split: str | None = None) -> list[Pair]:
    root = os.environ.get("AVSS_DATA")
    if name in SETS and not (root and os.path.exists(os.path.join(root, SETS[name].file))):
        pytest.skip(f"AVSS_DATA does not name a folder with {SETS[name].file}")
    return avss.load_pairs(name, split)


@pytest.mark.parametrize("name", [*SETS, EMBEDDED])
def test_no_wrong_answer_is_a_right_one_and_no_question_comes_twice(name):
    pairs = pairs_of(name)
    assert len(pairs) > 200
    assert len(pairs) <= LEFT.get(name, 2000)
    for pair in pairs:
        assert not {normalize(answer) for answer in pair.supported} & set(map(normalize, pair.hallucinated))
        assert all(map(normalize, pair.hallucinated))
    assert len({(pair.key, pair.context) for pair in pairs}) == len(pairs)


def test_contaminated_rows_of_triviaqa_and_nq_open_are_gone():
    assert LEFT["triviaqa"] * 0.8 < len(pairs_of("triviaqa")) <= LEFT["triviaqa"]
    assert LEFT["nq_open"] * 0.9 < len(pairs_of("nq_open")) <= LEFT["nq_open"]


def test_splits_share_no_question_within_a_set_or_across_sets():
    known: dict[str, str] = {}
    for name in SETS:
        parts = {split: [pair for pair in pairs_of(name) if pair.split == split] for split in SPLITS}
        assert sum(map(len, parts.values())) == len(pairs_of(name))
        for split, pairs in parts.items():
            assert 0.05 < len(pairs) / len(pairs_of(name)) < 0.5
            for pair in pairs:
                assert known.setdefault(pair.key, split) == split, pair.question


def test_a_split_is_loaded_alone():
    whole = pairs_of(EMBEDDED)
    assert pairs_of(EMBEDDED, "test") == [pair for pair in whole if pair.split == "test"]


@settings(deadline=None, max_examples=20)
@given(st.text(min_size=1), st.sampled_from(["{} ", " {}?", "  {}.", "{}!"]))
def test_another_spelling_of_a_question_is_in_the_same_split(question, form):
    one, other = (Pair(text, ("a",), ("b",)) for text in (question, form.format(question)))
    assert one.key == other.key
    assert one.split == other.split


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(question="who?", supported="the cat", hallucinated="a dog", **more):
    return {"question": question, "supported": supported, "hallucinated": hallucinated} | more


def test_data_of_ones_own(tmp_path):
    rows = [
        row(),
        row("Who"),
        row("when?", ["1900", "in 1900"], ["1900.", "1", "1950"], context="It was built in 1900."),
        row("where?", "here", "Here!"),
        row("why?", " ", "so"),
    ]
    one, other = avss.load_pairs(written(tmp_path / "own.jsonl", rows))
    assert one == Pair("who?", ("the cat",), ("a dog",))
    # The one of the same length comes first.
    assert other == Pair("when?", ("1900", "in 1900"), ("1950", "1"), "It was built in 1900.")


def test_a_size_draws_pairs_by_seed():
    whole, some = pairs_of("truthfulqa"), avss.load_pairs("truthfulqa", size=20, seed=1)
    assert len(some) == 20
    assert some == avss.load_pairs("truthfulqa", size=20, seed=1) != avss.load_pairs("truthfulqa", size=20)
    assert all(pair in whole for pair in some)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([row(supported="a dog", hallucinated="the dog")], {}, "has no usable pair"),
        ([{"question": "who?", "answer": "x"}], {}, "has no column supported and hallucinated"),
        ([row()], {"split": "trainig"}, "split of pairs 'trainig' is not known"),
        ([row()], {"size": 0}, "number of pairs is 0"),
    ],
)
def test_pairs_that_cannot_be_used_are_one_line(tmp_path, rows, options, message):
    with pytest.raises(avss.InputError, match=message) as error:
        avss.load_pairs(written(tmp_path / "own.jsonl", rows), **options)
    assert "\n" not in str(error.value)


def test_a_split_without_questions_is_one_line(tmp_path):
    data = written(tmp_path / "own.jsonl", [row()])
    split = Pair("who?", ("",), ("",)).split
    other = next(name for name in SPLITS if name != split)
    with pytest.raises(avss.InputError, match=f"no pair in the split {other}"):
        avss.load_pairs(data, other)


TOLD = [
    Pair("was the film good", ("it was fine",), ("it was not",), "a fine film"),
    Pair("and this", ("this was very very good",), ("poor",)),
    Pair("was it good and fine", ("good",), ("the film was not good and not fine",), "good " * 40),
]


@pytest.mark.parametrize("bos", [False, True])
def test_batches_hold_both_answers_to_the_same_questions_and_label_them_alone(bos):
    tokenizer = word_tokenizer(bos)
    model = tiny("llama")
    supported, hallucinated = avss.pair_batches(model, tokenizer, TOLD, context=48, batch_size=2)
    sides = [
        [spoken(tokenizer, document, bos) for document in documents(batches)] for batches in (supported, hallucinated)
    ]
    assert [prompt for prompt, _ in sides[0]] == [prompt for prompt, _ in sides[1]]
    said = [(right, wrong) for (_, right), (_, wrong) in zip(*sides, strict=True)]
    assert sorted(said) == sorted((pair.supported[0], pair.hallucinated[0]) for pair in TOLD)


def documents(batches):
    """The real tokens of each document, and their labels."""
    for batch in batches:
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
            yield ids[mask.bool()].tolist(), labels[mask.bool()].tolist()


def spoken(tokenizer, document, bos: bool) -> tuple[str, str]:
    """The prompt and the labelled answer, which is the end of the document, as text."""
    ids, labels = document
    start = labels.count(UNSCORED)
    assert labels == [UNSCORED] * start + ids[start:]
    assert len(ids) <= 48
    assert bos == (ids[0] == tokenizer.bos_token_id)
    return tokenizer.decode(ids[:start]), tokenizer.decode(ids[start:])


def test_no_pairs_and_an_answer_without_tokens_are_one_line():
    model, tokenizer = tiny("llama"), word_tokenizer()
    with pytest.raises(avss.InputError, match="no pairs were given"):
        avss.pair_batches(model, tokenizer, [])
    with pytest.raises(avss.InputError, match="an answer to 'was it good' has no tokens"):
        avss.pair_batches(model, tokenizer, [Pair("was it good", (" ",), ("not",))])
