"""Equations 1 to 9 of the AVSS paper (arXiv 2411.02117), as printed, one function each.

Plain NumPy in float64 on arrays that fit in memory. `avss.moments` computes the same quantities in one pass over a
running model; these functions are the definition that it is tested against.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avss.errors import InputError

Array = NDArray[np.float64]


def _per_layer(values: ArrayLike, quantity: str) -> Array:
    """One number a layer, (M,) float64. Raises `InputError` for one that is negative, NaN or infinite."""
    values = np.asarray(values, dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        raise InputError(
            f"{quantity} of layer {bad[0]} is {values.flat[bad[0]]:g}; it has to be finite and not below 0: "
            "check the activations of that layer"
        )
    return values


def _share(values: ArrayLike, quantity: str, plural: str) -> Array:
    values = _per_layer(values, quantity)
    with np.errstate(over="ignore"):
        total = values.sum()
    if not np.isfinite(total) or total <= 0:
        raise InputError(f"{plural} over all layers sum to {total}; a share needs a positive, finite sum")
    return values / total


def _activations(activations: ArrayLike, quantity: str, least: int) -> Array:
    values = np.asarray(activations, dtype=np.float64)
    if values.size < least:
        raise InputError(f"{quantity} of {values.size} activations; give at least {least}")
    if not np.isfinite(values).all():
        raise InputError(
            f"{quantity} of activations that hold NaN or infinity; check them, or compute in a wider dtype"
        )
    return values


def variance(activations: ArrayLike, ddof: int = 0) -> float:
    """Eq. 1: the mean squared distance of the activations from their mean.

    On a running model `Moments.variance` computes it, in one pass. `activations` has any shape; all elements count.
    `ddof=1` divides by N - 1 instead of the paper's N. Raises `InputError` where fewer than ddof + 1 activations are
    given, and where one is not finite.
    """
    return float(_activations(activations, "variance", ddof + 1).var(ddof=ddof))


def standard_deviation(variances: ArrayLike) -> Array:
    """Eq. 2: the square root of the variance, per layer (M,). Raises `InputError` for a variance below 0 or NaN."""
    return np.sqrt(_per_layer(variances, "variance"))


def normalized_variance(variances: ArrayLike) -> Array:
    """Eq. 3: each layer's variance as a share of the sum over all layers, (M,)."""
    return _share(variances, "variance", "variances")


def sparsity(activations: ArrayLike, epsilon: float) -> float:
    """Eq. 4: the share of activations with |a| < epsilon, strictly.

    On a running model `Moments.sparsity` computes it, in one pass. `activations` has any shape; all elements count.
    Raises `InputError` unless epsilon > 0, where no activation is given, and where one is not finite.
    """
    if not epsilon > 0:
        raise InputError(f"epsilon is {epsilon}; Eq. 4 needs a threshold above 0")
    return float((np.abs(_activations(activations, "sparsity", 1)) < epsilon).mean())


def normalized_sparsity(sparsities: ArrayLike) -> Array:
    """Eq. 5: each layer's sparsity as a share of the sum over all layers, (M,)."""
    return _share(sparsities, "sparsity", "sparsities")


def sparsity_deviation(sparsities: ArrayLike) -> Array:
    """Eq. 6, literally: |S - S~|, a layer's sparsity less its own normalised sparsity, (M,).

    The text calls this a deviation "from the average model trend", which the printed formula does not compute.
    """
    return np.abs(np.asarray(sparsities, dtype=np.float64) - normalized_sparsity(sparsities))


def avss(variances: ArrayLike, sparsities: ArrayLike) -> Array:
    """Eq. 7: variance divided by sparsity, per layer (M,).

    Raises `InputError` where a sparsity is 0, and for a number that is negative or not finite.
    """
    variances, sparsities = _per_layer(variances, "variance"), _per_layer(sparsities, "sparsity")
    empty = np.flatnonzero(sparsities == 0)
    if empty.size:
        layers = ", ".join(map(str, empty))
        raise InputError(f"sparsity is 0 in layers {layers}; Eq. 7 divides by it: raise epsilon or add samples")
    with np.errstate(over="ignore"):
        return _per_layer(variances / sparsities, "AVSS")


def normalized_avss(scores: ArrayLike) -> Array:
    """Eq. 8: each layer's AVSS as a share of the sum over all layers, (M,)."""
    return _share(scores, "AVSS", "AVSS scores")


def cumulative_avss(normalized: ArrayLike) -> Array:
    """Eq. 9: running sum of normalised AVSS from the first layer to the last, (M,).

    It grows with depth for any scores, so it cannot rank layers. It is here because the paper prints it.
    """
    return np.cumsum(_per_layer(normalized, "normalised AVSS"))
