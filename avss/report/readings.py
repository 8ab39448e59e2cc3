"""Readings that differ from `paper` in one choice, and from `released-code` in one, and what each of them changes.

The runs are those of `avss.runs.experiment`, with many readings in place of two. They have a store of their own, so
that the pages about Table 1 stay with the presets. Nothing here needs torch.
"""

from collections.abc import Iterable
from dataclasses import fields, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from avss import intervals
from avss.equations import standard_deviation
from avss.moments import Moments
from avss.reading import CHOICES, PRESETS, Reading
from avss.report import comparisons
from avss.report.comparisons import agreement, current, layer_values, observed, place, retention, summary
from avss.report.tables import Text, markdown, runs_of, spell
from avss.runs.provenance import now
from avss.store import Store

FOLDER = "readings"
EPSILONS = (1e-5, 1e-4, 1e-3, 0.1, 1.0, "quantile:0.01", "quantile:0.1", "quantile:0.5")
PAPER, RELEASED = PRESETS["paper"], PRESETS["released-code"]
FIELDS = tuple(field.name for field in fields(Reading))
DIVERGENCES = tuple(name for name in FIELDS if getattr(PAPER, name) != getattr(RELEASED, name))
# What `compared` calls an axis beside the fields of a reading.
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


def label(axis: str, choice: str) -> str:
    """What `axis_of` found, for readers."""
    if axis == ALL_BUT:
        return f"{axis} {choice}"
    return f"{axis} = {choice}" if choice else axis


def readings_store(store: Store) -> Store:
    """The store of these runs, which lies inside the main one."""
    return Store(store.root / FOLDER)


def measured(store: Store) -> list[str]:
    """The rows that have results in this store, in the order of Table 1; none where nothing has run."""
    return list(comparisons.measured_rows(store)) if len(store.observations()) else []


def compared(store: Store, row: str) -> pd.DataFrame:
    """What each reading changes in one row, one line for each profile and reading, in the order of `AXES`.

    tau, tau_low, tau_high: Kendall's tau-b of its scores and those of `paper` on the same calibration sample, mean,
    lowest and highest over the `pairs` of seeds; for `paper` itself, that of two of its own samples. removed,
    retention, retention_low, retention_high, n, seeds, run: as in `comparisons.summary`. worst, best: the lowest and
    highest retention of a single seed.
    """
    kept = summary(store, row).query("method == 'avss' and source != @comparisons.PRINTED")
    taus = agreement(store, row).query("method == other == 'avss' and reading == 'paper'")
    taus = taus[["source", "other_reading", "tau", "low", "high", "pairs"]]
    taus = taus.set_axis(["source", "reading", "tau", "tau_low", "tau_high", "pairs"], axis=1)
    kept = kept.drop(columns=["method", "value", "sd", "low", "high"]).merge(taus, how="left")
    single = current(store, row).query("method == 'avss'")
    kept_by = [retention(line.metric, line.value, line.original) for line in single.itertuples()]
    ends = single.assign(kept=kept_by, source=single["profile"]).groupby(["source", "reading"])["kept"]
    kept = kept.merge(ends.agg(worst="min", best="max").reset_index())
    found = [axis_of(reading) for reading in kept["reading"]]
    table = pd.DataFrame(found, columns=["axis", "choice"]).join(kept)
    known = readings()
    order = sorted(
        range(len(table)),
        key=lambda line: (place(table["axis"][line], AXES), place(table["reading"][line], known)),
    )
    return table.iloc[order].reset_index(drop=True)


def curve(moments: Iterable[Moments]) -> pd.DataFrame:
    """S(epsilon), Eq. 4, of every layer from its histogram: layer, epsilon, sparsity; exact, two points an octave.

    Points where S is 0 or 1 are left out. Raises `InputError` where no histogram was
    kept.
    """
    tables = []
    for layer, kept in enumerate(moments):
        shares = np.array([kept.sparsity(epsilon) for epsilon in _GRID])
        part = (shares > 0) & (shares < 1)
        tables.append(pd.DataFrame({"layer": layer, "epsilon": _GRID[part], "sparsity": shares[part]}))
    return pd.concat(tables, ignore_index=True)


def keep_curve(store: Store, profile: str, row: str, facts: dict, moments: list[Moments]) -> None:
    """Add the `curve` of these moments, and the variances (Eq. 1), to the store, unless it has that of `facts`.

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
        common | {"layer": layer, "quantity": "variance", "value": f"{kept.variance():.9g}"}
        for layer, kept in enumerate(moments)
    ]
    store.start(profile, row, now(), facts).add([], lines)


def stored_curve(store: Store, row: str) -> pd.DataFrame:
    """The newest curve of each profile: profile, layer, epsilon, sparsity, std, run; no line where there is none."""
    layers = store.layers(row=row)
    kept = layers[layers["quantity"].str.startswith(_CURVE)]
    kept = kept[kept["run"] == kept.groupby("profile")["run"].transform("max")]
    kept = kept.assign(epsilon=kept["quantity"].str.removeprefix(_CURVE).astype(float), sparsity=kept["value"])
    spread = layers.query("quantity == 'variance'")[["run", "layer", "value"]]
    spread = spread.assign(std=standard_deviation(spread["value"]))
    table = kept.merge(spread[["run", "layer", "std"]])[["profile", "layer", "epsilon", "sparsity", "std", "run"]]
    return table.sort_values(["profile", "layer", "epsilon"], ignore_index=True)


def exponents(curve: pd.DataFrame, shares: ArrayLike) -> NDArray[np.float64]:
    """The power of the scale with which AVSS grows where these shares of the activations are near zero.

    2 + d ln S / d ln epsilon, from one layer's epsilon and sparsity, both ascending. Returns one number a share.
    """
    share, epsilon = np.log(curve["sparsity"]), np.log(curve["epsilon"])
    return np.interp(np.log(shares), share, 2 + np.gradient(share, epsilon))


def _spelled(line, name: str, digits: int = 3) -> str:
    return spell(*(getattr(line, f"{name}{end}") for end in ("", "_low", "_high")), digits=digits)


def _shown(lines: pd.DataFrame, note: str) -> Text:
    """The table, without the profiles where there is only one."""
    return markdown(lines.drop(columns=["profile"] if lines["profile"].nunique() == 1 else []), note=note)


def comparison_table(store: Store, row: str) -> Text:
    """`compared` for readers."""
    table = compared(store, row)
    lines = pd.DataFrame(
        {
            "profile": table["source"],
            "reading": [label(line.axis, line.choice) for line in table.itertuples()],
            "τ with `paper`": [_spelled(line, "tau", 2) for line in table.itertuples()],
            "blocks removed (seeds)": table["removed"],
            "retention": [_spelled(line, "retention") for line in table.itertuples()],
            "single seeds": [_span(line.worst, line.best) for line in table.itertuples()],
        }
    )
    note = (
        f"Row `{row}`. In brackets: after τ the lowest and the highest value over the seeds (for `paper`: over pairs "
        f"of seeds), after retention its 95 % interval over documents (n = {_counts(table['n'])}), which does not "
        f"cover the choice of seeds. {_runs(table)}"
    )
    return _shown(lines, note)


def _span(low: float, high: float) -> str:
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"


def _counts(column: pd.Series) -> str:
    return ", ".join(f"{count:.0f}" for count in column.unique())


def _runs(table: pd.DataFrame) -> str:
    """The runs behind a table, each named once."""
    runs = dict.fromkeys(run for listed in table["run"] for run in listed.split(", "))
    return f"Runs: {', '.join(f'`{run}`' for run in runs)}."


def findings(store: Store, row: str) -> Text:
    """How much the changes of one field matter in a row, counted; one sentence or two for each profile."""
    lines = []
    for source, table in compared(store, row).groupby("source", sort=False):
        base = table[table["axis"] == "paper"].iloc[0]
        # A reading that failed on some seeds is no mean over the same samples.
        alone = table[table["axis"].isin(FIELDS) & (table["seeds"] == base.seeds)]
        apart = (alone["retention_low"] > base.retention_high) | (alone["retention_high"] < base.retention_low)
        worst, best = (alone.sort_values("retention").iloc[end] for end in (0, -1))
        lines.append(
            f"- `{row}`, {source}: of {len(alone)} changes of one field, {(alone['tau_high'] < base.tau_low).sum()} "
            f"move the order further on every seed than another calibration sample does on any, and "
            f"{(alone['removed'] != base.removed).sum()} remove other blocks on some seed. Retention is "
            f"{base.retention:.3f} under `paper`; it runs from {worst.retention:.3f} "
            f"({label(worst.axis, worst.choice)}) to {best.retention:.3f} ({label(best.axis, best.choice)}), and in "
            f"{apart.sum()} of the changes its interval does not touch that of `paper`."
        )
    return Text("\n".join(lines))


def divergence_table(store: Store, row: str) -> Text:
    """What each divergence of `released-code` changes: made alone in `paper`, and left out of `released-code`."""
    table = compared(store, row)
    lines = []
    for source, part in table.groupby("source", sort=False):
        known = part.set_index("reading")
        whole = {"divergence": "none", "alone": PAPER.name, "left out": RELEASED.name}
        readings = [whole] + [
            {
                "divergence": f"{name} = {getattr(RELEASED, name)}",
                "alone": replace(PAPER, **{name: getattr(RELEASED, name)}).name,
                "left out": replace(RELEASED, **{name: getattr(PAPER, name)}).name,
            }
            for name in DIVERGENCES
        ]
        for names in readings:
            cells = {"profile": source, "divergence": names["divergence"]}
            for way in ("alone", "left out"):
                # nan, which is shown as not measured, where it has not run.
                line = known.reindex([names[way]]).iloc[0]
                cells |= {f"τ, {way}": _spelled(line, "tau", 2), f"retention, {way}": _spelled(line, "retention")}
            lines.append(cells)
    note = f"Row `{row}`, n = {_counts(table['n'])} documents. In the line `none`: `paper` itself, and `released-code`."
    return _shown(pd.DataFrame(lines), note)


def selection_table(store: Store, row: str) -> Text:
    """What was removed by other rules than `lowest`, one line for each set of blocks."""
    table = observed(store, row)
    table = table[~table["selection"].str.startswith(("none", "lowest"))]
    seeds = table.groupby(["profile", "reading", "selection"])["seed"].transform("nunique")
    lines = [
        {
            "profile": profile,
            "reading": reading,
            "selection": rule,
            "blocks removed": runs_of(map(int, removed.split("+"))) if removed != "none" else "none",
            "seeds": f"{len(part)} of {seeds[part.index[0]]}",
            part["metric"].iloc[0]: spell(*part[["value", "low", "high"]].iloc[0]),
        }
        for (profile, reading, rule, removed), part in table.groupby(
            ["profile", "reading", "selection", "removed"], sort=False
        )
    ]
    whole = ", ".join(f"{value:.3f}" for value in table["original"].unique())
    note = (
        f"Row `{row}`, with 95 % intervals over n = {_counts(table['n'])} documents; with all blocks {whole}. "
        f"{_runs(table)}"
    )
    return _shown(pd.DataFrame(lines), note)


def scale_table(store: Store, row: str) -> Text:
    """AVSS against the standard deviation alone and against depth, by epsilon; means over the seeds."""
    table = compared(store, row)
    scores, spreads = (
        layer_values(store, quantity, row).set_index(["profile", "reading", "layer"])["mean"]
        for quantity in ("normalized_avss", "std")
    )
    lines = []
    for line in table[table["axis"].isin(["paper", "epsilon"])].itertuples():
        own, spread = scores[line.source, line.reading], spreads[line.source, line.reading]
        lines.append(
            {
                "profile": line.source,
                "epsilon": line.choice or str(PAPER.epsilon),
                "highest σ / lowest": f"{spread.max() / spread.min():.2f}",
                "τ of AVSS and σ": spell(intervals.kendall_tau(own, spread), digits=2),
                "τ of AVSS and depth": spell(intervals.kendall_tau(own, own.index), digits=2),
            }
        )
    blocks = len(spread) if lines else 0
    return _shown(pd.DataFrame(lines), f"Row `{row}`, n = {blocks} blocks. {_runs(table)}")


def exponent_table(store: Store, shares: tuple[float, ...] = (0.001, 0.01, 0.1, 0.5, 0.9)) -> Text:
    """The `exponents` of a Gaussian and of the rows whose curves are stored: mean, lowest and highest block."""
    epsilon = np.geomspace(1e-4, 4, 200)
    shapes = {"Gaussian": [pd.DataFrame({"epsilon": epsilon, "sparsity": erf(epsilon / np.sqrt(2))})]}
    for row in measured(store):
        for profile, curve in stored_curve(store, row).groupby("profile", sort=False):
            shapes[f"{row} ({profile})"] = [part for _, part in curve.groupby("layer")]
    table = pd.DataFrame({"S": [f"{share:g}" for share in shares]})
    for name, curves in shapes.items():
        found = np.array([exponents(curve, shares) for curve in curves])
        ends = (found.min(0), found.max(0)) if len(found) > 1 else ()
        table[name] = [spell(*line, digits=2) for line in zip(found.mean(0), *ends, strict=True)]
    return markdown(table, note="Mean over the blocks, and in brackets the lowest and the highest block.")
