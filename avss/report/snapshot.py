"""A snapshot of the results: every file of a store, read once, and which of its observations are in use.

An observation is in use where the newest configuration of its profile and row asks for it. All others are left over
from an earlier configuration: they are listed on the coverage page and take part in no number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss.store import COMPENSATED, CURVE, Store

CELL = ["method", "reading", "selection", "seed"]
# Runs that vary the reading, or the selection rule, have stores of their own inside the main one.
READINGS, SELECTIONS = "readings", "selections"


@dataclass(frozen=True, eq=False)
class Results:
    """The contents of a store, each part read at its first use. Later additions to the store are not seen.

    Callers share its tables, so they must not change them in place. pages: where it is made for one book, the page of
    each line of Table 1 and of each other row, by its id.
    """

    store: Store
    pages: Mapping[str, str] | None = None

    @cached_property
    def observations(self) -> pd.DataFrame:
        """All observations, as in `Store.observations`. A value that is not finite has failed, whatever was stored."""
        table = self.store.observations()
        broken = (table["status"] == "ok") & ~np.isfinite(table["value"].astype(float))
        reasons = [f"failed: the stored value is {value}, not a finite number" for value in table["value"]]
        return table.assign(status=table["status"].mask(broken, pd.Series(reasons, table.index, dtype="str")))

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The scores of every layer, as in `Store.layers`."""
        return self.store.layers()

    @cached_property
    def provenances(self) -> dict[str, dict]:
        """The provenance of every run, by its name, in order."""
        return {facts["run"]: facts for facts in self.store.provenances("*", "*")}

    @cached_property
    def in_use(self) -> pd.DataFrame:
        """The observations that the newest configuration of their profile and row asks for, failed ones too.

        Those of a row's curve, at other shares than the row's own, are `curves`; those with compensation are
        `compensated`.
        """
        return self.observations[self._asked & ~self._begins(CURVE) & ~self._begins(COMPENSATED)].reset_index(drop=True)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The points of the rows' curves that the newest configuration asks for, failed ones too."""
        return self.observations[self._asked & self._begins(CURVE)].reset_index(drop=True)

    @cached_property
    def compensated(self) -> pd.DataFrame:
        """The removals with compensation, at all shares, that the newest configuration asks for, failed ones too."""
        return self.observations[self._asked & self._begins(COMPENSATED)].reset_index(drop=True)

    def _begins(self, selection: str) -> NDArray[np.bool_]:
        return self.observations["selection"].str.startswith(selection).to_numpy(bool)

    @cached_property
    def left_over(self) -> pd.DataFrame:
        """The observations of earlier configurations."""
        return self.observations[~self._asked].reset_index(drop=True)

    @cached_property
    def _asked(self) -> NDArray[np.bool_]:
        asked, newest = pd.Series(False, index=self.observations.index), {}
        parts = dict(iter(self.observations.groupby(["profile", "row"], sort=False)))
        for profile, row in parts:
            newest.setdefault((profile, self.line_of(row)), []).append((self.newest(profile, row)["created"], row))
        for (profile, row), part in parts.items():
            # Of two rows of a profile that stand for one line, the one that ran last counts.
            if max(newest[profile, self.line_of(row)])[1] == row:
                asked[part.index] = self._asked_of(part, self.newest(profile, row))
        return asked.to_numpy()

    def line_of(self, row: str) -> str:
        """The id of the line of the paper's Table 1 that the row stands for, and else the id of the row itself."""
        return self._lines.get(row, row)

    @cached_property
    def _lines(self) -> dict[str, str]:
        configurations = {facts["row"]: facts.get("configuration", {}) for facts in self.provenances.values()}
        return {row: names.get("stands_for") or row for row, names in configurations.items()}

    def of(self, table: pd.DataFrame, row: str) -> pd.DataFrame:
        """The lines of a table about this row and those that stand for the same line of the paper's Table 1.

        row: the id of a row, or that of a line.
        """
        return table[table["row"].map(self.line_of) == self.line_of(row)]

    def newest(self, profile: str, row: str) -> dict:
        """The provenance of the row's newest run that has a configuration."""
        runs = [facts for facts in self.provenances.values() if (facts["profile"], facts["row"]) == (profile, row)]
        return [facts for facts in runs if "configuration" in facts][-1]

    def _asked_of(self, part: pd.DataFrame, newest: dict) -> pd.Series:
        """Which observations of one profile and row the run `newest` asks for."""
        if "asked" in newest:
            return part["key"].isin(newest["asked"])
        # Runs from before configurations were recorded: all of the newest model and data.
        columns = ["revision", "data_fingerprint"]
        return (part[columns] == part[columns].iloc[-1]).all(axis=1)

    @cached_property
    def readings(self) -> "Results":
        """The results of the runs that vary the reading."""
        return Results(Store(self.store.root / READINGS))

    @cached_property
    def selections(self) -> "Results":
        """The results of the runs that vary the selection rule, which lie inside those that vary the reading."""
        return Results(Store(self.readings.store.root / SELECTIONS))

    @property
    def benchmarks(self) -> Path:
        """The folder of the benchmarks' files, which lies beside that of the results."""
        return self.store.root.parent / "bench" / "results"
