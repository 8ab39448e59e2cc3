"""Text and labels under any name: fields inside of a column, a column of labels, and label words of one's own."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset

import avss
from avss.data import labelled_by, load_data, usable_rows
from avss.errors import InputError
from avss.tasks import sentiment
from tests.conftest import SENTENCES, tiny, word_tokenizer
from tests.prompts import prompt_tokenizer

NESTED = Dataset.from_list([{"meta": {"body": text, "stars": i % 2}, "id": i} for i, text in enumerate(SENTENCES)])


def test_a_field_inside_of_a_column_is_a_column(tmp_path):
    rows, column = usable_rows(NESTED, ("text",), "meta.body")
    assert rows[column][:] == SENTENCES
    NESTED.to_parquet(tmp_path / "a.parquet")
    rows, column = usable_rows(load_data(str(tmp_path / "a.parquet")), ("text",), "meta.body")
    assert rows[column][:] == SENTENCES


def test_a_field_that_some_rows_lack_leaves_them_out():
    uneven = Dataset.from_list([{"meta": {"body": "a"}}, {"meta": None}, {"meta": {"body": "b"}}])
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        rows, column = usable_rows(uneven, ("text",), "meta.body")
    assert rows[column][:] == ["a", "b"]


def test_a_column_with_a_dot_in_its_name_comes_before_a_field():
    both = Dataset.from_list([{"meta.body": "whole name", "meta": {"body": "field"}}])
    assert usable_rows(both, (), "meta.body")[0]["meta.body"][:] == ["whole name"]


@pytest.mark.parametrize("path", ["meta.title", "meta.body.more", "other.body", "meta."])
def test_a_field_that_is_not_there_is_one_line_that_lists_the_fields(path):
    with pytest.raises(InputError, match=r"no column .*; it has meta\.body, meta\.stars, id: ") as error:
        usable_rows(NESTED, ("text",), path)
    assert "\n" not in str(error.value)


def test_labels_may_be_in_any_column():
    rows = Dataset.from_dict({"sentence": SENTENCES, "stars": [1, 0, 0, 1, 1], "label": [0, 1, 1, 0, 0]})
    named = rows.cast_column("stars", ClassLabel(names=["neg", "pos"]))
    assert labelled_by(named, "stars").features["label"].names == ["neg", "pos"]
    model, tokenizer = tiny("bert"), word_tokenizer()
    own = avss.evaluate(model, tokenizer, "sentiment", rows, label_column="stars")["value"]
    assert own == pytest.approx(1 - avss.evaluate(model, tokenizer, "sentiment", rows)["value"])
    batch = avss.task_batches(model, tokenizer, "sentiment", NESTED, column="meta.body", label_column="meta.stars")
    assert sum(int(each["labels"].sum()) for each in batch) == 2
    with pytest.raises(InputError, match="no column score to take labels from; it has sentence, stars, label"):
        avss.evaluate(model, tokenizer, "sentiment", rows, label_column="score")


def test_labels_may_lie_inside_of_the_column_that_they_replace():
    rows = Dataset.from_list([{"sentence": text, "label": {"value": i % 2}} for i, text in enumerate(SENTENCES)])
    assert labelled_by(rows, "label.value")["label"][:] == [i % 2 for i in range(len(SENTENCES))]


OPINIONS = ["The film is old.", "The tower is in Rome.", "Where is the film", "The bell rang at noon", "Rome is old"]


def likelihood(model, tokenizer, text: str, word: str) -> float:
    """Log-likelihood of a whole prompt with its label word, one token at a time."""
    ids = tokenizer(sentiment.PROMPT.format(text=text) + word, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logs = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), -1)
    return sum(float(logs[position - 1, ids[position]]) for position in range(1, len(ids)))


@pytest.mark.parametrize("words", [("old", "film"), ("is", "at", "in")])
def test_label_words_of_ones_own_are_compared_in_the_order_of_the_classes(words):
    model, tokenizer = tiny("llama"), prompt_tokenizer()
    labels = [i % len(words) for i in range(5)]
    data = Dataset.from_dict({"sentence": OPINIONS, "label": labels})
    expected = [int(np.argmax([likelihood(model, tokenizer, text, f" {word}") for word in words])) for text in OPINIONS]
    found = avss.evaluate(model, tokenizer, "sentiment", data, label_words=words)
    assert found["value"] == np.mean([a == b for a, b in zip(expected, labels, strict=True)])
    assert " or ".join(repr(f" {word}") for word in words) in found["protocol"]
    turned = avss.evaluate(model, tokenizer, "sentiment", data, label_words=words[::-1])["value"]
    last = len(words) - 1
    assert turned == np.mean([last - a == b for a, b in zip(expected, labels, strict=True)]) != found["value"]
    named = data.cast_column("label", ClassLabel(names=[f"class {i}" for i in range(len(words))]))
    assert avss.evaluate(model, tokenizer, "sentiment", named, label_words=words)["value"] == found["value"]
    batch = avss.task_batches(model, tokenizer, "sentiment", data, label_words=words, batch_size=1)
    ids = {tuple(each["labels"][each["labels"] >= 0].tolist()) for each in batch}
    assert ids == {tuple(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]) for word in words}


@pytest.mark.parametrize("words", [("yes",), ("yes", "yes"), ("yes", " "), "no,yes", ()])
def test_label_words_that_tell_no_classes_apart_are_refused(words):
    data = Dataset.from_dict({"sentence": OPINIONS, "label": [0, 1, 0, 1, 0]})
    with pytest.raises(InputError, match=r"label words are .*; give one for each class") as error:
        avss.evaluate(tiny("llama"), prompt_tokenizer(), "sentiment", data, label_words=words)
    assert "\n" not in str(error.value)


def test_label_words_and_columns_without_a_use_are_refused():
    data = Dataset.from_dict({"sentence": SENTENCES, "label": [0, 1, 0, 1, 0]})
    with pytest.raises(InputError, match="BertForSequenceClassification has a head with classes of its own"):
        avss.evaluate(tiny("bert"), word_tokenizer(), "sentiment", data, label_words=["no", "yes"])
    for option in ({"label_words": ["no", "yes"]}, {"label_column": "label"}):
        with pytest.raises(InputError, match="task language_modeling has no labels"):
            avss.evaluate(tiny("llama"), word_tokenizer(), "language_modeling", data, **option)


def test_a_table_of_very_many_columns_is_refused_in_a_line_of_some():
    wide = Dataset.from_dict({f"column{index}": ["x"] for index in range(2000)})
    with pytest.raises(InputError, match=r"it has column0, column1, .* and 1990 more: name the one") as refused:
        usable_rows(wide, ("text",), None)
    assert len(str(refused.value)) < 500
