"""The recipes: text that goes through the tokenizer whole, models that grow, training that resumes."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import safetensors.torch
import torch

from avss import mini
from avss.architectures import blocks_of
from avss.engine.branches import branches_of
from avss.files import sha256
from avss.microworld import GENRES, passages
from avss.tasks import question_answering
from recipes.training import corpus, decoders, growing
from recipes.training.decoders import MINIS
from recipes.training.growing import Lesson
from recipes.training.loop import adamw, train


@pytest.fixture(scope="module")
def tokenizer():
    texts = [prompt + answer for genre in GENRES for [(prompt, answer)] in islice(corpus.rows(genre, "train", 0), 800)]
    return corpus.tokenizer(texts, bos=True)


@pytest.mark.parametrize("genre", GENRES)
def test_a_held_out_world_goes_through_the_tokenizer_and_back(tokenizer, genre):
    documents = list(islice(corpus.rows(genre, "validation", 0), 50))
    for [(prompt, answer)], (ids, answers) in zip(documents, corpus.encode(documents, tokenizer), strict=True):
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids[:-1]) == prompt + answer
        assert tokenizer.decode(ids[answers]) == answer
        assert ids[-1] == tokenizer.eos_token_id
        assert not answers[-1]


def test_names_never_met_are_cut_into_syllables_like_those_of_training(tokenizer):
    assert tokenizer.tokenize("The Belter, the norharps") == [
        "The",
        " Bel",
        "##ter",
        ",",
        " the",
        " nor",
        "##harp",
        "##s",
    ]
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id


@pytest.fixture
def portions(monkeypatch):
    """Portions as small beside a hundred thousand tokens as those of a training beside its millions."""
    monkeypatch.setattr(corpus, "AT_ONCE", 50)


@pytest.mark.usefixtures("portions")
def test_each_genre_has_its_share_of_the_tokens_everywhere(tokenizer):
    shares = {"reviews": 0.5, "posts": 0.25, "passages": 0.25}
    stream = corpus.mixed(shares, 300_000, tokenizer)
    assert len(stream.ids) >= 300_000
    texts = tokenizer.decode(stream.ids).split("</s>")
    for half in (texts[: len(texts) // 2], texts[len(texts) // 2 :]):
        kinds = ["reviews" if "Sentiment:" in t else "passages" if "Answer:" in t else "posts" for t in half]
        for genre, share in shares.items():
            own = sum(len(text) for text, kind in zip(half, kinds, strict=True) if kind == genre)
            assert own / sum(map(len, half)) == pytest.approx(share, abs=0.12), genre
    assert stream.answers.any()
    assert set(tokenizer.convert_ids_to_tokens(stream.ids[stream.answers])) >= {" negative", " positive", "\n"}


def test_an_interview_asks_as_the_task_does_and_answers_with_spans(tokenizer):
    turns, row = next(corpus.interviews("validation", 0)), next(GENRES["passages"]("validation", 0))
    [(prompt, _)] = [corpus.prompted("passages", row)]
    context, asked = next(passages.interviews("validation", 0))
    assert turns[0][0] == question_answering.PROMPT.format(context=context, question=asked[0][0])
    assert prompt.startswith(row["context"])
    assert len({question for question, _ in asked}) == len(turns) > 5
    for (prompt, answer), (question, span) in zip(turns, asked, strict=True):
        assert prompt.endswith(f"Question: {question}\nAnswer:")
        assert answer == f" {span}\n"
        assert span in context
    [(ids, answers)] = corpus.encode([turns], tokenizer)
    assert tokenizer.decode(ids[:-1]) == "".join(prompt + answer for prompt, answer in turns)
    assert tokenizer.decode(ids[answers]) == "".join(answer for _, answer in turns)


@pytest.mark.usefixtures("portions")
def test_no_window_cuts_a_passage_that_is_asked_about(tokenizer):
    shares, windows, body = {"posts": 0.6, "passages": 0.4}, 500, 511
    stream = corpus.asked(shares, windows, body, tokenizer)
    assert len(stream.ids) == len(stream.answers) == windows * body
    texts = [tokenizer.decode(ids) for ids in stream.ids.reshape(windows, body)]
    asking = ["Question:" in text for text in texts]
    for begins, text in zip(asking, texts, strict=True):
        assert text.count("Question:") == text.count("\nAnswer:") or len(tokenizer(text)["input_ids"]) >= body
        assert not begins or "Question:" in text.split("</s>")[0]
    passages_share = sum(len(text.split("</s>")[0]) for text, begins in zip(texts, asking, strict=True) if begins)
    assert passages_share / sum(map(len, texts)) == pytest.approx(0.4, abs=0.12)
    assert sum(asking[: windows // 2]) == pytest.approx(sum(asking) / 2, abs=2)
    with pytest.raises(ValueError, match="smaller share"):
        corpus.asked({"posts": 0.1, "passages": 0.9}, 600, body, tokenizer)


def test_reviews_come_short_ones_first_and_each_once(tokenizer):
    documents = [(np.arange(length), 1) for length in np.random.default_rng(0).integers(5, 60, 400)]
    lengths = [len(ids) for ids, _ in corpus.paced(documents)]
    assert sorted(lengths) == sorted(len(ids) for ids, _ in documents)
    assert max(lengths[:40]) < np.median(lengths) < max(lengths[200:])


@pytest.mark.parametrize("name", MINIS)
def test_a_deepened_model_has_every_block_twice_with_half_its_update(tokenizer, name):
    decoder = MINIS[name]
    torch.manual_seed(0)
    shallow, deep = (growing.made(decoder, blocks, tokenizer).eval() for blocks in (2, 4))
    growing.deepened(shallow, deep)
    for place, block in enumerate(blocks_of(deep)):
        origin = blocks_of(shallow)[place // 2]
        mlp = branches_of(deep)[0].mlp
        entering = torch.randn(3, block.get_submodule(mlp).in_features)
        assert torch.equal(block.get_submodule(mlp)(entering), origin.get_submodule(mlp)(entering) / 2)
        kept = {n: p for n, p in origin.state_dict().items() if "o_proj" not in n and "down_proj" not in n}
        assert all(torch.equal(block.state_dict()[n], p) for n, p in kept.items())
    assert torch.equal(deep.get_input_embeddings().weight, shallow.get_input_embeddings().weight)
    assert torch.equal(deep.get_output_embeddings().weight, shallow.get_output_embeddings().weight)


def test_a_lesson_goes_on_from_weights_that_are_there(tmp_path, monkeypatch):
    """The whole recipe of a tiny model; then once more, as from weights that were shipped before there was a lesson."""
    lesson = Lesson(steps=2, shares={"posts": 1.0}, seed=1, peaks=(1e-3, 1e-3), answer_weight=2.0)
    small = {"shares": {"posts": 1.0}, "stages": ((1, 1), (2, 1)), "laid_out": 2, "context": 64}
    monkeypatch.setitem(MINIS, "small", replace(MINIS["llama-7b"], copies=False, lessons=(lesson,), **small))
    monkeypatch.setattr(corpus, "VOCABULARY_ROWS", 200)
    # Interviews come by the thousand.
    monkeypatch.setattr(
        corpus, "asked", lambda shares, windows, body, *more, **_: corpus.mixed(shares, windows * body, *more)
    )
    monkeypatch.setattr(decoders, "measured", lambda *_: {})
    card = decoders.decoder("small", tmp_path / "whole", tmp_path / "state")
    assert (card["steps"], card["tokens_seen"]) == (4, 4 * growing.BATCH_TOKENS)
    assert card["lessons"][0]["from_sha256"] == sha256(tmp_path / "state/lesson-0/model.safetensors")

    shutil.copytree(tmp_path / "state/lesson-0", tmp_path / "other/lesson-0")
    monkeypatch.setattr(decoders, "begun", None)
    decoders.decoder("small", tmp_path / "continued", tmp_path / "other")
    made = [sha256(tmp_path / folder / "model.safetensors") for folder in ("whole", "continued", "state/lesson-0")]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("name", MINIS)
def test_what_is_shipped_was_made_as_the_recipe_says(name):
    recipe, facts = MINIS[name], json.loads((mini.folder(name) / mini.CARD).read_text(encoding="utf-8"))
    assert [(each["blocks"], each["steps"]) for each in facts["stages"]] == list(recipe.stages)
    assert len(facts.get("lessons", [])) == len(recipe.lessons)
    for told, lesson in zip(facts.get("lessons", []), recipe.lessons, strict=True):
        assert {name: told[name] for name in ("steps", "shares", "seed")} == {
            "steps": lesson.steps,
            "shares": lesson.shares,
            "seed": lesson.seed,
        }


def _run(folder, steps_before_a_kill=None):
    """A small model trained for six steps with both kinds of optimiser, killed after some of them or not."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 1))
    matrices = [p for p in model.parameters() if p.ndim == 2]
    optimizers = [
        torch.optim.Muon(matrices, lr=0.02, adjust_lr_fn="match_rms_adamw"),
        adamw((p for p in model.parameters() if p.ndim == 1), 0.02),
    ]

    def loss_at(step):
        if step == steps_before_a_kill:
            raise KeyboardInterrupt
        return model(torch.randn(8, 4)).square().mean()

    train(model, loss_at, optimizers, steps=6, folder=folder, seed=1, warmup=2, checkpoint_every=2, log_every=2)
    return model.state_dict()


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "killed", steps_before_a_kill=5)
    resumed, whole = _run(tmp_path / "killed"), _run(tmp_path / "whole")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_training_killed_between_two_changes_of_files_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    whole = _run(tmp_path / "whole")
    replace, place, killed = os.replace, 0, True
    while killed:
        killed, left = False, place

        def counted(*paths):
            nonlocal left, killed
            if left == 0:
                killed = True
                raise KeyboardInterrupt
            left -= 1
            replace(*paths)

        folder = tmp_path / f"killed-{place}"
        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(os, "replace", counted)
            _run(folder)
        resumed = _run(folder)
        assert all(torch.equal(resumed[name], whole[name]) for name in whole), f"killed before change {place}"
        place += 1
    assert place > 3


def test_a_resumed_training_reports_the_losses_of_an_uninterrupted_one(tmp_path):
    def report(folder, killed_at=None):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 1)

        def loss_at(step):
            if step == killed_at:
                raise KeyboardInterrupt
            return model(torch.randn(8, 4)).square().mean()

        optimizers = [adamw(model.parameters(), 0.02)]
        return train(model, loss_at, optimizers, steps=7, folder=folder, seed=1, checkpoint_every=2, log_every=3)

    with pytest.raises(KeyboardInterrupt):
        report(tmp_path / "killed", killed_at=5)
    assert report(tmp_path / "killed")["losses"] == report(tmp_path / "whole")["losses"]


def test_a_state_of_other_settings_is_not_resumed(tmp_path):
    _run(tmp_path)
    model = torch.nn.Linear(4, 1)
    with pytest.raises(SystemExit, match="other settings"):
        train(model, lambda step: None, [adamw(model.parameters(), 0.5)], steps=6, folder=tmp_path, seed=1)


def test_a_file_that_is_no_state_of_training_is_named(tmp_path):
    _run(tmp_path)
    [state] = tmp_path.iterdir()
    for content in (state.read_bytes()[:40], safetensors.torch.save({"weight": torch.zeros(2)})):
        state.write_bytes(content)
        with pytest.raises(SystemExit, match="holds no state of a training; delete it to start anew"):
            _run(tmp_path)
