"""The cells of a row: one for each of its observations. It needs no torch."""

from typing import NamedTuple

from avss import selection
from avss.reading import Reading
from avss.runs.profile import Row


class Cell(NamedTuple):
    """One observation of a row. at: for a point of the row's curve, the layers that go; None where `row.remove` go."""

    method: str
    reading: str
    selection: str
    seed: int
    at: int | float | None = None


def cells(row: Row) -> list[Cell]:
    """Every observation of a row: `original` first, then each method, and after each of its cells those of its curve.

    Only avss has readings; every method has all seeds, so that each has as many observations as another. A rule that
    takes a mass has no curve, because the mass says how many layers go.
    """
    readings = {"avss": [Reading.parse(reading).name for reading in row.readings]}
    return [Cell("original", "none", "none", 0)] + [
        Cell(method, reading, rule, seed, at)
        for method in row.methods
        for reading in readings.get(method, ["none"])
        for rule in ("lowest", *row.selections.get(method, ()))
        for seed in range(row.seeds)
        for at in (None, *(row.curve if selection.parse(rule)[1] is None else ()))
    ]
