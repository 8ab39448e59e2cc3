"""Models as people hold them in Python: compiled, parallel, with an adapter, or of a class of their own."""

import copy

import numpy as np
import pytest
import torch
import transformers as hf
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import nn

import avss
from avss.architectures import unwrapped
from avss.engine.gold import is_causal, is_classifier
from avss.errors import InputError
from tests.conftest import SENTENCES, labelled, ragged, tiny, word_tokenizer


def with_adapter(family: str, seed: int = 0):
    """A tiny model with an adapter that changes what it computes."""
    targets = ["query"] if family == "bert" else ["q_proj", "down_proj"]
    wrapped = get_peft_model(tiny(family), LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    return wrapped.eval()


def compiled(model):
    return torch.compile(model, backend="eager")


MASKS = [[1, 1, 1, 1], [1, 0, 1, 0.5]]


@pytest.mark.parametrize(("family", "wrapper"), [("llama", compiled), ("bert", nn.DataParallel)])
def test_a_wrapped_model_is_scored_skipped_ablated_and_evaluated_as_the_model_inside(wrapper, family):
    plain, batch = tiny(family), labelled(family, ragged())
    wrapped = wrapper(tiny(family))
    for method in ("avss", "block_influence", "leave_one_out", "lrp"):
        np.testing.assert_array_equal(
            avss.score(wrapped, [batch], method).values, avss.score(plain, [batch], method).values
        )
    np.testing.assert_array_equal(avss.ablate(wrapped, [batch], MASKS).loss, avss.ablate(plain, [batch], MASKS).loss)
    data = Dataset.from_dict({"sentence": SENTENCES, "label": [0, 1, 0, 1, 1]})
    task = "sentiment" if family == "bert" else "language_modeling"
    inputs = word_tokenizer(), task, data
    assert avss.evaluate(wrapped, *inputs) == avss.evaluate(plain, *inputs)


def test_a_model_in_two_wrappers_skips_and_loses_blocks():
    # Of two blocks, because each set of blocks is compiled anew.
    plain, inner = (avss.prune(tiny("llama"), [2, 3]) for _ in range(2))
    wrapped = nn.DataParallel(compiled(inner))
    with torch.no_grad():
        whole = wrapped(**ragged()).logits
        with avss.skipping(wrapped, [1]) as shorter, avss.skipping(plain, [1]):
            assert shorter is wrapped
            torch.testing.assert_close(wrapped(**ragged()).logits, plain(**ragged()).logits)
        torch.testing.assert_close(wrapped(**ragged()).logits, whole, rtol=0, atol=0)
        assert avss.prune(wrapped, [0]) is wrapped
        torch.testing.assert_close(wrapped(**ragged()).logits, avss.prune(plain, [0])(**ragged()).logits)
    assert unwrapped(wrapped).config.num_hidden_layers == 1


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_an_adapter_acts_while_its_model_is_scored(family):
    batch, wrapped = labelled(family, ragged()), with_adapter(family)
    merged = with_adapter(family).merge_and_unload()
    for method in ("block_influence", "leave_one_out", "taylor"):
        own = avss.score(wrapped, [batch], method).values
        np.testing.assert_allclose(own, avss.score(merged, [batch], method).values, rtol=1e-3, atol=1e-5)
        assert not np.allclose(own, avss.score(tiny(family), [batch], method).values, rtol=1e-2)
    with torch.no_grad(), avss.skipping(wrapped, [0]), avss.skipping(merged, [0]):
        torch.testing.assert_close(wrapped(**batch).logits, merged(**batch).logits, rtol=1e-3, atol=1e-4)
    assert sum("lora_" in name for name, _ in wrapped.named_parameters()) > 0, "the adapter is still there"


def test_a_model_with_an_adapter_is_merged_before_it_is_pruned():
    wrapped = with_adapter("llama")
    for model in (wrapped, wrapped.get_base_model()):
        with pytest.raises(InputError, match=r"merge it first, with model = model\.merge_and_unload") as error:
            avss.prune(model, [1])
        assert "\n" not in str(error.value)
    assert avss.prune(wrapped.merge_and_unload(), [1]).config.num_hidden_layers == 3


class Mine(hf.LlamaForCausalLM):
    """A class of the user's own."""


class MineToo(hf.BertForSequenceClassification):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


@pytest.mark.parametrize(("own", "family"), [(Mine, "llama"), (MineToo, "bert")])
def test_a_subclass_of_a_known_class_is_one_of_its_kind(own, family):
    plain, batch = tiny(family), labelled(family, ragged())
    model = own(copy.deepcopy(plain.config)).eval()
    model.load_state_dict(plain.state_dict())
    assert (is_causal(model), is_classifier(model)) == (is_causal(plain), is_classifier(plain))
    for method in ("avss", "leave_one_out", "gbis"):
        np.testing.assert_array_equal(
            avss.score(model, [batch], method).values, avss.score(plain, [batch], method).values
        )
    data = Dataset.from_dict({"sentence": SENTENCES, "label": [0, 1, 0, 1, 1]})
    inputs = word_tokenizer(), "sentiment" if family == "bert" else "language_modeling", data
    assert avss.evaluate(model, *inputs) == avss.evaluate(plain, *inputs)
    with torch.no_grad():
        torch.testing.assert_close(
            avss.prune(model, [1])(**batch).logits, avss.prune(plain, [1])(**batch).logits, rtol=0, atol=0
        )
    assert type(model) is own
