"""`avss heal` on a pruned folder: a plain checkpoint with its facts, and one line for what cannot be healed."""

import json

import numpy as np
import pytest
import torch
import transformers as hf

from avss.cli import main
from avss.engine import training
from avss.engine.passes import logits_of
from avss.pruning import prune, save_pruned
from tests.conftest import WORDS, ragged, tiny, word_tokenizer
from tests.killing import interrupted_after


@pytest.fixture
def text(tmp_path) -> str:
    path = tmp_path / "text.jsonl"
    lines = [" ".join(WORDS[(i * j) % 14] for j in range(1, 12)) for i in range(30)]
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return str(path)


@pytest.fixture
def pruned(tmp_path) -> str:
    folder = tmp_path / "pruned"
    facts = {"pruned_from": "models/whole", "removed_layers": [1], "layers_before": 4}
    save_pruned(prune(tiny("llama"), [1]), word_tokenizer(), folder, facts)
    return str(folder)


def heal(model: str, data: str | None, out, *more: str) -> list[str]:
    given = ["--data", data] if data else []
    return ["heal", model, *given, "--steps", "4", "--context", "16", "--device", "cpu", "--out", str(out), *more]


@pytest.mark.parametrize("objective", ["next_token", "distillation"])
def test_the_command_saves_a_plain_checkpoint_with_its_facts(pruned, text, saved, tmp_path, capsys, objective):
    out, more = tmp_path / "healed", ["--objective", objective, "--windows", "2", "--learning-rate", "1e-2"]
    if objective == "distillation":
        more += ["--teacher", str(saved("llama"))]
    assert main(heal(pruned, text, out, *more)) == 0
    assert f"healed on {4 * 2 * 16} tokens by {objective}" in capsys.readouterr().out
    facts = json.loads((out / "pruning.json").read_text())
    assert facts["pruned_from"] == "models/whole"
    assert facts["removed_layers"] == [1]
    assert facts["healing"]["recipe"]["objective"] == objective
    assert facts["healing"]["documents"] == 30
    assert len(facts["healing"]["losses"]) == 4
    loaded, told = hf.AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(told[part] for part in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    before = hf.AutoModelForCausalLM.from_pretrained(pruned)
    with torch.no_grad():
        one, other = (logits_of(model.eval(), ragged()) for model in (loaded, before))
    assert one.shape == other.shape
    assert not np.allclose(one, other)
    assert {path.name for path in tmp_path.iterdir() if "healed" in path.name} == {"healed"}
    # What it wrote can be replaced, and healed further.
    assert main(heal(pruned, text, out, *more)) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(heal(pruned, text, out, *more, "--force")) == 0
    assert main(heal(str(out), text, tmp_path / "further", *more)) == 0


def test_a_killed_command_goes_on(pruned, text, tmp_path, monkeypatch):
    command = ["--objective", "next_token", "--windows", "2"]
    assert main(heal(pruned, text, tmp_path / "whole", *command)) == 0
    with interrupted_after(monkeypatch, training, "_keep", 2):
        assert main(heal(pruned, text, tmp_path / "killed", *command)) == 130
    assert not (tmp_path / "killed").exists()
    assert main(heal(pruned, text, tmp_path / "killed", *command)) == 0
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--objective", "next"], "choose one of contrastive, next_token, distillation"),
        (["--objective", "next_token", "--steps", "0"], "--steps is 0"),
        (["--objective", "next_token", "--windows", "0"], "--windows is 0"),
        (["--objective", "next_token", "--layers", "2"], "--layers is given with --objective next_token"),
        (["--objective", "next_token", "--teacher", "x"], "--objective next_token with --teacher"),
        (["--objective", "distillation"], "needs the whole model (models/whole)"),
        (["--objective", "contrastive", "--windows", "2"], "--windows is given with --objective contrastive"),
        (["--objective", "contrastive"], "--layers is missing"),
        (["--objective", "contrastive", "--layers", "0"], "--layers is 0"),
        (["--objective", "next_token", "--context", "4000"], "context of the recipe is 4000"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(pruned, text, tmp_path, capsys, more, message):
    assert main(heal(pruned, text, tmp_path / "healed", *more)) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("avss: error: ")
    assert message in told
    assert not (tmp_path / "healed").exists()


@pytest.mark.parametrize("removed", [None, []])
def test_a_model_that_is_not_pruned_is_refused(saved, text, tmp_path, capsys, removed):
    folder = saved("llama")
    if removed is not None:
        (folder / "pruning.json").write_text(json.dumps({"removed_layers": removed}))
    assert main(heal(str(folder), text, tmp_path / "healed", "--objective", "next_token")) == 2
    message = "has no pruning.json" if removed is None else "lacks no layer"
    assert message in capsys.readouterr().err


def test_data_and_teacher_are_checked(pruned, text, saved, tmp_path, capsys):
    assert main(heal(pruned, None, tmp_path / "healed", "--objective", "next_token")) == 2
    assert "--data is missing" in capsys.readouterr().err
    folder = saved("llama")
    word_tokenizer_with = hf.PreTrainedTokenizerFast.from_pretrained(folder)
    word_tokenizer_with.add_tokens(["more"])
    word_tokenizer_with.save_pretrained(folder)
    more = ["--objective", "distillation", "--teacher", str(folder)]
    assert main(heal(pruned, text, tmp_path / "healed", *more)) == 2
    assert "has another vocabulary" in capsys.readouterr().err
    more[-1] = str(saved("gpt2"))
    assert main(heal(pruned, text, tmp_path / "healed", *more)) == 2
    assert "the teacher is a GPT2LMHeadModel" in capsys.readouterr().err
