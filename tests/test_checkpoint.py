"""Damaged and wrong model folders: one line that names the folder, before anything large is built."""

import contextlib
import copy
import json
import os
import shutil
import time
import warnings
from pathlib import Path

import pytest
import torch
import transformers as hf
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import avss
from avss.cli import main
from avss.errors import InputError
from avss.tasks import task_named
from tests.conftest import COMMON, tiny, word_tokenizer

LLAMA, BERT = "llama", "bert"


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for family in (LLAMA, BERT):
        folders[family] = tmp_path_factory.mktemp("models") / family
        tiny(family).save_pretrained(folders[family])
        word_tokenizer().save_pretrained(folders[family])
    return folders


@pytest.fixture(params=[LLAMA, BERT])
def folder(request, originals, tmp_path) -> Path:
    return Path(shutil.copytree(originals[request.param], tmp_path / f"{request.param}-copy"))


@pytest.fixture
def llama(originals, tmp_path) -> Path:
    return Path(shutil.copytree(originals[LLAMA], tmp_path / "llama-copy"))


@pytest.fixture
def bert(originals, tmp_path) -> Path:
    return Path(shutil.copytree(originals[BERT], tmp_path / "bert-copy"))


def change(folder: Path, **fields) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def reweigh(folder: Path, weights) -> Path:
    """The folder with what `weights` makes of its tensors."""
    path = folder / "model.safetensors"
    save_file(weights(load_file(path)), path, metadata={"format": "pt"})
    return folder


def refused(folder: Path, match: str | None = None) -> str:
    began = time.monotonic()
    with pytest.raises(InputError, match=match) as caught:
        avss.load_model(str(folder))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert folder.name in message
    assert time.monotonic() - began < 5
    return message


WRONG = {
    "wider than the weights": {"hidden_size": 32},
    "width of no size": {"hidden_size": 0},
    "negative width": {"hidden_size": -16},
    "absurd width": {"hidden_size": 10**9},
    "absurd inner width": {"intermediate_size": 10**12},
    "absurd vocabulary": {"vocab_size": 10**11},
    "smaller vocabulary": {"vocab_size": 10},
    "negative vocabulary": {"vocab_size": -1},
    "width as text": {"hidden_size": "16"},
    "width as a list": {"hidden_size": [16]},
    "depth as text": {"num_hidden_layers": "4"},
    "depth null": {"num_hidden_layers": None},
    "depth true": {"num_hidden_layers": True},
    "depth a fraction": {"num_hidden_layers": 4.0},
    "no depth": {"num_hidden_layers": 0},
    "negative depth": {"num_hidden_layers": -1},
    "deeper": {"num_hidden_layers": 6},
    "shallower": {"num_hidden_layers": 3},
    "a depth of a million": {"num_hidden_layers": 10**6},
    "a depth of a thousand million": {"num_hidden_layers": 10**9},
    "labels by the thousand million": {"num_labels": 10**9},
    "heads that do not divide": {"num_attention_heads": 3},
    "no heads": {"num_attention_heads": 0},
    "unknown activation": {"hidden_act": "nope"},
    "activation null": {"hidden_act": None},
    "unknown dtype": {"dtype": "nope"},
    "dtype a number": {"dtype": 5},
    "dtype that is no floating one": {"dtype": "int8"},
    "architectures a number": {"architectures": [5]},
    "architectures a text": {"architectures": 7},
    "quantization a text": {"quantization_config": "4bit"},
    "quantization a list": {"quantization_config": {"quant_method": [1]}},
    "quantization unknown": {"quantization_config": {"quant_method": "nope"}},
    "family null": {"model_type": None},
    "family unknown": {"model_type": "abacus"},
    "family a list": {"model_type": ["llama"]},
    "another family": {"model_type": "gpt2"},
    "padding beyond the vocabulary": {"pad_token_id": 5000},
    "weights of another name": {"transformers_weights": "../elsewhere.safetensors"},
    "attention from a repository": {"attn_implementation": "someone/kernel"},
}
WRONG_DECODER = {
    "unknown rope": {"rope_parameters": {"rope_type": "nope"}},
    "rope a text": {"rope_parameters": "linear"},
    "rope without a factor": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}},
    "key-value heads a list": {"num_key_value_heads": [2, 2, 1, 2]},
    "no key-value heads": {"num_key_value_heads": 0},
    "absurd head": {"head_dim": 10**10},
    "positions null": {"max_position_embeddings": None},
}


@pytest.mark.parametrize("label", WRONG)
def test_a_wrong_config_is_one_line(folder, label):
    refused(change(folder, **WRONG[label]))


@pytest.mark.parametrize("label", WRONG_DECODER)
def test_a_wrong_decoder_config_is_one_line(llama, label):
    refused(change(llama, **WRONG_DECODER[label]))


NOT_OBJECTS = {
    "empty": b"",
    "truncated": b'{"model_type": "llama", "hid',
    "a list": b"[]",
    "null": b"null",
    "deeply nested": b"[" * 200_000,
    "not UTF-8": b"\xff\xfe{}",
}


@pytest.mark.parametrize("label", NOT_OBJECTS)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json"])
def test_a_damaged_file_is_named(llama, file, label):
    (llama / file).write_bytes(NOT_OBJECTS[label])
    refused(llama, match=file)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_config_no_other_error_comes_through(originals, tmp_path, data):
    family = data.draw(st.sampled_from([LLAMA, BERT]))
    config = json.loads((originals[family] / "config.json").read_text())
    odd = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(
            [0, -1, 1, 3, 10**6, 10**9, 10**15, 2**63, "", "x", [], {}, [1, "a"], {"a": None}, 1e300, -0.5]
        ),
    )
    changed = {field: data.draw(odd) for field in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1))}
    copied = Path(shutil.copytree(originals[family], tmp_path / "m", dirs_exist_ok=True))
    (copied / "config.json").write_text(json.dumps(config | changed))
    with contextlib.suppress(InputError):
        avss.load_model(str(copied))


def test_a_depth_that_the_config_leaves_out_is_compared_too(llama):
    config = json.loads((llama / "config.json").read_text())
    del config["num_hidden_layers"]
    (llama / "config.json").write_text(json.dumps(config))
    refused(llama, match=r"num_hidden_layers = 32, and the weights hold 4 blocks")


def test_a_family_of_another_name_for_depth_is_compared_too(tmp_path):
    folder = tmp_path / "gpt2-copy"
    tiny("gpt2").save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    avss.load_model(str(folder))
    refused(change(folder, n_layer=10**9), match="n_layer = 1000000000, and the weights hold 4 blocks")


def test_code_of_a_model_is_never_run(llama):
    marker = llama.parent / "ran"
    (llama / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": "evil.Tokenizer"}
    settings_of = llama / "tokenizer_config.json"
    settings_of.write_text(json.dumps(json.loads(settings_of.read_text()) | {"auto_map": auto_map}))
    avss.load_model(str(change(llama, auto_map=auto_map)))
    refused(change(llama, model_type="evil"), match="needs code of its own")
    assert not marker.exists()


def test_pickled_weights_alone_are_refused(llama):
    (llama / "model.safetensors").unlink()
    torch.save({}, llama / "pytorch_model.bin")
    refused(llama, match="no usable safetensors weights")


@pytest.mark.parametrize("size", [0, 3, 8, 100, 500, -1])
def test_truncated_weights_are_named(llama, size):
    path = llama / "model.safetensors"
    os.truncate(path, size if size >= 0 else path.stat().st_size - 1)
    refused(llama, match=r"no usable safetensors weights \(model.safetensors")


def test_weights_without_a_tensor_are_refused(llama):
    refused(reweigh(llama, lambda weights: {}), match="no tensor")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_link_to_itself_is_one_line(llama, file):
    (llama / file).unlink()
    (llama / file).symlink_to(file)
    refused(llama)


def test_a_folder_that_is_a_link_to_itself_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    refused(Path("loop"), match="link that leads nowhere")
    Path("file").write_text("")
    refused(Path("file"), match="model file is a file")


@pytest.mark.parametrize("index", ['{"weight_map": {"a": "../x.safetensors"}}', '{"weight_map": [1]}', "{}", "[]", "{"])
def test_an_index_of_another_form_is_one_line(llama, index):
    (llama / "model.safetensors").rename(llama.parent / "x.safetensors")
    (llama / "model.safetensors.index.json").write_text(index)
    refused(llama, match=r"model\.safetensors\.index\.json")


def test_shards_load_and_a_missing_one_is_named(tmp_path):
    folder = tmp_path / "sharded"
    tiny(LLAMA).save_pretrained(folder, max_shard_size="20KB")
    word_tokenizer().save_pretrained(folder)
    model, _ = avss.load_model(str(folder))
    assert all(torch.equal(held, tiny(LLAMA).state_dict()[key]) for key, held in model.state_dict().items())
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    refused(folder, match=shard.name)


def test_huge_lines_in_a_tokenizer_are_no_traceback(llama):
    path = llama / "tokenizer.json"
    made = json.loads(path.read_text())
    made["model"]["vocab"]["x" * 10_000_000] = 60
    path.write_text(json.dumps(made))
    assert avss.load_model(str(llama))[1]("good")["input_ids"] == [4]
    made["model"]["vocab"] = "x" * 10_000_000
    path.write_text(json.dumps(made))
    refused(llama)


def _without_vocabulary(made):
    del made["model"]["vocab"]


def _without_unknown(made):
    del made["model"]["vocab"]["<unk>"], made["model"]["vocab"]["a"]


TOKENIZERS = {
    "no model": lambda made: made.pop("model"),
    "no vocabulary": _without_vocabulary,
    "model unknown": lambda made: made["model"].update(type="Nope"),
    "broken expression": lambda made: made.update(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": False}
    ),
    "behaviour unknown": lambda made: made.update(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Nope", "invert": False}
    ),
}


@pytest.mark.parametrize("label", TOKENIZERS)
def test_a_damaged_tokenizer_is_one_line(llama, label):
    path = llama / "tokenizer.json"
    made = json.loads(path.read_text())
    TOKENIZERS[label](made)
    path.write_text(json.dumps(made))
    refused(llama)


def test_a_tokenizer_that_gives_up_on_a_text_is_one_line(llama, tmp_path, capsys):
    path, text, out = llama / "tokenizer.json", tmp_path / "a.txt", tmp_path / "scores.csv"
    made = json.loads(path.read_text())
    made["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(a|a?)+$"},
        "behavior": "Isolated",
        "invert": False,
    }
    path.write_text(json.dumps(made))
    text.write_text("a" * 40 + "b\n")
    assert main(["score", str(llama), "--data", str(text), "--out", str(out), "--device", "cpu"]) == 2
    assert "avss: error: the tokenizer gave up" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_without_a_tokenizer_is_one_line(llama):
    (llama / "tokenizer.json").unlink()
    refused(llama, match="no tokenizer")


def test_tokens_beyond_the_embedding_are_refused_before_they_are_used(llama):
    tokenizer = copy.deepcopy(word_tokenizer())
    tokenizer.add_tokens([f"new{number}" for number in range(60)])
    tokenizer.save_pretrained(llama)
    refused(llama, match=r"has ids up to 77, and the model's embedding has 64 rows")


def test_one_missing_matrix_is_named(llama):
    refused(
        reweigh(llama, lambda weights: {key: held for key, held in weights.items() if "2.mlp.up_proj" not in key}),
        match=r"1 missing \(model\.layers\.2\.mlp\.up_proj\.weight\)",
    )


def test_a_matrix_of_another_shape_is_named(llama):
    def shorter(weights):
        key = "model.layers.1.mlp.up_proj.weight"
        return weights | {key: weights[key][:-1].clone()}

    refused(reweigh(llama, shorter), match=r"layers\.1\.mlp\.up_proj\.weight \[31, 16\] for \[32, 16\].*other sizes")


def test_a_matrix_too_many_is_named(folder):
    refused(reweigh(folder, lambda weights: weights | {"stray.weight": torch.zeros(2)}), match=r"unexpected \(stray")


@pytest.mark.parametrize("prefix", ["module.", "base_model.model.", "_orig_mod."])
def test_keys_of_a_wrapper_are_recognised(folder, prefix):
    message = refused(reweigh(folder, lambda weights: {prefix + key: held for key, held in weights.items()}))
    assert f"a wrapper or an adapter put '{prefix}' before the keys" in message


def test_a_lora_adapter_is_recognised(llama):
    def adapter(weights):
        return {
            f"base_model.model.{key.removesuffix('.weight')}.lora_{part}.weight": torch.zeros(2, 2)
            for key in weights
            if "q_proj" in key
            for part in "AB"
        }

    refused(reweigh(llama, adapter), match="LoRA adapter; merge it into its base model")
    (llama / "adapter_config.json").write_text("{}")
    refused(llama, match="adapter beside it; merge it")
    (llama / "config.json").unlink()
    refused(llama, match="is a LoRA adapter")


@pytest.mark.parametrize("family", [BERT, "distilbert"])
def test_a_classifier_without_its_head_is_refused_and_its_encoder_may_be_scored(tmp_path, family):
    folder = tmp_path / "headless"
    model = tiny(family)
    model.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    reweigh(folder, lambda weights: {key: held for key, held in weights.items() if "classifier" not in key})
    plain = type(model.base_model).__name__
    refused(folder, match=f"its head is not in the checkpoint.*{plain} as architectures")
    encoder, _ = avss.load_model(str(change(folder, architectures=[plain])))
    assert type(encoder) is type(model.base_model)
    batch = {"input_ids": torch.tensor([[4, 5, 6]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no activation below epsilon")
        assert len(avss.score(encoder, [batch], "avss").values) == 4
    rows = Dataset.from_dict({"sentence": ["good film"], "label": [1]})
    with pytest.raises(InputError, match="needs a classifier or a causal language model"):
        task_named("sentiment").measure(encoder, word_tokenizer(), rows, "sentence", context=16, batch_size=1)


@pytest.mark.parametrize(
    "kind", [hf.BertForMaskedLM, hf.BertForTokenClassification, hf.BertForQuestionAnswering, hf.BertModel]
)
def test_a_checkpoint_loads_as_the_class_that_made_it(tmp_path, kind):
    kind(hf.BertConfig(**COMMON)).save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    assert type(avss.load_model(str(tmp_path))[0]) is kind


def test_tied_weights_are_not_missing(tmp_path):
    hf.LlamaForCausalLM(hf.LlamaConfig(**COMMON, tie_word_embeddings=True)).save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    model, _ = avss.load_model(str(tmp_path))
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_old_buffers_that_transformers_ignores_do_not_count(bert, llama):
    positions = {"bert.embeddings.position_ids": torch.arange(64)[None]}
    avss.load_model(str(reweigh(bert, lambda weights: weights | positions)))
    rotary = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(2) for layer in range(4)}
    avss.load_model(str(reweigh(llama, lambda weights: weights | rotary)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtype_auto_is_that_of_the_weights_whatever_the_config_says(llama, dtype):
    reweigh(llama, lambda weights: {key: held.to(dtype) for key, held in weights.items()})
    assert avss.load_model(str(change(llama, dtype="float32")), dtype="auto")[0].dtype == dtype


def test_memory_that_runs_out_is_no_fault_of_the_folder(llama, monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(hf.LlamaForCausalLM, "__init__", full)
    with pytest.raises(torch.OutOfMemoryError):
        avss.load_model(str(llama))
