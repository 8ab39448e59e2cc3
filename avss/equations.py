"""Equations 1 to 9 of the AVSS paper (arXiv 2411.02117), as printed, one function each.

Plain NumPy in float64 on arrays that fit in memory. `avss.moments` computes the same quantities in one pass over a
running model; these functions are the definition that it is tested against.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avss.errors import InputError

Array = NDArray[np.float64]


def _share(values: ArrayLike, what: str) -> Array:
    values = np.asarray(values, dtype=np.float64)
    total = values.sum()
    if not np.isfinite(total) or total <= 0:
        raise InputError(f"{what} over all layers sum to {total}; a share needs a positive, finite sum")
    return values / total


def variance(activations: ArrayLike, ddof: int = 0) -> float:
    """Eq. 1: the mean squared distance of the activations from their mean.

    `activations` has any shape; all elements count. `ddof=1` divides by N - 1 instead of the paper's N.
    Raises `InputError` where fewer than ddof + 1 activations are given.
    """
    values = np.asarray(activations, dtype=np.float64)
    if values.size <= ddof:
        raise InputError(f"variance of {values.size} activations with ddof={ddof}; give at least {ddof + 1}")
    return float(values.var(ddof=ddof))


def standard_deviation(variances: ArrayLike) -> Array:
    """Eq. 2: the square root of the variance, per layer (M,)."""
    return np.sqrt(np.asarray(variances, dtype=np.float64))


def normalized_variance(variances: ArrayLike) -> Array:
    """Eq. 3: each layer's variance as a share of the sum over all layers, (M,)."""
    return _share(variances, "variances")


def sparsity(activations: ArrayLike, epsilon: float) -> float:
    """Eq. 4: the share of activations with |a| < epsilon, strictly. Raises `InputError` unless epsilon > 0."""
    if not epsilon > 0:
        raise InputError(f"epsilon is {epsilon}; Eq. 4 needs a threshold above 0")
    values = np.asarray(activations, dtype=np.float64)
    if values.size == 0:
        raise InputError("sparsity of 0 activations; give at least one")
    return float((np.abs(values) < epsilon).mean())


def normalized_sparsity(sparsities: ArrayLike) -> Array:
    """Eq. 5: each layer's sparsity as a share of the sum over all layers, (M,)."""
    return _share(sparsities, "sparsities")


def sparsity_deviation(sparsities: ArrayLike) -> Array:
    """Eq. 6, literally: |S - S~|, a layer's sparsity less its own normalised sparsity, (M,).

    The text calls this a deviation "from the average model trend", which the printed formula does not compute.
    """
    return np.abs(np.asarray(sparsities, dtype=np.float64) - normalized_sparsity(sparsities))


def avss(variances: ArrayLike, sparsities: ArrayLike) -> Array:
    """Eq. 7: variance divided by sparsity, per layer (M,). Raises `InputError` where a sparsity is 0."""
    sparsities = np.asarray(sparsities, dtype=np.float64)
    empty = np.flatnonzero(sparsities <= 0)
    if empty.size:
        layers = ", ".join(map(str, empty))
        raise InputError(f"sparsity is 0 in layers {layers}; Eq. 7 divides by it: raise epsilon or add samples")
    return np.asarray(variances, dtype=np.float64) / sparsities


def normalized_avss(scores: ArrayLike) -> Array:
    """Eq. 8: each layer's AVSS as a share of the sum over all layers, (M,)."""
    return _share(scores, "AVSS scores")


def cumulative_avss(normalized: ArrayLike) -> Array:
    """Eq. 9: running sum of normalised AVSS from the first layer to the last, (M,).

    It grows with depth whatever the scores are, so it cannot rank layers; it is kept because the paper prints it.
    """
    return np.cumsum(np.asarray(normalized, dtype=np.float64))
