"""Streaming statistics against a float64 NumPy oracle on activations that the test, and only the test, stores."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.architectures import blocks_of
from avss.engine.branches import branches_of
from avss.engine.observe import observe
from avss.engine.streams import LayerStream, close_batch
from avss.errors import InputError
from avss.moments import Moments, histogram_edges, magnitude_quantile
from avss.reading import Reading
from tests.conftest import ragged, tiny

EPSILONS = (1e-3, 0.01, 0.1, 1.0)


def stream(batches, reading="paper", histogram=False) -> Moments:
    """Moments of activations that are given directly as (activation, mask) batches."""
    layer = LayerStream(Reading.parse(reading), EPSILONS, histogram)
    for activation, mask in batches:
        layer.add(activation, None, mask)
        close_batch([layer], mask)
    return layer.finish()


def real_elements(batches) -> np.ndarray:
    return np.concatenate([a.double().numpy()[m.numpy()].ravel() for a, m in batches])


def assert_equals_oracle(moments: Moments, batches) -> None:
    values = real_elements(batches)
    assert moments.elements == values.size
    assert moments.variance() == pytest.approx(values.var(), rel=1e-6)
    if values.size > 1:
        assert moments.variance(ddof=1) == pytest.approx(values.var(ddof=1), rel=1e-6)
    for epsilon in EPSILONS:
        assert moments.near_zero_count(epsilon) == int((np.abs(values) < epsilon).sum())


def activations(seed, batch, tokens, width, dtype, mean, spread):
    generator = torch.Generator().manual_seed(seed)
    values = (torch.randn(batch, tokens, width, generator=generator, dtype=torch.float64) * spread + mean).to(dtype)
    lengths = torch.randint(1, tokens + 1, (batch, 1), generator=generator)
    return values, torch.arange(tokens)[None] < lengths


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    documents=st.integers(1, 9),
    width=st.integers(1, 20),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
    ratio=st.sampled_from([0.0, 1.0, -30.0, 1000.0]),
    spread=st.sampled_from([1e-3, 1.0, 50.0]),
    data=st.data(),
)
def test_statistics_equal_the_oracle_for_any_split_order_and_merge(seed, documents, width, dtype, ratio, spread, data):
    values, mask = activations(seed, documents, 11, width, dtype, ratio * spread, spread)
    whole = [(values, mask)]
    assert_equals_oracle(stream(whole), whole)

    order = data.draw(st.permutations(range(documents)), label="order")
    cut = data.draw(st.integers(0, documents), label="cut")
    halves = [(values[part], mask[part]) for part in (order[:cut], order[cut:]) if part]
    assert_equals_oracle(stream(halves), whole)
    if len(halves) == 2:
        assert_equals_oracle(stream(halves[:1]).merge(stream(halves[1:])), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("width", [1, 2, 33])
def test_activations_that_are_all_alike_have_no_variance_at_all(dtype, width):
    values, mask = torch.full((2, 5, width), 1000.0, dtype=dtype), torch.ones(2, 5, dtype=torch.bool)
    assert stream([(values, mask)]).variance() == 0


def test_large_chunks_of_tokens_are_covered_whole():
    values, mask = activations(1, 4, 300, 512, torch.float32, 1000.0, 1.0)
    assert_equals_oracle(stream([(values, mask)]), [(values, mask)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_activations_equal_to_epsilon_and_its_neighbours_are_counted_as_in_float64(dtype):
    around = torch.tensor(EPSILONS, dtype=dtype)
    up = torch.nextafter(around, torch.full_like(around, torch.inf))
    down = torch.nextafter(around, torch.zeros_like(around))
    values = torch.cat([around, up, down, -around, -up, -down, torch.zeros(2, dtype=dtype)]).view(1, 1, -1)
    batches = [(values, torch.ones(1, 1, dtype=torch.bool))]
    assert_equals_oracle(stream(batches), batches)


def test_populations_equal_their_definitions():
    values, mask = activations(2, 5, 8, 6, torch.float32, 3.0, 2.0)
    halves = [(values[:2], mask[:2]), (values[2:], mask[2:])]
    tokens = np.concatenate([v.double().numpy()[m.numpy()] for v, m in halves])
    features = stream(halves, "paper,population=features")
    assert features.variance("features") == pytest.approx(tokens.var(0).mean(), rel=1e-9)
    assert features.variance("features", 1) == pytest.approx(tokens.var(0, ddof=1).mean(), rel=1e-9)

    per_document = [v.double().numpy()[m.numpy()].mean(0) for v, m in zip(values, mask, strict=True)]
    pooled = stream(halves, "paper,population=pooled_tokens,ddof=1")
    expected = np.mean([document.var(ddof=1) for document in per_document])
    assert pooled.variance("pooled_tokens") == pytest.approx(expected, rel=1e-9)


def test_histogram_gives_the_whole_curve_and_a_quantile():
    values, mask = activations(3, 4, 9, 16, torch.float32, 0.0, 1.0)
    batches = [(values, mask)]
    moments = stream(batches, histogram=True)
    magnitudes = np.abs(real_elements(batches))
    assert moments.histogram.sum() == magnitudes.size
    for edge in histogram_edges()[800:1100:7]:
        assert moments.near_zero_count(edge) == (magnitudes < edge).sum()
    epsilon = magnitude_quantile([moments], 0.1)
    exact = np.quantile(magnitudes, 0.1)
    assert exact <= epsilon <= exact * 1.14
    with pytest.raises(InputError, match=r"epsilon=0\.0123"):
        moments.near_zero_count(0.0123)


@pytest.mark.parametrize("site", ["block_output", "block_update", "attention_output", "mlp_output", "mlp_hidden"])
def test_every_site_of_every_family_equals_stored_activations(family, site):
    model, batch = tiny(family), ragged()
    branches, kept = branches_of(model), {}

    def store(layer):
        def hook(module, args, kwargs, output):
            entering = (args[0] if args else kwargs["hidden_states"]).double()
            leaving = (output[0] if isinstance(output, tuple) else output).double()
            if site == "block_update":
                kept[layer] = leaving - entering
            else:
                kept[layer] = entering if site == "mlp_hidden" else leaving

        return hook

    handles = []
    for layer, block in enumerate(blocks_of(model)):
        inner = branches[layer].attention if site == "attention_output" else branches[layer].mlp
        module = block if site.startswith("block") else block.get_submodule(inner)
        handles.append(module.register_forward_hook(store(layer), with_kwargs=True))
    with torch.no_grad():
        model(**batch)
    for handle in handles:
        handle.remove()

    moments = observe(model, [batch], f"paper,site={site}", epsilons=EPSILONS)
    mask = batch["attention_mask"].bool()
    for layer, observed in enumerate(moments):
        values = kept[layer].view(*mask.shape, -1)[mask].numpy()
        assert observed.variance() == pytest.approx(values.var(), rel=1e-6)
        assert [observed.near_zero_count(e) for e in EPSILONS] == [int((np.abs(values) < e).sum()) for e in EPSILONS]
        assert observed.tokens == int(mask.sum())


def test_padding_changes_nothing_unless_the_reading_counts_it():
    model = tiny("llama")
    alone = [{"input_ids": ragged((5,), seed=1)["input_ids"]}]
    padded = {key: torch.nn.functional.pad(value, (0, 6)) for key, value in ragged((5,), seed=1).items()}
    without = observe(model, alone)[2]
    assert observe(model, [padded])[2].variance() == pytest.approx(without.variance(), rel=1e-5)
    assert observe(model, [padded])[2].tokens == 5
    assert observe(model, [padded], "paper,padding=included")[2].tokens == 11


def test_nan_in_padding_positions_does_not_count():
    values, mask = activations(5, 3, 7, 4, torch.float32, 0.0, 1.0)
    clean = stream([(values, mask)])
    values[~mask] = float("nan")
    assert stream([(values, mask)]).variance() == clean.variance()


@pytest.mark.usefixtures("young")
def test_no_activation_is_stored():
    model, alive, most = tiny("llama"), [], 0
    batches = [ragged(seed=seed) for seed in range(6)]
    outputs: list[weakref.ref] = []
    handles = [
        block.register_forward_hook(lambda module, args, output: outputs.append(weakref.ref(output)))
        for block in blocks_of(model)
    ]

    def watched():
        nonlocal most
        for batch in batches:
            gc.collect()
            alive[:] = [reference for reference in outputs if reference() is not None]
            most = max(most, len(alive))
            yield batch

    scores = avss.score(model, watched(), reading="paper,epsilon=0.1")
    for handle in handles:
        handle.remove()
    assert len(outputs) == 6 * 4
    assert most <= 1, "at most the last block's output may still be referenced when the next batch is drawn"
    held = sum(m.count.nbytes + m.mean.nbytes + m.m2.nbytes + m.near_zero.nbytes for m in scores.moments)
    assert held == 4 * 18 * (8 + 8 + 8 + 8), "what is kept is four numbers a layer and document"


def test_hooks_are_removed_and_training_mode_comes_back_on_error():
    model = tiny("llama").train()
    with pytest.raises(InputError):
        observe(model, [ragged(), {"labels": torch.zeros(1)}])
    assert model.training
    assert not any(block._forward_hooks for block in blocks_of(model))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_name_the_layer(value):
    model = tiny("llama")
    with torch.no_grad():
        blocks_of(model)[2].mlp.down_proj.weight[0, 0] = value
    with pytest.raises(InputError, match="layer 2 has NaN or infinite"):
        observe(model, [ragged()])


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no batches"),
        ([{"attention_mask": torch.ones(1, 2)}], "batch 0 has no input_ids"),
        (
            [ragged(), {"input_ids": torch.ones(1, 2).long(), "attention_mask": torch.zeros(1, 2)}],
            "batch 1 holds padding only",
        ),
    ],
)
def test_unusable_batches_are_named(batches, message):
    with pytest.raises(InputError, match=message):
        observe(tiny("llama"), batches)


def test_different_readings_do_not_merge():
    values, mask = activations(0, 2, 3, 4, torch.float32, 0.0, 1.0)
    with pytest.raises(InputError, match="cannot be merged"):
        stream([(values, mask)]).merge(stream([(values, mask)], "paper,population=features"))
