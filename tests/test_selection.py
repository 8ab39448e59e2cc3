"""Selection: which layers go under each rule, against exact fractions and plain sorting."""

from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from avss import selection
from avss.errors import InputError
from avss.scores import from_values

distinct = npst.arrays(np.float64, st.integers(2, 40), elements=st.floats(0.01, 100), unique=True)


@given(distinct, st.data())
def test_lowest_removes_the_k_smallest_in_ascending_order(values, data):
    k = data.draw(st.integers(1, len(values) - 1))
    assert selection.lowest(values, k) == sorted(range(len(values)), key=values.__getitem__)[:k]


def test_of_equal_layers_the_deeper_goes_first_and_ranks_lower():
    scores = from_values("last", np.array([1.0, 1.0, 1.0]))
    assert scores.lowest(2) == [2, 1]
    assert scores.table["rank"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("fraction", "layers", "count"),
    [(0.1667, 6, 1), (0.25, 16, 4), (0.25, 32, 8), (0.125, 32, 4), (0.1562, 32, 5), (0.2, 32, 6), (0.225, 32, 7)],
)
def test_shares_of_table_1_become_whole_layers(fraction, layers, count):
    assert selection.count_of(fraction, layers) == count


@pytest.mark.parametrize("wanted", ["1", None, True, [1]])
def test_an_amount_that_is_no_number_is_refused(wanted):
    with pytest.raises(InputError, match="amount of layers is"):
        selection.count_of(wanted, 4)


@pytest.mark.parametrize("wanted", [0, 4, -1, 0.0, 1.0, 1.5, 0.05, 0.95, float("nan")])
def test_amounts_that_leave_nothing_to_do_or_nothing_over_are_refused(wanted):
    with pytest.raises(InputError, match=str(wanted)):
        selection.count_of(wanted, 4)


@given(distinct, st.floats(0.01, 0.99))
def test_cumulative_takes_the_lowest_up_to_the_mass(values, mass):
    taken = selection.cumulative(values, mass)
    assert taken == sorted(range(len(values)), key=values.__getitem__)[: len(taken)]
    assert values[taken].sum() / values.sum() <= mass + 1e-12


def exact_shares(weights) -> list[Fraction]:
    return [Fraction(running, sum(weights)) for running in accumulate(weights)]


weighted = st.lists(st.integers(0, 50), min_size=2, max_size=60).filter(any)


@given(weighted, st.integers(1, 99), st.sampled_from([1, 0.1, 1e-3, 1e300, 1e-300]))
def test_mass_rules_take_the_layers_of_exact_fractions(weights, percent, unit):
    values, mass = [weight * unit for weight in weights], percent / 100
    expected = [layer for layer, share in enumerate(exact_shares(weights)) if share <= Fraction(percent, 100)]
    assert selection.released_code(values, mass) == expected
    ascending = sorted(range(len(weights)), key=lambda layer: (weights[layer], -layer))
    shares = exact_shares([weights[layer] for layer in ascending])
    expected = [layer for layer, share in zip(ascending, shares, strict=True) if share <= Fraction(percent, 100)]
    assert selection.cumulative(values, mass) == expected


@pytest.mark.parametrize("layers", range(2, 41))
def test_no_layer_of_equal_scores_is_lost_to_rounding(layers):
    for removed in range(1, layers):
        assert selection.released_code([0.1] * layers, removed / layers) == list(range(removed))
        assert len(selection.cumulative([0.1] * layers, removed / layers)) == removed


@given(distinct, st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_a_larger_mass_takes_the_same_layers_and_more(values, one, other):
    less, more = sorted([one, other])
    for rule in (selection.cumulative, selection.released_code):
        few, many = rule(values, less), rule(values, more)
        assert many[: len(few)] == few
        assert len(many) < len(values), "at least one layer has to stay"


def test_a_mass_of_nearly_all_leaves_a_layer():
    for values in ([1.0, 2.0], [1.0, 0.0, 0.0], [1.0] * 7):
        for rule in (selection.cumulative, selection.released_code):
            assert len(rule(values, np.nextafter(1, 0))) < len(values)


@given(distinct, st.data())
def test_layers_in_another_order_are_the_same_layers(values, data):
    order = data.draw(st.permutations(range(len(values))), label="order")
    k = data.draw(st.integers(1, len(values) - 1), label="k")
    mass = data.draw(st.floats(0.01, 0.99), label="mass")
    moved = values[order]
    assert [order[layer] for layer in selection.lowest(moved, k)] == selection.lowest(values, k)
    assert [order[layer] for layer in selection.cumulative(moved, mass)] == selection.cumulative(values, mass)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=20), st.data())
def test_ties_are_broken_by_depth_and_the_number_is_kept(values, data):
    k = data.draw(st.integers(1, len(values) - 1), label="k")
    assert selection.lowest(values, k) == sorted(range(len(values)), key=lambda layer: (values[layer], -layer))[:k]
    scores = from_values("magnitude", values)
    assert scores.table["rank"].iloc[scores.lowest(k)].tolist() == list(range(len(values), len(values) - k, -1))
    fixed = selection.iterative(lambda removed: [v for i, v in enumerate(values) if i not in removed], len(values), k)
    assert fixed == selection.lowest(values, k)


def test_iterative_scores_what_is_left_again():
    # Layer 2 is the lowest; without it layer 0 is, although layer 1 was lower before.
    scores = {(): [3, 2, 1, 9], (2,): [1, 5, 9], (0, 2): [7, 6]}
    asked = []

    def score(removed):
        asked.append(tuple(removed))
        return scores[tuple(removed)]

    assert selection.iterative(score, 4, 3) == [2, 0, 3]
    assert asked == [(), (2,), (0, 2)]


def test_rules_are_chosen_by_name():
    values = [0.2, 0.01, 0.4, 0.39]
    assert selection.select("lowest", lambda removed: values, 4, 2) == [1, 0]
    assert selection.select(
        "iterative", lambda removed: [v for i, v in enumerate(values) if i not in removed], 4, 2
    ) == [
        1,
        0,
    ]
    assert selection.select("cumulative(0.25)", lambda removed: values, 4, 1) == [1, 0]
    assert selection.select("released_code(0.25)", lambda removed: values, 4, 1) == [0, 1]


@pytest.mark.parametrize(
    "rule",
    [
        "highest",
        "lowest(0.5)",
        "cumulative",
        "cumulative(half)",
        "cumulative(0.2",
        "",
        "cumulative(nan)",
        "cumulative(1)",
    ],
)
def test_an_unknown_rule_is_one_clear_line(rule):
    with pytest.raises(InputError, match="selection"):
        selection.parse(rule)


def test_a_mass_needs_scores_that_have_shares():
    for values in ([-1, 2, 3], [0, 0, 0]):
        with pytest.raises(InputError, match="have no shares"):
            selection.cumulative(values, 0.5)


def test_released_code_takes_the_first_layers_whatever_they_score():
    assert selection.released_code([0.2, 0.01, 0.4, 0.39], 0.25) == [0, 1]
    assert selection.cumulative([0.2, 0.01, 0.4, 0.39], 0.25) == [1, 0]
    with pytest.raises(InputError, match=r"mass is 1\.5"):
        selection.cumulative([1.0, 2.0], 1.5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_never_ranks_a_layer(bad):
    values = np.array([3.0, 1.0, bad, 2.0])
    calls = [
        lambda: selection.lowest(values, 1),
        lambda: selection.cumulative(values, 0.5),
        lambda: selection.released_code(values, 0.5),
        lambda: selection.iterative(lambda removed: values, 4, 1),
        lambda: from_values("magnitude", values),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"layer 2 is not finite"):
            call()


def test_iterative_names_the_layer_of_the_model_and_not_its_place_among_those_left():
    scores = {(): [1, 2, 3, 4], (0,): [1, float("nan"), 2]}
    with pytest.raises(InputError, match="score of layer 2 is not finite"):
        selection.iterative(lambda removed: scores[tuple(removed)], 4, 2)
    with pytest.raises(InputError, match="4 scores for 3 layers that are left"):
        selection.iterative(lambda removed: [1, 2, 3, 4], 4, 2)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 1.0])
def test_scores_that_are_not_one_number_a_layer_are_refused(values):
    with pytest.raises(InputError, match="one number a layer"):
        selection.lowest(values, 1)
