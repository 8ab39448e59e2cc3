"""Solved examples and chat templates against slow oracles: whole texts by hand, one token at a time, no cache."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset

import avss
from avss.cli import main
from avss.errors import InputError
from avss.pruning import skipping
from avss.runs.context import facts_of, loaded
from avss.runs.experiment import run_row
from avss.runs.profile import Row
from avss.store import Store, key_of
from avss.tasks import TASKS
from avss.tasks.prompts import PLAIN
from avss.tasks.question_answering import MAX_NEW_TOKENS
from avss.tasks.shots import prompting_for, without_solved
from recipes import subsets
from tests.conftest import tiny, word_tokenizer
from tests.prompts import prompt_tokenizer
from tests.test_question_answering import oracle_answer
from tests.test_tasks import OPINIONS

POOL = Dataset.from_dict(
    {"sentence": ["the film was good", "very bad ", "not fine", "day not long"], "label": [1, 0, -1, 1]}
)
# The rows of POOL with a label, in the order that seed 0 draws them.
EXAMPLES = [("the film was good", "positive"), ("very bad", "negative"), ("day not long", "positive")]
ASKED = [
    ("The bell rang", "When?", ["at noon"]),
    ("The old tower is in the north. Ada built it", "who?", ["Ada"]),
    ("The river", "Where is it?", ["north"]),
]
GIVEN = Dataset.from_list([{"context": "Rome", "question": " Where? ", "answers": {"text": [" here ", "Rome"]}}])
CHAT = (
    "{% for m in messages %}{{ 'Question' if m.role == 'user' else 'Answer' }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}Answer: {% endif %}"
)
VERBALIZED = ("negative", "positive")
# Of qwen2 some blocks attend to a window only, so that its cache does not hold all tokens.
SEVERAL = ("llama", "stablelm", "gpt2", "qwen2")
pytestmark = [
    pytest.mark.filterwarnings("ignore:1 of 4 rows are left out"),
    pytest.mark.filterwarnings("ignore:.* texts are cut"),
]


def squad(rows=ASKED):
    return Dataset.from_list([{"context": c, "question": q, "answers": {"text": texts}} for c, q, texts in rows])


def chatting(**options):
    tokenizer = prompt_tokenizer(**options)
    tokenizer.chat_template = CHAT
    return tokenizer


def review(text, shots, chat):
    """The prompt of a review, by hand."""
    if chat:
        turns = "".join(f"Question: Review: {t}\nSentiment:\nAnswer: {label}\n" for t, label in EXAMPLES[:shots])
        return f"{turns}Question: Review: {text}\nSentiment:\nAnswer: "
    return (
        "".join(f"Review: {t}\nSentiment: {label}\n\n" for t, label in EXAMPLES[:shots]) + f"Review: {text}\nSentiment:"
    )


def question(context, asked, shots, chat):
    """The prompt of a question, by hand."""
    if chat:
        turn = "Question: Rome\nQuestion: Where?\nAnswer:\nAnswer: here\n" * shots
        return f"{turn}Question: {context}\nQuestion: {asked}\nAnswer:\nAnswer: "
    return "Rome\nQuestion: Where?\nAnswer: here\n\n" * shots + f"{context}\nQuestion: {asked}\nAnswer:"


def log_likelihood(model, ids):
    """Of a whole sequence after its first token."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1].double()
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:])[:, None]).sum().item()


class Counted:
    """The tokens that each forward pass of a model reads."""

    def __init__(self, model):
        self.passes = []
        embedding = model.get_input_embeddings()
        self.stop = embedding.register_forward_pre_hook(lambda _, given: self.passes.append(given[0].numel())).remove


@pytest.mark.parametrize(
    ("family", "shots", "chat", "pieces"),
    [
        *((family, 2, False, "words") for family in SEVERAL),
        ("llama", 1, False, "joined"),
        ("gpt2", 1, True, "split"),
        ("qwen2", 1, True, "split"),
    ],
)
def test_labels_after_solved_examples_equal_whole_texts_one_by_one(family, shots, chat, pieces):
    model, tokenizer, few = tiny(family), chatting(pieces=pieces, bos=not chat), OPINIONS.select(range(4))
    begin, words = ([], VERBALIZED) if chat else ([1], [f" {word}" for word in VERBALIZED])
    prompting = prompting_for(
        *(TASKS["sentiment"], model, tokenizer, shots, "chat" if chat else "plain", (POOL, "sentence")),
    )
    with skipping(model, [1]):
        expected = []
        for text in few["sentence"]:
            wholes = [review(text.strip(), shots, chat) + word for word in words]
            ids = [begin + tokenizer(whole, add_special_tokens=False)["input_ids"] for whole in wholes]
            expected.append(int(np.argmax([log_likelihood(model, each) for each in ids])))
        for batch_size in (1, 2, 8):
            outcome = TASKS["sentiment"].measure(
                *(model, tokenizer, few, "sentence"), context=64, batch_size=batch_size, prompting=prompting
            )
            assert outcome.predictions.tolist() == expected
    assert f"{shots} solved example" in outcome.protocol
    assert ("chat template" in outcome.protocol) == chat


@pytest.mark.parametrize(
    ("family", "shots", "chat"), [*((family, 1, False) for family in SEVERAL), ("llama", 0, True), ("gpt2", 0, True)]
)
def test_answers_after_solved_examples_equal_whole_texts_one_by_one(family, shots, chat):
    model, tokenizer = tiny(family), chatting(bos=not chat)
    begin = [] if chat else [1]
    prompting = prompting_for(
        *(TASKS["question_answering"], model, tokenizer, shots, "chat" if chat else "plain", (GIVEN, "context")),
    )
    with skipping(model, [2]):
        prompts = [tokenizer(question(*row[:2], shots, chat), add_special_tokens=False)["input_ids"] for row in ASKED]
        expected = [oracle_answer(model, tokenizer, begin + ids) for ids in prompts]
        for batch_size, side in ((1, "right"), (2, "left"), (3, "right")):
            tokenizer.padding_side = side
            outcome = TASKS["question_answering"].measure(
                *(model, tokenizer, squad(), "context"), context=64, batch_size=batch_size, prompting=prompting
            )
            assert outcome.predictions == expected


@pytest.mark.parametrize("family", SEVERAL)
def test_what_all_prompts_begin_with_runs_once_whatever_the_batches(family):
    """And with every prompt where the cache is not one of all tokens."""
    model, tokenizer, few = tiny(family), prompt_tokenizer(), OPINIONS.select(range(4))
    prompts = [len(tokenizer(review(text.strip(), 2, False))["input_ids"]) for text in few["sentence"]]
    # "Review:" of the question is common to all.
    common = len(tokenizer(review("", 2, False).removesuffix(" \nSentiment:"))["input_ids"])
    pool = (POOL, "sentence")
    prompting = prompting_for(TASKS["sentiment"], model, tokenizer, 2, "plain", pool)
    for batch_size in (1, 2):
        counted = Counted(model)
        TASKS["sentiment"].measure(
            *(model, tokenizer, few, "sentence"), context=64, batch_size=batch_size, prompting=prompting
        )
        assert counted.passes[0] == common
        assert len(counted.passes) == 1 + 4 // batch_size
        if batch_size == 1:
            assert sum(counted.passes[1:]) == sum(prompts) - (0 if family == "qwen2" else common * len(prompts))
        counted.stop()


def test_examples_are_those_of_seed_0_and_more_begin_with_fewer():
    tokenizer, model = prompt_tokenizer(), tiny("llama")
    for shots in (1, 2, 3):
        batch = avss.task_batches(model, tokenizer, "sentiment", OPINIONS, shots=shots, shots_from=POOL, context=60)
        shown = tokenizer.decode(batch[0]["input_ids"][0])
        assert shown.startswith("".join(f"Review: {t}\nSentiment: {label}\n\n" for t, label in EXAMPLES[:shots]))
        assert (batch[0]["labels"] != -100).sum(1).tolist() == [1] * 10


def test_a_document_is_never_its_own_example():
    rows = {"sentence": [f"{a} {b}" for a in ("film", "day", "river") for b in ("good", "bad")], "label": [1, 0] * 3}
    same, model, tokenizer = Dataset.from_dict(rows), tiny("llama"), word_tokenizer()
    task = TASKS["sentiment"]
    for size in range(1, 6):
        evaluated = same.select(range(size))
        asked = task.questions(evaluated, "sentence")
        found = prompting_for(task, model, tokenizer, 6 - size, "plain", (same, "sentence"), asked)
        assert not {example for example, _ in found.solved} & set(asked)
        assert len(without_solved(task, same, "sentence", found)) == size
    with pytest.raises(InputError, match="shots is 1, and 0 of 6 rows of the calibration split have an answer and"):
        avss.evaluate(model, tokenizer, "sentiment", same, shots=1, shots_from=same)


def test_calibration_documents_are_no_examples():
    model, tokenizer = tiny("llama"), prompt_tokenizer()
    for seed in range(2):
        drawn = {"shots": 2, "samples": 8, "seed": seed, "context": 60}
        (batch,) = avss.task_batches(model, tokenizer, "sentiment", OPINIONS, **drawn)
        shown = tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
        texts = [part.split("\n")[0] for text in shown for part in text.split("Review: ")[1:]]
        assert len(set(texts[2::3])) == 8
        assert not set(texts[2::3]) & {texts[0], texts[1]}


@pytest.mark.parametrize(
    ("family", "task", "options", "message"),
    [
        ("llama", "sentiment", {"shots": -1}, "shots is -1; give a whole number of solved examples from 0"),
        ("llama", "sentiment", {"shots": 1.5}, "shots is 1.5; give a whole number"),
        ("llama", "sentiment", {"shots": True}, "shots is True; give a whole number"),
        ("llama", "sentiment", {"prompt": "turns"}, "prompt 'turns' is not known; choose one of plain, chat"),
        (
            "llama",
            "sentiment",
            {"shots": 1},
            "drawn from a calibration split, and a Dataset has none; give its rows as",
        ),
        (
            "llama",
            "sentiment",
            {"shots": 4, "shots_from": POOL},
            "shots is 4, and 3 of 4 rows of the calibration split",
        ),
        ("llama", "sentiment", {"prompt": "chat"}, "the tokenizer has no chat template, which prompt chat needs"),
        (
            "bert",
            "sentiment",
            {"shots": 1, "shots_from": POOL},
            "BertForSequenceClassification is none; leave them out",
        ),
        ("bert", "sentiment", {"prompt": "chat"}, "BertForSequenceClassification is none; leave them out"),
        ("llama", "language_modeling", {"shots": 2}, "shots is 2, and task language_modeling asks no question; leave"),
        ("llama", "language_modeling", {"prompt": "chat"}, "prompt is chat, and task language_modeling asks no"),
        (
            "llama",
            "sentiment",
            {"shots": 3, "shots_from": POOL, "context": 30},
            r"has \d+ tokens without its text, and there is room for 30; give a larger context or fewer than 3 shots",
        ),
    ],
)
def test_what_cannot_be_asked_so_is_one_line(family, task, options, message):
    with pytest.raises(InputError, match=message) as caught:
        avss.evaluate(tiny(family), prompt_tokenizer(), task, OPINIONS, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"context": ["A text."], "answers": [{"text": ["A"]}]}, "question is missing"),
        ({"context": ["A text."], "question": [None], "answers": [{"text": ["A"]}]}, "no usable rows: none has a"),
        ({"context": ["A text."], "question": ["Who?"], "answers": [None]}, "no usable rows: none has a question"),
    ],
)
def test_solved_questions_without_the_form_of_squad_are_one_line(rows, message):
    given = {"shots": 1, "shots_from": Dataset.from_dict(rows)}
    with pytest.raises(InputError, match=message):
        avss.evaluate(tiny("llama"), prompt_tokenizer(), "question_answering", squad(ASKED[:1]), **given)


def test_a_template_that_refuses_is_one_line():
    tokenizer = prompt_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must\nalternate') }}"
    with pytest.raises(InputError, match=r"does not take 1 questions and 0 answers \(roles must alternate\); leave"):
        avss.evaluate(tiny("llama"), tokenizer, "sentiment", OPINIONS, prompt="chat")


def test_examples_leave_a_token_for_every_text():
    """Without its text the prompt would fit, and be no question on it."""
    model, tokenizer, rows = tiny("llama"), prompt_tokenizer(), squad(ASKED[:1])
    bare = len(tokenizer(question("", "When?", 1, False))["input_ids"])
    options = {"shots": 1, "shots_from": GIVEN}
    with pytest.warns(UserWarning, match=f"1 of 1 texts are cut to fit with 1 solved examples into {bare + 1} tokens"):
        avss.evaluate(model, tokenizer, "question_answering", rows, context=bare + 1 + MAX_NEW_TOKENS, **options)
    with pytest.raises(InputError, match=f"has {bare} tokens without its text, and there is room for {bare}; give"):
        avss.evaluate(model, tokenizer, "question_answering", rows, context=bare + MAX_NEW_TOKENS, **options)


@pytest.fixture
def decoder_row(tmp_path):
    folder, data = tmp_path / "model", tmp_path / "data"
    tiny("llama").save_pretrained(folder)
    chatting().save_pretrained(folder)
    data.mkdir()
    for split, rows in (("train", POOL), ("validation", OPINIONS)):
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    methods = ("avss",)
    return Row("r", "sentiment", str(folder), str(data), remove=1, seeds=1, samples=3, context=60, methods=methods)


def test_a_row_is_measured_with_its_shots_under_keys_of_its_own(decoder_row, tmp_path, monkeypatch):
    store, keys = Store(tmp_path / "results"), {}
    for name, row in {
        "plain": decoder_row,
        "shots": replace(decoder_row, shots=2),
        "chat": replace(decoder_row, prompt="chat"),
    }.items():
        assert run_row(row, name, store, None) == 2
        table = store.observations()
        table = table[table["profile"] == name]
        assert (table["status"] == "ok").all(), table["status"].tolist()
        keys[name] = set(table["key"])
        facts = store.provenances(name, "r")[-1]
        assert (facts["configuration"]["shots"], facts["configuration"]["prompt"]) == (row.shots, row.prompt)
        assert ("2 solved examples of the calibration split" in facts["protocol"]) == (name == "shots")
        assert ("chat template" in facts["protocol"]) == (name == "chat")
        options = {"shots": row.shots, "prompt": row.prompt, "context": 60}
        by_hand = avss.evaluate(tiny("llama"), chatting(), "sentiment", row.data, **options)
        assert float(table[table["method"] == "original"]["value"].iloc[0]) == by_hand["value"]
    assert not keys["plain"] & keys["shots"]
    assert not keys["plain"] & keys["chat"]


def test_the_recipe_of_all_sets_asks_as_the_row_does(decoder_row, tmp_path):
    row, store = replace(decoder_row, shots=1, documents=4), Store(tmp_path / "results")
    context = loaded(row, None)
    run = store.start("own", row.id, "2026-01-01T00:00:00", facts_of(context))
    subsets.evaluate(context, [[], [0], [1, 2]], run)
    assert "after 1 solved example" in run.provenance["protocol"]
    found = store.observations("own", row.id)
    assert found["removed"].tolist() == ["none", "0", "1+2"]
    assert found["status"].tolist() == ["ok"] * 3
    assert run_row(row, "row", store, None) == 2
    own = store.observations("row", row.id).query("method == 'original'")
    same = [name for name in found if name not in ("run", "profile", "key", "seconds", "peak_memory_mb")]
    assert own[same].to_dict("records") == found[found["removed"] == "none"][same].to_dict("records")


def test_a_row_without_shots_keeps_the_keys_from_before_there_were_any(decoder_row):
    found = loaded(decoder_row, None)
    row = found.row
    before = {"dtype": row.dtype, "context": row.context, "task": row.task, "protocol": 2}
    assert found.pinned == key_of(data=found.evaluated_on, model=found.revision, **before)
    assert loaded(replace(row, shots=1), None).pinned != loaded(replace(row, shots=2), None).pinned != found.pinned


def test_the_command_prints_shots_and_prompt(decoder_row, capsys):
    given = ["evaluate", decoder_row.checkpoint, "--data", decoder_row.data, "--task", "sentiment", "--context", "60"]
    assert main([*given, "--device", "cpu", "--shots", "2"]) == 0
    assert "after 2 solved examples of the calibration split drawn by seed 0" in capsys.readouterr().out
    assert main([*given, "--device", "cpu", "--prompt", "chat"]) == 0
    assert "as a message of the user through the chat template of the tokenizer" in capsys.readouterr().out
    assert main([*given, "--shots", "-1"]) == 2
    assert capsys.readouterr().err == "avss: error: shots is -1; give a whole number of solved examples from 0\n"


def test_the_split_of_the_examples_is_an_option(decoder_row, tmp_path, capsys):
    rows = [{"sentence": f"{word} film", "label": 0} for word in ("bad", "poor", "not good")]
    (tmp_path / "data" / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["evaluate", decoder_row.checkpoint, "--data", decoder_row.data, "--task", "sentiment", "--context", "60"]
    given += ["--device", "cpu", "--samples", "2"]
    values = []
    for split in ([], ["--shots-from", "train"], ["--shots-from", "other"]):
        assert main([*given, "--shots", "2", *split]) == 0
        values.append(json.loads(capsys.readouterr().out))
    assert values[0] == values[1]
    by_hand = {"shots": 2, "shots_from": "other", "samples": 2, "context": 60}
    expected = avss.evaluate(tiny("llama"), chatting(), "sentiment", decoder_row.data, **by_hand)
    assert values[2] == values[2] | expected
    for arguments, said in (
        (["--shots-from", "train"], "--shots-from train is given without --shots; give a number of examples"),
        (["--shots", "2", "--shots-from", "gone"], "has no split 'gone'; it has"),
    ):
        assert main([*given, *arguments]) == 2
        assert said in capsys.readouterr().err


def test_without_shots_and_chat_nothing_is_shared():
    assert not PLAIN.shares
    model = tiny("llama")
    counted = Counted(model)
    avss.evaluate(model, prompt_tokenizer(), "sentiment", OPINIONS, batch_size=32)
    assert len(counted.passes) == 1
    assert torch.is_grad_enabled()
