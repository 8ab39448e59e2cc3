"""Massive activations against hidden states that the test, and only the test, stores."""

import numpy as np
import pytest
import torch

from avss.engine.massive import massive_activations
from avss.errors import InputError
from avss.report import massive
from avss.report.figures import drawn
from avss.report.snapshot import Results
from avss.store import Store
from tests.conftest import DECODERS, padded_right, ragged, tiny
from tests.oracles import real, stored


def oracle(states: np.ndarray, mask: np.ndarray) -> dict:
    """The facts of one block from its stored output, (B, T, F), straight from their definitions."""
    tokens = states[mask]
    index = np.unravel_index(np.abs(np.where(mask[..., None], states, 0)).argmax(), states.shape)
    first = np.zeros_like(mask)
    first[:, 0] = True
    deviations = (states - tokens.mean()) ** 2
    own = [np.abs(states[row][mask[row]]).max(1).argmax() == 0 for row in range(len(states))]
    return {
        "documents": len(states),
        "largest": np.abs(tokens).max(),
        "feature": index[2],
        "at_first": np.mean(own),
        "std_after_first": states[mask & ~first].std(),
        "variance": tokens.var(),
        "share_of_first": deviations[first].sum() / deviations[mask].sum(),
        "share_of_feature": deviations[first][:, index[2]].sum() / deviations[mask].sum(),
    }


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("family", DECODERS)
def test_each_fact_equals_that_of_stored_states(family, left):
    model, batch = tiny(family), ragged(left=left)
    shown = padded_right(batch)
    states, mask = stored(model, shown), real(shown)
    table = massive_activations(model, [batch])
    for layer, line in enumerate(table.to_dict("records")):
        expected = oracle(np.asarray(states[layer + 1], dtype=np.float64), np.asarray(mask, dtype=bool))
        assert {name: line[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_a_planted_activation_is_found_and_makes_up_the_variance():
    model, batch = tiny("llama"), ragged()

    def plant(module, args, output):
        output[:, 0, 5] += 1e4
        return output

    handle = model.base_model.layers[1].register_forward_hook(plant)
    table = massive_activations(model, [batch])
    handle.remove()
    assert table["feature"].tolist()[1:] == [5] * (len(table) - 1)
    assert (table["share_of_feature"][1:] > 0.99).all()
    assert (table["at_first"][1:] == 1).all()
    assert table["share_of_first"][0] < 0.9


def test_facts_do_not_depend_on_how_documents_are_batched():
    model, batch = tiny("llama"), ragged()
    single = [{name: rows[row : row + 1] for name, rows in batch.items()} for row in range(len(batch["input_ids"]))]
    together, apart = massive_activations(model, [batch]), massive_activations(model, single)
    np.testing.assert_allclose(together.to_numpy(float), apart.to_numpy(float), rtol=1e-5)


def test_a_document_of_one_token_counts_with_others_and_is_an_error_alone():
    model, batch = tiny("llama"), ragged((9, 1))
    assert massive_activations(model, [batch])["documents"].tolist() == [2] * 4
    with pytest.raises(InputError, match="no document has a second token"):
        massive_activations(model, [ragged((1, 1))])


def test_a_block_without_any_spread_is_an_error():
    model = tiny("llama")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    with pytest.raises(InputError, match="all activations of block 0 are equal"):
        massive_activations(model, [ragged()])


def test_activations_that_are_not_finite_are_an_error():
    model = tiny("llama")
    with torch.no_grad():
        model.base_model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="layer 1 has NaN"):
        massive_activations(model, [ragged()])


@pytest.fixture
def kept(tmp_path):
    store = massive.store_of(tmp_path)
    table = massive_activations(tiny("llama"), [ragged()])
    for number, key in enumerate(("old", "new")):
        massive.keep(store, "mini", "r", {"observed": key}, table.assign(largest=table["largest"] + number))
    return Results(Store(tmp_path)), table


def test_the_newest_facts_are_read_back(kept):
    results, table = kept
    found = massive.stored(results)
    assert massive.is_kept(massive.store_of(results.store.root), "mini", "r", "new")
    assert not massive.is_kept(massive.store_of(results.store.root), "mini", "r", "other")
    assert found["largest"].tolist() == pytest.approx(table["largest"] + 1, rel=1e-6)
    assert found["feature"].tolist() == table["feature"].tolist()


def test_the_figure_plots_what_is_stored_and_says_so_where_nothing_is(kept, tmp_path):
    _, data = drawn("massive_activations", kept[0], "r", "light")
    assert len(data) == len(kept[1])
    _, data = drawn("massive_activations", Results(Store(tmp_path / "none")), "r", "light")
    assert data.empty
