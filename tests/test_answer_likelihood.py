"""Right answers by their likelihood, in place of generation: against whole texts one by one, without any cache."""

import json

import numpy as np
import pytest

import avss
from avss.cli import main
from avss.errors import InputError
from avss.pruning import skipping
from avss.tasks import TASKS
from avss.tasks.shots import prompting_for
from tests.conftest import tiny
from tests.prompts import prompt_tokenizer
from tests.test_shots import ASKED, GIVEN, SEVERAL, Counted, chatting, log_likelihood, question, squad

TASK = TASKS["question_answering"]
# Without an answer there is nothing that could be likely.
ROWS = [*ASKED, ("The tower", "Why?", []), ("The bell", "What is it?", ["the old bell", "bell"])]
ANSWERED = [row for row in ROWS if row[2]]


def by_hand(model, tokenizer, shots=0, chat=False):
    """Nats and tokens of the first reference of each answered question."""
    nats, counts = [], []
    for text, asked, answers in ANSWERED:
        prompt = question(text, asked, shots, chat)
        begin = [] if chat else [1]
        alone = begin + tokenizer(prompt, add_special_tokens=False)["input_ids"]
        space = "" if chat else " "
        whole = begin + tokenizer(f"{prompt}{space}{answers[0]}", add_special_tokens=False)["input_ids"]
        # A tokenizer may join the end of the prompt and the answer; the joined token counts.
        start = next(
            (place for place, pair in enumerate(zip(alone, whole, strict=False)) if pair[0] != pair[1]), len(alone)
        )
        nats.append(log_likelihood(model, whole[:start]) - log_likelihood(model, whole))
        counts.append(len(whole) - start)
    return np.array(nats), np.array(counts)


@pytest.mark.parametrize("family", SEVERAL)
@pytest.mark.parametrize(("shots", "chat"), [(0, False), (1, False), (0, True)])
def test_likelihoods_are_those_of_whole_texts_one_by_one(family, shots, chat):
    model, tokenizer = tiny(family), chatting(bos=not chat)
    prompting = prompting_for(TASK, model, tokenizer, shots, "chat" if chat else "plain", (GIVEN, "context"))
    sets = [[], [1], [1, 2], [0]]
    expected = []
    for removed in sets:
        with skipping(model, removed):
            expected.append(by_hand(model, tokenizer, shots, chat))
    for batch_size in (1, 3, 8):
        found = TASK.likelihood_each(
            *(model, tokenizer, squad(ROWS), "context"),
            **{"context": 64, "batch_size": batch_size, "prompting": prompting, "removed": sets},
        )
        for outcome, (nats, counts) in zip(found, expected, strict=True):
            np.testing.assert_allclose(outcome.numerator, nats, rtol=1e-4, atol=1e-4)
            assert outcome.denominator.tolist() == counts.tolist()
    assert "first reference" in found[0].protocol
    assert ("1 solved example" in found[0].protocol) == (shots == 1)


def test_the_value_is_the_perplexity_of_answer_tokens_and_the_loss_that_methods_read():
    model, tokenizer, rows = tiny("llama"), prompt_tokenizer(bos=True), squad(ROWS)
    found = avss.evaluate(model, tokenizer, "question_answering", rows, context=64, by="likelihood")
    nats, counts = by_hand(model, tokenizer)
    assert (found["metric"], found["n"]) == ("perplexity", len(ANSWERED))
    assert found["also"]["nats_per_token"] == pytest.approx(nats.sum() / counts.sum(), rel=1e-5)
    assert found["value"] == pytest.approx(np.exp(nats.sum() / counts.sum()), rel=1e-5)
    assert found["low"] <= found["value"] <= found["high"]
    batches = avss.task_batches(model, tokenizer, "question_answering", rows, context=64)
    assert avss.ablate(model, batches, [[1] * 4]).loss.sum() == pytest.approx(nats.sum(), rel=1e-5)


def test_nothing_is_generated_and_what_prompts_share_runs_once():
    model, tokenizer = tiny("llama"), prompt_tokenizer()
    counted = Counted(model)
    options = {"context": 64, "by": "likelihood", "shots": 1, "shots_from": GIVEN}
    avss.evaluate(model, tokenizer, "question_answering", squad(ROWS), **options)
    shared = len(tokenizer(question("", "", 1, False).split("Question:")[0])["input_ids"])
    assert len(counted.passes) == 2
    assert counted.passes[0] >= shared


def test_the_head_runs_at_the_tokens_of_answers_alone():
    model, tokenizer = tiny("llama"), prompt_tokenizer(bos=True)
    _, counts = by_hand(model, tokenizer)
    seen = []
    model.lm_head.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    avss.evaluate(model, tokenizer, "question_answering", squad(ROWS[:1]), context=64, by="likelihood")
    assert seen == [counts[0]]


@pytest.mark.parametrize(
    ("task", "by", "message"),
    [
        ("question_answering", "luck", "by 'luck' is not known; choose one of generation, likelihood"),
        ("sentiment", "likelihood", "by is 'likelihood', and task sentiment generates no answer; leave by out"),
        ("language_modeling", "generation", "by is 'generation', and task language_modeling generates no answer"),
    ],
)
def test_what_cannot_be_judged_so_is_one_line(task, by, message):
    with pytest.raises(InputError, match=message):
        avss.evaluate(tiny("llama"), prompt_tokenizer(), task, squad(ROWS), by=by)


def test_questions_without_any_answer_have_no_likelihood():
    with pytest.raises(InputError, match="no question has an answer"):
        avss.evaluate(
            tiny("llama"), prompt_tokenizer(), "question_answering", squad(ROWS[3:4]), context=64, by="likelihood"
        )


def test_the_command_judges_by_likelihood(saved, tmp_path, capsys):
    model, data = saved("llama"), tmp_path / "d.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in squad(ROWS)))
    given = ["evaluate", str(model), "--data", str(data), "--task", "question_answering", "--context", "60"]
    assert main([*given, "--by", "likelihood", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metric"] == "perplexity"
    assert main([*given, "--by", "luck", "--device", "cpu"]) == 2
    assert "by 'luck' is not known" in capsys.readouterr().err
