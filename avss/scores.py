"""LayerScores: one number a layer, higher = more important, with the quantities that led to it."""

import csv
import hashlib
import json
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avss import equations, selection
from avss.errors import InputError, first_of
from avss.files import alone_in, write_whole
from avss.methods.catalogue import METHODS, column_of
from avss.moments import Moments, magnitude_quantile
from avss.outputs import check_space, checked_output
from avss.reading import Reading


@dataclass(frozen=True)
class LayerScores:
    """Importance of each of M layers.

    table: one line a layer, `layer` first (int, from 0), `rank` last (1 = most important). documents, tokens: the
    calibration text they rest on (0 for methods that read none). moments: per layer and document, if the method
    has them. Raises `InputError` for a score that is not finite, naming the layer.
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
        """Write the table as CSV, and the facts it rests on, with `facts`, beside it as `.json`.

        The facts hold a checksum of the table and of themselves. Until the new table is in place they also hold the
        facts of the old one, so a table always has its facts, even if the process is killed. Raises `InputError` where
        the folder does not exist, and `OSError` where the files cannot be written.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError(f"folder {path.parent} does not exist; create it first")
        own = {"method": self.method, "reading": self.reading, "documents": self.documents, "tokens": self.tokens}
        columns = list(self.table)
        whole = own | facts | {"file": path.name, "columns": columns}
        whole["checksum"] = _checksum(self.table, whole)
        # Two writers at once would leave the facts of one with the table of the other.
        with alone_in(path.parent):
            replaced = _replaceable_facts(path)
            _write_facts(path, whole | {"replaces": replaced} if replaced else whole)
            write_whole(path, self.table.to_csv(index=False))
            if replaced:
                _write_facts(path, whole)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LayerScores":
        """Read what `save` wrote: the column that is named as the method that the facts state.

        A CSV without facts is read if exactly one of its columns has the name of a method of this package. Other
        columns are ignored. Raises `InputError` where the file is not a table of layer scores, or not the table that
        its facts describe.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"scores file {path} does not exist; make one with `avss score`")
        table = _read_table(path)
        facts = _facts_of(path, table)
        method = facts["method"] if facts else _method_of(path, table)
        try:
            return cls(table, method, facts.get("reading"), facts.get("documents", 0), facts.get("tokens", 0))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _read_table(path: Path) -> pd.DataFrame:
    """The CSV, one line a layer in order of depth; columns of numbers are int64 or float64, others text."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *lines = [line for line in csv.reader(file) if line] or [[]]
    except (UnicodeError, csv.Error):
        header, lines = [], []
    if "layer" not in header or not lines:
        raise InputError(
            f"{path} is not a table of layer scores (columns: {first_of(header) or 'none'}); see `avss score`"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path} has two columns {twice[0]!r}; leave one")
    for number, line in enumerate(lines):
        if len(line) != len(header):
            raise InputError(
                f"{path}: row {number + 1} has {len(line)} fields and there are {len(header)} columns; "
                f"score the model again"
            )
    table = pd.DataFrame(lines, columns=header)
    for name in header:
        with suppress(ValueError):
            table[name] = pd.to_numeric(table[name])
    layers = table["layer"].tolist()
    wanted = set(range(len(layers)))
    if set(layers) != wanted:
        wrong = [layer for index, layer in enumerate(layers) if layer not in wanted or layer in layers[:index]]
        raise InputError(
            f"{path} is not a table of layer scores: it has {len(layers)} lines, and layer {wrong[0]} is not one of "
            f"0 to {len(layers) - 1}, or is there twice; score the model again"
        )
    return table.sort_values("layer", ignore_index=True)


def _checksum(table: pd.DataFrame, facts: dict) -> str:
    """SHA-256 of the facts and their columns. Other columns and the spelling of the numbers do not change it."""
    columns = facts["columns"]
    numbers = {name: np.float64 for name in columns if pd.api.types.is_numeric_dtype(table[name])}
    stated = {name: fact for name, fact in facts.items() if name not in ("checksum", "replaces")}
    text = json.dumps(stated, sort_keys=True) + table[columns].astype(numbers).to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_facts(path: Path, facts: dict) -> None:
    write_whole(path.with_suffix(".json"), json.dumps(facts, indent=1, allow_nan=False) + "\n")


def _read_facts(path: Path) -> dict:
    """The facts beside a CSV, {} where there are none. Raises `InputError` where the file holds something else."""
    file = path.with_suffix(".json")
    if not file.exists() or file == path:
        return {}
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        for known in (facts, facts.get("replaces", facts)):
            texts = [known["method"], known["checksum"], *known["columns"]]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{file} does not hold the facts of {path}; score the model again, or remove it") from error
    return facts


def _facts_of(path: Path, table: pd.DataFrame) -> dict:
    """The facts of this table: those in its file of facts, or those that the file was about to replace."""
    facts = _read_facts(path)
    for known in (facts, facts.get("replaces")):
        if known and set(known["columns"]) <= set(table) and _checksum(table, known) == known["checksum"]:
            return known
    if facts:
        raise InputError(
            f"{path} and {path.with_suffix('.json')} do not belong together, as one of them was changed; "
            f"score the model again, or remove the second to use the first as it is"
        )
    return {}


def _method_of(path: Path, table: pd.DataFrame) -> str:
    """The method that a header names. Raises `InputError` unless it is one."""
    named = [name for name in METHODS if column_of(name) in table]
    if len(named) != 1:
        raise InputError(
            f"{path} is not a table of layer scores that names its method (columns: {first_of(table)}; methods among "
            f"them: {first_of(named) or 'none'}); keep its .json beside it, or leave one of them"
        )
    return named[0]


def _replaceable_facts(path: Path) -> dict | None:
    """The facts of the table at `path`, if `save` wrote both and nothing was added; otherwise None."""
    try:
        table = _read_table(path)
        facts = _facts_of(path, table)
    except (InputError, OSError):
        return None
    return (
        {key: value for key, value in facts.items() if key != "replaces"} if [*table] == facts.get("columns") else None
    )


def checked_scores_output(path: str | os.PathLike, force: bool, inputs: list[str]) -> Path:
    """The path, if scores may be saved there with their facts beside them.

    Raises `InputError` as `checked_output`, for both files, and where the folder is full or read-only. Facts without
    their table, which a killed process leaves, are replaced without `force`.
    """
    path = checked_output(path, force, inputs=inputs, own=_check_own)
    facts = path.with_suffix(".json")
    if facts == path:
        raise InputError(f"--out {path} is where the facts of the scores go; give a name that ends in .csv")
    alone = not path.exists() and facts.is_file() and _states(path)
    checked_output(facts, force or alone, inputs=inputs, own=lambda _: alone or _check_own(path))
    check_space(path)
    return path


def _states(path: Path) -> bool:
    """Whether the facts beside a path are those of a table of that name."""
    try:
        return _read_facts(path).get("file") == path.name
    except InputError:
        return False


def _check_own(path: Path) -> None:
    if _replaceable_facts(path) is None:
        raise InputError(
            f"{path} and {path.with_suffix('.json').name} were not written by `avss score`, or were changed since; "
            f"give another name, or remove them"
        )


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
            f"S set to 1/N, so their AVSS is a lower bound; raise epsilon or add samples",
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
