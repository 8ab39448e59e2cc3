"""A trained model in which some blocks do nothing: which methods put exactly those last, and which cannot see them."""

import pytest

import avss


@pytest.mark.parametrize(
    ("method", "reading"),
    [
        ("leave_one_out", "paper"),
        ("cim", "paper"),
        ("avss", avss.Reading(site="block_update")),
        ("taylor", "paper"),
        ("lrp", "paper"),
        ("block_influence", "paper"),
        ("angular", "paper"),
    ],
)
def test_blocks_that_add_nothing_score_zero_and_all_others_more(planted, method, reading):
    values = avss.score(planted.model, planted.batches, method, reading).values
    assert (values[planted.layers] == 0).all()
    # Each other block has been trained for this very text.
    assert [layer for layer in range(8) if values[layer] > 0] == [n for n in range(8) if n not in planted.layers]


@pytest.mark.parametrize(
    "method", ["leave_one_out", "cim", "greedy", "taylor", "lrp", "block_influence", "angular", "shapley"]
)
def test_they_are_the_first_to_be_removed(planted, method):
    assert sorted(avss.score(planted.model, planted.batches, method).lowest(3)) == planted.layers


def test_what_a_block_hands_on_does_not_tell_that_it_added_nothing(planted):
    scores = avss.score(planted.model, planted.batches, "avss", avss.Reading(site="block_output"))
    assert sorted(scores.lowest(3)) != planted.layers
    # Such a block scores exactly as the one before it, however important that one is.
    for layer in planted.layers:
        assert layer > 0
        assert scores.table["avss"][layer] == scores.table["avss"][layer - 1]


def test_the_gradient_at_what_a_block_hands_on_does_not_tell_either(planted):
    scores = avss.score(planted.model, planted.batches, "gbis")
    assert sorted(scores.lowest(3)) != planted.layers
    for layer in planted.layers:
        assert scores.values[layer] == pytest.approx(scores.values[layer - 1], rel=1e-6)
