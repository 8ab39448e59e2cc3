"""`avss check`: the facts are those of the separate scores, and the recommendation follows from them by its rule."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

import avss
from avss import checkup
from avss.cli import main
from avss.errors import InputError
from avss.scores import from_values
from tests.conftest import SENTENCES, tiny, word_tokenizer

TEXT = Dataset.from_dict({"text": SENTENCES * 2, "label": [0, 1, 1, 0, 1] * 2})


def slow_tau(first, second) -> float:
    """Kendall's tau-b by its definition: pairs in the same order minus pairs in the other, ties left out."""
    pairs = [(i, j) for i in range(len(first)) for j in range(i)]
    signs = np.array([[np.sign(each[i] - each[j]) for i, j in pairs] for each in (first, second)])
    return float((signs[0] * signs[1]).sum() / np.sqrt((signs[0] != 0).sum() * (signs[1] != 0).sum()))


def first_token_shares(model, batches) -> list[float]:
    """By Eq. 1's sum of squared deviations, from stored activations of one document at a time."""
    kept = [([], []) for _ in range(4)]
    for batch in batches:
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True):
            outputs = []
            handles = [
                block.register_forward_hook(lambda module, args, output, out=outputs: out.append(output))
                for block in avss.architectures.blocks_of(model)
            ]
            with torch.no_grad():
                model(input_ids=ids[mask][None])
            for (whole, rest), output in zip(kept, outputs, strict=True):
                state = (output[0] if isinstance(output, tuple) else output).double().reshape(int(mask.sum()), -1)
                whole.append(state), rest.append(state[1:])
            [handle.remove() for handle in handles]
    shares = []
    for whole, rest in kept:
        mean = torch.cat(whole).mean()
        others, everything = (float((torch.cat(part) - mean).square().sum()) for part in (rest, whole))
        shares.append(1 - others / everything)
    return shares


@pytest.fixture(scope="module")
def checked():
    return avss.check(tiny("llama"), word_tokenizer(), TEXT, remove=2, leave_one_out=True)


def test_the_facts_are_those_of_the_separate_scores(checked):
    model, tokenizer = tiny("llama"), word_tokenizer()
    batches = avss.batches(TEXT["text"], tokenizer, context=64)
    for method in (*checkup.COMPARED, "leave_one_out"):
        alone = avss.score(model, batches, method, **({"window": 2} if method == "angular" else {}))
        np.testing.assert_array_equal(checked.table[method], alone.values)
        assert checked.removed[method] == alone.lowest(2)
    table = checked.table
    assert (checked.documents, checked.tokens) == (alone.documents, alone.tokens)
    assert checked.tau_depth == pytest.approx(slow_tau(table["avss"], range(4)))
    assert checked.tau_influence == pytest.approx(slow_tau(table["avss"], table["block_influence"]))
    assert set(checked.tau_losses) == set(checkup.COMPARED)
    for method, tau in checked.tau_losses.items():
        assert tau == pytest.approx(slow_tau(table[method], table["leave_one_out"]))
    np.testing.assert_allclose(table["first_token"], first_token_shares(model, batches), rtol=1e-4)


def test_all_but_the_losses_takes_one_pass_without_the_head():
    model, ran = tiny("llama"), []
    handles = [
        block.register_forward_hook(lambda *_, at=index: ran.append(at))
        for index, block in enumerate(model.model.layers)
    ]
    handles.append(model.lm_head.register_forward_hook(lambda *_: ran.append("head")))
    avss.check(model, word_tokenizer(), TEXT, batch_size=10)
    assert ran == [0, 1, 2, 3]
    assert len(model.model.layers[0]._forward_hooks) == 1, "only the hook of this test is left"


@pytest.mark.filterwarnings("ignore:no activation below epsilon")
def test_a_stream_that_only_grows_makes_avss_the_depth():
    """Each block doubles what enters it and the third also turns it, which block influence alone sees."""

    class Growing(torch.nn.Module):
        def __init__(self, turns):
            super().__init__()
            self.turns = turns

        def forward(self, hidden_states, *args, **kwargs):
            return hidden_states.roll(1, -1) * 2 if self.turns else hidden_states * 2

    model = tiny("llama")
    model.model.layers = torch.nn.ModuleList(Growing(index == 2) for index in range(4))
    found = avss.check(model, word_tokenizer(), TEXT, remove=3)
    assert found.tau_depth == 1
    assert found.removed["avss"] == [0, 1, 2]
    assert 2 not in found.removed["block_influence"]
    assert found.recommended == "block_influence"
    assert found.reason.startswith("AVSS is little more than depth here (tau 1.00)")


UP, DOWN, MIXED, OTHER = [1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 1, 4, 2, 5], [1, 4, 2, 5, 3]


@pytest.mark.parametrize(
    ("scores", "first", "losses", "recommended", "said"),
    [
        ((UP, DOWN, MIXED, MIXED), 0.1, None, "block_influence", "removes the first blocks"),
        ((UP, DOWN, MIXED, MIXED), 0.97, None, "block_influence", "The first token holds 97% of the variance"),
        ((DOWN, UP, MIXED, MIXED), 0.1, None, "block_influence", "removes the last blocks"),
        ((MIXED, UP, UP, UP), 0.5, None, "block_influence", "holds 50% of the variance"),
        ((MIXED, MIXED, UP, UP), 0.49, None, "avss", "either will do"),
        ((MIXED, OTHER, UP, UP), 0.1, None, "leave_one_out", "different blocks (tau -0.20)"),
        ((UP, DOWN, MIXED, OTHER), 0.9, OTHER, "update_norm", "(tau 1.00, AVSS 0.40)"),
        ((UP, UP, MIXED, OTHER), 0.9, UP, "avss", "(tau 1.00, AVSS 1.00)"),
        ((UP, UP, UP, UP), 0.1, DOWN, "leave_one_out", "No score orders the blocks"),
    ],
)
def test_the_recommendation_follows_from_the_facts(scores, first, losses, recommended, said):
    own, *others = np.array(scores, float)
    made = {"avss": avss.LayerScores(pd.DataFrame({"layer": range(5), "normalized_avss": own}), "avss")}
    made |= {name: from_values(name, each) for name, each in zip(checkup.COMPARED[1:], others, strict=True)}
    loss = None if losses is None else from_values("leave_one_out", np.array(losses, float))
    found = checkup.judged(made, np.full(5, first), loss, 2)
    assert found.recommended == recommended
    assert said in found.reason
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert ("not measured (--leave-one-out)" in text) == (losses is None)


def test_the_table_fits_eighty_columns_and_marks_what_would_go(checked):
    text = str(checked)
    assert max(map(len, text.splitlines())) <= 80
    header, *lines = text.splitlines()[:5]
    assert header.split() == ["block", *checkup.COMPARED, "first", "token", "leave_one_out"]
    for block, line in enumerate(lines):
        marked = [cell.endswith("*") for cell in line.split()[1:5]]
        assert marked == [block in checked.removed[name] for name in checkup.COMPARED]
    assert f"Recommended: {checked.recommended}" in text


@pytest.fixture
def files(saved, tmp_path):
    rows = zip(TEXT["text"], TEXT["label"], strict=True)
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    (tmp_path / "t.jsonl").write_text("".join(lines))
    saved("llama"), saved("bert")
    return tmp_path


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_the_command_prints_the_facts_and_writes_them(files, capsys):
    command = ["check", files / "llama-model", "--data", files / "t.jsonl", "--layers", 1]
    assert run(*command, "--out", files / "c.json") == 0
    printed = capsys.readouterr()
    assert "Recommended: " in printed.out
    assert printed.err == ""
    facts = json.loads((files / "c.json").read_text(), parse_constant=pytest.fail)
    assert facts["tau_losses"] is None
    assert len(facts["blocks"]["avss"]) == 4
    assert {len(gone) for gone in facts["removed"].values()} == {1}
    assert run(*command, "--out", files / "c.json") == 2
    assert run(*command, "--out", files / "c.json", "--force") == 0
    (files / "mine.json").write_text("{}")
    capsys.readouterr()
    assert run(*command, "--out", files / "mine.json", "--force") == 2
    assert "was not written by `avss check`" in capsys.readouterr().err


def test_a_classifier_is_checked_against_its_labels(files, capsys):
    command = ["check", files / "bert-model", "--data", files / "t.jsonl", "--leave-one-out", "--fraction", 0.5]
    assert run(*command) == 0
    assert "tau with the loss without each block: avss " in " ".join(capsys.readouterr().out.split())


def test_labels_of_another_column_are_those_of_the_losses(files, capsys):
    rows = map(json.loads, (files / "t.jsonl").read_text().splitlines())
    (files / "s.jsonl").write_text("".join(json.dumps({"text": r["text"], "stars": r["label"]}) + "\n" for r in rows))
    said = []
    for data in (["t.jsonl"], ["s.jsonl", "--label-column", "stars"]):
        assert run("check", files / "bert-model", "--data", files / data[0], *data[1:], "--leave-one-out") == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    command = ["check", files / "llama-model", "--data", files / "s.jsonl", "--leave-one-out"]
    assert run(*command, "--label-column", "stars") == 2
    assert "are given without a task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layers", 4], "remove at least 1 and at most 3"),
        (["--layers", 0], "means removing 0"),
        (["--fraction", 2], "share of layers is 2"),
        (["--task", "chess"], "task 'chess' is not known"),
        (["--column", "words"], "has no column words"),
        (["--label-words", "no,yes"], "without a task; name the task"),
        (["--task", "sentiment", "--label-words", "no"], "give one for each class"),
        (["--task", "sentiment", "--label-column", "stars"], "no column stars to take labels from"),
        (["--context", 1], "context is 1"),
        (["--samples", 0], "--samples is 0"),
        (["--revision", "main"], "revision main is given with a folder"),
        (["--out", "no/c.json"], "no does not exist"),
    ],
)
def test_bad_input_is_one_line(files, capsys, arguments, said):
    assert run("check", files / "llama-model", "--data", files / "t.jsonl", *arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.filterwarnings("ignore:no activation below epsilon")
def test_text_without_a_second_token_and_scores_without_an_order_are_one_line():
    short = Dataset.from_dict({"text": ["good", "bad"]})
    with pytest.raises(InputError, match="no document has a second token"):
        avss.check(tiny("llama"), word_tokenizer(), short)
    made = {name: from_values(name, np.arange(4.0)) for name in checkup.COMPARED[1:]}
    made = {"avss": avss.LayerScores(pd.DataFrame({"layer": range(4), "normalized_avss": [0.25] * 4}), "avss")} | made
    with pytest.raises(InputError, match=r"avss is 0\.25 for all 4 blocks, so it has no order"):
        checkup.judged(made, np.zeros(4), None, 1)
