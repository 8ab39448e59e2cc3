"""The readings that leave tokens out or average first, on running models, against activations that the test stores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.architectures import blocks_of
from avss.engine.observe import observe
from avss.engine.streams import LayerStream, close_batch
from avss.errors import InputError
from avss.moments import histogram_edges
from avss.reading import Reading
from tests.conftest import ragged, tiny

EPSILONS = (0.01, 0.1, 1.0)
BATCHES = {
    "right": [ragged((9, 1, 5, 7), seed=1), ragged((4, 8), seed=2)],
    "left": [ragged((9, 1, 5, 7), seed=1, left=True), ragged((4, 8), seed=2, left=True)],
    "no mask": [{"input_ids": ragged((6, 6), seed=3)["input_ids"]}],
}


def stored(model, batches) -> list[list[np.ndarray]]:
    """The block outputs of every document, (positions, features), padding included: a list a layer."""
    outputs: list[list[np.ndarray]] = [[] for _ in blocks_of(model)]
    handles = [
        block.register_forward_hook(
            lambda module, args, output, kept=kept: kept.extend(
                (output[0] if isinstance(output, tuple) else output).double().numpy()
            )
        )
        for block, kept in zip(blocks_of(model), outputs, strict=True)
    ]
    with torch.inference_mode():
        for batch in batches:
            model.base_model(**batch)
    for handle in handles:
        handle.remove()
    return outputs


def counted(batches, tokens: str, padding: str) -> list[np.ndarray]:
    """Which positions of every document count, spelled out one by one."""
    found = []
    for batch in batches:
        for row in batch.get("attention_mask", torch.ones_like(batch["input_ids"])).tolist():
            counts = [padding == "included" or bool(real) for real in row]
            if tokens == "after_first":
                counts[row.index(1)] = False
            found.append(np.array(counts))
    return found


@pytest.mark.parametrize("side", BATCHES)
@pytest.mark.parametrize("padding", ["excluded", "included"])
@pytest.mark.parametrize("tokens", ["all", "after_first"])
def test_the_first_real_token_is_left_out_wherever_padding_is(side, padding, tokens):
    model, batches = tiny("llama"), BATCHES[side]
    choice = f"tokens={tokens},padding={padding}"
    elements = observe(model, batches, f"paper,{choice}", epsilons=EPSILONS)
    units = observe(model, batches, f"paper,population=unit_means,{choice}")
    pooled = observe(model, batches, f"paper,population=pooled_tokens,ddof=1,{choice}")
    masks = counted(batches, tokens, padding)
    for layer, outputs in enumerate(stored(model, batches)):
        documents = [output[mask] for output, mask in zip(outputs, masks, strict=True)]
        values = np.concatenate(documents)
        assert elements[layer].elements == values.size
        assert elements[layer].count.tolist() == [document.size for document in documents]
        assert elements[layer].variance() == pytest.approx(values.var(), rel=1e-6)
        for epsilon in EPSILONS:
            assert elements[layer].near_zero_count(epsilon) == (np.abs(values) < epsilon).sum()

        means = values.mean(0)
        assert units[layer].variance("unit_means") == pytest.approx(means.var(), rel=1e-6)
        assert units[layer].variance("unit_means", 1) == pytest.approx(means.var(ddof=1), rel=1e-6)
        for epsilon in EPSILONS:
            assert units[layer].sparsity(epsilon, "unit_means") == (np.abs(means) < epsilon).mean()

        spread = [document.mean(0).var(ddof=1) for document in documents if len(document)]
        assert pooled[layer].variance("pooled_tokens") == pytest.approx(np.mean(spread), rel=1e-6)


def test_the_side_of_the_padding_changes_no_score_without_the_first_token():
    # Left padding moves positions, which a model with rotary embeddings does not see.
    model, right_batch = tiny("llama").double(), ragged((9, 1, 5, 7), seed=1)
    lengths = right_batch["attention_mask"].sum(1).tolist()
    left_batch = {
        name: torch.stack([row.roll(9 - length) for row, length in zip(rows, lengths, strict=True)])
        for name, rows in right_batch.items()
    }
    for reading in ("paper,tokens=after_first", "paper,tokens=after_first,population=unit_means,epsilon=1"):
        right, left = (avss.score(model, [batch], reading=reading) for batch in (right_batch, left_batch))
        assert right.values == pytest.approx(left.values, rel=1e-6)
        assert right.tokens == left.tokens == 22 - 4


def test_documents_of_one_token_alone_leave_nothing_to_score():
    with pytest.raises(InputError, match="0 activations"):
        avss.score(tiny("llama"), [ragged((1, 1))], reading="paper,tokens=after_first")


def test_a_table_of_unit_means_counts_units():
    scores = avss.score(tiny("llama"), BATCHES["right"], reading="paper,population=unit_means,epsilon=quantile:0.2")
    assert scores.table["elements"].tolist() == [16] * 4
    assert 0.2 <= scores.table["sparsity"].mean() <= 0.2 + 1 / 64
    assert scores.reading == "paper,population=unit_means,epsilon=quantile:0.2"
    with pytest.warns(UserWarning, match="S set to 1/N"):
        scores = avss.score(tiny("llama"), BATCHES["right"], reading="paper,population=unit_means,epsilon=1e-30")
    assert scores.table["sparsity"].tolist() == [0] * 4
    assert scores.table["sparsity_bound"].tolist() == [1 / 16] * 4


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(900, 1200), min_size=1, max_size=8),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
)
def test_counts_at_the_edges_of_bins_are_exact_for_wide_models_and_updates(bins, dtype, update):
    edges = torch.tensor(histogram_edges()[bins], dtype=torch.float64)
    below = torch.nextafter(edges, torch.zeros_like(edges))
    if update:
        # The difference of two numbers of the model's dtype may lie closer to the edge than that dtype can tell.
        entering = torch.stack([torch.zeros_like(edges), edges * 2.0**-40]).to(dtype)
        leaving = torch.stack([edges, edges]).to(dtype)
        values = leaving.double() - entering.double()
    else:
        leaving, entering = torch.stack([edges, below]).to(dtype), None
        values = leaving.double()
    mask = torch.ones(1, 2, dtype=torch.bool)
    layer = LayerStream(Reading.parse("paper,epsilon=quantile:0.5"), (), True)
    layer.add(leaving[None], None if entering is None else entering[None], mask)
    close_batch([layer], mask)
    found = layer.finish()
    for epsilon in edges.tolist():
        assert found.near_zero_count(epsilon) == int((values.abs() < epsilon).sum())


@pytest.mark.parametrize("value", [float(np.finfo(np.float32).max), 1e-45, 0.0, 3e38])
def test_the_smallest_and_largest_activations_have_a_bin(value):
    activation, mask = torch.full((1, 2, 3), value), torch.ones(1, 2, dtype=torch.bool)
    layer = LayerStream(Reading(), (), True)
    layer.add(activation, None, mask)
    close_batch([layer], mask)
    assert layer.finish().histogram.sum() == 6


def test_activations_beyond_float32_and_nan_have_no_bin_and_stop_nothing():
    activation = torch.tensor([[[1e300, float("nan"), float("inf"), 2.0**128, 1.0]]], dtype=torch.float64)
    layer = LayerStream(Reading(), (), True)
    layer.add(activation, None, torch.ones(1, 1, dtype=torch.bool))
    assert layer.histogram.sum() == 1
