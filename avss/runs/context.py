"""The model and the data of one row, loaded once, with the digests that pin every number measured on them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from datasets import Dataset
from numpy.typing import NDArray
from torch import nn

from avss import intervals, selection
from avss.adapters import adapter_of
from avss.architectures import blocks_of
from avss.data import batched, context_of, fingerprint, load_data, padding_id, sample, usable_rows
from avss.gguf_files import source_of
from avss.models import load_model, resolve, revision_of
from avss.pruning import parameter_share
from avss.runs import preflight
from avss.runs.batch_sizes import BatchSizes
from avss.runs.cells import Cell
from avss.runs.profile import Row
from avss.runs.provenance import provenance
from avss.store import key_of, layers_text
from avss.tasks.base import Outcome
from avss.tasks.catalogue import Task, task_named
from avss.tasks.prompts import PLAIN, Prompting
from avss.tasks.shots import prompting_for

# Raised by one whenever the same inputs would give another number; it is part of every key.
PROTOCOL = 2
# The same for compensated observations: all factors come from the calibration sample of seed 0.
COMPENSATION = 1


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


@dataclass(frozen=True)
class Context:
    """All that the cells of a row share: its model, its data, and the digests that pin both.

    evaluation: the documents that every set of removed layers is evaluated on. calibration: the documents that each
    seed draws its sample from. column: their text column. prompting: how evaluated questions are put to the model.
    evaluated_on, calibrated_on: fingerprints of both.
    """

    row: Row
    task: Task
    model: nn.Module
    tokenizer: object
    evaluation: Dataset
    calibration: Dataset
    column: str
    prompting: Prompting
    evaluated_on: str
    calibrated_on: str
    batches: BatchSizes
    coalitions: Path | None

    @cached_property
    def revision(self) -> str:
        return revision_of(self.model, self.tokenizer)

    @cached_property
    def layers(self) -> int:
        return len(blocks_of(self.model))

    @cached_property
    def pinned(self) -> str:
        """The digest of all that decides the score of a set of removed layers."""
        row = self.row
        # Rows without shots keep the keys that they had before there were any.
        asked = {} if self.prompting == PLAIN else {"prompt": row.prompt, "solved": self.prompting.solved}
        return key_of(
            protocol=PROTOCOL,
            data=self.evaluated_on,
            model=self.revision,
            dtype=row.dtype,
            context=row.context,
            task=row.task,
            **asked,
        )

    def key(self, cell: Cell) -> str:
        """The digest of all that decides the observation of a cell."""
        if cell.method == "original":
            return key_of(pinned=self.pinned)
        calibrated = {"data": self.calibrated_on, "samples": self.row.samples}
        chosen = {"method": cell.method, "reading": cell.reading, "selection": cell.selection, "seed": cell.seed}
        amount = {"remove": self.row.remove} if cell.at is None else {"curve": cell.at}
        twin = {"compensated": COMPENSATION} if cell.compensated else {}
        return key_of(pinned=self.pinned, calibrated=calibrated, **chosen, **amount, **twin)

    def coalition(self, removed: Iterable[int], compensated: bool = False) -> str:
        """The name of the outcomes without these layers; with compensation they also depend on the calibration."""
        if not compensated:
            return f"{self.pinned}-{layers_text(removed)}"
        scaled = key_of(compensated=COMPENSATION, data=self.calibrated_on, samples=self.row.samples)
        return f"{self.pinned}-compensated-{scaled}-{layers_text(removed)}"

    def calibration_text(self, seed: int, padded: bool = False) -> Callable[[int], list[dict]]:
        """The calibration sample of a seed, as the task shows it to the model, in batches of any size.

        padded: every document has the length of the longest that is allowed.
        """
        drawn = sample(self.calibration, self.row.samples, seed)
        tokens = context_of(self.model, self.tokenizer, self.row.context or self.task.context)
        # Without solved examples: they would be the same tokens in every document, and most of what is scored.
        asked = {"prompting": replace(self.prompting, solved=())} if self.task.prompted else {}
        examples = self.task.examples(self.model, self.tokenizer, drawn, self.column, tokens, **asked)
        length = tokens if padded else None
        # The longest first: where they do not fit into memory, the first batch shows it.
        return lambda size: batched(examples, padding_id(self.tokenizer), size, length)[::-1]

    def measured_by(self, measure: Callable, **more) -> Callable[[int], Outcome | list[Outcome]]:
        """A function of the batch size that runs `measure` of the task as this row asks; more: its other options."""
        asked = {"prompting": self.prompting} if self.task.prompted else {}
        given = (self.model, self.tokenizer, self.evaluation, self.column)
        options = {"context": self.row.context or self.task.context} | asked | more
        return lambda batch_size: measure(*given, batch_size=batch_size, **options)

    def described(self, profile: str) -> dict:
        """The columns that all observations of this row have in common."""
        row = self.row
        return {
            "profile": profile,
            "row": row.id,
            "task": row.task,
            "dataset": row.dataset,
            "data": row.data,
            "data_fingerprint": self.evaluated_on,
            "model": row.checkpoint,
            "revision": self.revision,
            "layers": self.layers,
            "metric": self.task.metric,
            "n": len(self.evaluation),
        }

    def measured(self, removed: list[int], numerator: NDArray, denominator: NDArray, compensated: bool = False) -> dict:
        """The columns of what is measured without these layers, from the outcome of each document."""
        low, high = intervals.interval(self.task.metric, numerator, denominator)
        return {
            "removed": layers_text(removed),
            "coalition": self.coalition(removed, compensated),
            "share_of_layers": f"{len(removed) / self.layers:.6f}",
            "share_of_parameters": f"{parameter_share(self.model, removed):.6f}",
            "value": f"{intervals.value(self.task.metric, numerator, denominator):.9g}",
            "low": f"{low:.9g}",
            "high": f"{high:.9g}",
            "status": "ok",
        }


def loaded(row: Row, coalitions: Path | None) -> Context:
    """The row's model and data, loaded once. Raises `InputError` as `avss.runs.experiment.run_row`."""
    preflight.require(row)
    task = task_named(row.task)
    evaluation, column = usable_data(row, "evaluation")
    calibration, calibration_column = usable_data(row, "calibration")
    evaluation = sample(evaluation, row.documents, seed=0)
    model, tokenizer = load_model(
        row.checkpoint,
        dtype=row.dtype,
        revision=row.revision,
        device_map=row.device_map,
        attn_implementation=row.attn_implementation,
    )
    for amount in (row.remove, *row.curve):
        selection.count_of(amount, len(blocks_of(model)))
    prompting = PLAIN
    if task.prompted:
        avoid = task.questions(evaluation, column) if row.shots else ()
        pool = (calibration, calibration_column)
        prompting = prompting_for(task, model, tokenizer, row.shots, row.prompt, pool, avoid)
    return Context(
        row,
        task,
        model,
        tokenizer,
        evaluation,
        calibration,
        column,
        prompting,
        fingerprint(evaluation, [column, *task.extra]),
        fingerprint(calibration, [column, *task.extra]),
        BatchSizes(row.id, row.batch_size),
        coalitions,
    )


def facts_of(context: Context) -> dict:
    """The provenance of a run of this row."""
    row, model = context.row, context.model
    facts = provenance(str(model.device), row.dtype) | {
        "configuration": asdict(row),
        "pinned": context.pinned,
        "calibrated": context.calibrated_on,
        "class": type(model).__name__,
        # Tied parameters count once.
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": context.layers,
    }
    training = Path(resolve(row.checkpoint)) / "training.json"
    if training.is_file():
        facts["training"] = {k: v for k, v in json.loads(training.read_text()).items() if k != "losses"}
    origins = {"dequantized_from": source_of(model), "merged_adapter": adapter_of(model)}
    return facts | {name: origin for name, origin in origins.items() if origin}
