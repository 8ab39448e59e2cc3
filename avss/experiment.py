"""One row of Table 1: load the model once, score it by every method and seed, remove the lowest layers, evaluate.

The only module that joins methods and tasks. What a row is made of stands in `profiles/*.yaml`.
"""

import json
import time
import warnings
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

import torch
import yaml

from avss import statistics
from avss.architectures import blocks_of
from avss.data import batches, context_of, fingerprint, load_data, sample, usable_rows
from avss.errors import InputError
from avss.methods import method_named, score
from avss.models import load_model, resolve, revision_of
from avss.progress import progress
from avss.provenance import now, peak_memory_mb, provenance
from avss.pruning import parameter_share, skipping
from avss.reading import Reading
from avss.results import Run, Store, key_of, layers_text
from avss.tasks import task_named

# Raised by one whenever the same inputs would give another number; it is part of every key.
PROTOCOL = 1


@dataclass(frozen=True)
class Row:
    """One row of Table 1 on one model.

    id: names the row's folder of results. dataset, model: the paper's names, as in its table. checkpoint, data: what
    is loaded. calibration, evaluation: splits (None: the usual ones). remove: number of layers, or share of them.
    samples: calibration documents a seed. context: tokens a document (None: the task's). seeds: 0 to seeds - 1.
    """

    id: str
    task: str
    dataset: str
    model: str
    checkpoint: str
    data: str
    remove: int | float
    calibration: str | None = None
    evaluation: str | None = None
    methods: tuple[str, ...] = ("avss", "random", "last", "magnitude")
    readings: tuple[str, ...] = ("paper",)
    seeds: int = 5
    samples: int = 512
    context: int | None = None
    batch_size: int = 32
    dtype: str = "float32"


@dataclass(frozen=True)
class Profile:
    """A named set of rows, from `profiles/<name>.yaml`."""

    name: str
    rows: tuple[Row, ...] = field(default_factory=tuple)

    def row(self, row_id: str) -> Row:
        """The row of this id, or `InputError` naming those that exist."""
        for row in self.rows:
            if row.id == row_id:
                return row
        raise InputError(f"profile {self.name} has no row {row_id!r}; it has {', '.join(row.id for row in self.rows)}")


def load_profile(path: str | Path) -> Profile:
    """Read a profile. Raises `InputError` for a missing file, an unknown field, method, task or reading."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"profile {path} does not exist; give one of profiles/*.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise InputError(f"{path} is not a profile; it needs a list of rows, as profiles/mini.yaml has")
    rows = []
    for entry in content["rows"]:
        merged = {**content.get("defaults", {}), **entry}
        unknown = set(merged) - {known.name for known in fields(Row)}
        if unknown:
            raise InputError(f"{path}: row {entry.get('id')} has unknown fields {', '.join(sorted(unknown))}")
        lacking = [f.name for f in fields(Row) if f.default is MISSING and f.name not in merged]
        if lacking:
            raise InputError(f"{path}: row {entry.get('id')} lacks {', '.join(lacking)}")
        row = Row(**{key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()})
        task_named(row.task)
        for method in row.methods:
            method_named(method)
        for reading in row.readings:
            Reading.parse(reading)
        rows.append(row)
    return Profile(path.stem, tuple(rows))


class _Evaluation:
    """The row's evaluation set, and each set of removed layers evaluated on it once."""

    def __init__(self, row: Row, run: Run, model, tokenizer, dataset, column: str, pinned: str, known: dict):
        self.row, self.run, self.task = row, run, task_named(row.task)
        self.model, self.tokenizer, self.dataset, self.column = model, tokenizer, dataset, column
        self.pinned, self.known = pinned, known

    def __call__(self, removed: list[int]) -> tuple:
        coalition = f"{self.pinned}-{layers_text(removed)}"
        if coalition not in self.known:
            with skipping(self.model, removed):
                outcome = self.task.measure(
                    self.model,
                    self.tokenizer,
                    self.dataset,
                    self.column,
                    context=self.row.context or self.task.context,
                    batch_size=self.row.batch_size,
                )
            self.run.describe(protocol=outcome.protocol)
            self.run.add_outcome(coalition, outcome.numerator, outcome.denominator)
            self.known[coalition] = (outcome.numerator, outcome.denominator)
        return self.known[coalition]


def cells(row: Row) -> list[tuple[str, str, int]]:
    """(method, reading, seed) of every observation of a row: `original` first, then each method.

    Only avss has readings; every method has all seeds, so that each has as many observations as another.
    """
    readings = {"avss": [Reading.parse(reading).name for reading in row.readings]}
    return [("original", "none", 0)] + [
        (method, reading, seed)
        for method in row.methods
        for reading in readings.get(method, ["none"])
        for seed in range(row.seeds)
    ]


def run_row(row: Row, profile: str, store: Store) -> int:
    """Compute what is missing of a row and add it to the store; return how many observations were added.

    A cell that fails is stored with its reason, and tried again by the next run. Raises `InputError` for a model or
    data that cannot be loaded.
    """
    began, task = time.monotonic(), task_named(row.task)
    evaluation, column = usable_rows(load_data(row.data, row.evaluation), task.columns, None, row.data)
    calibration, _ = usable_rows(
        load_data(row.data, row.calibration, purpose="calibration"), task.columns, None, row.data
    )
    evaluated_on = fingerprint(evaluation, [column, *task.extra])
    calibrated_on = fingerprint(calibration, [column])

    model, tokenizer = load_model(row.checkpoint, dtype=row.dtype)
    revision, total = revision_of(model), len(blocks_of(model))
    pinned = key_of(
        protocol=PROTOCOL, data=evaluated_on, model=revision, dtype=row.dtype, context=row.context, task=row.task
    )

    def key(method: str, reading: str, seed: int) -> str:
        if method == "original":
            return key_of(pinned=pinned)
        calibrated = {"data": calibrated_on, "samples": row.samples}
        return key_of(
            pinned=pinned, method=method, reading=reading, seed=seed, remove=row.remove, calibrated=calibrated
        )

    finished = store.finished(profile, row.id)
    missing = [cell for cell in cells(row) if key(*cell) not in finished]
    if not missing:
        return 0
    facts = provenance(str(model.device), row.dtype) | {"configuration": asdict(row), "pinned": pinned}
    report = Path(resolve(row.checkpoint)) / "training.json"
    if report.is_file():
        facts["training"] = {k: v for k, v in json.loads(report.read_text()).items() if k != "losses"}
    run = store.start(profile, row.id, now(), facts)
    for earlier in store.provenances(profile, row.id):
        # A resumed run may find every set of layers evaluated; how is then said by the run that did it.
        if earlier.get("pinned") == pinned and "protocol" in earlier:
            run.describe(protocol=earlier["protocol"])
    evaluate = _Evaluation(row, run, model, tokenizer, evaluation, column, pinned, store.outcomes(profile, row.id))
    original = statistics.value(task.metric, *evaluate([]))

    for method, reading, seed in progress(missing, row.id):
        observation = {
            "key": key(method, reading, seed),
            "profile": profile,
            "row": row.id,
            "task": row.task,
            "dataset": row.dataset,
            "data": row.data,
            "data_fingerprint": evaluated_on,
            "model": row.checkpoint,
            "revision": revision,
            "method": method,
            "reading": reading,
            "selection": "none" if method == "original" else f"lowest({row.remove})",
            "layers": total,
            "seed": seed,
            "samples": 0 if method == "original" else row.samples,
            "metric": task.metric,
            "original": f"{original:.9g}",
            "n": len(evaluation),
        }
        try:
            removed, seconds, layers = [], 0.0, []
            if method != "original":
                scores, seconds = _scored(row, model, tokenizer, calibration, column, method, reading, seed)
                removed = scores.lowest(row.remove)
                layers = _long(scores, row.id, method, reading, seed)
            top, bottom = evaluate(removed)
            low, high = statistics.interval(task.metric, top, bottom)
            measured = {
                "removed": layers_text(removed),
                "share_of_layers": f"{len(removed) / total:.6f}",
                "share_of_parameters": f"{parameter_share(model, removed):.6f}",
                "value": f"{statistics.value(task.metric, top, bottom):.9g}",
                "low": f"{low:.9g}",
                "high": f"{high:.9g}",
                "seconds": f"{seconds:.3f}",
                "peak_memory_mb": f"{peak_memory_mb():.0f}",
                "status": "ok",
            }
        except (InputError, torch.OutOfMemoryError) as error:
            measured, layers = {"status": f"failed: {' '.join(str(error).split())}"}, []
        run.add([observation | measured], layers)
    run.describe(seconds=round(time.monotonic() - began, 1), finished=now())
    return len(missing)


def _scored(row: Row, model, tokenizer, calibration, column: str, method: str, reading: str, seed: int):
    """LayerScores on this seed's calibration sample, and the seconds that scoring took."""
    text = None
    if method_named(method).reads_text:
        drawn = sample(calibration, row.samples, seed)
        filled = Reading.parse(reading).padding == "included"
        context = context_of(model, tokenizer, row.context or task_named(row.task).context)
        text = batches(drawn[column], tokenizer, context=context, batch_size=row.batch_size, fill=filled)
    options = {"seed": seed} if "seed" in method_named(method).options else {}
    began = time.monotonic()
    with warnings.catch_warnings():
        # The tables show which layers had no near-zero activation; a line a seed on the screen adds nothing.
        warnings.filterwarnings("ignore", message="no activation below epsilon")
        scores = score(model, text, method, reading="paper" if reading == "none" else reading, **options)
    return scores, time.monotonic() - began


def _long(scores, row_id: str, method: str, reading: str, seed: int) -> list[dict]:
    facts = {"row": row_id, "method": method, "reading": reading, "seed": seed}
    return [
        facts | {"layer": int(line["layer"]), "quantity": quantity, "value": f"{line[quantity]:.9g}"}
        for line in scores.table.to_dict("records")
        for quantity in scores.table.columns
        if quantity not in ("layer", "rank")
    ]
