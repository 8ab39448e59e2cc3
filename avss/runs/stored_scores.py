"""The scores that the store keeps of a row's cells, so that points added to its curve are chosen without scoring."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from avss import selection
from avss.methods import method_named
from avss.methods.catalogue import column_of
from avss.runs.cells import Cell
from avss.runs.choices import Choice
from avss.runs.context import Context

# Scores of methods with such options depend on how many layers go.
OF_THE_AMOUNT = {"remove", "window"}


def succeeded(observations: pd.DataFrame) -> dict[str, NamedTuple]:
    """The lines of a table of observations that hold a value, by their keys."""
    return {line.key: line for line in observations[observations["status"] == "ok"].itertuples()}


class StoredScores:
    """The scores of the cells that remove the lowest `row.remove` layers.

    observations: the row's, from `Store.observations`. layers: gives its table of `Store.layers`, once it is needed.
    """

    def __init__(self, context: Context, observations: pd.DataFrame, layers: Callable[[], pd.DataFrame]):
        self.context, self.cells, self.layers = context, succeeded(observations), layers

    @cached_property
    def tables(self) -> dict[tuple, pd.DataFrame]:
        # A run adds the layers of a cell and its observation at once.
        return dict(iter(self.layers().groupby(["run", "method", "reading", "seed", "quantity"], sort=False)))

    def choice(self, cell: Cell) -> Choice | None:
        """The layers of a point of a curve, by scores that an earlier run stored; None where they do not tell.

        Its time and its memory are those of that run. The store rounds scores, so two layers that are equal there may
        have differed: where one of them would go and the other stay, the model is scored again. Raises `InputError`
        for a damaged table of layers.
        """
        if cell.at is None or cell.selection != "lowest" or OF_THE_AMOUNT & set(method_named(cell.method).options):
            return None
        line = self.cells.get(self.context.key(cell._replace(at=None)))
        if line is None:
            return None
        table = self.tables.get((line.run, cell.method, cell.reading, cell.seed, column_of(cell.method)))
        if table is None or sorted(table["layer"]) != list(range(self.context.layers)):
            return None
        values = table.sort_values("layer")["value"].to_numpy()
        count, ascending = selection.count_of(cell.at, len(values)), sorted(values)
        if ascending[count - 1] == ascending[count]:
            return None
        removed = sorted(selection.lowest(values, count))
        return Choice(removed, line.seconds, line.peak_memory_mb, [], scores_from=line.run)
