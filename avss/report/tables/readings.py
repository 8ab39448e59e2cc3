"""The tables about what the equations leave open, from the runs with varied readings (`avss.report.readings`)."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import erf

from avss import intervals
from avss.reading import PRESETS
from avss.report.block_scores import layer_values
from avss.report.comparisons import lowest_removals, rows_named, successes
from avss.report.markdown import Text, markdown, runs_or_none, spell
from avss.report.readings import (
    DIVERGENCES,
    PAPER,
    RELEASED,
    axis_label,
    compared,
    exponents,
    measured,
    single_changes,
    stored_curve,
)
from avss.report.snapshot import Results
from avss.store import layers_of


def reading_table(results: Results) -> Text:
    """The fields of a reading and what the presets set them to."""
    table = {f"`{name}`": {f"`{key}`": f"`{value}`" for key, value in vars(r).items()} for name, r in PRESETS.items()}
    return markdown(pd.DataFrame(table).rename_axis("field").reset_index())


def _spelled(line, name: str, digits: int = 3) -> str:
    return spell(*(getattr(line, f"{name}{end}") for end in ("", "_low", "_high")), digits=digits)


def _shown(lines: pd.DataFrame, note: str) -> Text:
    """The table, without the profiles where there is only one."""
    return markdown(lines.drop(columns=["profile"] if lines["profile"].nunique() == 1 else []), note=note)


def comparison_table(results: Results, row: str) -> Text:
    """`compared` for readers."""
    table = compared(results, row)
    lines = pd.DataFrame(
        {
            "profile": table["source"],
            "reading": [axis_label(line.axis, line.choice) for line in table.itertuples()],
            "τ with `paper`": [_spelled(line, "tau", 2) for line in table.itertuples()],
            "blocks removed (seeds)": table["removed"],
            "retention": [_spelled(line, "retention") for line in table.itertuples()],
            "single seeds": [_span(line.worst, line.best) for line in table.itertuples()],
        }
    )
    note = (
        f"{rows_named(results, row, table['source'])}. In brackets: after τ the lowest and the highest value over the "
        f"seeds (for `paper`: over pairs of seeds), after retention its 95 % interval over documents and seeds "
        f"(documents: {_counts(table['n'])}; seeds: {_counts(table['seeds'])}). Pages about the row itself use its own "
        f"numbers of both. {_runs(table)}"
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


def counted_changes(results: Results, row: str) -> Text:
    """How much the changes of one field matter in a row, counted; one sentence or two for each profile."""
    lines = []
    for source, table in compared(results, row).groupby("source", sort=False):
        base, alone = single_changes(table)
        apart = (alone["retention_low"] > base.retention_high) | (alone["retention_high"] < base.retention_low)
        worst, best = (alone.sort_values("retention").iloc[end] for end in (0, -1))
        lines.append(
            f"- `{row}`, {source}: of {len(alone)} single changes, {alone['moves'].sum()} "
            f"change the order more than a new calibration sample does, on every seed; "
            f"{(alone['removed'] != base.removed).sum()} change which blocks go, on some seed. Retention is "
            f"{base.retention:.3f} under `paper`; it runs from {worst.retention:.3f} "
            f"({axis_label(worst.axis, worst.choice)}) to {best.retention:.3f} "
            f"({axis_label(best.axis, best.choice)}), and in "
            f"{apart.sum()} of the changes its interval does not touch that of `paper`."
        )
    return Text("\n".join(lines))


def divergence_table(results: Results, row: str) -> Text:
    """The effect of each divergence of `released-code`: made alone in `paper`, and left out of `released-code`."""
    table = compared(results, row)
    lines = []
    for source, part in table.groupby("source", sort=False):
        by_reading = part.set_index("reading")
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
                line = by_reading.reindex([names[way]]).iloc[0]
                cells |= {f"τ, {way}": _spelled(line, "tau", 2), f"retention, {way}": _spelled(line, "retention")}
            lines.append(cells)
    note = (
        f"{rows_named(results, row, table['source'])}. In brackets: after τ the lowest and the highest seed, after "
        f"retention its 95 % interval over documents (n = {_counts(table['n'])}) and seeds "
        f"({_counts(table['seeds'])}). In the line `none`: `paper` itself, and the scripts' statistics."
    )
    return _shown(pd.DataFrame(lines), note)


def selection_table(results: Results, row: str) -> Text:
    """The blocks that other rules than `lowest` removed, one line for each set of blocks."""
    table = successes(results, row)
    table = table[~table["selection"].str.startswith(("none", "lowest"))]
    seeds = table.groupby(["profile", "reading", "selection"])["seed"].transform("nunique")
    lines = [
        {
            "profile": profile,
            "reading": reading,
            "selection": rule,
            "blocks removed": runs_or_none(layers_of(removed)),
            "seeds": f"{len(part)} of {seeds[part.index[0]]}",
            part["metric"].iloc[0]: spell(*part[["value", "low", "high"]].iloc[0]),
        }
        for (profile, reading, rule, removed), part in table.groupby(
            ["profile", "reading", "selection", "removed"], sort=False
        )
    ]
    whole = ", ".join(f"{value:.3f}" for value in table["original"].unique())
    note = (
        f"{rows_named(results, row, table['profile'])}. A value is that of one set of blocks, with its 95 % interval "
        f"over n = {_counts(table['n'])} documents; with all blocks {whole}. {_runs(table)}"
    )
    return _shown(pd.DataFrame(lines), note)


def scale_table(results: Results, row: str) -> Text:
    """AVSS against the standard deviation alone and against depth, by epsilon; means over the seeds."""
    table = compared(results, row)
    scores, spreads = (
        layer_values(results, quantity, row).set_index(["profile", "reading", "layer"])["mean"]
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
    blocks = _counts(lowest_removals(results, row)["layers"])
    named = rows_named(results, row, [line["profile"] for line in lines])
    return _shown(pd.DataFrame(lines), f"{named}, n = {blocks} blocks. {_runs(table)}")


def exponent_table(results: Results, shares: tuple[float, ...] = (0.001, 0.01, 0.1, 0.5, 0.9)) -> Text:
    """The `exponents` of a Gaussian and of the rows whose curves are stored: mean, lowest and highest block."""
    epsilon = np.geomspace(1e-4, 4, 200)
    shapes = {"Gaussian": [pd.DataFrame({"epsilon": epsilon, "sparsity": erf(epsilon / np.sqrt(2))})]}
    for row in measured(results):
        for profile, curve in stored_curve(results, row).groupby("profile", sort=False):
            shapes[f"{row} ({profile})"] = [part for _, part in curve.groupby("layer")]
    table = pd.DataFrame({"S": [f"{share:g}" for share in shares]})
    for name, curves in shapes.items():
        powers = np.array([exponents(curve, shares) for curve in curves])
        ends = (powers.min(0), powers.max(0)) if len(powers) > 1 else ()
        table[name] = [spell(*line, digits=2) for line in zip(powers.mean(0), *ends, strict=True)]
    return markdown(table, note="Mean over the blocks, and in brackets the lowest and the highest block.")


# The table that a page includes, by the name of its file; a notebook calls the others.
TABLES = {"reading_table": reading_table}
