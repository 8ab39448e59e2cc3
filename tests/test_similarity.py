"""Block influence and angular distance against hidden states that the test, and only the test, stores."""

import gc
import weakref

import numpy as np
import pytest
import torch

import avss
from avss.architectures import blocks_of
from avss.errors import InputError
from avss.methods.block_influence import cosines
from tests.conftest import DECODERS, padded_right, ragged, tiny
from tests.oracles import cosine, distance, influence, real, stored


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_block_influence_equals_the_cosine_of_stored_states(family, left, dtype):
    model, batch = tiny(family).to(dtype), ragged(left=left)
    scores = avss.score(model, [batch], "block_influence")
    shown = padded_right(batch)
    assert scores.values == pytest.approx(influence(stored(model, shown), real(shown)), rel=1e-9)
    assert (scores.documents, scores.tokens) == (3, 21)


@pytest.mark.parametrize("family", DECODERS)
def test_the_last_block_is_not_seen_through_the_final_norm(family):
    model, batch = tiny(family), ragged()
    with torch.no_grad():
        for parameter in model.base_model.parameters():
            if parameter.ndim == 1:
                parameter.normal_(1, 0.5)
        reported = torch.stack(model(**batch, output_hidden_states=True).hidden_states).double().numpy()
    values = avss.score(model, [batch], "block_influence").values
    assert values[:-1] == pytest.approx(influence(reported, real(batch))[:-1], rel=1e-6)
    assert values[-1] != pytest.approx(influence(reported, real(batch))[-1], rel=0.05)
    assert values[-1] == pytest.approx(influence(stored(model, batch), real(batch))[-1], rel=1e-6)


@pytest.mark.parametrize(("method", "options"), [("block_influence", {}), ("angular", {}), ("angular", {"window": 2})])
def test_scores_do_not_depend_on_how_documents_are_batched(family, method, options):
    model, batch = tiny(family), ragged()
    single = [
        {name: tensor[row : row + 1, :length] for name, tensor in batch.items()} for row, length in enumerate((9, 5, 7))
    ]
    together = avss.score(model, [batch], method, **options)
    assert together.values == pytest.approx(avss.score(model, single, method, **options).values, rel=1e-4)
    assert (together.documents, together.tokens) == (3, 21)


def test_cosines_are_exact_for_equal_rows_and_safe_for_empty_ones():
    rows = torch.randn(400, 700, generator=torch.Generator().manual_seed(0))
    other = rows.flip(0)
    assert (cosines(rows, rows) == 1).all()
    expected = [cosine(a, b) for a, b in zip(rows.double().numpy(), other.double().numpy(), strict=True)]
    assert cosines(rows, other).numpy() == pytest.approx(np.array(expected), rel=1e-9, abs=1e-15)
    assert cosines(torch.zeros(2, 3), torch.ones(2, 3)).tolist() == [0, 0]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("window", [1, 2, 3])
def test_angular_removes_the_window_that_turns_the_last_token_least(family, window, left):
    model, batch = tiny(family), ragged(left=left)
    mask, states = real(padded_right(batch)), stored(model, padded_right(batch))
    across = [distance(states, mask, start, window) for start in range(4 - window + 1)]
    best = int(np.argmin(across))
    scores = avss.score(model, [batch], "angular", window=window)
    assert sorted(scores.lowest(window)) == list(range(best, best + window))
    alone = np.array([distance(states, mask, start, 1) for start in range(4)])
    outside = [window > 1 and not best <= block < best + window for block in range(4)]
    assert scores.values == pytest.approx(alone + outside, rel=1e-6)


@pytest.mark.usefixtures("young")
def test_nothing_is_kept_after_its_batch():
    model, kept = tiny("llama"), []

    def batches():
        for seed in range(3):
            gc.collect()
            assert not any(reference() is not None for reference in kept)
            yield ragged(seed=seed)

    for block in blocks_of(model):
        block.register_forward_hook(lambda m, args, out: kept.append(weakref.ref(out)))
    for method in ("block_influence", "angular"):
        avss.score(model, batches(), method)
    assert len(kept) == 24


def test_a_classifier_needs_no_labels_and_no_head():
    model = tiny("bert")
    for method in ("block_influence", "angular"):
        whole = avss.score(model, [ragged()], method).values
        assert np.array_equal(avss.score(model.bert, [ragged()], method).values, whole)


def broken():
    model = tiny("llama")
    with torch.no_grad():
        blocks_of(model)[2].mlp.down_proj.weight[0, 0] = float("nan")
    return model


@pytest.mark.parametrize("method", ["block_influence", "angular"])
@pytest.mark.parametrize(
    ("model", "batches", "message"),
    [
        (broken, [ragged()], "layer 2 has NaN or infinite activations in batch 0"),
        (lambda: tiny("llama"), [], "no batches"),
        (lambda: tiny("llama"), [{"text": ["a"]}], "no input_ids"),
        (
            lambda: tiny("llama"),
            [{"input_ids": torch.zeros(1, 3, dtype=int), "attention_mask": torch.zeros(1, 3)}],
            "padd",
        ),
    ],
)
def test_bad_input_is_one_clear_line(method, model, batches, message):
    with pytest.raises(InputError, match=message):
        avss.score(model(), batches, method)


@pytest.mark.parametrize("window", [0, 4, 2.0, "2"])
def test_a_window_is_a_number_of_blocks_that_may_go(window):
    with pytest.raises(InputError, match="give the number of blocks to remove, from 1 to 3"):
        avss.score(tiny("llama"), [ragged()], "angular", window=window)
