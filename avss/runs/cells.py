"""The cells of a row: one for each of its observations. It needs no torch."""

from typing import NamedTuple

from avss import selection
from avss.reading import Reading
from avss.runs.profile import Row


class Cell(NamedTuple):
    """One observation of a row.

    at: for a point of the row's curve, the layers that go; None where `row.remove` go. compensated: the layers of the
    same cell without compensation go, and the hidden state behind each cut is scaled.
    """

    method: str
    reading: str
    selection: str
    seed: int
    at: int | float | None = None
    compensated: bool = False


def cells(row: Row) -> list[Cell]:
    """Every observation of a row: `original`, then each method, and after each of its cells those of its curve.

    The compensated ones are last. Only avss has readings; every method has all seeds, so that each has as many
    observations as another. A rule that takes a mass has no curve, because the mass says how many layers go, and is not
    compensated.
    """
    readings = {"avss": [Reading.parse(reading).name for reading in row.readings]}
    plain = [
        Cell(method, reading, rule, seed, at)
        for method in row.methods
        for reading in readings.get(method, ["none"])
        for rule in ("lowest", *row.selections.get(method, ()))
        for seed in range(row.seeds)
        for at in (None, *(row.curve if _takes_number(rule) else ()))
    ]
    twins = [cell._replace(compensated=True) for cell in plain if row.compensate and _takes_number(cell.selection)]
    return [Cell("original", "none", "none", 0), *plain, *twins]


def _takes_number(rule: str) -> bool:
    return selection.parse(rule)[1] is None
