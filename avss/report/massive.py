"""Stored massive activations (`avss.engine.massive`): kept in a store of their own inside the main one. No torch."""

from pathlib import Path

import pandas as pd

from avss.records import lines_of
from avss.report.snapshot import Results
from avss.runs.provenance import now
from avss.store import Store

FOLDER = "massive"
_COMMON = {"method": "massive_activations", "reading": "paper", "seed": 0}


def store_of(results: Path) -> Store:
    """The store of massive activations inside the store of this folder."""
    return Store(results / FOLDER)


def is_kept(store: Store, profile: str, row: str, key: str) -> bool:
    """Whether the store has the facts of this key, which stands for all that decides them."""
    return any(facts.get("observed") == key for facts in store.provenances(profile, row))


def keep(store: Store, profile: str, row: str, facts: dict, table: pd.DataFrame) -> None:
    """Add a table of `massive_activations` to the store, under this provenance, of which `observed` is the key."""
    store.start(profile, row, now(), facts).add([], lines_of(table, row=row, **_COMMON))


def stored(results: Results) -> pd.DataFrame:
    """The newest facts of each row that has some, one line a block; those of `reference` come first.

    profile, row, model, run, and the columns of `massive_activations`.
    """
    own = Results(store_of(results.store.root))
    layers = own.layers[own.layers["method"] == _COMMON["method"]]
    newest = layers.groupby(["profile", "row"])["run"].transform("max")
    keys = ["profile", "row", "run", "layer"]
    wide = layers[layers["run"] == newest].pivot(index=keys, columns="quantity", values="value")
    wide = (
        wide.reset_index()
        .rename_axis(columns=None)
        .sort_values(["profile", "row", "layer"], ascending=[False, True, True])
    )
    return wide.assign(model=[own.provenances[run].get("model", "") for run in wide["run"]]).reset_index(drop=True)
