"""Surgery on every family of the table: a pruned model is a plain model, on disk and in memory."""

import copy
import json

import pytest
import torch
import transformers as hf

import avss
from avss.architectures import blocks_of
from avss.errors import InputError
from avss.pruning import parameter_share, save_pruned
from tests.conftest import DECODERS, ENCODERS, GPT2, ragged, tiny

AUTO = {
    **dict.fromkeys(ENCODERS, hf.AutoModelForSequenceClassification),
    **dict.fromkeys(DECODERS, hf.AutoModelForCausalLM),
}


@torch.no_grad()
def logits(model, batch):
    found = model(**batch).logits
    return found if found.ndim == 2 else found[batch["attention_mask"].bool()]


@pytest.mark.parametrize("removed", [[1], [2, 0]])
def test_saved_and_reloaded_by_the_plain_auto_class(family, removed, tmp_path):
    model, batch = tiny(family), ragged()
    whole = logits(model, batch)
    assert avss.prune(model, removed) is model
    expected = logits(model, batch)
    assert not torch.allclose(expected, whole), "the removed blocks mattered"

    model.save_pretrained(tmp_path)
    reloaded, info = AUTO[family].from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert reloaded.config.num_hidden_layers == len(blocks_of(reloaded)) == 4 - len(removed)
    assert torch.equal(logits(reloaded.eval(), batch), expected)


@pytest.mark.parametrize("family", DECODERS)
def test_generation_with_cache_equals_without(family, tmp_path):
    model = avss.prune(tiny(family), [0, 2])
    model.save_pretrained(tmp_path)
    prompt = {"input_ids": ragged((6, 6))["input_ids"]}
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    for pruned in (model, hf.AutoModelForCausalLM.from_pretrained(tmp_path).eval()):
        cached = pruned.generate(**prompt, use_cache=True, **settings)
        assert torch.equal(cached, pruned.generate(**prompt, use_cache=False, **settings))
        assert cached.shape[1] == 14


def test_skipping_equals_pruning_and_restores(family):
    model, batch = tiny(family), ragged()
    whole, config = logits(model, batch), copy.deepcopy(model.config.to_dict())
    pruned = logits(avss.prune(copy.deepcopy(model), [1, 3]), batch)
    with avss.skipping(model, [1, 3]) as skipped:
        assert skipped is model
        assert torch.equal(logits(model, batch), pruned)
        assert model.config.num_hidden_layers == 2
    assert torch.equal(logits(model, batch), whole)
    assert model.config.to_dict() == config
    assert [m.layer_idx for b in blocks_of(model) for m in b.modules() if hasattr(m, "layer_idx")] == sorted(
        m.layer_idx for b in blocks_of(model) for m in b.modules() if hasattr(m, "layer_idx")
    )


def test_skipping_restores_on_error_and_may_skip_nothing(family):
    model, batch = tiny(family), ragged()
    whole = logits(model, batch)
    with pytest.raises(RuntimeError, match="inside"), avss.skipping(model, [2]):
        raise RuntimeError("inside")
    assert torch.equal(logits(model, batch), whole)
    with avss.skipping(model, []):
        assert torch.equal(logits(model, batch), whole)


@pytest.mark.parametrize("family", ["llama", "qwen2", "distilbert"])
def test_a_set_of_blocks_is_tried_out_once_a_config(family):
    """Trying out builds models: the whole and the smaller one, then none for the same set, one for another set."""
    model, built = tiny(family), []
    original = type(model).__init__

    def counted(self, *arguments, **options):
        built.append(type(self))
        original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "__init__", counted)
        for layers, total in (([1], 2), ([1], 2), ([0], 3), ([1], 3)):
            with avss.skipping(model, layers):
                pass
            assert len(built) == total
        # A pruned model has another config, so its blocks are tried out against that.
        avss.prune(model, [1])
        assert len(built) == 3
        avss.prune(model, [0])
        assert len(built) == 5
    assert len(blocks_of(model)) == model.config.num_hidden_layers


def test_a_class_replaced_between_two_removals_refuses_neither():
    """As by a library that puts faster kernels in place of the classes of transformers."""
    model = tiny("llama")
    with avss.skipping(model, [1]):
        pass
    whole = hf.models.llama.modeling_llama.LlamaMLP
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hf.models.llama.modeling_llama, "LlamaMLP", type("Faster", (whole,), {}))
        with avss.skipping(model, [2]):
            assert len(blocks_of(model)) == 3


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_per_layer_lists_of_the_config_are_shortened(family):
    model = tiny(family)
    full, sliding = "full_attention", "sliding_attention"
    assert model.config.layer_types == [full, full, sliding, sliding]
    with avss.skipping(model, [0]):
        assert model.config.layer_types == [full, sliding, sliding]
    assert avss.prune(model, [1, 2]).config.layer_types == [full, sliding]


def test_parameter_share_counts_tied_weights_once():
    model = tiny("llama")
    model.config.tie_word_embeddings = True
    model.lm_head.weight = model.model.embed_tokens.weight
    block = sum(p.numel() for p in blocks_of(model)[1].parameters())
    assert parameter_share(model, [1]) == block / sum(p.numel() for p in model.parameters())
    assert parameter_share(model, []) == 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([4], "layer 4 does not exist; the model's layers are 0 to 3"),
        ([-1], "layer -1 does not exist"),
        ([1.5], "layer 1.5 does not exist"),
        ([1, 1], "layer 1 is named twice"),
        ([0, 1, 2, 3], "all 4 layers"),
        ([], "no layer is named"),
    ],
)
def test_layers_that_cannot_be_removed_are_named(layers, message):
    model = tiny("llama")
    with pytest.raises(InputError, match=message):
        avss.prune(model, layers)
    assert len(blocks_of(model)) == 4


def test_blocks_that_scale_by_their_index_are_not_moved():
    model = hf.GPT2LMHeadModel(hf.GPT2Config(**GPT2, eos_token_id=2, scale_attn_by_inverse_layer_idx=True))
    with pytest.raises(InputError, match="scale_attn_by_inverse_layer_idx is True"):
        avss.prune(model, [0])


class _Tokenizer:
    """Stands for a tokenizer where only saving matters."""

    def save_pretrained(self, folder):
        (folder / "tokenizer.json").write_text("{}")


class _FullDisk:
    def save_pretrained(self, folder):
        raise OSError("no space left on device")


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path):
    model, out = tiny("llama"), tmp_path / "pruned"
    with pytest.raises(OSError, match="no space"):
        save_pruned(model, _FullDisk(), out, {})
    assert list(tmp_path.iterdir()) == []

    save_pruned(model, _Tokenizer(), out, {"removed_layers": [1]})
    assert json.loads((out / "pruning.json").read_text())["removed_layers"] == [1]
    before = sorted(file.name for file in out.iterdir())
    with pytest.raises(InputError, match="exists already"):
        save_pruned(model, _Tokenizer(), out, {})
    save_pruned(model, _Tokenizer(), out, {"removed_layers": [2]}, force=True)
    assert json.loads((out / "pruning.json").read_text())["removed_layers"] == [2]
    assert sorted(file.name for file in out.iterdir()) == before
    assert [file.name for file in tmp_path.iterdir()] == ["pruned"]


def test_force_never_replaces_a_folder_that_is_no_model(tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("words")
    with pytest.raises(InputError, match="not written by `avss prune`"):
        save_pruned(tiny("llama"), _Tokenizer(), precious, {}, force=True)
    assert (precious / "chapter1.tex").read_text() == "words"
