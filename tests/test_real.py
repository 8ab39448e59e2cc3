"""Real text and real pre-trained weights, where AVSS_DATA and AVSS_MODELS name folders that hold them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

import avss
from avss.cli import main
from avss.data import batches, load_data
from avss.store import Store

STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."


def test_a_pretrained_llama_is_scored_pruned_and_reloaded(stories, wikitext, tmp_path):
    model, tokenizer = avss.load_model(str(stories), device="cpu")
    text = load_data(str(wikitext / "valid.txt.gz")).filter(lambda row: len(row["text"]) > 200).select(range(32))
    made = batches(text["text"], tokenizer, context=128)
    scores = avss.score(model, made)
    assert len(scores.values) == 5
    assert np.isfinite(scores.values).all()

    removed = scores.lowest(1)
    prompt = tokenizer(STORY, return_tensors="pt")
    with torch.no_grad(), avss.skipping(model, removed):
        skipped = model(**prompt).logits
    avss.prune(model, removed).save_pretrained(tmp_path)
    reloaded, info = hf.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    with torch.no_grad():
        assert torch.equal(reloaded(**prompt).logits, skipped)
    settings = {"max_new_tokens": 24, "do_sample": False}
    cached = reloaded.generate(**prompt, use_cache=True, **settings)
    assert torch.equal(cached, reloaded.generate(**prompt, use_cache=False, **settings))


def test_a_pretrained_llama_knows_its_stories_and_pruning_hurts(stories):
    model, tokenizer = avss.load_model(str(stories), device="cpu")
    data = {"text": [STORY]}
    from datasets import Dataset

    whole = avss.evaluate(model, tokenizer, "language_modeling", Dataset.from_dict(data))["value"]
    assert 1 < whole < 3, "a model of children's stories is at home in this one"
    for layer in range(5):
        with avss.skipping(model, [layer]):
            assert avss.evaluate(model, tokenizer, "language_modeling", Dataset.from_dict(data))["value"] > whole


def test_statistics_of_real_activations_equal_stored_ones(stories, wikitext):
    model, tokenizer = avss.load_model(str(stories), device="cpu")
    text = [line for line in load_data(str(wikitext / "valid.txt.gz"))["text"] if line.strip()][:12]
    kept: dict[int, list] = {}
    handles = [
        block.register_forward_hook(lambda m, a, out, i=i: kept.setdefault(i, []).append(out.double().numpy()))
        for i, block in enumerate(model.model.layers)
    ]
    made = batches(text, tokenizer, context=96, batch_size=5)
    table = avss.score(model, made).table
    for handle in handles:
        handle.remove()
    for layer, parts in kept.items():
        real = [part[batch["attention_mask"].bool().numpy()].ravel() for part, batch in zip(parts, made, strict=True)]
        values = np.concatenate(real)
        assert table["variance"][layer] == pytest.approx(values.var(), rel=1e-6)
        assert table["sparsity"][layer] == (np.abs(values) < 0.01).mean()


def test_the_whole_command_path_on_real_weights_and_text(stories, wikitext, tmp_path):
    data = str(wikitext / "valid.txt.gz")
    scores, pruned, metrics = (str(tmp_path / name) for name in ("scores.csv", "pruned", "metrics.json"))
    assert main(["score", str(stories), "--data", data, "--samples", "64", "--out", scores]) == 0
    assert main(["prune", str(stories), "--scores", scores, "--fraction", "0.2", "--out", pruned]) == 0
    arguments = ["--task", "language_modeling", "--data", data, "--samples", "64", "--out", metrics]
    assert main(["evaluate", pruned, *arguments]) == 0
    assert json.loads(Path(metrics).read_text())["n"] == 64
    assert hf.AutoConfig.from_pretrained(pruned).num_hidden_layers == 4


def test_sst2_is_read_whole(sst2):
    assert len(load_data(str(sst2), "validation")) == 872
    assert len(load_data(str(sst2), purpose="calibration")) == 67_349


def test_the_committed_reference_rests_on_this_data(sst2):
    from avss.data import fingerprint

    table = Store(Path(__file__).parent.parent / "results").observations("reference", "sst2-minilm")
    found = fingerprint(load_data(str(sst2), "validation"), ["sentence", "label"])
    assert table["data_fingerprint"].unique().tolist() == [found]
