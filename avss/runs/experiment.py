"""One row of Table 1: load the model once, score it by every method and seed, remove layers, evaluate.

The only module that joins methods and tasks. What a row is made of stands in `profiles/*.yaml`.
"""

import json
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path

import yaml
from datasets import Dataset

from avss import intervals, selection
from avss.architectures import blocks_of
from avss.data import batched, context_of, fingerprint, load_data, padding_id, sample, usable_rows
from avss.errors import InputError, look_up
from avss.methods import method_named, score
from avss.models import ATTENTION, DEVICE_MAPS, DTYPES, load_model, resolve, revision_of
from avss.progress import progress
from avss.pruning import parameter_share, skipping
from avss.reading import Reading
from avss.runs import preflight
from avss.runs.batch_sizes import BatchSizes
from avss.runs.provenance import forget_peak, now, peak_memory_mb, provenance
from avss.scores import LayerScores
from avss.store import Run, Store, key_of, layers_text
from avss.tasks import task_named
from avss.tasks.base import Outcome

# Raised by one whenever the same inputs would give another number; it is part of every key.
PROTOCOL = 2
# Losses under layer masks are kept here, so that a run that was killed and methods that ask alike share them.
COALITIONS = Path("build/coalitions")


@dataclass(frozen=True)
class Row:
    """One row of Table 1 on one model.

    id: names the row's folder of results. dataset, model: the paper's names, as in its table. checkpoint, data: what
    is loaded. calibration, evaluation: splits (None: the usual ones). remove: number of layers, or share of them.
    documents: evaluation documents, the same for all methods and seeds (None: all). samples: calibration documents a
    seed. context: tokens a document (None: the task's). seeds: 0 to seeds - 1. selections: by method, rules of
    `avss.selection` beside `lowest`, which every method has. batch_size: documents at a time, halved where they do
    not fit into memory.

    Of the hub: revision, data_revision: the commits that are taken (None: the newest, which the results name).
    data_config, where: as in `avss.data.load_data`. device_map, attn_implementation: as in `avss.models.load_model`.
    alternative: for a model behind a licence, an open one of the same depth. For `avss plan` alone: shape, what the
    checkpoint's `config.json` says; tokens, about how many a document has; data_bytes, the size of the download.
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
    selections: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seeds: int = 5
    samples: int = 512
    documents: int | None = None
    context: int | None = None
    batch_size: int = 32
    dtype: str = "float32"
    revision: str | None = None
    data_revision: str | None = None
    data_config: str | None = None
    where: dict[str, str] = field(default_factory=dict)
    device_map: str | None = None
    attn_implementation: str | None = None
    alternative: str | None = None
    shape: dict | None = None
    tokens: int | None = None
    data_bytes: int = 0


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

    def row_of(self, dataset: str, model: str, seeds: int | None = None) -> Row:
        """The row of these names in the paper's table, with so many seeds (None: its own), or `InputError`."""
        if seeds is not None and (not isinstance(seeds, int) or seeds < 1):
            raise InputError(f"seeds is {seeds!r}; give how many, from 1, or None for those of profile {self.name}")
        for row in self.rows:
            if (row.dataset, row.model) == (dataset, model):
                return row if seeds is None else replace(row, seeds=seeds)
        known = "; ".join(f"{row.dataset}, {row.model}" for row in self.rows)
        raise InputError(f"profile {self.name} has no row of {dataset!r} and {model!r}; it has {known}")


def load_profile(path: str | Path) -> Profile:
    """Read a profile. Raises `InputError` for a missing file, an unknown field, and a value that it cannot have."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"profile {path} does not exist; give a file such as profiles/mini.yaml of the repository")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise InputError(f"{path} is not a profile; it needs a list of rows, as profiles/mini.yaml has")
    rows = []
    for entry in content["rows"]:
        merged = {**content.get("defaults", {}), **entry}
        unknown = set(merged) - {known.name for known in fields(Row)}
        if unknown:
            raise InputError(f"{path}: row {entry.get('id')} has unknown fields {', '.join(sorted(unknown))}")
        needed = [known.name for known in fields(Row) if known.default is known.default_factory is MISSING]
        lacking = [name for name in needed if name not in merged]
        if lacking:
            raise InputError(f"{path}: row {entry.get('id')} lacks {', '.join(lacking)}")
        row = Row(**{key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()})
        _check(row, path)
        rows.append(row)
    return Profile(path.stem, tuple(rows))


# What a field of a profile holds where it is given, and how to say so.
_KINDS = {
    "samples": (int, "a number"),
    "documents": (int, "a number, or none for all"),
    "seeds": (int, "a number"),
    "batch_size": (int, "a number"),
    "tokens": (int, "a number"),
    "data_bytes": (int, "a number of bytes"),
    "revision": (str, "a commit, in quotes"),
    "data_revision": (str, "a commit, in quotes"),
    "data_config": (str, "a name, in quotes"),
    "alternative": (str, "the name of a model"),
    "where": (dict, "a value for each column"),
    "shape": (dict, "what config.json says, with model_type and architectures"),
}


def _check(row: Row, path: Path) -> None:
    """Raises `InputError` for a value of this row that its field cannot have."""
    task_named(row.task)
    for method in row.methods:
        method_named(method)
    for reading in row.readings:
        Reading.parse(reading)
    for method, rules in row.selections.items():
        if method not in row.methods:
            raise InputError(f"{path}: row {row.id} has selections for {method}, which is none of its methods")
        for rule in rules:
            selection.parse(rule)
    for name, (kind, meant) in _KINDS.items():
        value = getattr(row, name)
        if value is not None and (not isinstance(value, kind) or (kind is int and value < (name != "data_bytes"))):
            raise InputError(f"{path}: {name} of row {row.id} is {value!r}; give {meant}")
    if row.shape is not None and not {"model_type", "architectures"} <= set(row.shape):
        raise InputError(f"{path}: shape of row {row.id} is {row.shape!r}; give {_KINDS['shape'][1]}")
    look_up(f"{path}: row {row.id}: dtype", row.dtype, DTYPES)
    for name, known in (("device_map", DEVICE_MAPS), ("attn_implementation", ATTENTION)):
        if getattr(row, name) is not None:
            look_up(f"{path}: row {row.id}: {name}", getattr(row, name), dict.fromkeys(known))


def usable_data(row: Row, purpose: str) -> tuple[Dataset, str]:
    """All rows of the row's data for `purpose`, calibration or evaluation, and the name of the text column.

    Raises `InputError` as `avss.data.load_data` and `usable_rows`.
    """
    found = load_data(
        row.data,
        getattr(row, purpose),
        purpose=purpose,
        revision=row.data_revision,
        config=row.data_config,
        where=row.where,
    )
    return usable_rows(found, task_named(row.task).columns, None, row.data)


class _Evaluation:
    """The row's evaluation set, and each set of removed layers evaluated on it once."""

    def __init__(
        self, row: Row, run: Run, model, tokenizer, dataset, column: str, pinned: str, known: dict, batches: BatchSizes
    ):
        self.row, self.run, self.task, self.batches = row, run, task_named(row.task), batches
        self.model, self.tokenizer, self.dataset, self.column = model, tokenizer, dataset, column
        self.pinned, self.known = pinned, known

    def coalition(self, removed: list[int]) -> str:
        return f"{self.pinned}-{layers_text(removed)}"

    def __call__(self, removed: list[int]) -> tuple:
        coalition = self.coalition(removed)
        if coalition not in self.known:
            with _without(self.model, removed):
                outcome = self.batches.run("evaluation", self._measure)
            self.run.describe(protocol=outcome.protocol)
            self.run.add_outcome(coalition, outcome.numerator, outcome.denominator)
            self.known[coalition] = (outcome.numerator, outcome.denominator)
        return self.known[coalition]

    def _measure(self, batch_size: int) -> Outcome:
        return self.task.measure(
            self.model,
            self.tokenizer,
            self.dataset,
            self.column,
            context=self.row.context or self.task.context,
            batch_size=batch_size,
        )


def _without(model, removed: list[int]):
    """The model without these layers; `skipping` itself wants at least one."""
    return skipping(model, removed) if removed else nullcontext()


def cells(row: Row) -> list[tuple[str, str, str, int]]:
    """(method, reading, selection, seed) of every observation of a row: `original` first, then each method.

    Only avss has readings; every method has all seeds, so that each has as many observations as another.
    """
    readings = {"avss": [Reading.parse(reading).name for reading in row.readings]}
    return [("original", "none", "none", 0)] + [
        (method, reading, rule, seed)
        for method in row.methods
        for reading in readings.get(method, ["none"])
        for rule in ("lowest", *row.selections.get(method, ()))
        for seed in range(row.seeds)
    ]


def run_row(row: Row, profile: str, store: Store, coalitions: Path | None = COALITIONS) -> int:
    """Compute what is missing of a row and add it to the store; return how many observations were added.

    coalitions: folder in which losses under layer masks are kept (None: they are not).
    A cell that fails is stored with its reason, and tried again by the next run. Raises `InputError` for what is not at
    hand (`avss.runs.preflight`), before anything is downloaded, and for a model or data that cannot be loaded.
    """
    began, task = time.monotonic(), task_named(row.task)
    preflight.require(row)
    evaluation, column = usable_data(row, "evaluation")
    calibration, _ = usable_data(row, "calibration")
    evaluation = sample(evaluation, row.documents, seed=0)
    evaluated_on = fingerprint(evaluation, [column, *task.extra])
    calibrated_on = fingerprint(calibration, [column, *task.extra])

    model, tokenizer = load_model(
        row.checkpoint,
        dtype=row.dtype,
        revision=row.revision,
        device_map=row.device_map,
        attn_implementation=row.attn_implementation,
    )
    revision, total = revision_of(model), len(blocks_of(model))
    pinned = key_of(
        protocol=PROTOCOL, data=evaluated_on, model=revision, dtype=row.dtype, context=row.context, task=row.task
    )

    def key(method: str, reading: str, rule: str, seed: int) -> str:
        if method == "original":
            return key_of(pinned=pinned)
        calibrated = {"data": calibrated_on, "samples": row.samples}
        chosen = {"method": method, "reading": reading, "selection": rule, "remove": row.remove, "seed": seed}
        return key_of(pinned=pinned, calibrated=calibrated, **chosen)

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
    batches, outcomes = BatchSizes(row.id, row.batch_size), store.outcomes(profile, row.id)
    evaluate = _Evaluation(row, run, model, tokenizer, evaluation, column, pinned, outcomes, batches)
    original = intervals.value(task.metric, *evaluate([]))
    scoring = _Scoring(row, model, tokenizer, calibration, column, revision, coalitions, batches)

    for method, reading, rule, seed in progress(missing, row.id):
        observation = {
            "key": key(method, reading, rule, seed),
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
            "selection": f"{rule}({row.remove})" if rule in ("lowest", "iterative") else rule,
            "layers": total,
            "seed": seed,
            "samples": 0 if method == "original" else row.samples,
            "metric": task.metric,
            "original": f"{original:.9g}",
            "n": len(evaluation),
        }
        forget_peak()
        try:
            removed, seconds, layers = [], 0.0, []
            if method != "original":
                removed, scores, seconds = scoring.select(method, reading, rule, seed)
                layers = _long(scores, row.id, method, reading, seed) if rule == "lowest" else []
            top, bottom = evaluate(removed)
            low, high = intervals.interval(task.metric, top, bottom)
            measured = {
                "removed": layers_text(removed),
                "coalition": evaluate.coalition(removed),
                "share_of_layers": f"{len(removed) / total:.6f}",
                "share_of_parameters": f"{parameter_share(model, removed):.6f}",
                "value": f"{intervals.value(task.metric, top, bottom):.9g}",
                "low": f"{low:.9g}",
                "high": f"{high:.9g}",
                "seconds": f"{seconds:.3f}",
                "peak_memory_mb": f"{peak_memory_mb():.0f}",
                "status": "ok",
            }
        # Torch raises RuntimeErrors for whatever an operation cannot do; the other cells may be able to.
        except (InputError, RuntimeError) as error:
            measured, layers = {"status": f"failed: {' '.join(str(error).split())}"}, []
        run.add([observation | measured], layers)
    run.describe(seconds=round(time.monotonic() - began, 1), finished=now())
    return len(missing)


class _Scoring:
    """The row's model scored by any method on any seed's calibration sample, also without some of its layers."""

    def __init__(
        self,
        row: Row,
        model,
        tokenizer,
        calibration,
        column: str,
        revision: str,
        coalitions: Path | None,
        batches: BatchSizes,
    ):
        self.row, self.model, self.tokenizer, self.column = row, model, tokenizer, column
        self.calibration, self.revision, self.coalitions, self.batches = calibration, revision, coalitions, batches
        self.task, self.layers = task_named(row.task), len(blocks_of(model))

    def select(self, method: str, reading: str, rule: str, seed: int) -> tuple[list[int], LayerScores, float]:
        """The layers to remove, the scores of the whole model, and the seconds that scoring took in all."""
        text = self._text(reading, seed) if method_named(method).reads_text else None
        began, made = time.monotonic(), []

        def values(removed: list[int]):
            def scores(size: int) -> LayerScores:
                return self._scores(text and text(size), method, reading, seed, removed)

            made.append(self.batches.run(method, scores))
            return made[-1].values

        chosen = selection.select(rule, values, self.layers, self.row.remove)
        return sorted(chosen), made[0], time.monotonic() - began

    def _text(self, reading: str, seed: int) -> Callable[[int], list[dict]]:
        """The calibration sample of this seed, in batches of any size."""
        drawn = sample(self.calibration, self.row.samples, seed)
        context = context_of(self.model, self.tokenizer, self.row.context or self.task.context)
        examples = self.task.examples(self.model, self.tokenizer, drawn, self.column, context)
        length = context if reading != "none" and Reading.parse(reading).padding == "included" else None
        # The longest first: where they do not fit into memory, that shows at once.
        return lambda size: batched(examples, padding_id(self.tokenizer), size, length)[::-1]

    def _scores(self, text, method: str, reading: str, seed: int, removed: list[int]) -> LayerScores:
        offered = {
            "seed": seed,
            # What is measured on a model that lacks layers is none of the whole model's coalitions.
            "cache": None if removed else self.coalitions,
            "key": self.revision,
            "remove": self.row.remove,
            "window": selection.count_of(self.row.remove, self.layers),
        }
        options = {name: value for name, value in offered.items() if name in method_named(method).options}
        with _without(self.model, removed), warnings.catch_warnings():
            # The tables show which layers had no near-zero activation; a line a seed on the screen adds nothing.
            warnings.filterwarnings("ignore", message="no activation below epsilon")
            return score(self.model, text, method, reading="paper" if reading == "none" else reading, **options)


def _long(scores, row_id: str, method: str, reading: str, seed: int) -> list[dict]:
    facts = {"row": row_id, "method": method, "reading": reading, "seed": seed}
    return [
        facts | {"layer": int(line["layer"]), "quantity": quantity, "value": f"{line[quantity]:.9g}"}
        for line in scores.table.to_dict("records")
        for quantity in scores.table.columns
        if quantity not in ("layer", "rank")
    ]
