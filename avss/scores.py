"""LayerScores: one number a layer, higher = more important, with the quantities that led to it."""

import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss import equations, selection
from avss.errors import InputError
from avss.files import write_whole
from avss.methods.catalogue import METHODS, column_of
from avss.moments import Moments, magnitude_quantile
from avss.reading import Reading


@dataclass(frozen=True)
class LayerScores:
    """Importance of each of M layers.

    table: one line a layer, `layer` first (int, from 0), `rank` last (1 = most important). documents, tokens: the
    calibration text they rest on (0 for methods that read none). moments: per layer and document, where the method
    kept them. Raises `InputError` for a score that is not finite, naming the layer.
    """

    table: pd.DataFrame
    method: str
    reading: str | None = None
    documents: int = 0
    tokens: int = 0
    moments: tuple[Moments, ...] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        column = column_of(self.method)
        if column not in self.table:
            raise InputError(f"table of scores has no column {column}; method {self.method} keeps its scores there")
        finite = np.isfinite(pd.to_numeric(self.table[column], errors="coerce").to_numpy(np.float64))
        if not finite.all():
            line = int(np.flatnonzero(~finite)[0])
            raise InputError(
                f"{column} of layer {self.table['layer'].iloc[line]} is not finite ({self.table[column].iloc[line]}); "
                "score the model again"
            )

    @property
    def values(self) -> NDArray[np.float64]:
        """The scores, (M,) float64, higher = more important."""
        return self.table[column_of(self.method)].to_numpy(np.float64)

    def lowest(self, k_or_fraction: int | float) -> list[int]:
        """The least important layers, least important first: an int is a number of layers, a float a share of them.

        Raises `InputError` unless at least one layer goes and at least one stays.
        """
        return selection.lowest(self.values, k_or_fraction)

    def save(self, path: str | os.PathLike, **facts) -> None:
        """Write the table as CSV, and what it rests on, with `facts`, beside it as `.json`; each whole or not at all.

        Raises `InputError` where the folder does not exist.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError(f"folder {path.parent} does not exist; create it first")
        own = {"method": self.method, "reading": self.reading, "documents": self.documents, "tokens": self.tokens}
        write_whole(path.with_suffix(".json"), json.dumps(own | facts, indent=1) + "\n")
        write_whole(path, self.table.to_csv(index=False))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LayerScores":
        """Read what `save` wrote; a CSV alone will do. Raises `InputError` where it is not a table of layer scores."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"scores file {path} does not exist; make one with `avss score`")
        try:
            table = pd.read_csv(path)
        except (ValueError, pd.errors.ParserError):
            table = pd.DataFrame()
        facts_file = path.with_suffix(".json")
        facts = json.loads(facts_file.read_text()) if facts_file.is_file() else {}
        listed = (method.name for method in METHODS.values() if method.column and method.column in table)
        method = next(listed, None) or next((name for name in table if name not in ("layer", "rank")), None)
        if method is None or "layer" not in table or sorted(table["layer"]) != list(range(len(table))):
            raise InputError(
                f"{path} is not a table of layer scores (columns: {', '.join(table) or 'none'}); see `avss score`"
            )
        table = table.sort_values("layer", ignore_index=True)
        scores = cls(table, method, facts.get("reading"), facts.get("documents", 0), facts.get("tokens", 0))
        try:
            finite = np.isfinite(scores.values).all()
        except ValueError:
            finite = False
        if not finite:
            column = column_of(method)
            raise InputError(f"{path}: column {column} has values that are not finite numbers; score the model again")
        return scores


def rank(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """1 for the most important layer to M for the least; the deeper of two equal layers ranks lower."""
    order = np.argsort(-values, kind="stable")
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(1, len(values) + 1)
    return ranks


def from_values(method: str, values: NDArray[np.float64], **facts) -> LayerScores:
    """LayerScores of a method that gives one number a layer."""
    values = np.asarray(values, dtype=np.float64)
    table = pd.DataFrame({"layer": np.arange(len(values)), method: values, "rank": rank(values)})
    return LayerScores(table, method, **facts)


def from_moments(moments: list[Moments], reading: Reading) -> LayerScores:
    """Eqs. 1 to 9 from observed moments, one `Moments` a layer, under a reading.

    The table has `sparsity` as measured, `sparsity_bound`, which is 1/N, and `elements`, the N numbers that Eq. 4 was
    counted over. Where none of them is below epsilon, Eqs. 5 to 8 use the bound in place of 0. Raises `InputError`
    where S = 0 and the reading asks for an error, and for moments that were observed with another site or other tokens.
    """
    for layer, kept in enumerate(moments):
        _check_observed(layer, kept, reading)
    population = reading.population
    epsilon = (
        float(reading.epsilon)
        if reading.quantile is None
        else magnitude_quantile(moments, reading.quantile, population)
    )
    variances = np.array([layer.variance(population, reading.ddof) for layer in moments])
    sparsities = np.array([layer.sparsity(epsilon, population) for layer in moments])
    elements = np.array([layer.counted(population) for layer in moments])
    empty = np.flatnonzero(sparsities == 0)
    used = sparsities
    if empty.size and reading.zero_sparsity == "resolution":
        used = np.where(sparsities == 0, 1 / elements, sparsities)
        warnings.warn(
            f"no activation below epsilon={epsilon:g} in layers {', '.join(map(str, empty))}: "
            f"S set to 1/N, so that their AVSS is a lower bound; raise epsilon or add samples",
            stacklevel=2,
        )
    scores = equations.avss(variances, used)
    normalized = equations.normalized_avss(scores)
    table = pd.DataFrame(
        {
            "layer": np.arange(len(moments)),
            "variance": variances,
            "std": equations.standard_deviation(variances),
            "normalized_variance": equations.normalized_variance(variances),
            "sparsity": sparsities,
            "sparsity_bound": 1 / elements,
            "elements": elements,
            "normalized_sparsity": equations.normalized_sparsity(used),
            "sparsity_deviation": equations.sparsity_deviation(used),
            "avss": scores,
            "normalized_avss": normalized,
            "cumulative_avss": equations.cumulative_avss(normalized),
            "rank": rank(normalized),
        }
    )
    tokens = moments[0].tokens
    return LayerScores(table, "avss", reading.name, len(moments[0].count), tokens, tuple(moments))


def _check_observed(layer: int, kept: Moments, reading: Reading) -> None:
    """Raises `InputError` for moments of other activations than the reading means."""
    if kept.reading is None:
        return
    observed = Reading.parse(kept.reading)
    decisive = ["site", "tokens", "padding", *(["ddof"] if reading.population == "pooled_tokens" else [])]
    for name in decisive:
        had, wanted = getattr(observed, name), getattr(reading, name)
        if had != wanted:
            raise InputError(
                f"moments of layer {layer} were observed with {name}={had}, and the reading has {name}={wanted}; "
                "observe again with this reading"
            )
