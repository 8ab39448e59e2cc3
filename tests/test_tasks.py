"""Tasks against slow oracles: one document at a time, one token at a time."""

import math

import numpy as np
import pytest
import torch
from datasets import Dataset

import avss
from avss.cli import main
from avss.data import batched, padding_id
from avss.engine.gold import gold, labels_of
from avss.errors import InputError
from avss.methods import score
from avss.metrics import METRICS
from avss.tasks import TASKS, language_modeling, sentiment
from avss.tasks.sentiment import PROMPT, VERBALIZED
from tests.conftest import DECODERS, SENTENCES, tiny, word_tokenizer
from tests.prompts import prompt_tokenizer

REVIEWS = Dataset.from_dict({"sentence": SENTENCES, "label": [1, 0, 0, 1, 1]})
OPINIONS = Dataset.from_dict(
    {
        "sentence": [
            *["good film", "very very bad", "the film was fine", "not good ", "poor at noon. the film was bad"],
            *["one day in Rome", " very", "the old film was not bad", "fine. fine. fine", "who saw it"],
        ],
        "label": [1, 0] * 5,
    }
)


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


@pytest.mark.parametrize("task", ["sentiment", "language_modeling", "question_answering"])
def test_a_batch_has_at_least_one_document(task):
    model, tokenizer = tiny("llama"), prompt_tokenizer("words", True)
    rows = {"sentence": "good film", "label": 1, "text": "good film", "context": "Rome", "question": "Where"}
    data = Dataset.from_list([rows | {"answers": {"text": ["Rome"]}}])
    for size in (0, -1):
        with pytest.raises(InputError, match=f"batch size is {size}; give at least 1"):
            avss.evaluate(model, tokenizer, task, data, batch_size=size)


def test_a_split_beside_a_dataset_is_refused():
    with pytest.raises(InputError, match="split 'test' is given with a Dataset"):
        avss.evaluate(tiny("bert"), word_tokenizer(), "sentiment", REVIEWS, split="test")


def test_label_words_that_a_narrow_dtype_makes_equal_are_told_apart():
    """At logits of a hundred bf16 has steps of a half: a tie, which argmax would give to the first class."""
    model, tokenizer = tiny("llama").to(torch.bfloat16), prompt_tokenizer("words", True)
    negative, positive = (tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in VERBALIZED)
    with torch.no_grad():
        weight = model.lm_head.weight
        weight[negative] *= 100
        weight[positive] = weight[negative] + weight[positive] / 8
    texts, ties, expected = OPINIONS["sentence"], 0, []
    for text in texts:
        ids = tokenizer(PROMPT.format(text=text.strip()), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            hidden = model.base_model(input_ids=ids).last_hidden_state[0, -1]
            narrow = model(input_ids=ids).logits[0, -1]
        ties += int(narrow[negative] == narrow[positive])
        expected.append(int(hidden.float() @ (weight[positive].float() - weight[negative].float()) > 0))
    assert ties >= 2
    assert 0 < sum(expected) < len(texts)
    outcome = sentiment.measure(model, tokenizer, OPINIONS, "sentence", context=60, batch_size=1)
    assert outcome.predictions.tolist() == expected


def log_likelihood(model, ids):
    """Of a whole sequence after its first token, one token at a time."""
    total = 0.0
    for position in range(1, len(ids)):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[:position]])).logits[0, -1].double()
        total += torch.log_softmax(logits, -1)[ids[position]].item()
    return total


def oracle_labels(model, tokenizer, texts):
    """What is common to both labels' sequences cancels, so whole sequences are compared."""
    begin = tokenizer("")["input_ids"][:1]
    predicted = []
    for text in texts:
        wholes = [tokenizer(PROMPT.format(text=text.strip()) + label, add_special_tokens=False) for label in VERBALIZED]
        likelihoods = [log_likelihood(model, begin + whole["input_ids"]) for whole in wholes]
        predicted.append(int(np.argmax(likelihoods)))
    return predicted


@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("pieces", ["words", "uneven", "split", "joined"])
def test_label_words_are_compared_as_whole_sequences_one_by_one(family, pieces):
    bos = family in ("llama", "opt")
    model, tokenizer = tiny(family), prompt_tokenizer(pieces, bos)
    expected = oracle_labels(model, tokenizer, OPINIONS["sentence"])
    for batch_size, side in ((1, "right"), (3, "right"), (16, "left")):
        tokenizer.padding_side = side
        outcome = sentiment.measure(model, tokenizer, OPINIONS, "sentence", context=60, batch_size=batch_size)
        assert outcome.predictions.tolist() == expected
        assert outcome.numerator.tolist() == [float(a == b) for a, b in zip(expected, OPINIONS["label"], strict=True)]
    for stated in (repr(PROMPT), "' negative' or ' positive'", "BOS first" if bos else "no BOS", "at most 60 tokens"):
        assert stated in outcome.protocol


def test_label_words_are_told_apart_by_random_models():
    """Or the test above would compare constants."""
    predicted = [
        tuple(
            sentiment.measure(tiny(f), prompt_tokenizer(), OPINIONS, "sentence", context=60, batch_size=4).predictions
        )
        for f in DECODERS
    ]
    assert any(0 < sum(labels) < len(labels) for labels in predicted)


def test_labels_of_one_token_take_one_pass_a_document():
    model, ran = tiny("llama"), []
    model.register_forward_pre_hook(lambda module, args, kwargs: ran.append(kwargs["input_ids"]), with_kwargs=True)
    for pieces, rows in (("words", 10), ("uneven", 10), ("split", 20)):
        ran.clear()
        sentiment.measure(model, prompt_tokenizer(pieces), OPINIONS, "sentence", context=60, batch_size=4)
        assert sum(len(ids) for ids in ran) == rows, pieces


def test_a_long_review_loses_its_end_and_keeps_the_prompt():
    model, tokenizer = tiny("llama"), prompt_tokenizer("uneven", bos=True)
    long = Dataset.from_dict({"sentence": ["fine " * 30, "very bad"], "label": [0, 1]})
    given = sentiment.examples(model, tokenizer, long, "sentence", 20)
    # BOS, "Review", ":", "\n", "Sentiment", ":", and two tokens of " negative" leave 12 for the review.
    assert tokenizer.decode(given[0].input_ids) == "<s>Review:" + " fine" * 12 + "\nSentiment: negative"
    assert len(given[0].input_ids) == 20
    assert tokenizer.decode(given[1].input_ids) == "<s>Review: very bad\nSentiment: positive"
    with pytest.raises(InputError, match=r"document \d has 9 tokens without its text, and there is room for 7"):
        sentiment.measure(model, tokenizer, long, "sentence", context=7, batch_size=2)


def test_no_token_that_ends_a_text_stands_before_the_label():
    model = tiny("llama")
    plain, ending = (prompt_tokenizer(bos=True, eos_after=after) for after in (False, True))
    given = [sentiment.examples(model, tokenizer, OPINIONS, "sentence", 60) for tokenizer in (plain, ending)]
    assert given[0] == given[1]


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
        ("llama", "sentiment", {"text": ["a"], "label": [0]}, "which this tokenizer does not tell apart"),
        ("llama", "sentiment", {"text": ["a"], "label": [2]}, "no class from 0 to 1"),
        ("llama", "sentiment", {"text": ["a"]}, "needs a column label; the data has text"),
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


def test_a_model_without_a_head_is_named():
    encoder = tiny("bert").base_model
    with pytest.raises(InputError, match="BertModel is neither; fine-tune one"):
        avss.evaluate(encoder, word_tokenizer(), "sentiment", REVIEWS)
    with pytest.raises(InputError, match="causal language model, LlamaModel is none"):
        avss.evaluate(tiny("llama").base_model, word_tokenizer(), "language_modeling", REVIEWS)


@pytest.mark.parametrize("pieces", ["words", "uneven", "split", "joined"])
def test_examples_label_the_right_word_after_the_prompt(pieces):
    model, tokenizer = tiny("llama"), prompt_tokenizer(pieces, bos=True)
    given = sentiment.examples(model, tokenizer, OPINIONS, "sentence", 60)
    for row, example in zip(OPINIONS, given, strict=True):
        word = VERBALIZED[row["label"]]
        assert tokenizer.decode(example.input_ids) == "<s>" + PROMPT.format(text=row["sentence"].strip()) + word
        assert len(example.labels) == len(example.input_ids)
        scored = [label for label in example.labels if label != -100]
        assert example.labels == [-100] * (len(example.labels) - len(scored)) + scored
        assert tokenizer.decode(scored) == (":" + word if pieces == "joined" else word)


def test_examples_of_an_encoder_are_texts_with_their_class():
    model, tokenizer = tiny("bert"), word_tokenizer()
    mixed = Dataset.from_dict({"sentence": [*SENTENCES, "good"], "label": [1, 0, 0, 1, 1, -1]})
    with pytest.warns(UserWarning, match="1 of 6 rows are left out: they have no label"):
        given = sentiment.examples(model, tokenizer, mixed, "sentence", 4)
    assert [example.labels for example in given] == [1, 0, 0, 1, 1], "a row without a class is left out"
    assert [example.input_ids for example in given] == [tokenizer(text)["input_ids"][:4] for text in SENTENCES]


def test_examples_of_language_modeling_label_every_token():
    texts = Dataset.from_dict({"text": [*SENTENCES, "good"]})
    for bos, count in ((False, 5), (True, 6)):
        model, tokenizer = tiny("llama"), word_tokenizer(bos)
        given = language_modeling.examples(model, tokenizer, texts, "text", 4)
        assert len(given) == count, "a document of one token predicts nothing"
        assert given[1].input_ids == given[1].labels == tokenizer(SENTENCES[1])["input_ids"][:4]


@pytest.mark.parametrize("family", ["distilbert", "gpt2", "qwen2"])
def test_the_loss_of_batched_examples_is_the_loss_of_each_alone(family):
    model, tokenizer = tiny(family), prompt_tokenizer("split")
    given = sentiment.examples(model, tokenizer, OPINIONS, "sentence", 60)
    alone = []
    for example in sorted(given, key=lambda example: len(example.input_ids)):
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([example.input_ids]), labels=torch.tensor([example.labels])).loss
        alone.append(loss.item() * (1 if family == "distilbert" else 2))
    for length in (None, 50):
        together = []
        for batch in batched(given, padding_id(tokenizer), 4, length):
            assert length is None or batch["input_ids"].shape[1] == length
            with torch.no_grad():
                logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            together += gold(model, logits, labels_of(model, batch)).loss.tolist()
        assert together == pytest.approx(alone, rel=1e-4)


def test_batches_of_examples_can_be_scored():
    model, tokenizer = tiny("llama"), prompt_tokenizer()
    given = batched(sentiment.examples(model, tokenizer, OPINIONS, "sentence", 60), padding_id(tokenizer), 4)
    assert [len(batch["labels"]) for batch in given] == [4, 4, 2]
    assert len(score(model, given).values) == 4


def test_no_example_is_an_error():
    with pytest.raises(InputError, match="no usable rows: there is no example with labels"):
        batched([], 0, 4)


def test_a_context_below_two_tokens_is_refused():
    texts = Dataset.from_dict({"text": SENTENCES})
    with pytest.raises(InputError, match="context is 1 tokens"):
        avss.evaluate(tiny("llama"), word_tokenizer(), "language_modeling", texts, context=1)


def test_every_task_names_a_metric_that_exists():
    assert {task.metric for task in TASKS.values()} <= set(METRICS)


def test_the_command_names_every_task(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in TASKS)


@pytest.mark.parametrize(
    ("family", "task", "column"),
    [("bert", "sentiment", "sentence"), ("llama", "sentiment", "sentence"), ("gpt2", "language_modeling", "sentence")],
)
def test_task_batches_are_the_examples_of_the_task_in_batches(family, task, column):
    model, tokenizer = tiny(family), prompt_tokenizer()
    given = TASKS[task].examples(model, tokenizer, OPINIONS, column, 60)
    for fill in (False, True):
        expected = batched(given, padding_id(tokenizer), 4, 60 if fill else None)
        found = avss.task_batches(model, tokenizer, task, OPINIONS, context=60, batch_size=4, fill=fill)
        assert len(found) == len(expected)
        for batch, other in zip(found, expected, strict=True):
            assert batch.keys() == other.keys()
            assert all(torch.equal(batch[name], other[name]) for name in other)
    assert np.isfinite(avss.score(model, found, "gbis").values).all()


def test_task_batches_draw_documents_by_name_column_and_seed():
    model, tokenizer = tiny("bert"), word_tokenizer()
    first, again, other = (
        avss.task_batches(model, tokenizer, "sentiment", "microworld/reviews", samples=8, context=16, seed=seed)
        for seed in (0, 0, 1)
    )
    assert sum(len(batch["labels"]) for batch in first) == 8
    assert torch.equal(first[0]["input_ids"], again[0]["input_ids"])
    assert not torch.equal(first[0]["input_ids"], other[0]["input_ids"])
    renamed = REVIEWS.rename_column("sentence", "body")
    whole = avss.task_batches(model, tokenizer, "sentiment", renamed, column="body")
    assert sum(len(batch["labels"]) for batch in whole) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "translation"}, "task 'translation' is not known"),
        ({"task": "language_modeling"}, "BertForSequenceClassification is none"),
        ({"column": "body"}, "has no column body"),
        ({"samples": 0}, "number of samples is 0"),
        ({"context": 1}, "context is 1 tokens"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"split": "test"}, "split 'test' is given with a Dataset"),
    ],
)
def test_task_batches_that_cannot_be_made_are_named(options, message):
    options = {"task": "sentiment", "data": REVIEWS} | options
    with pytest.raises(InputError, match=message):
        avss.task_batches(tiny("bert"), word_tokenizer(), **options)
