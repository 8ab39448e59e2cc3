"""Readings that differ from `paper` in one choice, and from `released-code` in one, and what each of them changes.

The runs are those of `avss.runs.experiment`, with many readings in place of two. They have a store of their own, so
that the pages about Table 1 stay with the presets. Nothing here needs torch.
"""

from collections.abc import Iterable
from dataclasses import fields, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from avss import intervals
from avss.equations import standard_deviation
from avss.moments import Moments
from avss.reading import CHOICES, PRESETS, Reading
from avss.report.block_scores import taus_of_pairs
from avss.report.comparisons import lowest_removals, sort_key, summary
from avss.report.snapshot import Results
from avss.report.table1 import PRINTED, measured_rows
from avss.runs.provenance import now
from avss.store import Store

EPSILONS = (1e-5, 1e-4, 1e-3, 0.1, 1.0, "quantile:0.01", "quantile:0.1", "quantile:0.5")
PAPER, RELEASED = PRESETS["paper"], PRESETS["released-code"]
FIELDS = tuple(field.name for field in fields(Reading))
DIVERGENCES = tuple(name for name in FIELDS if getattr(PAPER, name) != getattr(RELEASED, name))
# The name in `compared` of an axis beside the fields of a reading.
ALL_BUT = "released-code but for"
AXES = ("paper", *FIELDS, ALL_BUT, "released-code")
# Two points an octave, all of them edges of the histogram's bins, so that S is exact there.
_GRID = np.sort(np.outer(2.0 ** np.arange(-24, 17), (1.0, 1.5)).ravel())
_CURVE = "sparsity below "


def readings() -> tuple[str, ...]:
    """The names of all readings: `paper`, each change of one field, `released-code` but for one field, and it whole."""
    values = {name: CHOICES.get(name, EPSILONS) for name in FIELDS}
    alone = [replace(PAPER, **{name: value}) for name in FIELDS for value in values[name]]
    all_but = [replace(RELEASED, **{name: getattr(PAPER, name)}) for name in DIVERGENCES]
    return tuple(dict.fromkeys(reading.name for reading in (PAPER, *alone, *all_but, RELEASED)))


def axis_of(reading: str) -> tuple[str, str]:
    """On which of `AXES` a reading lies and the value that it has there; ("other", its name) where on none."""
    own = Reading.parse(reading)
    for name, preset in PRESETS.items():
        if own == preset:
            return name, ""
    for axis, preset in ((None, PAPER), (ALL_BUT, RELEASED)):
        changed = [name for name in FIELDS if getattr(own, name) != getattr(preset, name)]
        if len(changed) == 1:
            value = getattr(own, changed[0])
            return (changed[0], f"{value}") if axis is None else (axis, f"{changed[0]}={value}")
    return "other", reading


def axis_label(axis: str, choice: str) -> str:
    """An axis and a value on it, as readers see them."""
    if axis == ALL_BUT:
        return f"{axis} {choice}"
    return f"{axis} = {choice}" if choice else axis


def measured(results: Results) -> list[str]:
    """The rows that have results in this results, in the order of Table 1; none where nothing has run."""
    return list(measured_rows(results)) if (results.in_use["status"] == "ok").any() else []


def compared(results: Results, row: str) -> pd.DataFrame:
    """The effect of each reading in one row, one line for each profile and reading, in the order of `AXES`.

    tau, tau_low, tau_high: Kendall's tau-b of its scores and those of `paper` on the same calibration sample, mean,
    lowest and highest over the `pairs` of seeds; for `paper` itself, that of two of its own samples. removed,
    retention, retention_low, retention_high, n, seeds, run: as in `comparisons.summary`. worst, best: the lowest and
    highest retention of a single seed.
    """
    scores = summary(results, row)
    scores = scores[(scores["method"] == "avss") & (scores["source"] != PRINTED)]
    taus = taus_of_pairs(results, row).query("method == other == 'avss' and reading == 'paper'")
    taus = taus[["source", "other_reading", "tau", "low", "high", "pairs"]]
    taus = taus.set_axis(["source", "reading", "tau", "tau_low", "tau_high", "pairs"], axis=1)
    others = ["ran", "model", "checkpoint", "method", "value", "sd", "singles", "low", "high", "original", "too_weak"]
    scores = scores.drop(columns=others).merge(taus, how="left")
    single = lowest_removals(results, row).query("method == 'avss'")
    shares = [intervals.retention(line.metric, line.value, line.original) for line in single.itertuples()]
    ends = single.assign(share=shares, source=single["profile"]).groupby(["source", "reading"])["share"]
    scores = scores.merge(ends.agg(worst="min", best="max").reset_index())
    axes = [axis_of(reading) for reading in scores["reading"]]
    table = pd.DataFrame(axes, columns=["axis", "choice"]).join(scores)
    order_of_readings = readings()
    order = sorted(
        range(len(table)),
        key=lambda line: (sort_key(table["axis"][line], AXES), sort_key(table["reading"][line], order_of_readings)),
    )
    return table.iloc[order].reset_index(drop=True)


def single_changes(table: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """The line of `paper` in what one profile compared, and those of one changed field.

    moves: whether the change moves the order on every seed further than another calibration sample does. A reading that
    failed on some seeds is left out, because it is no mean over the same samples.
    """
    base = table[table["axis"] == PAPER.name].iloc[0]
    alone = table[table["axis"].isin(FIELDS) & (table["seeds"] == base["seeds"])]
    return base, alone.assign(moves=alone["tau_high"] < base["tau_low"])


def curve(moments: Iterable[Moments]) -> pd.DataFrame:
    """S(epsilon), Eq. 4, of every layer from its histogram: layer, epsilon, sparsity; exact, two points an octave.

    Points where S is 0 or 1 are left out. Raises `InputError` where no histogram was
    kept.
    """
    tables = []
    for layer, block in enumerate(moments):
        shares = np.array([block.sparsity(epsilon) for epsilon in _GRID])
        part = (shares > 0) & (shares < 1)
        tables.append(pd.DataFrame({"layer": layer, "epsilon": _GRID[part], "sparsity": shares[part]}))
    return pd.concat(tables, ignore_index=True)


def keep_curve(store: Store, profile: str, row: str, facts: dict, moments: list[Moments]) -> None:
    """Add the `curve` of these moments, and the variances (Eq. 1), to the results, unless it has that of `facts`.

    facts: provenance, in which `curve` is the key of all that determines the moments.
    """
    if any(earlier.get("curve") == facts["curve"] for earlier in store.provenances(profile, row)):
        return
    common = {"row": row, "method": "avss", "reading": PAPER.name, "seed": 0}
    lines = [
        common | {"layer": int(line.layer), "quantity": f"{_CURVE}{line.epsilon!r}", "value": f"{line.sparsity:.9g}"}
        for line in curve(moments).itertuples()
    ]
    lines += [
        common | {"layer": layer, "quantity": "variance", "value": f"{block.variance():.9g}"}
        for layer, block in enumerate(moments)
    ]
    store.start(profile, row, now(), facts).add([], lines)


def stored_curve(results: Results, row: str) -> pd.DataFrame:
    """The newest curve of each profile: profile, layer, epsilon, sparsity, std, run; no line where there is none."""
    layers = results.of(results.layers, row)
    curves = layers[layers["quantity"].str.startswith(_CURVE)]
    curves = curves[curves["run"] == curves.groupby("profile")["run"].transform("max")]
    curves = curves.assign(epsilon=curves["quantity"].str.removeprefix(_CURVE).astype(float), sparsity=curves["value"])
    spread = layers.query("quantity == 'variance'")[["run", "layer", "value"]]
    spread = spread.assign(std=standard_deviation(spread["value"]))
    table = curves.merge(spread[["run", "layer", "std"]])[["profile", "layer", "epsilon", "sparsity", "std", "run"]]
    return table.sort_values(["profile", "layer", "epsilon"], ignore_index=True)


def exponents(curve: pd.DataFrame, shares: ArrayLike) -> NDArray[np.float64]:
    """The power of the scale with which AVSS grows where these shares of the activations are near zero.

    2 + d ln S / d ln epsilon, from one layer's epsilon and sparsity, both ascending. Returns one number a share.
    """
    share, epsilon = np.log(curve["sparsity"]), np.log(curve["epsilon"])
    return np.interp(np.log(shares), share, 2 + np.gradient(share, epsilon))
