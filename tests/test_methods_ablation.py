"""Methods that skip blocks, against models from which the blocks are really removed."""

import numpy as np
import pytest
import torch

import avss
from avss.architectures import blocks_of
from avss.errors import InputError
from avss.methods import METHODS
from tests.conftest import ENCODERS, labelled, ragged, tiny
from tests.oracles import divergences, loss_increases, naive_order, predictions, swings, turns, without

METHODS_HERE = ("leave_one_out", "cim", "greedy", "kl_leave_one_out")
NEED_LABELS = ("leave_one_out", "cim", "greedy")


def batches_for(family):
    return [labelled(family, ragged()), labelled(family, ragged((4, 6), seed=1, left=True), seed=1)]


def test_leave_one_out_is_the_loss_of_the_pruned_model_less_that_of_the_whole(family):
    model, batches = tiny(family), batches_for(family)
    expected = loss_increases(model, batches)
    found = avss.score(model, iter(batches), "leave_one_out")
    assert found.values == pytest.approx(expected, abs=1e-5)
    assert (found.documents, found.tokens) == (5, 31)


def test_cim_is_the_mean_swing_of_the_gold_probability(family):
    model, batches = tiny(family), batches_for(family)
    expected = swings(model, batches)
    assert avss.score(model, iter(batches), "cim").values == pytest.approx(expected, abs=1e-6)


def test_kl_leave_one_out_is_how_far_the_pruned_models_predictions_are_without_any_label(family):
    model = tiny(family)
    batches = [ragged(), ragged((4, 6), seed=1)]
    expected = divergences(model, batches)
    assert min(expected) > 1e-5
    found = avss.score(model, iter(batches), "kl_leave_one_out")
    assert found.values == pytest.approx(expected, rel=1e-4, abs=5e-7)
    assert (found.documents, found.tokens) == (5, 31)
    labels = [labelled(family, batch) for batch in batches]
    assert avss.score(model, labels, "kl_leave_one_out").values.tolist() == found.values.tolist()


def test_kl_leave_one_out_of_a_decoder_compares_where_labels_score():
    model, batch = tiny("llama"), ragged((6,))
    last = torch.full_like(batch["input_ids"], -100)
    last[:, -1] = batch["input_ids"][:, -1]
    expected = []
    for layer in range(4):
        p, q = (predictions(each, batch)[-1] for each in (model, without(model, [layer])))
        expected.append((p.exp() * (p - q)).sum().item())
    found = avss.score(model, [batch | {"labels": last}], "kl_leave_one_out")
    assert found.values == pytest.approx(expected, rel=1e-4, abs=5e-7)


def test_kl_leave_one_out_of_blocks_that_add_nothing_is_exactly_zero(planted):
    values = avss.score(planted.model, planted.batches, "kl_leave_one_out").values
    assert values[planted.layers].tolist() == [0] * len(planted.layers)
    assert sorted(np.argsort(values)[: len(planted.layers)]) == planted.layers


def test_kl_leave_one_out_continues_a_run_that_was_killed(tmp_path):
    model, batches = tiny("llama"), [ragged(), ragged((4, 6), seed=1)]
    fresh = avss.score(model, batches, "kl_leave_one_out").values
    runs = []

    def die(module, args, output):
        runs.append(1)
        if len(runs) == 5:
            raise KeyboardInterrupt
        return output

    dying = blocks_of(model)[2].register_forward_hook(die)
    with pytest.raises(KeyboardInterrupt):
        avss.score(model, batches, "kl_leave_one_out", cache=tmp_path)
    dying.remove()
    assert list(tmp_path.iterdir())
    assert avss.score(model, batches, "kl_leave_one_out", cache=tmp_path).values.tolist() == fresh.tolist()
    losses = avss.score(model, batches, "leave_one_out").values
    assert avss.score(model, batches, "leave_one_out", cache=tmp_path).values.tolist() == losses.tolist()


def test_kl_leave_one_out_in_half_precision_is_near_that_in_full():
    full = avss.score(tiny("llama"), [ragged()], "kl_leave_one_out").values
    half = avss.score(tiny("llama").to(torch.bfloat16), [ragged()], "kl_leave_one_out").values
    assert half == pytest.approx(full, rel=0.2)


def test_greedy_removes_in_the_order_of_pruning_again_and_again(family):
    model, batches = tiny(family), batches_for(family)
    assert avss.score(model, iter(batches), "greedy").values.tolist() == turns(model, batches)


@pytest.mark.parametrize("remove", [2, 0.5])
def test_greedy_stops_when_asked_and_leaves_the_rest_equal(remove):
    model, batches = tiny("llama"), [ragged()]
    scores = avss.score(model, batches, "greedy", remove=remove)
    assert scores.lowest(2) == naive_order(model, batches, 2)
    assert sorted(scores.values) == [1, 2, 3, 3]


def test_greedy_of_equal_blocks_removes_the_deepest_first(planted):
    scores = avss.score(planted.model, planted.batches, "greedy", remove=3)
    assert scores.lowest(3) == planted.layers[::-1]


def test_a_model_of_one_block_has_nothing_to_remove():
    model = without(tiny("llama"), [0, 1, 2])
    assert avss.score(model, [ragged()], "greedy").values.tolist() == [1]


COUNTS = [("leave_one_out", 36), ("cim", 72), ("greedy", 112), ("kl_leave_one_out", 36)]


@pytest.mark.parametrize(("method", "blocks"), COUNTS)
def test_as_many_blocks_run_as_the_docstring_says(planted, method, blocks):
    calls = []
    hooks = [b.register_forward_hook(lambda *_: calls.append(1)) for b in blocks_of(planted.model)]
    avss.score(planted.model, planted.batches[:1], method)
    for hook in hooks:
        hook.remove()
    assert len(calls) == blocks


@pytest.mark.parametrize("method", METHODS_HERE)
def test_a_cache_spares_the_second_run_every_block(method, tmp_path):
    model, batches = tiny("gpt2"), [ragged()]
    first = avss.score(model, batches, method, cache=tmp_path, key="a")
    calls = []
    for block in blocks_of(model):
        block.register_forward_hook(lambda *_: calls.append(1))
    assert avss.score(model, batches, method, cache=tmp_path, key="a").table.equals(first.table)
    assert not calls


@pytest.mark.parametrize("method", NEED_LABELS)
def test_encoders_need_labels_and_plain_encoders_have_none(method):
    assert METHODS[method].reads_labels
    for family in ENCODERS:
        with pytest.raises(InputError, match="no labels"):
            avss.score(tiny(family), [ragged()], method)
        with pytest.raises(InputError, match="has no head"):
            avss.score(tiny(family).base_model, [labelled(family, ragged())], method)


def test_documents_with_nothing_to_predict_do_not_count():
    model = tiny("llama")
    alone = avss.score(model, [ragged((6, 8))], "cim").values
    assert avss.score(model, [ragged((6, 8)), ragged((1,))], "cim").values == pytest.approx(alone, rel=1e-12)


def test_half_precision_models_are_scored():
    for method in METHODS_HERE:
        assert np.isfinite(avss.score(tiny("llama").to(torch.bfloat16), [ragged()], method).values).all()


@pytest.mark.parametrize(("remove", "message"), [(0, "removing 0"), (4, "removing 4"), (1.5, "share of layers is 1.5")])
def test_greedy_cannot_remove_none_or_all(remove, message):
    with pytest.raises(InputError, match=message):
        avss.score(tiny("llama"), [ragged()], "greedy", remove=remove)
