"""Healing of pruned models: losses from their formulas, the same budget, exact resume, and a plain checkpoint."""

import math

import numpy as np
import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.architectures import blocks_of
from avss.engine import training
from avss.engine.passes import logits_of
from avss.recovery import recovering
from avss.recovery.recovering import Recipe, distillation_loss, next_token_loss, recover
from avss.recovery.text import drawn, windows, without_shared
from tests.conftest import WORDS, ragged, tiny, word_tokenizer
from tests.killing import interrupted_after

TEXTS = [" ".join(WORDS[(i * j + 1) % 14] for j in range(1, 9 + i % 3)) for i in range(30)]
SHORT = Recipe(steps=5, windows=2, context=12, learning_rate=1e-2, rank=2)


def pruned(family: str = "llama", layers=(1,)) -> torch.nn.Module:
    return avss.prune(tiny(family), layers)


@settings(deadline=None, max_examples=20)
@given(
    rows=st.integers(1, 3), length=st.integers(2, 5), temperature=st.sampled_from([0.5, 1, 2.0]), seed=st.integers(0, 9)
)
def test_losses_from_their_formulas(rows, length, temperature, seed):
    logits, other = np.random.default_rng(seed).normal(size=(2, rows, length, 4)) * 3
    ids = np.random.default_rng(seed).integers(4, size=(rows, length))

    def softmax(values, at=1.0):
        return np.exp(values / at) / np.exp(values / at).sum()

    nll, divergences = [], []
    for row in range(rows):
        for place in range(length - 1):
            nll.append(-math.log(softmax(logits[row, place])[ids[row, place + 1]]))
            p, q = softmax(other[row, place], temperature), softmax(logits[row, place], temperature)
            divergences.append(sum(p * np.log(p / q)))
    found = next_token_loss(torch.tensor(logits), torch.tensor(ids)).item()
    assert found == pytest.approx(np.mean(nll))
    found = distillation_loss(torch.tensor(logits), torch.tensor(other), temperature).item()
    assert found == pytest.approx(temperature**2 * np.mean(divergences), abs=1e-12)


@pytest.mark.parametrize("bos", [False, True])
def test_windows_are_the_joined_documents_cut_to_one_length(bos):
    found = windows(word_tokenizer(bos), ["good film", "a poor film"], 3 + bos)
    ids = dict(word_tokenizer().get_vocab())
    stream = [ids[word] for word in "good film </s> a poor film".split()]
    assert found.tolist() == [[1] * bos + stream[:3], [1] * bos + stream[3:]]


@given(count=st.integers(1, 7), size=st.integers(1, 5), seed=st.integers(0, 3))
def test_every_window_is_seen_before_one_is_seen_again(count, size, seed):
    seen = [window for step in range(count) for window in drawn(count, seed, step, size)]
    turns = [sorted(seen[start : start + count]) for start in range(0, len(seen), count)]
    assert turns == [list(range(count))] * size
    assert drawn(count, seed, 2, size) == drawn(count, seed, 2, size)


def test_no_document_that_shares_a_passage_is_left():
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen".split()
    measured = [" ".join(words), "Short text."]
    near, far = " ".join(["x", *words[:12], "y"]), " ".join(["x", *words[1:14], "y"])
    texts = [near, far, "short, TEXT", "short text and more", far.upper().replace(" ", ", "), ""]
    assert without_shared(texts, measured) == [near, "short text and more", ""]


@pytest.mark.parametrize("family", ["llama", "gpt2", "stablelm"])
@pytest.mark.parametrize("objective", ["next_token", "distillation"])
def test_a_healed_model_is_a_plain_checkpoint(family, objective, tmp_path):
    model, tokenizer = pruned(family), word_tokenizer()
    rest = {name: each.clone() for name, each in model.named_parameters()}
    recipe = Recipe(objective, steps=12, windows=4, context=12, learning_rate=1e-2)
    teacher = tiny(family).train() if objective == "distillation" else None
    flags = [(each.requires_grad, each.grad) for each in model.parameters()]
    healed, losses = avss.recover(model, tokenizer, TEXTS, recipe, teacher=teacher)
    assert healed is model
    assert type(healed) is type(tiny(family))
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert len(losses) == 12
    assert recipe.tokens() == 12 * 4 * 12
    assert [(each.requires_grad, each.grad) for each in healed.parameters()] == flags
    assert teacher is None or teacher.training
    inside = {id(each) for block in blocks_of(healed) for each in block.parameters()}
    for name, each in healed.named_parameters():
        changed = not torch.equal(each, rest[name])
        assert changed == (id(each) in inside and each.ndim == 2), name
    healed.save_pretrained(tmp_path)
    loaded, told = hf.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told[part] for part in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    batch = ragged()
    with torch.no_grad():
        assert torch.equal(logits_of(loaded.eval(), batch), logits_of(healed, batch))
    prompt = {"input_ids": batch["input_ids"][:1, :4], "attention_mask": batch["attention_mask"][:1, :4]}
    made = [loaded.generate(**prompt, max_new_tokens=6, do_sample=False, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*made)


def test_two_choices_of_blocks_see_the_same_tokens(monkeypatch):
    """The budget is one: neither the removed blocks nor the objective change what is read."""
    read = []

    def noted(logits, ids):
        read[-1].append(ids.tolist())
        return next_token_loss(logits, ids)

    monkeypatch.setattr(recovering, "next_token_loss", noted)
    for layers in ([1], [0, 3]):
        read.append([])
        recover(pruned(layers=layers), word_tokenizer(), TEXTS, SHORT)
    assert read[0] == read[1]
    assert np.size(read[0]) == SHORT.tokens() == 5 * 2 * 12


def test_distillation_from_itself_loses_nothing():
    model = pruned()
    _, losses = recover(model, word_tokenizer(), TEXTS, Recipe("distillation", 3, 2, 12), teacher=pruned())
    assert losses[0] == pytest.approx(0, abs=1e-6)
    # Adam makes whole steps of gradients that are rounding alone.
    assert losses[1:] == pytest.approx([0, 0], abs=1e-3)


@pytest.mark.parametrize(("objective", "made", "every"), [("next_token", 3, 1), ("distillation", 1, 2)])
def test_a_killed_training_goes_on_exactly(objective, made, every, tmp_path, monkeypatch):
    recipe = Recipe(objective, steps=5, windows=2, context=12, learning_rate=1e-2, rank=2)
    options = {"teacher": tiny("llama")} if objective == "distillation" else {}
    seen, watched = [], []
    options |= {"watch": lambda _, step: seen.append(step)}
    whole, wanted = recover(pruned(), word_tokenizer(), TEXTS, recipe, **options)

    def run():
        more = {"state": tmp_path, "every": every, "watch": lambda _, step: watched.append(step)}
        return recover(pruned(), word_tokenizer(), TEXTS, recipe, **options | more)

    with interrupted_after(monkeypatch, training, "_keep", made), pytest.raises(KeyboardInterrupt):
        run()
    healed, losses = run()
    assert losses == wanted
    assert watched == seen == [0, 1, 2, 3, 4, 5]
    for one, other in zip(healed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(avss.InputError, match="other settings"):
        recover(pruned(), word_tokenizer(), TEXTS[1:], recipe, state=tmp_path, **options)
    with pytest.raises(avss.InputError, match="other settings"):
        recover(pruned(layers=[2]), word_tokenizer(), TEXTS, recipe, state=tmp_path, **options)


def test_after_an_error_the_model_is_as_it_was():
    model, wanted = pruned(), pruned()

    def stop(_, step):
        if step == 2:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        recover(model, word_tokenizer(), TEXTS, SHORT, watch=stop)
    assert {*dict(model.named_parameters())} == {*dict(wanted.named_parameters())}
    assert all(torch.equal(each, other) for each, other in zip(model.parameters(), wanted.parameters(), strict=True))
    assert all(each.requires_grad for each in model.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe("next")), "objective 'next' is not known"),
        (lambda: recover(pruned(), word_tokenizer(), [], SHORT), "text to train on has 0 tokens"),
        (lambda: recover(pruned(), word_tokenizer(), "good", SHORT), "texts is one string"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe(steps=0)), "steps of the recipe is 0"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe(windows=0)), "windows of the recipe is 0"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe(rank=0)), "rank of the recipe is 0"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe(temperature=0)), "temperature of the recipe is 0"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe(learning_rate=math.nan)), "learning_rate of the"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe(context=65)), "is 65 tokens and the model has 64"),
        (lambda: recover(tiny("bert"), word_tokenizer(), TEXTS, SHORT), "is none; load one"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe("distillation")), "needs the whole model"),
        (lambda: recover(pruned(), word_tokenizer(), TEXTS, SHORT, teacher=tiny("llama")), "has no teacher"),
        (
            lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe("distillation"), teacher=tiny("gpt2")),
            "the teacher is a GPT2LMHeadModel and the pruned model a LlamaForCausalLM",
        ),
        (
            lambda: recover(pruned(), word_tokenizer(), TEXTS, Recipe("distillation"), teacher=other_vocabulary()),
            "the teacher has 70 words and the pruned model 64",
        ),
    ],
)
def test_what_cannot_be_healed_is_one_line(call, message):
    with pytest.raises(avss.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def other_vocabulary() -> torch.nn.Module:
    model = tiny("llama")
    model.resize_token_embeddings(70)
    return model
