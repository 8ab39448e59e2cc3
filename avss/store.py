"""The tidy store of results: one observation a line, each with its key and its run, and provenance beside it.

A folder a row, and in it the files of every run: `<run>.csv` (observations), `<run>.layers.csv` (the score of every
layer), `<run>.outcomes.csv.gz` (per-document outcomes of every set of removed layers, for paired intervals) and
`<run>.json` (provenance). A run has a name of its own, so that no file has two writers. Runs only ever add files, and
every file is written whole: a killed run loses nothing that it had finished, and the next one adds only the missing.
"""

import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from avss.errors import InputError
from avss.files import write_whole
from avss.records import gzipped, read_json, read_table, sha256_of, table_text

_COLUMNS = {
    "key": str,
    "run": str,
    "profile": str,
    "row": str,
    "task": str,
    "dataset": str,
    "data": str,
    "data_fingerprint": str,
    "model": str,
    "revision": str,
    "method": str,
    "reading": str,
    "selection": str,
    "removed": str,
    "coalition": str,
    "layers": float,
    "share_of_layers": float,
    "share_of_parameters": float,
    "seed": float,
    "samples": float,
    "metric": str,
    "value": float,
    "low": float,
    "high": float,
    "original": float,
    "n": float,
    "seconds": float,
    "peak_memory_mb": float,
    "status": str,
}
OBSERVATIONS = tuple(_COLUMNS)
NUMBERS = tuple(name for name, kind in _COLUMNS.items() if kind is float)
LAYERS = ("run", "row", "method", "reading", "seed", "layer", "quantity", "value")
OUTCOMES = ("coalition", "document", "numerator", "denominator")
# Begins the selection of a point of a curve, `curve:lowest(3)`.
CURVE = "curve:"
# Begins that of a compensated twin, `compensated:lowest(3)` or `compensated:curve:lowest(3)`.
COMPENSATED = "compensated:"
# In the provenance: for each table of the run, by its ending, the SHA-256 of its content and of the content before.
DIGESTS = "sha256_of_tables"


def key_of(**determinants) -> str:
    """Sixteen digits of the hash of all that determines an observation."""
    text = json.dumps(determinants, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def layers_text(layers: Iterable[int]) -> str:
    """A set of layers as it stands in the tables: `1+4`, or `none`."""
    return "+".join(map(str, sorted(layers))) or "none"


def layers_of(text: str) -> list[int]:
    """The set of layers that `layers_text` wrote."""
    return [] if text == "none" else [int(layer) for layer in text.split("+")]


def failed(error: Exception) -> dict:
    """The status of an observation that an error prevented, with the reason in one line."""
    return {"status": f"failed: {' '.join(str(error).split())}"}


def _finite(observation: dict) -> dict:
    """The observation, failed where its value is no finite number."""
    if observation.get("status") != "ok":
        return observation
    value = float(observation["value"])
    if math.isfinite(value):
        return observation
    metric = observation.get("metric") or "value"
    reason = f"{metric} is not a number" if math.isnan(value) else f"{metric} is above 1e308, the most that is stored"
    return observation | {"value": "", "low": "", "high": "", "status": f"failed: {reason}"}


@dataclass
class Run:
    """One run's files. `add` writes at once, so that later failures lose nothing."""

    folder: Path
    name: str
    provenance: dict
    observations: list[dict] = field(default_factory=list)
    layers: list[dict] = field(default_factory=list)
    outcomes: list[dict] = field(default_factory=list)

    def add(self, observations: list[dict], layers: Iterable[dict] = ()) -> None:
        """Append observations and the scores of their layers. A value that is not finite is stored as failed.

        Raises `InputError` for a column that the table does not have.
        """
        for row in observations:
            unknown = set(row) - set(OBSERVATIONS)
            if unknown:
                raise InputError(f"observation has unknown columns {', '.join(sorted(unknown))}; see avss.store")
        self.observations += [{**_finite(row), "run": self.name} for row in observations]
        self.layers += [{**row, "run": self.name} for row in layers]
        if self.layers:
            self._write(".layers.csv", table_text(LAYERS, self.layers).encode())
        self._write(".csv", table_text(OBSERVATIONS, self.observations).encode())

    def add_outcomes(self, outcomes: dict[str, tuple]) -> None:
        """Append the numerators and denominators, one a document each, of sets of removed layers, by their names."""
        self.outcomes += [
            {"coalition": coalition, "document": index, "numerator": f"{top:.9g}", "denominator": f"{bottom:.9g}"}
            for coalition, parts in outcomes.items()
            for index, (top, bottom) in enumerate(zip(*parts, strict=True))
        ]
        self._write(".outcomes.csv.gz", gzipped(table_text(OUTCOMES, self.outcomes)))

    def _write(self, ending: str, content: bytes) -> None:
        """Write one of the run's tables, after its checksum. Provenance first: no table is ever without it."""
        digests = self.provenance.setdefault(DIGESTS, {})
        # A run that is killed between the two writes leaves the old content, which still counts.
        digests[ending] = [*digests.get(ending, ())[-1:], sha256_of(content)]
        self.describe()
        write_whole(self.folder / f"{self.name}{ending}", content)

    def describe(self, **facts) -> None:
        """Write the provenance, with these facts added."""
        self.provenance |= facts
        write_whole(self.folder / f"{self.name}.json", json.dumps(self.provenance, indent=1) + "\n")

    def describe_training(self, name: str, losses: Sequence[float]) -> None:
        """Add to the provenance about twenty of the losses of a training."""
        self.describe(losses={**self.provenance.get("losses", {}), name: losses[:: max(1, len(losses) // 20)]})

    def discard(self) -> None:
        """Remove a run that has nothing to tell. It must have no tables."""
        (self.folder / f"{self.name}.json").unlink()


@dataclass(frozen=True)
class Store:
    """All results under one folder, `<root>/<profile>/<row>/`.

    Every reader raises `InputError` with the name of a damaged file, and never reads a part of it.
    """

    root: Path

    def __init__(self, root: str | Path):
        object.__setattr__(self, "root", Path(root))

    def folder(self, profile: str, row: str) -> Path:
        """The folder of a row. Raises `InputError` for a name that would lead elsewhere."""
        for part in (profile, row):
            if not re.fullmatch(r"\w[\w.-]*", part):
                raise InputError(f"{part!r} cannot name a folder of results; use letters, digits, '.', '_' and '-'")
        return self.root / profile / row

    def start(self, profile: str, row: str, created: str, provenance: dict) -> Run:
        """A new run, named after `created` (UTC, to the second), its number and a random part.

        No two writers share a name, also on two machines with one file system. The number counts the runs of the row:
        the newest one is known also where a clock was set back.
        """
        folder = self.folder(profile, row)
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((earlier.get("number", 0) for earlier in self.provenances(profile, row)), default=0)
        while True:
            name = f"{profile}-{row}-{re.sub(r'[^0-9TZ]', '', created)}-{number}-{secrets.token_hex(4)}"
            facts = {"run": name, "profile": profile, "row": row, "created": created, "number": number}
            try:
                with open(folder / f"{name}.json", "x", encoding="utf-8") as file:
                    file.write(json.dumps(facts | provenance, indent=1) + "\n")
            except FileExistsError:
                continue
            return Run(folder, name, facts | provenance)

    def _files(self, ending: str, profile: str, row: str) -> list[Path]:
        """The files of this ending, by row and then by run."""
        found = (path for path in self.root.glob(f"{profile}/{row}/*{ending}") if not path.name.startswith("."))
        return sorted(found, key=lambda path: (path.parent, path.name.split(".")[0]))

    def _table(self, path: Path, columns: tuple[str, ...], numbers: tuple[str, ...]) -> pd.DataFrame:
        """One table of a run, if it is the one that the run wrote; runs of older versions recorded no checksums."""
        name, _, ending = path.name.partition(".")
        facts = path.with_name(f"{name}.json")
        recorded = read_json(facts, ("run",)).get(DIGESTS, {}) if facts.is_file() else {}
        return read_table(path, columns, numbers, digests=recorded.get(f".{ending}", ()))

    def observations(self, profile: str = "*", row: str = "*") -> pd.DataFrame:
        """All observations, each key once (the first that succeeded, else the first), in order of run."""
        files = [path for path in self._files(".csv", profile, row) if not path.name.endswith(".layers.csv")]
        tables = [self._table(path, OBSERVATIONS, NUMBERS) for path in files]
        tables = [table for table in tables if len(table)]
        if not tables:
            return pd.DataFrame(columns=list(OBSERVATIONS))
        table = pd.concat(tables, ignore_index=True)
        failed = (table["status"] != "ok").sort_values(kind="stable").index
        return table.loc[failed].drop_duplicates("key").sort_index().reset_index(drop=True)

    def finished(self, profile: str, row: str) -> set[str]:
        """The keys of observations that succeeded."""
        table = self.observations(profile, row)
        return set(table.loc[table["status"] == "ok", "key"])

    def asked_for(self, profile: str, row: str) -> set[str]:
        """The keys of the observations that the row's newest configuration asks for; none where it never ran.

        All others are left over from an earlier configuration, model, data set or protocol.
        """
        # Other runs may keep measurements of their own beside those of a row.
        asked = [run["asked"] for run in self.provenances(profile, row) if "asked" in run]
        return set(asked[-1]) if asked else set()

    def layers(self, profile: str = "*", row: str = "*") -> pd.DataFrame:
        """The scores of every layer, in long form, with the profile; lines of all runs, told apart by `run`."""
        numbers = ("seed", "layer", "value")
        files = self._files(".layers.csv", profile, row)
        tables = [self._table(path, LAYERS, numbers).assign(profile=path.parts[-3]) for path in files]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*LAYERS, "profile"])

    def outcomes(self, profile: str, row: str) -> dict[str, tuple]:
        """Per-document (numerator, denominator) arrays by coalition."""
        found: dict[str, tuple] = {}
        for path in self._files(".outcomes.csv.gz", profile, row):
            table = self._table(path, OUTCOMES, OUTCOMES[1:])
            for coalition, part in table.groupby("coalition", sort=False):
                part = part.sort_values("document")
                found.setdefault(coalition, (part["numerator"].to_numpy(float), part["denominator"].to_numpy(float)))
        return found

    def provenances(self, profile: str, row: str) -> list[dict]:
        """The provenance of every run of a row, the newest last."""
        # A run that was killed as it began leaves an empty file and nothing else.
        files = [path for path in self._files(".json", profile, row) if path.stat().st_size or _has_tables(path)]
        runs = [read_json(path, ("run", "profile", "row", "created")) for path in files]
        order = [
            (path.parent, run.get("number", 0), run["created"], run["run"])
            for path, run in zip(files, runs, strict=True)
        ]
        return [runs[index] for index in sorted(range(len(runs)), key=order.__getitem__)]

    def provenance(self, run: str) -> dict:
        """The provenance of a run, by its name. Raises `InputError` where there is none."""
        for path in self.root.glob(f"*/*/{run}.json"):
            return read_json(path, ("run", "profile", "row", "created"))
        raise InputError(f"run {run!r} has no provenance under {self.root}; it was not made by this store")


def _has_tables(path: Path) -> bool:
    return any(path.with_name(f"{path.stem}{ending}").exists() for ending in (".csv", ".outcomes.csv.gz"))
