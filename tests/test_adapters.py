"""Folders with a LoRA adapter load as the merged model, say so ever after, or are one clear line."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import avss
from avss import models
from avss.adapters import adapter_of
from avss.cli import main
from avss.errors import InputError
from avss.files import sha256
from avss.pruning import save_pruned
from tests.conftest import ragged, tiny, word_tokenizer
from tests.test_wrapped import with_adapter


@pytest.fixture
def adapter(saved, tmp_path):
    """An adapter in a folder beside that of its base model."""
    base = saved("llama")
    wrapped = with_adapter("llama")
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def restate(folder, **fields):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_an_adapter_loads_merged_into_its_base_and_says_so(adapter, tmp_path):
    model, tokenizer = avss.load_model(str(adapter), device="cpu")
    with torch.no_grad():
        expected = with_adapter("llama")(**ragged()).logits
        torch.testing.assert_close(model(**ragged()).logits, expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(expected, tiny("llama")(**ragged()).logits, atol=1e-2)
    assert tokenizer("good film")["input_ids"] == word_tokenizer()("good film")["input_ids"]
    assert type(model) is type(tiny("llama"))
    assert not any("lora" in name for name, _ in model.named_modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    origin = {"adapter": "adapter", "kind": "LORA", "base": str(tmp_path / "llama-model")}
    origin["sha256"] = sha256(adapter / "adapter_model.safetensors")
    assert adapter_of(model) == origin
    assert adapter_of(avss.load_model(origin["base"], device="cpu")[0]) is None

    save_pruned(avss.prune(model, [1]), tokenizer, tmp_path / "pruned", {})
    again, _ = avss.load_model(str(tmp_path / "pruned"), device="cpu")
    assert adapter_of(again) == origin
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned", dtype=torch.float32).eval()
        assert torch.equal(plain(**ragged()).logits, model(**ragged()).logits)


def test_the_name_of_an_adapter_changes_no_identity(adapter):
    first = models.identity_of(*avss.load_model(str(adapter), device="cpu"))
    other = adapter.rename(adapter.parent / "other name")
    assert models.identity_of(*avss.load_model(str(other), device="cpu")) == first


def test_the_commands_take_an_adapter(adapter, tmp_path):
    (tmp_path / "t.txt").write_text("good film\na poor film\n")
    scores, out = tmp_path / "s.csv", tmp_path / "pruned"
    assert main(["score", str(adapter), "--data", str(tmp_path / "t.txt"), "--out", str(scores)]) == 0
    assert main(["prune", str(adapter), "--scores", str(scores), "--layers", "1", "--out", str(out)]) == 0
    assert models.stored_dtype(str(adapter)) == "float32"
    assert models.skeleton(str(adapter)).config.num_hidden_layers == 4
    assert avss.load_model(str(out), device="cpu")[0].config.num_hidden_layers == 3


def test_a_base_may_be_named_by_a_path_from_the_adapter(adapter):
    restate(adapter, base_model_name_or_path="../llama-model")
    assert adapter_of(avss.load_model(str(adapter), device="cpu")[0])["base"].endswith("adapter/../llama-model")


def test_a_tokenizer_beside_the_adapter_is_the_models(adapter):
    word_tokenizer(bos=True).save_pretrained(adapter)
    assert avss.load_model(str(adapter), device="cpu")[1]("good film")["input_ids"] == [1, 4, 10]


def dropped(adapter):
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({key: weights[key] for key in sorted(weights)[1:]}, path)


def deeper(adapter):
    path = adapter / "adapter_model.safetensors"
    save_file({key.replace("layers.3", "layers.7"): held for key, held in load_file(path).items()}, path)


FAULTS = {
    "a base that is not there": (
        lambda adapter: restate(adapter, base_model_name_or_path="./gone"),
        r"is an adapter of \./gone, which cannot be had \(model \./gone does not exist",
    ),
    "no base": (lambda adapter: restate(adapter, base_model_name_or_path=None), "names no base model"),
    "an adapter of an adapter": (
        lambda adapter: restate(adapter, base_model_name_or_path=str(adapter)),
        "is an adapter of the adapter",
    ),
    "a pickle": (
        lambda adapter: (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin"),
        r"without adapter_model\.safetensors; save it again as safetensors",
    ),
    "half a file": (
        lambda adapter: (adapter / "adapter_model.safetensors").write_bytes(b"\0" * 20),
        r"has no usable adapter_model\.safetensors",
    ),
    "a damaged config": (lambda adapter: (adapter / "adapter_config.json").write_text("{"), "is not JSON"),
    "an unknown kind": (lambda adapter: restate(adapter, peft_type="MAGIC"), "cannot be loaded"),
    "a missing key": (dropped, "does not fit .*: keys 1 missing"),
    "another depth": (deeper, "does not fit .*: keys 4 missing .*, 4 left over"),
    "another size": (lambda adapter: restate(adapter, r=3), "cannot be loaded"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_adapter_that_cannot_be_merged_is_one_line(adapter, fault):
    damage, message = FAULTS[fault]
    damage(adapter)
    with pytest.raises(InputError, match=message) as error:
        avss.load_model(str(adapter), device="cpu")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_missing_package_and_a_revision_of_a_folder_are_one_line(adapter, monkeypatch):
    with pytest.raises(InputError, match="revision main is given with a folder"):
        avss.load_model(str(adapter), revision="main")
    monkeypatch.setattr("avss.adapters.is_peft_available", lambda: False)
    # Known before the base model is read.
    monkeypatch.setattr("avss.models._read", pytest.fail)
    with pytest.raises(InputError, match="the package peft is missing; pip install peft"):
        avss.load_model(str(adapter), device="cpu")


def test_an_adapter_of_a_kind_that_cannot_be_merged_is_known_before_its_base_is_read(adapter, monkeypatch):
    restate(adapter, peft_type="PROMPT_TUNING")
    monkeypatch.setattr("avss.models._read", pytest.fail)
    with pytest.raises(InputError, match="is an adapter of kind PROMPT_TUNING, which cannot be merged"):
        avss.load_model(str(adapter), device="cpu")


def test_an_adapter_beside_whole_weights_is_not_guessed_about(adapter):
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(adapter.parent / "llama-model" / name, adapter)
    with pytest.raises(InputError, match="has an adapter beside it; merge it"):
        avss.load_model(str(adapter), device="cpu")
