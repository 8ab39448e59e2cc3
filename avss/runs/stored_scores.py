"""The scores that the store keeps of a row's cells, so that points added to its curve are chosen without scoring."""

import pandas as pd

from avss import selection
from avss.methods import method_named
from avss.methods.catalogue import column_of
from avss.runs.cells import Cell
from avss.runs.choices import Choice
from avss.runs.context import Context

# Scores of such methods depend on how many layers go.
OF_THE_AMOUNT = {"remove", "window"}


class StoredScores:
    """The scores of the cells that remove the lowest `row.remove` layers.

    observations, layers: the tables of the row, from `Store.observations` and `Store.layers`.
    """

    def __init__(self, context: Context, observations: pd.DataFrame, layers: pd.DataFrame):
        self.context = context
        self.cells = {line.key: line for line in observations[observations["status"] == "ok"].itertuples()}
        # Runs add a cell's layers and its observation at once.
        self.tables = dict(iter(layers.groupby(["run", "method", "reading", "seed", "quantity"], sort=False)))

    def choice(self, cell: Cell) -> Choice | None:
        """The layers of a point of a curve, by scores that an earlier run stored; None where they do not tell.

        The store rounds scores, so two layers that are equal there may have differed. Where one of them would go and
        the other stay, the model is scored again.
        """
        if cell.at is None or cell.selection != "lowest" or OF_THE_AMOUNT & set(method_named(cell.method).options):
            return None
        line, column = self.cells.get(self.context.key(cell._replace(at=None))), column_of(cell.method)
        table = self.tables.get((line.run, cell.method, cell.reading, cell.seed, column)) if line else None
        if table is None or sorted(table["layer"]) != list(range(self.context.layers)):
            return None
        values = table.sort_values("layer")["value"].to_numpy()
        count, ascending = selection.count_of(cell.at, len(values)), sorted(values)
        if ascending[count - 1] == ascending[count]:
            return None
        return Choice(sorted(selection.lowest(values, count)), line.seconds, line.peak_memory_mb, [])
