"""Healing: the loss from its definition, what is trained, and a killed training that goes on exactly."""

import json

import numpy as np
import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.cli import main
from avss.engine import training
from avss.hallucination import healing
from avss.hallucination.answers import read_answers
from avss.hallucination.healing import Recipe, chosen_layers, heal, info_nce
from avss.hallucination.pairs import Pair
from tests.conftest import tiny, word_tokenizer
from tests.killing import interrupted_after

PAIRS = [
    Pair(f"{one} {other}", (f"it was {other} fine",), (f"{one} bad",))
    for one in ("was", "and", "very")
    for other in ("good", "film", "poor")
]
SHORT = Recipe(steps=4, pairs=4, context=48)


@settings(deadline=None, max_examples=20)
@given(size=st.integers(1, 5), temperature=st.floats(0.05, 2), seed=st.integers(0, 100))
def test_info_nce_from_its_definition(size, temperature, seed):
    anchor, positive, negatives = np.random.default_rng(seed).normal(size=(3, size, 4))

    def weight(one, other):
        return np.exp(one @ other / np.linalg.norm(one) / np.linalg.norm(other) / temperature)

    wanted = 0.0
    for each in range(size):
        right = weight(anchor[each], positive[each])
        wanted -= np.log(right / (right + sum(weight(anchor[each], other) for other in negatives))) / size
    found = info_nce(*map(torch.tensor, (anchor, positive, negatives)), temperature)
    assert found.item() == pytest.approx(wanted)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("objective", ["contrastive", "likelihood"])
def test_the_chosen_layers_alone_are_trained_and_the_loss_falls(family, objective):
    model = tiny(family)
    before = {name: each.clone() for name, each in model.named_parameters()}
    recipe = Recipe(objective, steps=30, pairs=9, context=48, learning_rate=1e-2)
    healed, losses = heal(model, word_tokenizer(), PAIRS, [1, 3], recipe)
    assert losses[-1] < losses[0]
    trained = [name for name, each in healed.named_parameters() if each.requires_grad]
    assert trained
    assert all(".1." in name or ".3." in name for name in trained)
    assert all("lora" in name for name in trained)
    back = dict(healed.unload().named_parameters())
    assert all(torch.equal(back[name], each) for name, each in before.items())


def test_contrastive_training_moves_the_states_that_it_is_about():
    """After it a probe-free measure, the loss itself, is lower on questions that were not trained on."""
    tokenizer, recipe = word_tokenizer(), Recipe(steps=30, pairs=6, context=48, learning_rate=1e-2)
    held_out, losses = PAIRS[6:], []
    for trained in (False, True):
        model = tiny("llama")
        layers = [2]
        if trained:
            model = heal(model, tokenizer, PAIRS[:6], layers, recipe)[0].get_base_model()
        examples = healing.encoded(
            tokenizer, held_out, [[pair.supported[0], pair.hallucinated[0]] for pair in held_out], 48
        )
        batch = healing._batch(examples, range(len(held_out)), 0, model)
        losses.append(healing._contrastive(model, batch, layers, recipe).item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize("made", [1, 3])
def test_a_killed_training_has_the_same_losses(tmp_path, made, monkeypatch):
    tokenizer = word_tokenizer()
    _, wanted = heal(tiny("llama"), tokenizer, PAIRS, [1, 2], SHORT)

    def run():
        return heal(tiny("llama"), tokenizer, PAIRS, [1, 2], SHORT, state=str(tmp_path))

    with interrupted_after(monkeypatch, training, "_keep", made), pytest.raises(KeyboardInterrupt):
        run()
    healed, losses = run()
    assert losses == wanted
    whole, _ = heal(tiny("llama"), tokenizer, PAIRS, [1, 2], SHORT)
    for one, other in zip(healed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


def test_adapters_are_saved_and_loaded_by_plain_peft(tmp_path):
    tokenizer = word_tokenizer()
    healed, _ = heal(tiny("llama"), tokenizer, PAIRS, [2], SHORT)
    found = read_answers(healed.get_base_model(), tokenizer, PAIRS, context=48).margin
    healed.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(tiny("llama"), tmp_path)
    assert read_answers(loaded.get_base_model(), tokenizer, PAIRS, context=48).margin == pytest.approx(found)
    assert found != pytest.approx(read_answers(tiny("llama"), tokenizer, PAIRS, context=48).margin)


def test_the_layers_of_an_experiment():
    chosen = chosen_layers([0.1, 0.9, 0.5, 0.7], 2)
    assert chosen["highest"] == [1, 3]
    assert chosen["lowest"] == [0, 2]
    assert chosen["all"] == [0, 1, 2, 3]
    assert [name for name in chosen if name.startswith("random")] == [f"random-{draw}" for draw in range(5)]
    assert all(len(set(chosen[f"random-{draw}"])) == 2 for draw in range(5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chosen_layers([1, 2, 3], 0), "number of layers to train is 0 of 3"),
        (lambda: chosen_layers([1, 2, 3], 4), "number of layers to train is 4 of 3"),
        (lambda: heal(tiny("llama"), word_tokenizer(), [], [1]), "no pairs were given"),
        (lambda: heal(tiny("llama"), word_tokenizer(), PAIRS, []), r"layers to train are \[\] of 4"),
        (lambda: heal(tiny("llama"), word_tokenizer(), PAIRS, [4]), r"layers to train are \[4\] of 4"),
        (lambda: heal(tiny("bert"), word_tokenizer(), PAIRS, [1]), "is none; load one"),
        (lambda: heal(tiny("llama"), word_tokenizer(), PAIRS, [1], Recipe("contrast")), "objective 'contrast'"),
    ],
)
def test_what_cannot_be_trained_is_one_line(call, message):
    with pytest.raises(avss.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_state_of_another_training_is_refused(tmp_path):
    heal(tiny("llama"), word_tokenizer(), PAIRS, [1], SHORT, state=tmp_path)
    with pytest.raises(avss.InputError, match="other settings"):
        heal(tiny("llama"), word_tokenizer(), PAIRS, [2], SHORT, state=tmp_path)
    other = tiny("llama")
    with torch.no_grad():
        next(other.parameters()).add_(1)
    for model, pairs in ((other, PAIRS), (tiny("llama"), PAIRS[::-1])):
        with pytest.raises(avss.InputError, match="other settings"):
            heal(model, word_tokenizer(), pairs, [1], SHORT, state=tmp_path)
    (tmp_path / training.STATE).write_bytes(b"no")
    with pytest.raises(avss.InputError, match="holds no state"):
        heal(tiny("llama"), word_tokenizer(), PAIRS, [1], SHORT, state=tmp_path)


def written(path, rows=24):
    words = "good bad fine poor film".split()
    rows = [
        {"question": f"{one} {other}", "supported": f"it was {other}", "hallucinated": f"{one} film"}
        for one in words
        for other in words
    ][:rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_command_saves_adapters_and_says_what_they_change(saved, tmp_path, capsys):
    model, data, out = str(saved("llama")), written(tmp_path / "pairs.jsonl"), tmp_path / "healed"
    command = ["heal", model, "--data", data, "--layers", "2", "--steps", "3", "--context", "48", "--out", str(out)]
    command += ["--reading", "paper,epsilon=0.5", "--device", "cpu"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    facts = json.loads((out / "healing.json").read_text())
    assert len(facts["layers"]) == 2
    assert len(facts["losses"]) == 3
    assert set(facts["gain"]) == {"margin", "mc1", "mc2"}
    assert f"margin {facts['gain']['margin'][0]:+.3f}" in printed
    base, tokenizer = avss.load_model(model)
    loaded = peft.PeftModel.from_pretrained(base, out).get_base_model()
    gained = [read_answers(loaded, tokenizer, avss.load_pairs(data, "test"), context=48).margin.mean()]
    base, _ = avss.load_model(model)
    gained.append(read_answers(base, tokenizer, avss.load_pairs(data, "test"), context=48).margin.mean())
    assert gained[0] - gained[1] == pytest.approx(facts["gain"]["margin"][0], abs=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir() if "healed" in path.name) == ["healed"]


@pytest.mark.parametrize(
    ("layers", "rows", "message"),
    [
        ("0", 24, "--layers is 0"),
        ("9", 24, "number of layers to train is 9 of 4"),
        ("1", 1, "has no pair in the split"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(saved, tmp_path, capsys, layers, rows, message):
    data, out = written(tmp_path / "pairs.jsonl", rows), tmp_path / "healed"
    command = ["heal", str(saved("llama")), "--data", data, "--layers", layers, "--context", "48", "--out", str(out)]
    assert main([*command, "--reading", "paper,epsilon=0.5", "--device", "cpu"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("avss: error: ")
    assert message in told
    assert not out.exists()
