"""A model's digits: another model, config or tokenizer has others, and a copy of the same has the same."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.architectures import blocks_of
from avss.errors import InputError
from avss.identity import identity_of, revision_of, weights_digest
from avss.pruning import prune, skipping
from tests.conftest import tiny, word_tokenizer


def both(model, tokenizer=None) -> tuple[str, str]:
    return identity_of(model, tokenizer), weights_digest(model)


def test_digits_survive_saving_and_loading(saved, family, tmp_path):
    made = tiny(family)
    model, tokenizer = avss.load_model(str(saved(family)))
    assert both(model) == both(made)
    assert revision_of(model) == identity_of(made)
    assert len(identity_of(model, tokenizer)) == 12
    assert set(identity_of(model)) <= set("0123456789abcdef")
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    assert both(*avss.load_model(str(tmp_path / "again"))) == both(model, tokenizer)


@pytest.mark.long
def test_digits_are_the_same_in_another_process_and_folder(saved, tmp_path):
    folder = saved("qwen2")
    here = identity_of(*avss.load_model(str(folder)))
    moved = folder.rename(tmp_path / "moved")
    code = "import sys, avss\nfrom avss.identity import identity_of\nprint(identity_of(*avss.load_model(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, str(moved)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [here]


def test_two_prunings_of_one_parent_differ_and_skipping_is_undone():
    whole = both(tiny("llama"))
    found = {layer: both(prune(tiny("llama"), [layer])) for layer in range(4)}
    assert len(set(found.values()) | {whole}) == 5
    model = tiny("llama")
    for layer, pruned in found.items():
        with skipping(model, [layer]):
            assert weights_digest(model) == pruned[1]
    assert both(model) == whole


def test_a_saved_pruned_model_keeps_its_digits(tmp_path):
    pruned = prune(tiny("llama"), [1])
    pruned.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    assert both(avss.load_model(str(tmp_path))[0]) == both(pruned)


def test_one_changed_number_anywhere_is_another_model(family):
    model = tiny(family)
    seen = {both(model)}
    tensors = [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.numel())]
    with torch.no_grad():
        for tensor in tensors:
            # By way of `data`, which torch does not count as a change.
            tensor.data.view(-1)[-1] += 1
            seen.add(both(model))
    assert len(seen) == len(tensors) + 1


def test_blocks_that_change_places_are_another_model():
    model = tiny("llama")
    before = both(model)
    blocks = blocks_of(model)
    blocks[0], blocks[1] = blocks[1], blocks[0]
    assert both(model) != before


@pytest.mark.parametrize(
    "change",
    [
        {"rms_norm_eps": 0.1},
        {"hidden_act": "gelu"},
        {"attention_dropout": 0.5},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}},
        {"bos_token_id": 7},
    ],
)
def test_another_config_is_another_model(saved, change):
    folder = saved("llama")
    before = both(avss.load_model(str(folder))[0])
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    after = both(avss.load_model(str(folder))[0])
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_names_paths_and_versions_do_not_count(saved):
    folder = saved("llama")
    before = both(*avss.load_model(str(folder)))
    path = folder / "config.json"
    noise = {"transformers_version": "4.0.0", "_name_or_path": "/somewhere/else", "use_cache": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | noise))
    assert both(*avss.load_model(str(folder))) == before


def test_the_attention_kernel_does_not_count(saved):
    folder = str(saved("llama"))
    kernels = {both(avss.load_model(folder, attn_implementation=kernel)[0]) for kernel in (None, "eager", "sdpa")}
    assert len(kernels) == 1


def test_another_generation_config_is_another_model():
    model = tiny("llama")
    before = both(model)
    model.generation_config.repetition_penalty = 1.3
    assert identity_of(model) != before[0]
    assert weights_digest(model) == before[1]


def _pad_left(tokenizer):
    tokenizer.padding_side = "left"


def _pad_with_eos(tokenizer):
    tokenizer.pad_token = tokenizer.eos_token


def _shorter(tokenizer):
    tokenizer.model_max_length = 7


def _one_more(tokenizer):
    tokenizer.add_tokens(["new"])


def _cut_left(tokenizer):
    tokenizer.truncation_side = "left"


@pytest.mark.parametrize("change", [_pad_left, _pad_with_eos, _shorter, _one_more, _cut_left])
def test_another_tokenizer_or_its_padding_is_another_identity(change):
    model, tokenizer = tiny("llama"), copy.deepcopy(word_tokenizer())
    before = identity_of(model, tokenizer)
    change(tokenizer)
    assert identity_of(model, tokenizer) != before
    assert identity_of(model, word_tokenizer()) == before


def test_a_tokenizer_that_begins_with_bos_is_another_identity():
    model = tiny("llama")
    with_bos, without = identity_of(model, word_tokenizer(bos=True)), identity_of(model, word_tokenizer())
    assert len({with_bos, without, identity_of(model)}) == 3


def test_using_a_tokenizer_does_not_change_its_identity():
    model, tokenizer = tiny("llama"), copy.deepcopy(word_tokenizer())
    before = identity_of(model, tokenizer)
    tokenizer(["good film", "bad"], padding="max_length", truncation=True, max_length=5, padding_side="left")
    assert identity_of(model, tokenizer) == before


def test_a_tokenizer_without_a_backend_has_an_identity(tmp_path):
    tokenizer = hf.ByT5Tokenizer()
    before = identity_of(tiny("llama"), tokenizer)
    tokenizer.add_tokens(["new"])
    assert identity_of(tiny("llama"), tokenizer) != before


def test_a_model_in_memory_is_not_what_lies_in_the_working_directory(tmp_path, monkeypatch):
    model = tiny("llama")
    before = revision_of(model)
    tiny("llama", seed=1).save_pretrained(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert Path("model.safetensors").is_file()
    assert revision_of(model) == before == revision_of(tiny("llama"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_dtype_is_another_model(dtype):
    assert both(tiny("llama").to(dtype)) != both(tiny("llama"))


def test_tied_weights_count_once_and_untied_ones_apart():
    config = hf.LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                            num_attention_heads=4, tie_word_embeddings=True)  # fmt: skip
    model = hf.LlamaForCausalLM(config)
    before = weights_digest(model)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    assert weights_digest(model) != before


def test_weights_on_the_meta_device_have_no_digest():
    with torch.device("meta"):
        hollow = tiny("llama")
    with pytest.raises(InputError, match="is on the meta device"):
        weights_digest(hollow)


def test_the_digest_changes_nothing():
    model = tiny("llama").train()
    model.model.layers[0].eval()
    before = {name: (held.clone(), held.requires_grad) for name, held in model.named_parameters()}
    modes, random = [module.training for module in model.modules()], torch.get_rng_state()
    identity_of(model, word_tokenizer())
    assert all(torch.equal(held, before[name][0]) for name, held in model.named_parameters())
    assert [held.requires_grad for held in model.parameters()] == [grad for _, grad in before.values()]
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


class Held(torch.nn.Module):
    """Two parameters of any shape, dtype and stride."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor):
        super().__init__()
        self.first = torch.nn.Parameter(first, requires_grad=False)
        self.register_buffer("second", second)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int8, torch.bool, torch.float8_e4m3fn]),
    seed=st.integers(0, 2**31),
)
def test_equal_tensors_of_any_form_have_equal_digits(shape, dtype, seed):
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    strided = torch.stack([numbers, numbers], dim=-1)[..., 0]
    assert weights_digest(Held(numbers, numbers)) == weights_digest(Held(strided, numbers.clone()))
    assert weights_digest(Held(numbers, numbers[None])) != weights_digest(Held(numbers, numbers))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_a_model_on_an_accelerator_has_the_same_digits(saved):
    folder = str(saved("llama"))
    assert both(avss.load_model(folder, device="cuda")[0]) == both(avss.load_model(folder, device="cpu")[0])
