"""Methods against slow oracles, and the one door to them."""

import numpy as np
import pytest
import torch

import avss
from avss.architectures import blocks_of
from avss.errors import InputError
from avss.methods import METHODS
from tests.conftest import labelled, ragged, tiny
from tests.oracles import mean_weights, relative_updates


def test_every_method_gives_one_finite_number_a_layer(family):
    for name in METHODS:
        values = avss.score(tiny(family), [labelled(family, ragged())], name).values
        assert values.shape == (4,)
        assert np.isfinite(values).all()


def test_magnitude_is_the_mean_absolute_weight(family):
    model = tiny(family)
    assert avss.score(model, None, "magnitude").values == pytest.approx(mean_weights(model, None), rel=1e-12)


def test_update_norm_is_the_mean_of_each_tokens_update_over_its_output(family):
    model = tiny(family)
    batches = [labelled(family, ragged()), labelled(family, ragged((4, 6), seed=1), seed=1)]
    found = avss.score(model, iter(batches), "update_norm")
    assert found.values == pytest.approx(relative_updates(model, batches), rel=1e-6)
    assert (found.documents, found.tokens) == (5, 31)


def test_update_norm_of_a_block_that_adds_nothing_is_zero_also_where_hidden_states_are_zero():
    model = tiny("llama")
    with torch.no_grad():
        for block in blocks_of(model):
            for linear in (block.self_attn.o_proj, block.mlp.down_proj):
                linear.weight.zero_()
        model.get_input_embeddings().weight[5] = 0
    batch = {"input_ids": torch.tensor([[5, 6, 5]])}
    assert avss.score(model, [batch], "update_norm").values.tolist() == [0] * 4


def test_update_norm_names_the_block_that_turns_a_hidden_state_into_zeros():
    model = tiny("llama")
    blocks_of(model)[2].register_forward_hook(lambda module, args, output: torch.zeros_like(output))
    with pytest.raises(InputError, match="layer 2 has NaN or infinite relative updates in batch 0"):
        avss.score(model, [ragged()], "update_norm")


def test_magnitude_of_half_precision_weights_does_not_saturate():
    model = tiny("llama")
    full = avss.score(model, None, "magnitude").values
    assert avss.score(model.to(torch.bfloat16), None, "magnitude").values == pytest.approx(full, rel=1e-2)


def test_last_removes_from_the_end_first_from_the_start_and_random_by_seed():
    model = tiny("bert")
    assert avss.score(model, None, "last").lowest(3) == [3, 2, 1]
    assert avss.score(model, None, "first").lowest(3) == [0, 1, 2]
    orders = {tuple(avss.score(model, None, "random", seed=seed).lowest(3)) for seed in range(20)}
    assert len(orders) > 5
    assert avss.score(model, None, "random", seed=3).table.equals(avss.score(model, None, "random", seed=3).table)


def test_no_method_keeps_keys_and_values():
    model, kept = tiny("llama"), set()
    handle = model.base_model.register_forward_hook(lambda *given: kept.add(given[-1].past_key_values))
    for name in METHODS:
        avss.score(model, [ragged()], name)
    handle.remove()
    assert kept == {None}


def test_scoring_leaves_the_model_as_it_was():
    model = tiny("llama").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in METHODS:
        avss.score(model, [ragged()], name)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: avss.score(model, None, "gbist"), "method 'gbist' is not known; choose one of gbis, lrp"),
        (lambda model: avss.score(model, None), "method avss needs batches"),
        (lambda model: avss.score(model, None, "random", speed=1), "no option speed; its options: seed"),
        (lambda model: avss.score(model, None, "last", seed=1), "no option seed; its options: none"),
        (lambda model: avss.score(model, [ragged()], reading="other"), "reading 'other'"),
        (lambda model: avss.score(torch.nn.Linear(2, 2), [ragged()]), "a Linear has no config"),
    ],
)
def test_bad_calls_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call(tiny("llama"))
