"""A number that is not finite is an error that names its place, the batch and the dtype, never a result."""

import numpy as np
import pytest
import torch
from datasets import Dataset

import avss
from avss.architectures import blocks_of
from avss.engine.branches import branches_of
from avss.engine.observe import observe
from avss.engine.passes import require_finite
from avss.errors import InputError
from avss.methods import METHODS
from avss.tasks import TASKS
from tests.conftest import labelled, ragged, tiny
from tests.prompts import prompt_tokenizer
from tests.test_modes import ROWS

BAD = (float("nan"), float("inf"), float("-inf"))
READS_HEAD = [name for name, method in METHODS.items() if method.reads_labels]
READS_BLOCKS = [name for name, method in METHODS.items() if method.reads_text]


def with_head(family: str, value: float):
    """A model whose head gives this value to one class or token, which is neither the gold one nor the best."""
    model = tiny(family)
    head = model.get_output_embeddings() or getattr(model, "classifier", None)
    with torch.no_grad():
        head.weight = torch.nn.Parameter(head.weight.clone())
        head.weight[1].fill_(value)
    return model


def with_block(family: str, value: float):
    model = tiny(family)
    with torch.no_grad():
        blocks_of(model)[1].get_submodule(branches_of(model)[1].mlp).weight.fill_(value)
    return model


def test_queries_that_are_nan_are_no_zeros():
    """Fused attention on CPUs makes zeros of them, and all outputs are finite."""
    model, batch = tiny("llama"), {"input_ids": ragged((9, 9))["input_ids"]}
    with torch.no_grad():
        blocks_of(model)[1].self_attn.q_proj.weight.fill_(float("nan"))
    for method in READS_BLOCKS:
        with pytest.raises(InputError, match=r"layers.1.self_attn.q_proj.weight holds NaN|has NaN or infinite"):
            avss.score(model, [batch], method)
    for task in TASKS:
        with pytest.raises(InputError, match=r"layers.1.self_attn.q_proj.weight holds NaN|has NaN or infinite"):
            avss.evaluate(model, prompt_tokenizer(), task, ROWS, context=60)


def two(family: str) -> list[dict]:
    return [labelled(family, ragged()), labelled(family, ragged((4, 6), seed=1), seed=1)]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2", "llama"])
@pytest.mark.parametrize("make", [with_head, with_block])
@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_gives_nan_gets_no_metric(task, make, family, value):
    if task != "sentiment" and family in ("bert", "distilbert"):
        pytest.skip("encoders do one task")
    context = 12 if task == "language_modeling" else 60
    with pytest.raises(InputError, match=rf"task {task} has NaN or infinite (logits|losses) in batch 0 .*float32"):
        avss.evaluate(make(family, value), prompt_tokenizer(), task, ROWS, context=context)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("method", READS_BLOCKS)
def test_a_block_that_gives_nan_gets_no_score(method, family, value):
    with pytest.raises(InputError, match=r"has NaN or infinite .* in batch 0 .*float32") as caught:
        avss.score(with_block(family, value), two(family), method)
    if method not in (*READS_HEAD, "kl_leave_one_out"):
        assert "layer 1 has NaN or infinite" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("method", READS_HEAD)
def test_a_head_that_gives_nan_gets_no_score(method, value):
    with pytest.raises(InputError, match="has NaN or infinite"):
        avss.score(with_head("llama", value), two("llama"), method)


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_finite_get_no_score(method):
    """Methods that read weights alone have no batch to name."""
    model = with_block("llama", float("nan"))
    if method in ("random", "first", "last"):
        assert np.isfinite(avss.score(model, None, method).values).all(), "an order needs no weights"
        return
    with pytest.raises(InputError, match=r"magnitude of layer 1 is not finite|has NaN or infinite"):
        avss.score(model, two("llama"), method)


def poisoned(number: int) -> list[dict]:
    """Batches of which one alone holds token 9."""
    batches = [ragged(seed=seed) for seed in range(3)]
    for batch in batches:
        batch["input_ids"][batch["input_ids"] == 9] = 10
    batches[number]["input_ids"][0, 1] = 9
    return batches


@pytest.mark.parametrize("method", READS_BLOCKS)
def test_the_batch_that_gives_nan_is_named(method):
    model = tiny("llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[9] = float("inf")
    for number in (0, 2):
        with pytest.raises(InputError, match=f"in batch {number} "):
            avss.score(model, poisoned(number), method)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_dtype_of_an_overflow_is_named(dtype):
    model = tiny("gpt2").to(dtype)
    with torch.no_grad():
        blocks_of(model)[2].mlp.c_proj.weight.fill_(torch.finfo(dtype).max)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(
        InputError, match=rf"layer 2 has .* in batch 0 \(the model runs in {name}\); load the model in a"
    ):
        observe(model, [ragged()])


def test_the_first_layer_and_its_batch_are_named():
    values = np.ones((3, 4))
    require_finite(values, "activations", [0, 0, 1, 1], tiny("llama"))
    values[1, 2] = values[2, 0] = np.nan
    with pytest.raises(InputError, match="layer 1 has NaN or infinite activations in batch 1 "):
        require_finite(values, "activations", [0, 0, 1, 1], tiny("llama"))


def test_a_perplexity_beyond_all_numbers_keeps_its_nats():
    model = tiny("llama")
    with torch.no_grad():
        model.lm_head.weight.mul_(1e6)
    outcome = TASKS["language_modeling"].measure(
        model, prompt_tokenizer(), Dataset.from_dict({"text": ROWS["text"]}), "text", context=12, batch_size=2
    )
    assert np.isfinite(outcome.numerator).all()
    assert outcome.numerator.sum() / outcome.denominator.sum() > 1000
    result = avss.evaluate(model, prompt_tokenizer(), "language_modeling", ROWS, context=12)
    assert result["value"] == np.inf
    assert result["also"]["nats_per_token"] == pytest.approx(outcome.numerator.sum() / outcome.denominator.sum())


def test_no_relevance_at_all_is_a_share_of_nothing():
    """A head of zeros explains nothing: 0 of 0."""
    model = tiny("llama")
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert avss.score(model, two("llama"), "lrp").values.tolist() == [0] * 4
