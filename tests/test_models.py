"""Models by any name: the right class, safetensors only, and one clear line where it cannot be had."""

import os

import huggingface_hub
import pytest
import torch
from transformers import AutoConfig, LlamaForCausalLM

import avss
from avss import mini, models
from avss.errors import InputError
from avss.models import resolve, revision_of, skeleton
from tests.conftest import FAMILIES, ragged, tiny


def test_the_class_is_read_from_the_checkpoint(saved, family):
    folder = saved(family)
    model, _ = avss.load_model(str(folder))
    assert type(model) is type(tiny(family))
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(**ragged()).logits, tiny(family)(**ragged()).logits)
    assert len(revision_of(model)) == 12


def test_the_tokenizer_comes_along(saved):
    assert avss.load_model(str(saved("llama", bos=True)))[1]("good film")["input_ids"] == [1, 4, 10]


def test_dtype_is_explicit(saved):
    folder = str(saved("llama"))
    assert avss.load_model(folder)[0].dtype == torch.float32
    assert avss.load_model(folder, dtype="bfloat16")[0].dtype == torch.bfloat16
    with pytest.raises(InputError, match="dtype 'int8' is not known; choose one of float32"):
        avss.load_model(folder, dtype="int8")


def test_accelerate_places_a_model_and_attention_is_as_asked(saved):
    folder = str(saved("llama"))
    model, _ = avss.load_model(folder, device_map="auto", attn_implementation="eager")
    assert model.config._attn_implementation == "eager"
    with torch.no_grad():
        batch = {name: tensor.to(model.device) for name, tensor in ragged().items()}
        expected = avss.load_model(folder)[0].to(model.device)(**batch).logits
        torch.testing.assert_close(model(**batch).logits, expected)


def test_a_model_of_which_a_part_would_be_left_outside_of_the_devices_is_refused(saved, monkeypatch):
    accelerate = pytest.importorskip("accelerate")
    folder = saved("llama")

    class Offloading(LlamaForCausalLM):
        @classmethod
        def from_pretrained(cls, where, **options):
            loading = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}
            return accelerate.cpu_offload(tiny("llama"), execution_device="cpu"), loading

    monkeypatch.setattr(models, "_class_of", lambda config: Offloading)
    with pytest.raises(InputError, match=r"does not fit into the memory of the devices \(\d+ of its parameters"):
        avss.load_model(str(folder), device_map="auto")


def test_a_device_map_that_there_is_not_is_refused(saved):
    with pytest.raises(InputError, match="device_map 'everywhere'"):
        avss.load_model(str(saved("llama")), device_map="everywhere")


def test_a_kernel_of_attention_that_there_is_not_is_refused(saved):
    with pytest.raises(InputError, match="attn_implementation 'flash_attention_9'"):
        avss.load_model(str(saved("llama")), attn_implementation="flash_attention_9")


def test_a_skeleton_has_the_class_and_the_parameters_but_no_weights(saved, family):
    folder = saved(family)
    shape = AutoConfig.from_pretrained(folder).to_dict()
    for model in (skeleton(str(folder)), skeleton("nobody/nothing", shape=shape)):
        assert type(model) is type(tiny(family))
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        assert model.num_parameters() == tiny(family).num_parameters()
    with pytest.raises(InputError, match="cannot be loaded"):
        skeleton("nobody/nothing", shape={"model_type": "abacus"})


def test_embedded_models_load_by_name():
    for name in mini.names():
        model, tokenizer = avss.load_model(f"mini/{name}")
        assert tokenizer("a film")["input_ids"]
        assert model.config.model_type in FAMILIES
    with pytest.raises(InputError, match="gpt-9"):
        avss.load_model("mini/gpt-9")


def test_variables_are_expanded(saved, monkeypatch):
    folder = saved("bert")
    monkeypatch.setenv("AVSS_MODELS", str(folder.parent))
    assert resolve(f"$AVSS_MODELS/{folder.name}") == str(folder)


@pytest.mark.parametrize("name", ["$(date)", "$AVSS_MODELS", "~", "a$"])
def test_a_folder_with_the_name_of_a_variable_is_that_folder(saved, tmp_path, monkeypatch, name):
    monkeypatch.setenv("AVSS_MODELS", "elsewhere")
    saved("bert").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert resolve(name) == name
    assert resolve(str(tmp_path / name)) == str(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nothing", "does not exist; give a hub id"),
        ("/nothing/at/all", "does not exist"),
        ("$NOT_SET_ANYWHERE/x", "the variable is not set"),
        ("empty", "has no config.json"),
        ("no such name!", "does not exist"),
    ],
)
def test_a_model_that_is_not_there_is_named(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message) as error:
        avss.load_model(name)
    assert "\n" not in str(error.value)


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="nobody/nothing cannot be loaded") as error:
        avss.load_model("nobody/nothing")
    assert "\n" not in str(error.value)


def test_weights_that_are_no_safetensors_are_refused(saved):
    folder = saved("llama")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        avss.load_model(str(folder))


def test_truncated_weights_are_one_line(saved):
    folder = saved("llama")
    os.truncate(folder / "model.safetensors", 500)
    with pytest.raises(
        InputError, match=r"llama-model has no usable safetensors|llama-model cannot be loaded"
    ) as error:
        avss.load_model(str(folder))
    assert "\n" not in str(error.value)
