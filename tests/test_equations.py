"""Each equation against the paper's formula written out as a loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from avss import equations
from avss.errors import InputError

activations = npst.arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e3, 1e3))
positive = npst.arrays(np.float64, st.integers(1, 12), elements=st.floats(1e-6, 1e6))


@given(activations)
def test_variance_is_the_mean_squared_distance_from_the_mean(values):
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    assert equations.variance(values) == pytest.approx(squares / len(values), rel=1e-9, abs=1e-12)
    assert equations.variance(values, ddof=1) == pytest.approx(squares / (len(values) - 1), rel=1e-9, abs=1e-12)


@given(activations, st.floats(1e-6, 1e3))
def test_sparsity_counts_strictly_below_epsilon(values, epsilon):
    below = sum(1 for value in values if abs(value) < epsilon)
    assert equations.sparsity(values, epsilon) == below / len(values)


def test_an_activation_equal_to_epsilon_is_not_near_zero():
    assert equations.sparsity([0.5, -0.5, 0.25, 1.0], 0.5) == 0.25


@given(positive)
def test_shares_sum_to_one_and_keep_order(values):
    for share in (equations.normalized_variance, equations.normalized_sparsity, equations.normalized_avss):
        shares = share(values)
        assert shares.sum() == pytest.approx(1)
        assert (np.diff(shares[np.argsort(values)]) >= 0).all()


@given(positive, st.data())
def test_avss_is_variance_over_sparsity_and_its_cumulative_sum_ends_at_one(variances, data):
    sparsities = data.draw(npst.arrays(np.float64, len(variances), elements=st.floats(1e-6, 1)), label="sparsities")
    scores = equations.avss(variances, sparsities)
    assert scores.tolist() == [v / s for v, s in zip(variances, sparsities, strict=True)]
    cumulative = equations.cumulative_avss(equations.normalized_avss(scores))
    assert cumulative[-1] == pytest.approx(1)
    assert (np.diff(cumulative) >= 0).all(), "Eq. 9 grows with depth whatever the scores: it cannot rank layers"


@given(positive)
def test_sparsity_deviation_is_literal(sparsities):
    total = math.fsum(sparsities)
    expected = [abs(s - s / total) for s in sparsities]
    assert equations.sparsity_deviation(sparsities) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_standard_deviation_is_the_root():
    assert equations.standard_deviation([4.0, 9.0]).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: equations.variance([]), "0 activations"),
        (lambda: equations.variance([1.0], ddof=1), "1 activations"),
        (lambda: equations.sparsity([1.0], 0.0), "epsilon is 0.0"),
        (lambda: equations.sparsity([1.0], float("nan")), "epsilon is nan"),
        (lambda: equations.sparsity([], 1.0), "0 activations"),
        (lambda: equations.avss([1.0, 2.0, 1.0], [0.5, 0.0, 0.0]), "layers 1, 2"),
        (lambda: equations.normalized_avss([0.0, 0.0]), "sum to 0.0"),
        (lambda: equations.normalized_variance([1.0, float("nan")]), "variance of layer 1 is nan"),
        (lambda: equations.normalized_sparsity([1.0, -0.5]), "sparsity of layer 1 is -0.5"),
        (lambda: equations.normalized_avss([1e308, 1e308]), "sum to inf"),
        (lambda: equations.variance([1.0, float("nan")]), "variance of activations that hold NaN"),
        (lambda: equations.sparsity([float("inf")], 1.0), "sparsity of activations that hold NaN or infinity"),
        (lambda: equations.standard_deviation([4.0, -1.0]), "variance of layer 1 is -1"),
        (lambda: equations.avss([1.0, float("nan")], [0.5, 0.5]), "variance of layer 1 is nan"),
        (lambda: equations.avss([1.0, 1.0], [0.5, float("nan")]), "sparsity of layer 1 is nan"),
        (lambda: equations.avss([1.0, 1e300], [0.5, 1e-300]), "AVSS of layer 1 is inf"),
        (lambda: equations.cumulative_avss([0.5, float("nan")]), "normalised AVSS of layer 1 is nan"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(InputError, match=names):
        call()
