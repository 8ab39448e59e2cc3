"""Answers against a slow oracle: one question at a time, the whole text anew for each token, no padding, no cache."""

import numpy as np
import pytest
import torch
from datasets import Dataset

import avss
from avss.errors import InputError
from avss.pruning import prune, skipping
from avss.tasks import question_answering
from avss.tasks.question_answering import MAX_NEW_TOKENS, PROMPT
from tests.conftest import DECODERS, tiny, word_tokenizer
from tests.prompts import VOCABULARY, prompt_tokenizer

ROWS = [
    ("The bell rang at noon in Rome.", " When was it?", ["at noon", "noon"]),
    ("The old tower is in the north. Ada built it.", " who built the tower?", ["Ada"]),
    ("The fine stone of the river", " what is it?", []),
    ("The tower of Rome", " Where is the bell? Where is it? Where?", ["of Rome"]),
    ("Rome" + " long" * 40, " Where is it?", [" here"]),
    ("The river is long.\nThe day was not.", " what was the day?", ["long", "not long"]),
]


def squad(rows=ROWS):
    return Dataset.from_list(
        [
            {"context": context, "question": question, "answers": {"text": texts, "answer_start": [0] * len(texts)}}
            for context, question, texts in rows
        ]
    )


def oracle_prompt(tokenizer, context, question, room):
    """The context one word shorter until prompt and answer fit."""
    while True:
        ids = tokenizer(PROMPT.format(context=context, question=question.strip()))["input_ids"]
        if len(ids) <= room:
            return ids
        context = context[: context.rindex(" ")]


def oracle_answer(model, tokenizer, ids):
    made = []
    for _ in range(MAX_NEW_TOKENS):
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids + made]), use_cache=False).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        made.append(token)
        if "\n" in tokenizer.decode(made):
            break
    return tokenizer.decode(made, skip_special_tokens=True).split("\n")[0].strip()


def answers_of(model, tokenizer, batch_size):
    return question_answering.measure(model, tokenizer, squad(), "context", context=64, batch_size=batch_size)


@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("removed", [[], [1, 2]])
def test_answers_equal_one_question_at_a_time_without_cache(family, removed):
    bos = family in ("llama", "opt")
    model, tokenizer = tiny(family), prompt_tokenizer(bos=bos)
    with skipping(model, removed):
        prompts = [oracle_prompt(tokenizer, *row[:2], 64 - MAX_NEW_TOKENS) for row in ROWS]
        expected = [oracle_answer(model, tokenizer, prompt) for prompt in prompts]
        for batch_size, side in ((1, "right"), (2, "left"), (8, "right")):
            tokenizer.padding_side = side
            outcome = answers_of(model, tokenizer, batch_size)
            assert outcome.predictions == expected
    if removed:
        assert answers_of(prune(tiny(family), removed), tokenizer, 4).predictions == expected
    assert ("BOS first" if bos else "no BOS") in outcome.protocol
    assert "at most 64 tokens" in outcome.protocol


def test_random_models_give_short_and_long_answers():
    """Or the test above would not see where they end."""
    lengths = {
        len(prompt_tokenizer()(answer)["input_ids"])
        for family in DECODERS
        for answer in answers_of(tiny(family), prompt_tokenizer(), 8).predictions
    }
    assert MAX_NEW_TOKENS in lengths
    assert any(0 < length < MAX_NEW_TOKENS for length in lengths)


def always(word):
    """A model that says the same token whatever it reads."""
    model = tiny("llama")
    model.lm_head = torch.nn.Linear(16, 64)
    torch.nn.init.zeros_(model.lm_head.weight)
    with torch.no_grad():
        model.lm_head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(VOCABULARY.index(word)), 64))
    return model


@pytest.mark.parametrize("word", ["\n", "\n\n", "</s>"])
def test_a_newline_or_eos_ends_the_answer_at_once(word):
    model, steps = always(word), []
    model.register_forward_pre_hook(lambda *given: steps.append(1))
    outcome = answers_of(model, prompt_tokenizer(), 8)
    assert outcome.predictions == [""] * len(ROWS)
    assert outcome.numerator.tolist() == [0, 0, 1, 0, 0, 0], "the empty string answers the question that has no answer"
    assert len(steps) == 1


def test_a_further_eos_of_the_checkpoint_ends_the_answer():
    model = always(" here")
    outcome = answers_of(model, prompt_tokenizer(), 8)
    assert outcome.predictions[0] == " ".join(["here"] * 32)
    assert "greedy decoding to a newline, EOS or 32 tokens" in outcome.protocol
    model.generation_config.eos_token_id = [2, VOCABULARY.index(" here")]
    assert answers_of(model, prompt_tokenizer(), 8).predictions[0] == ""


def test_sampling_that_a_checkpoint_asks_for_is_not_done():
    model, tokenizer = tiny("llama"), prompt_tokenizer()
    expected = answers_of(model, tokenizer, 2).predictions
    model.generation_config.update(do_sample=True, temperature=5.0, repetition_penalty=3.0)
    assert answers_of(model, tokenizer, 2).predictions == expected


def test_f1_and_exact_match_are_those_of_the_best_reference():
    model, tokenizer = tiny("gpt2"), prompt_tokenizer()
    said = answers_of(model, tokenizer, 1).predictions
    words = said[0].split()
    assert len(words) > 4, "the test needs an answer of a few words"
    rows = [(*ROWS[0][:2], ["Bologna", " ".join(words[:2])]), (*ROWS[1][:2], ["Bologna", f"{said[1]}!"])]
    result = avss.evaluate(model, tokenizer, "question_answering", squad(rows), context=64)
    assert result["task"] == "question_answering"
    assert result["metric"] == "f1"
    assert result["n"] == 2
    assert result["also"] == {"exact_match": 0.5}
    assert 0.5 < result["value"] < 1
    assert result["low"] <= result["value"] <= result["high"]


def test_the_value_is_the_mean_of_the_documents():
    model, tokenizer = tiny("gpt2"), prompt_tokenizer()
    outcome = answers_of(model, tokenizer, 4)
    value = avss.evaluate(model, tokenizer, "question_answering", squad(), context=64)["value"]
    assert value == pytest.approx(outcome.numerator.mean())
    assert outcome.denominator.tolist() == [1.0] * len(ROWS)
    assert outcome.references == [texts for _, _, texts in ROWS]


def test_a_long_context_loses_its_end_and_the_question_stays():
    tokenizer, dataset = prompt_tokenizer(bos=True), squad()
    given = question_answering.examples(tiny("llama"), tokenizer, dataset, "context", 64)
    long = tokenizer.decode(given[3].input_ids)
    # BOS and the 10 tokens of the rest leave 21 of the 32 tokens that are not kept for the answer.
    assert long == "<s>Rome" + " long" * 20 + "\nQuestion: Where is it?\nAnswer: here"
    for context, message in (
        (40, "document 0 has 11 tokens without its text, and there is room for 8"),
        (20, "there is room for 0; give a larger context"),
    ):
        with pytest.raises(InputError, match=message):
            question_answering.measure(
                tiny("llama"), tokenizer, squad(ROWS[:1]), "context", context=context, batch_size=2
            )


def test_examples_label_the_first_reference_only():
    tokenizer = prompt_tokenizer()
    given = question_answering.examples(tiny("llama"), tokenizer, squad(), "context", 64)
    assert len(given) == 5, "a question without an answer has nothing to label"
    for example, (context, question, texts) in zip(given[:2], ROWS[:2], strict=True):
        prompt = PROMPT.format(context=context, question=question.strip())
        assert tokenizer.decode(example.input_ids) == f"{prompt} {texts[0]}"
        start = len(tokenizer(prompt)["input_ids"])
        assert example.labels[:start] == [-100] * start
        assert example.labels[start:] == example.input_ids[start:]
        assert tokenizer.decode(example.labels[start:]) == f" {texts[0]}"


def test_rows_that_cannot_be_asked_are_left_out():
    rows = Dataset.from_dict(
        {
            "context": ["The bell rang at noon", " ", "The bell rang", "The bell rang"],
            "question": [" When?", " When?", "", None],
            "answers": [{"text": ["noon"]}, {"text": ["noon"]}, {"text": ["noon"]}, {"text": ["noon"]}],
        }
    )
    result = avss.evaluate(tiny("llama"), prompt_tokenizer(), "question_answering", rows, context=64)
    assert result["n"] == 1
    assert np.isnan(result["low"])


@pytest.mark.parametrize(
    ("family", "rows", "message"),
    [
        ("bert", {"context": ["a"]}, "needs a causal language model, BertForSequenceClassification is none"),
        ("llama", {"text": ["a"]}, "data has no column context; it has text"),
        ("llama", {"context": ["a"]}, "question and answers is missing; the data has context"),
        (
            "llama",
            {"context": ["a"], "question": ["b"]},
            "SQuAD and answers is missing; the data has context, question",
        ),
        ("llama", {"context": ["a"], "question": ["b"], "answers": ["c"]}, "no usable rows: none has a question and"),
        ("llama", {"context": ["a"], "question": ["b"], "answers": [{"text": None}]}, "no usable rows"),
        ("llama", {"context": ["a"], "question": [" "], "answers": [{"text": ["b"]}]}, "no usable rows"),
        ("llama", {"context": [" "], "question": ["a"], "answers": [{"text": ["b"]}]}, "data has no usable rows"),
    ],
)
def test_what_cannot_be_asked_is_named(family, rows, message):
    with pytest.raises(InputError, match=message) as caught:
        avss.evaluate(tiny(family), word_tokenizer(), "question_answering", Dataset.from_dict(rows))
    assert "\n" not in str(caught.value)


def test_questions_without_any_answer_have_no_examples():
    with pytest.raises(InputError, match="no question has an answer"):
        question_answering.examples(tiny("llama"), prompt_tokenizer(), squad([ROWS[2]]), "context", 64)


def test_the_embedded_passages_are_asked():
    passages = avss.load_data("microworld/passages").select(range(3))
    tokenizer = prompt_tokenizer()
    assert len(question_answering.examples(tiny("llama"), tokenizer, passages, "context", 64)) == 3
    assert avss.evaluate(tiny("llama"), tokenizer, "question_answering", passages, context=64)["n"] == 3
