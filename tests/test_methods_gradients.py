"""Gradient methods against finite differences of the loss, and what a gradient pass leaves behind."""

import gc
import weakref

import numpy as np
import pytest
import torch

import avss
from avss.architectures import blocks_of
from avss.errors import InputError
from tests.conftest import DECODERS, labelled, ragged, tiny
from tests.oracles import finite_differences, first

GRADIENT = ("gbis", "taylor", "lrp")
# RMSNorm computes in float32 even in a float64 model, which is what the difference of two losses then resolves.
EXACT = ("bert", "distilbert", "gpt2", "gpt_neox", "opt", "stablelm")
TOLERANCE = dict.fromkeys(EXACT, 1e-6) | {"llama": 2e-3, "qwen3": 2e-3}


@pytest.mark.parametrize("family", TOLERANCE)
def test_gradients_equal_finite_differences(family):
    model, batch = tiny(family).double(), labelled(family, ragged((4, 2)))
    gradients, updates = finite_differences(model, batch, 1e-4 if family in EXACT else 1e-2)
    norms = np.sqrt((gradients**2).sum((2, 3))).mean(1)
    changes = np.abs((gradients * updates).sum((2, 3))).mean(1)
    assert avss.score(model, [batch], "gbis").values == pytest.approx(norms, rel=TOLERANCE[family])
    assert avss.score(model, [batch], "taylor").values == pytest.approx(
        changes, rel=TOLERANCE[family], abs=TOLERANCE[family] * changes.max()
    )


@pytest.mark.parametrize("method", GRADIENT)
def test_scores_do_not_depend_on_how_documents_are_batched(family, method):
    model, batch = tiny(family).double(), labelled(family, ragged())
    single = []
    for row, length in enumerate((9, 5, 7)):
        single.append({name: batch[name][row : row + 1, :length] for name in ("input_ids", "attention_mask")})
        single[-1] |= {"labels": batch["labels"][row : row + 1]} if "labels" in batch else {}
    together = avss.score(model, [batch], method)
    assert together.values == pytest.approx(avss.score(model, single, method).values, rel=1e-5)
    assert (together.documents, together.tokens) == (3, 21)


@pytest.mark.parametrize("method", GRADIENT)
@pytest.mark.parametrize("family", DECODERS)
def test_padding_may_stand_on_either_side(family, method):
    model, right = tiny(family).double(), ragged()
    left = {name: torch.zeros_like(tensor) for name, tensor in right.items()}
    for row, length in enumerate((9, 5, 7)):
        for name, tensor in right.items():
            left[name][row, 9 - length :] = tensor[row, :length]
    expected = avss.score(model, [right], method).values
    assert avss.score(model, [left], method).values == pytest.approx(expected, rel=1e-5)


def test_documents_with_nothing_to_predict_do_not_count():
    model, batch = tiny("llama"), ragged((9, 1, 7))
    without = {name: tensor[[0, 2]] for name, tensor in batch.items()}
    for method in GRADIENT:
        scores = avss.score(model, [batch], method)
        assert scores.values == pytest.approx(avss.score(model, [without], method).values, rel=1e-5)
        assert scores.documents == 2


@pytest.mark.parametrize("method", GRADIENT)
def test_a_gradient_pass_leaves_nothing_behind(family, method):
    model = tiny(family).train()
    blocks_of(model)[1].eval()
    frozen = next(blocks_of(model)[2].parameters()).requires_grad_(False)
    modes = [module.training for module in model.modules()]
    attention = model.config._attn_implementation
    expected = avss.score(model, [labelled(family, ragged())], method).values

    def failing():
        yield labelled(family, ragged())
        raise RuntimeError("the data broke")

    with pytest.raises(RuntimeError, match="the data broke"):
        avss.score(model, failing(), method)
    assert [module.training for module in model.modules()] == modes
    assert [p for p in model.parameters() if not p.requires_grad] == [frozen]
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.config._attn_implementation == attention
    assert np.array_equal(avss.score(model, [labelled(family, ragged())], method).values, expected)


@pytest.mark.parametrize("method", GRADIENT)
def test_gradients_are_there_whatever_mode_the_caller_is_in(method):
    model = tiny("stablelm")
    expected = avss.score(model, [ragged()], method).values
    with torch.no_grad():
        assert np.array_equal(avss.score(model, [ragged()], method).values, expected)
    with torch.inference_mode():
        assert np.array_equal(avss.score(model, [ragged()], method).values, expected)


@pytest.mark.parametrize("method", GRADIENT)
def test_half_precision_is_close(method):
    values = [
        avss.score(tiny("llama").to(dtype), [ragged()], method).values for dtype in (torch.float32, torch.bfloat16)
    ]
    assert values[1] == pytest.approx(values[0], rel=0.1, abs=0.05 * values[0].max())


@pytest.mark.parametrize("method", GRADIENT)
def test_hidden_states_live_for_one_batch_only(method):
    model, kept = tiny("llama"), []

    def batches():
        for seed in range(3):
            gc.collect()
            assert not any(reference() is not None for reference in kept)
            yield ragged(seed=seed)

    for block in blocks_of(model):
        block.register_forward_hook(lambda m, args, out: kept.append(weakref.ref(first(out))))
    avss.score(model, batches(), method)
    assert len(kept) == 12


def quantised():
    model = tiny("llama")
    blocks_of(model)[1].mlp.up_proj = torch.ao.nn.quantized.dynamic.Linear(16, 32)
    return model


def frozen_branch():
    model = tiny("llama")
    blocks_of(model)[2].mlp.down_proj.register_forward_hook(lambda m, args, out: out.detach())
    return model


def inference_model():
    with torch.inference_mode():
        return tiny("llama")


def not_finite():
    model = tiny("llama")
    with torch.no_grad():
        blocks_of(model)[3].mlp.down_proj.weight[0, 0] = float("nan")
    return model


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("method", GRADIENT)
@pytest.mark.parametrize(
    ("model", "batches", "message"),
    [
        (quantised, [ragged()], "is quantised|no rule for model.layers.1.mlp.up_proj"),
        (frozen_branch, [ragged()], "no gradient passes mlp.down_proj of block 2"),
        (inference_model, [ragged()], "made under torch.inference_mode"),
        (not_finite, [ragged()], "NaN or infinite losses or logits in batch 0"),
        (lambda: tiny("bert"), [ragged()], "no labels"),
        (lambda: tiny("llama"), [], "no batches"),
        (lambda: tiny("llama"), [ragged((1, 1))], "nothing in the batches is scored"),
        (
            lambda: tiny("llama"),
            [{"input_ids": torch.zeros(1, 3, dtype=int), "attention_mask": torch.zeros(1, 3)}],
            "padd",
        ),
        (lambda: tiny("llama"), [{"text": ["a"]}], "no input_ids"),
        (lambda: tiny("llama").model, [ragged()], "no head"),
    ],
)
def test_bad_input_is_one_clear_line(method, model, batches, message):
    with pytest.raises(InputError, match=message) as caught:
        avss.score(model(), batches, method)
    assert "\n" not in str(caught.value)


def test_a_model_that_says_it_is_quantised_is_refused():
    model = tiny("llama")
    model.is_quantized = True
    with pytest.raises(InputError, match="the model is quantised"):
        avss.score(model, [ragged()], "gbis")


def test_every_decoder_explains_itself_without_labels():
    for family in DECODERS:
        assert (avss.score(tiny(family), [ragged()], "gbis").values > 0).all()
