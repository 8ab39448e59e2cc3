"""The tidy store of results: one observation a line, each with its key and its run, and provenance beside it.

A folder a row of Table 1, and in it three tables a run: `<run>.csv` (observations), `<run>.layers.csv` (what every
layer scored) and `<run>.outcomes.csv.gz` (per-document outcomes of every set of removed layers, for paired
intervals), and `<run>.json`. Runs only ever add files, and every file is written whole, so a killed run loses nothing
that it had finished and a second one adds only what is missing.
"""

import csv
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from avss.errors import InputError
from avss.files import write_whole

OBSERVATIONS = (
    "key",
    "run",
    "profile",
    "row",
    "task",
    "dataset",
    "data",
    "data_fingerprint",
    "model",
    "revision",
    "method",
    "reading",
    "selection",
    "removed",
    "coalition",
    "layers",
    "share_of_layers",
    "share_of_parameters",
    "seed",
    "samples",
    "metric",
    "value",
    "low",
    "high",
    "original",
    "n",
    "seconds",
    "peak_memory_mb",
    "status",
)
NUMBERS = (
    "layers",
    "share_of_layers",
    "share_of_parameters",
    "seed",
    "samples",
    "value",
    "low",
    "high",
    "original",
    "n",
    "seconds",
    "peak_memory_mb",
)
LAYERS = ("run", "row", "method", "reading", "seed", "layer", "quantity", "value")
OUTCOMES = ("coalition", "document", "numerator", "denominator")


def key_of(**determinants) -> str:
    """Sixteen digits of the hash of all that determines an observation."""
    text = json.dumps(determinants, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def layers_text(layers: Iterable[int]) -> str:
    """A set of layers as it stands in the tables: `1+4`, or `none`."""
    return "+".join(map(str, sorted(layers))) or "none"


def _csv(columns: tuple[str, ...], rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@dataclass
class Run:
    """One run's files. `add` writes at once, so that what was added survives whatever comes after."""

    folder: Path
    name: str
    provenance: dict
    observations: list[dict] = field(default_factory=list)
    layers: list[dict] = field(default_factory=list)
    outcomes: list[dict] = field(default_factory=list)

    def add(self, observations: list[dict], layers: Iterable[dict] = ()) -> None:
        """Append observations and what their layers scored. Raises `InputError` for a column that the table has not."""
        for row in observations:
            unknown = set(row) - set(OBSERVATIONS)
            if unknown:
                raise InputError(f"observation has unknown columns {', '.join(sorted(unknown))}; see avss.store")
        self.observations += [{**row, "run": self.name} for row in observations]
        self.layers += [{**row, "run": self.name} for row in layers]
        self.folder.mkdir(parents=True, exist_ok=True)
        # Provenance first: an observation is never without it.
        self.describe()
        if self.layers:
            write_whole(self.folder / f"{self.name}.layers.csv", _csv(LAYERS, self.layers))
        write_whole(self.folder / f"{self.name}.csv", _csv(OBSERVATIONS, self.observations))

    def add_outcome(self, coalition: str, numerator, denominator) -> None:
        """Append the per-document outcome of one set of removed layers, known as `coalition`."""
        self.outcomes += [
            {"coalition": coalition, "document": index, "numerator": f"{top:.9g}", "denominator": f"{bottom:.9g}"}
            for index, (top, bottom) in enumerate(zip(numerator, denominator, strict=True))
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        content = gzip.compress(_csv(OUTCOMES, self.outcomes).encode(), mtime=0)
        write_whole(self.folder / f"{self.name}.outcomes.csv.gz", content)

    def describe(self, **facts) -> None:
        """Write the provenance, with these facts added."""
        self.provenance |= facts
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / f"{self.name}.json", json.dumps(self.provenance, indent=1) + "\n")


@dataclass(frozen=True)
class Store:
    """All results under one folder, `<root>/<profile>/<row>/`."""

    root: Path

    def folder(self, profile: str, row: str) -> Path:
        for part in (profile, row):
            if not re.fullmatch(r"[\w.-]+", part):
                raise InputError(f"{part!r} cannot name a folder of results; use letters, digits, '.', '_' and '-'")
        return self.root / profile / row

    def start(self, profile: str, row: str, created: str, provenance: dict) -> Run:
        """A new run; `created` (UTC, to the second) names it, a number follows where two began at once."""
        folder, stem = self.folder(profile, row), re.sub(r"[^0-9TZ]", "", created)
        name, number = f"{profile}-{row}-{stem}", 1
        while (folder / f"{name}.json").exists():
            number += 1
            name = f"{profile}-{row}-{stem}-{number}"
        run = Run(folder, name, {"run": name, "profile": profile, "row": row, "created": created, **provenance})
        run.describe()
        return run

    def _tables(self, pattern: str, profile: str, row: str) -> list[Path]:
        found = self.root.glob(f"{profile}/{row}/{pattern}")
        # By the run's name without endings, so that `...Z` comes before `...Z-2`.
        return sorted(found, key=lambda path: (path.parent, path.name.split(".")[0]))

    def observations(self, profile: str = "*", row: str = "*") -> pd.DataFrame:
        """All observations, each key once (the first that succeeded, else the first), in order of run."""
        files = [path for path in self._tables("*.csv", profile, row) if not path.name.endswith(".layers.csv")]
        # As text first: a column such as `removed` holds "1", "1+4" and "none".
        tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in files]
        tables = [table for table in tables if len(table)]
        if not tables:
            return pd.DataFrame(columns=list(OBSERVATIONS))
        table = pd.concat(tables, ignore_index=True)
        for column in NUMBERS:
            table[column] = pd.to_numeric(table[column], errors="coerce")
        failed = (table["status"] != "ok").sort_values(kind="stable").index
        return table.loc[failed].drop_duplicates("key").sort_index().reset_index(drop=True)

    def finished(self, profile: str, row: str) -> set[str]:
        """The keys of observations that succeeded."""
        table = self.observations(profile, row)
        return set(table.loc[table["status"] == "ok", "key"])

    def layers(self, profile: str = "*", row: str = "*") -> pd.DataFrame:
        """What every layer scored, in long form, with the profile; lines of all runs, told apart by `run`."""
        files = self._tables("*.layers.csv", profile, row)
        tables = [pd.read_csv(path, keep_default_na=False).assign(profile=path.parts[-3]) for path in files]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*LAYERS, "profile"])

    def outcomes(self, profile: str, row: str) -> dict[str, tuple]:
        """Per-document (numerator, denominator) arrays by coalition."""
        found: dict[str, tuple] = {}
        for path in self._tables("*.outcomes.csv.gz", profile, row):
            table = pd.read_csv(path, keep_default_na=False)
            for coalition, part in table.groupby("coalition", sort=False):
                part = part.sort_values("document")
                found.setdefault(coalition, (part["numerator"].to_numpy(float), part["denominator"].to_numpy(float)))
        return found

    def provenances(self, profile: str, row: str) -> list[dict]:
        """The provenance of every run of a row, in order."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in self._tables("*.json", profile, row)]

    def provenance(self, run: str) -> dict:
        """The provenance of a run, by its name. Raises `InputError` where there is none."""
        for path in self.root.glob(f"*/*/{run}.json"):
            return json.loads(path.read_text(encoding="utf-8"))
        raise InputError(f"run {run!r} has no provenance under {self.root}; it was not made by this store")
