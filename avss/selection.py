"""Rules that select the layers to remove, given one score a layer. The paper's text allows several rules."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avss.errors import InputError

# Shares that differ by less count as equal. Sums of thousands of float64 shares are rounded by less than this, and
# measured scores do not have so many digits.
MASS_TOLERANCE = 1e-12


def count_of(k_or_fraction: int | float, layers: int) -> int:
    """The number of layers that an int (a number) or a float (a share of M, rounded to the nearest layer) means.

    Raises `InputError` unless at least one goes and at least one stays.
    """
    if isinstance(k_or_fraction, bool) or not isinstance(k_or_fraction, Real):
        raise InputError(f"amount of layers is {k_or_fraction!r}; give a number of layers or a fraction of them")
    if isinstance(k_or_fraction, Integral):
        count = int(k_or_fraction)
    else:
        if not 0 < k_or_fraction < 1:
            raise InputError(f"share of layers is {k_or_fraction}; give a fraction between 0 and 1, or an integer")
        count = math.floor(k_or_fraction * layers + 0.5)
    if not 1 <= count < layers:
        raise InputError(
            f"{k_or_fraction} of {layers} layers means removing {count}; remove at least 1 and at most {layers - 1}"
        )
    return count


def lowest(values: ArrayLike, k_or_fraction: int | float) -> list[int]:
    """The k lowest-scoring layers, lowest first; of two equal layers the deeper one is first.

    values: (M,), finite. Raises `InputError` for a score that is not, and for k as `count_of` does.
    """
    values = _checked_scores(values)
    count = count_of(k_or_fraction, len(values))
    ascending = np.argsort(-values, kind="stable")[::-1]
    return ascending[:count].tolist()


def cumulative(values: ArrayLike, mass: float) -> list[int]:
    """The lowest layers, ascending, while their summed share of the scores stays at or below `mass`.

    Our reading of "layers with low cumulative AVSS". A share within `MASS_TOLERANCE` of the mass is at it. May be
    empty. Raises `InputError` unless 0 < mass < 1, for scores without shares, and for one that is not finite.
    """
    values = _checked_mass(values, mass)
    ascending = np.argsort(-values, kind="stable")[::-1]
    return ascending[_within(values[ascending], mass)].tolist()


def released_code(values: ArrayLike, mass: float) -> list[int]:
    """The layers whose cumulative share in depth order is at or below `mass`, as the authors' script does.

    It removes the earliest layers for any scores. A share within `MASS_TOLERANCE` of the mass is at it. May be empty.
    Raises `InputError` as `cumulative` does.
    """
    values = _checked_mass(values, mass)
    return np.flatnonzero(_within(values, mass)).tolist()


def _within(values: NDArray[np.float64], mass: float) -> NDArray[np.bool_]:
    """Whether the running share of the sum, in this order, is at or below the mass; never so for all layers."""
    # All are first divided by the largest value, to keep the sum of huge scores finite.
    shares = values / values.max()
    running = np.cumsum(shares / shares.sum())
    return running <= min(mass + MASS_TOLERANCE, 1 - MASS_TOLERANCE)


def _checked_scores(values: ArrayLike, names: Sequence[int] | None = None) -> NDArray[np.float64]:
    """One finite score a layer, (M,) float64. names: the layers that the scores belong to, by default 0 to M - 1."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise InputError(f"scores have the shape {values.shape}; give one number a layer")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        layer = names[bad[0]] if names else int(bad[0])
        raise InputError(f"score of layer {layer} is not finite ({values[bad[0]]}); score the model again")
    return values


def _checked_mass(values: ArrayLike, mass: float) -> NDArray[np.float64]:
    if not 0 < mass < 1:
        raise InputError(f"mass is {mass}; give a share of the summed scores between 0 and 1, for instance 0.25")
    values = _checked_scores(values)
    if (values < 0).any() or not values.any():
        raise InputError(
            f"scores from {values.min():g} to {values.max():g} have no shares of their sum; "
            "select the lowest instead, which only needs an order"
        )
    return values


def iterative(score: Callable[[list[int]], ArrayLike], layers: int, k_or_fraction: int | float) -> list[int]:
    """k layers in order of removal; each was the lowest of the layers left at its turn.

    score(removed): the values of the layers that are left, in order of depth, when these are removed. Called k times.
    Raises `InputError` for a number of values that is not that of the layers left, and for one that is not finite.
    """
    removed: list[int] = []
    for _ in range(count_of(k_or_fraction, layers)):
        left = [layer for layer in range(layers) if layer not in removed]
        values = _checked_scores(score(sorted(removed)), left)
        if len(values) != len(left):
            raise InputError(f"{len(values)} scores for {len(left)} layers that are left; give one score a layer")
        removed.append(left[lowest(values, 1)[0]])
    return removed


# Rule: whether it takes a mass, as in `cumulative(0.25)`.
RULES = {"lowest": False, "iterative": False, "cumulative": True, "released_code": True}


def parse(rule: str) -> tuple[str, float | None]:
    """The name of a selection rule and its mass, None where it takes none.

    Raises `InputError` for an unknown rule, a mass that is missing or of no use, and a mass that is not in (0, 1).
    """
    found = re.fullmatch(r"(\w+)(?:\((.*)\))?", rule)
    name, mass = found.groups() if found else (rule, None)
    if name not in RULES or RULES[name] != (mass is not None):
        known = ", ".join(f"{known}(mass)" if takes else known for known, takes in RULES.items())
        raise InputError(f"selection {rule!r} is not a rule; choose one of: {known}")
    if mass is None:
        return name, None
    try:
        share = float(mass)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise InputError(f"selection {rule!r}: the mass is {mass}; give a number between 0 and 1, for instance 0.25")
    return name, share


def select(rule: str, score: Callable[[list[int]], ArrayLike], layers: int, k_or_fraction: int | float) -> list[int]:
    """The layers that a rule removes, given by `parse`-able text; `score` as for `iterative`.

    `lowest` and `iterative` remove k_or_fraction of the layers, the others as many as their mass allows, maybe none.
    """
    name, mass = parse(rule)
    if name == "iterative":
        return iterative(score, layers, k_or_fraction)
    values = score([])
    if name == "lowest":
        return lowest(values, k_or_fraction)
    return (cumulative if name == "cumulative" else released_code)(values, mass)


def runs_of(layers: Iterable[int]) -> list[tuple[int, int]]:
    """The first and the last index of each maximal run of these layers, ascending."""
    runs: list[tuple[int, int]] = []
    for layer in sorted(layers):
        if runs and runs[-1][1] == layer - 1:
            runs[-1] = runs[-1][0], layer
        else:
            runs.append((layer, layer))
    return runs


def checked_layers(layers: Iterable[int], total: int) -> list[int]:
    """The layers to remove, as sorted ints. Raises `InputError` for one out of range or named twice, none, or all."""
    listed = list(layers)
    for layer in listed:
        if not isinstance(layer, Integral) or not 0 <= layer < total:
            raise InputError(f"layer {layer} does not exist; the model's layers are 0 to {total - 1}")
    chosen = sorted(int(layer) for layer in listed)
    for first, second in pairwise(chosen):
        if first == second:
            raise InputError(f"layer {first} is named twice; name each layer once")
    if not chosen:
        raise InputError("no layer is named; name at least one layer to remove")
    if len(chosen) == total:
        raise InputError(f"all {total} layers are named; at least one has to stay")
    return chosen
