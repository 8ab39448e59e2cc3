"""Tasks against slow oracles: one document at a time, one token at a time."""

import math

import numpy as np
import pytest
import torch
from datasets import Dataset

import avss
from avss.errors import InputError
from avss.tasks import TASKS, language_modeling
from tests.conftest import DECODERS, SENTENCES, tiny, word_tokenizer

REVIEWS = Dataset.from_dict({"sentence": SENTENCES, "label": [1, 0, 0, 1, 1]})


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_accuracy_equals_one_document_at_a_time(family):
    model, tokenizer = tiny(family), word_tokenizer()
    hits = 0
    for row in REVIEWS:
        ids = torch.tensor([tokenizer(row["sentence"])["input_ids"]])
        with torch.no_grad():
            hits += int(model(input_ids=ids).logits.argmax()) == row["label"]
    for batch_size in (1, 2, 5):
        result = avss.evaluate(model, tokenizer, "sentiment", REVIEWS, batch_size=batch_size)
        assert (result["task"], result["metric"], result["n"]) == ("sentiment", "accuracy", 5)
        assert result["value"] == hits / 5
        assert 0 <= result["low"] <= result["value"] <= result["high"] <= 1


def oracle_perplexity(model, tokenizer, texts, context, bos):
    """Windows written out by hand, scored one by one."""
    stream = []
    for text in texts:
        stream += [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    body = context - 1 if bos else context
    total, scored = 0.0, 0
    for start in range(0, len(stream), body):
        window = ([tokenizer.bos_token_id] if bos else []) + stream[start : start + body]
        for position in range(1, len(window)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([window[:position]])).logits[0, -1].double()
            total -= torch.log_softmax(logits, -1)[window[position]].item()
            scored += 1
    return math.exp(total / scored), scored


@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("bos", [False, True])
def test_perplexity_equals_the_windows_written_out(family, bos):
    model, tokenizer = tiny(family), word_tokenizer(bos)
    expected, scored = oracle_perplexity(model, tokenizer, SENTENCES, 7, bos)
    texts = Dataset.from_dict({"text": SENTENCES})
    values = [
        avss.evaluate(model, tokenizer, "language_modeling", texts, context=7, batch_size=size) for size in (1, 2, 16)
    ]
    for result in values:
        assert result["value"] == pytest.approx(expected, rel=1e-5)
        assert result["n"] == 5
        assert f"{scored} scored tokens" in result["protocol"]
        assert ("BOS at the start of each" in result["protocol"]) == bos


def test_each_document_is_charged_with_its_own_tokens():
    model, tokenizer = tiny("llama"), word_tokenizer()
    outcome = language_modeling.measure(
        model, tokenizer, Dataset.from_dict({"text": SENTENCES}), "text", context=64, batch_size=4
    )
    lengths = [len(tokenizer(text)["input_ids"]) + 1 for text in SENTENCES]
    assert outcome.denominator.tolist() == [lengths[0] - 1, *lengths[1:]], "all but the first token of the one window"
    assert outcome.numerator.sum() / outcome.denominator.sum() == pytest.approx(
        np.log(oracle_perplexity(model, tokenizer, SENTENCES, 64, False)[0]), rel=1e-5
    )


def test_samples_are_drawn_and_the_context_is_kept():
    model, tokenizer = tiny("bert"), word_tokenizer()
    assert avss.evaluate(model, tokenizer, "sentiment", REVIEWS, samples=3, seed=1)["n"] == 3
    assert "cut at 64 tokens" in avss.evaluate(model, tokenizer, "sentiment", REVIEWS)["protocol"]
    assert "cut at 4 tokens" in avss.evaluate(model, tokenizer, "sentiment", REVIEWS, context=4)["protocol"]


@pytest.mark.parametrize(
    ("family", "task", "rows", "message"),
    [
        ("bert", "translation", {"text": ["a"]}, "task 'translation' is not known; choose one of sentiment"),
        ("llama", "sentiment", {"text": ["a"], "label": [0]}, "LlamaForCausalLM has none"),
        ("bert", "language_modeling", {"text": ["a"]}, "BertForSequenceClassification is none"),
        ("bert", "sentiment", {"text": ["a"]}, "needs a column label; the data has text"),
        ("bert", "sentiment", {"text": ["a"], "label": [-1]}, "no class from 0 to 1"),
        ("bert", "sentiment", {"text": ["a"], "label": [5]}, "no class from 0 to 1"),
        ("bert", "sentiment", {"words": ["a"], "label": [0]}, "data has no column sentence or text or review"),
        ("llama", "language_modeling", {"text": ["  "]}, "no usable rows"),
    ],
)
def test_what_cannot_be_measured_is_named(family, task, rows, message):
    with pytest.raises(InputError, match=message):
        avss.evaluate(tiny(family), word_tokenizer(), task, Dataset.from_dict(rows))


def test_a_context_below_two_tokens_is_refused():
    texts = Dataset.from_dict({"text": SENTENCES})
    with pytest.raises(InputError, match="context is 1 tokens"):
        avss.evaluate(tiny("llama"), word_tokenizer(), "language_modeling", texts, context=1)


def test_every_task_names_a_metric_that_statistics_know():
    from avss.statistics import HIGHER_IS_BETTER, RATIO

    assert {task.metric for task in TASKS.values()} <= set(RATIO) == set(HIGHER_IS_BETTER)
