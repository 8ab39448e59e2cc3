"""One row: load the model once, score it by every method and seed, remove layers, evaluate.

The only module that joins methods and tasks. Rows come from `avss.runs.profile`.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from avss import intervals, selection
from avss.data import batched, context_of, padding_id, sample
from avss.errors import InputError
from avss.methods import method_named, score
from avss.progress import progress
from avss.pruning import parameter_share, skipping
from avss.reading import Reading
from avss.runs.choices import Choice, Choices
from avss.runs.context import Cell, Context, facts_of, loaded
from avss.runs.profile import Row, cells
from avss.runs.provenance import forget_peak, now, peak_memory_mb
from avss.scores import LayerScores
from avss.store import Run, Store, layers_text
from avss.tasks.base import Outcome

# Losses under layer masks are kept here, for a run that was killed and for methods that need the same ones.
COALITIONS = Path("build/coalitions")
# So many sets of layers are evaluated in one walk. Those of one method begin alike, more than those of two.
TOGETHER = 32


def run_row(row: Row, profile: str, store: Store, coalitions: Path | None = COALITIONS) -> int:
    """Compute what is missing of a row and add it to the store; return the number of observations added.

    coalitions: folder in which losses under layer masks, and the layers that a cell chose before it is evaluated, are
    kept (None: they are not). The store learns which
    observations this configuration asks for, also where none is missing. A cell that fails is stored with its reason,
    and the next run tries it again. Raises `InputError` for a missing package, model, licence or data set
    (`avss.runs.preflight`) before any download, for a model or data that cannot be loaded, and where the whole model
    cannot be evaluated.
    """
    began = time.monotonic()
    context = loaded(row, coalitions)
    keys = {context.key(cell): cell for cell in cells(row)}
    finished = store.finished(profile, row.id)
    missing = [cell for key, cell in keys.items() if key not in finished]
    if not missing and store.asked_for(profile, row.id) == set(keys):
        return 0
    run = store.start(profile, row.id, now(), facts_of(context) | {"asked": list(keys)})
    if missing:
        _measure(context, missing, run, store)
    run.describe(seconds=round(time.monotonic() - began, 1), finished=now())
    return len(missing)


def _measure(context: Context, missing: list[Cell], run: Run, store: Store) -> None:
    """Score these cells, evaluate several sets of layers at a time, and add what is measured to the run at once."""
    row, profile = context.row, run.provenance["profile"]
    for earlier in store.provenances(profile, row.id):
        # Where every set of layers was evaluated by an earlier run, that run recorded the protocol.
        if earlier.get("pinned") == context.pinned and "protocol" in earlier:
            run.describe(protocol=earlier["protocol"])
    evaluate = _Evaluation(context, run, store.outcomes(profile, row.id))
    try:
        original = f"{intervals.value(context.task.metric, *evaluate([])):.9g}"
    except InputError as error:
        run.add([_described(context, missing[0], profile) | _failed(error)])
        raise
    kept, waiting = Choices(context.coalitions), []

    def store_all() -> None:
        evaluate.together([choice.removed for _, choice in waiting])
        for cell, choice in waiting:
            described = _described(context, cell, profile) | {"original": original}
            try:
                measured, layers = _measured(context, evaluate, choice), choice.layers
            except (InputError, RuntimeError) as error:
                measured, layers = _failed(error), []
            run.add([described | measured], layers)
            kept.forget(described["key"])
        waiting.clear()

    for cell in progress(missing, row.id):
        try:
            waiting.append((cell, kept.found(context.key(cell), lambda cell=cell: _chosen(context, cell))))
        # Torch raises RuntimeErrors for operations that it cannot do; other cells may not need them.
        except (InputError, RuntimeError) as error:
            run.add([_described(context, cell, profile) | {"original": original} | _failed(error)])
        if len(evaluate.new(choice.removed for _, choice in waiting)) >= TOGETHER:
            store_all()
    store_all()


def _failed(error: Exception) -> dict:
    return {"status": f"failed: {' '.join(str(error).split())}"}


def _described(context: Context, cell: Cell, profile: str) -> dict:
    """The columns of an observation that are known before it is measured."""
    row, (method, reading, rule, seed) = context.row, cell
    return {
        "key": context.key(cell),
        "profile": profile,
        "row": row.id,
        "task": row.task,
        "dataset": row.dataset,
        "data": row.data,
        "data_fingerprint": context.evaluated_on,
        "model": row.checkpoint,
        "revision": context.revision,
        "method": method,
        "reading": reading,
        "selection": f"{rule}({row.remove})" if rule in ("lowest", "iterative") else rule,
        "layers": context.layers,
        "seed": seed,
        "samples": 0 if method == "original" else row.samples,
        "metric": context.task.metric,
        "n": len(context.evaluation),
    }


def _chosen(context: Context, cell: Cell) -> Choice:
    """Score the model as the cell says; raises `InputError` also for layers that this model cannot lose."""
    forget_peak()
    if cell[0] == "original":
        return Choice([], 0.0, peak_memory_mb(), [])
    removed, scores, seconds = _select(context, cell)
    with skipping(context.model, removed):
        peak = peak_memory_mb()
    return Choice(removed, seconds, peak, _long(scores, context.row.id, cell) if cell[2] == "lowest" else [])


def _measured(context: Context, evaluate: "_Evaluation", choice: Choice) -> dict:
    """The measured columns of an observation."""
    removed, metric = choice.removed, context.task.metric
    outcome = evaluate(removed)
    low, high = intervals.interval(metric, *outcome)
    return {
        "removed": layers_text(removed),
        "coalition": context.coalition(removed),
        "share_of_layers": f"{len(removed) / context.layers:.6f}",
        "share_of_parameters": f"{parameter_share(context.model, removed):.6f}",
        "value": f"{intervals.value(metric, *outcome):.9g}",
        "low": f"{low:.9g}",
        "high": f"{high:.9g}",
        "seconds": f"{choice.seconds:.3f}",
        "peak_memory_mb": f"{choice.peak_memory_mb:.0f}",
        "status": "ok",
    }


class _Evaluation:
    """The score of the model without some layers, per document; each set of layers is evaluated once."""

    def __init__(self, context: Context, run: Run, known: dict):
        self.context, self.run, self.known = context, run, known

    def __call__(self, removed: list[int]) -> tuple:
        coalition = self.context.coalition(removed)
        if coalition not in self.known:
            with skipping(self.context.model, removed):
                outcome = self.context.batches.run("evaluation", self._measured_by(self.context.task.measure))
            if not _finite(outcome):
                raise InputError(
                    f"the scores of some documents are not finite without layers {layers_text(removed)}, "
                    f"in {self.context.row.dtype}; load the model in a wider dtype"
                )
            self._keep(removed, outcome)
        return self.known[coalition]

    def new(self, sets: Iterable[list[int]]) -> list[list[int]]:
        """The different sets of layers that are not evaluated yet, those that begin alike side by side."""
        return sorted({tuple(layers) for layers in sets if self.context.coalition(layers) not in self.known})

    def together(self, sets: Iterable[list[int]]) -> None:
        """Evaluate the new ones of these sets of layers in one walk; those that fail are left for a call of their own.

        A task that generates has a pass of its own for each set.
        """
        new = self.new(sets)
        if self.context.task.generated or len(new) < 2:
            return
        kept = {"cache": self.context.coalitions, "key": self.context.pinned}
        measure = self._measured_by(self.context.task.measure_each, removed=new, **kept)
        try:
            outcomes = self.context.batches.run("evaluation", measure)
        except (InputError, RuntimeError):
            # One set is enough to fail them all.
            return
        for removed, outcome in zip(new, outcomes, strict=True):
            if _finite(outcome):
                self._keep(removed, outcome)

    def _measured_by(self, measure: Callable, **more) -> Callable[[int], Outcome | list[Outcome]]:
        context = self.context
        return lambda batch_size: measure(
            context.model,
            context.tokenizer,
            context.evaluation,
            context.column,
            context=context.row.context or context.task.context,
            batch_size=batch_size,
            **({"prompting": context.prompting} if context.task.prompted else {}),
            **more,
        )

    def _keep(self, removed: Iterable[int], outcome: Outcome) -> None:
        coalition, parts = self.context.coalition(removed), (outcome.numerator, outcome.denominator)
        self.run.describe(protocol=outcome.protocol)
        self.run.add_outcome(coalition, *parts)
        self.known[coalition] = parts


def _finite(outcome: Outcome) -> bool:
    return all(np.isfinite(part).all() for part in (outcome.numerator, outcome.denominator))


def _select(context: Context, cell: Cell) -> tuple[list[int], LayerScores, float]:
    """The layers to remove, the scores of the whole model, and the seconds that all scoring took."""
    method, reading, rule, seed = cell
    text = _text(context, reading, seed) if method_named(method).reads_text else None
    began, made = time.monotonic(), []

    def values(removed: list[int]):
        def scores(size: int) -> LayerScores:
            return _scores(context, cell, text and text(size), removed)

        made.append(context.batches.run(method, scores))
        return made[-1].values

    chosen = selection.select(rule, values, context.layers, context.row.remove)
    return sorted(chosen), made[0], time.monotonic() - began


def _text(context: Context, reading: str, seed: int) -> Callable[[int], list[dict]]:
    """The calibration sample of this seed, in batches of any size."""
    drawn = sample(context.calibration, context.row.samples, seed)
    tokens = context_of(context.model, context.tokenizer, context.row.context or context.task.context)
    # Without solved examples: they would be the same tokens in every document, and most of what is scored.
    asked = {"prompting": replace(context.prompting, solved=())} if context.task.prompted else {}
    examples = context.task.examples(context.model, context.tokenizer, drawn, context.column, tokens, **asked)
    length = tokens if reading != "none" and Reading.parse(reading).padding == "included" else None
    # The longest first: where they do not fit into memory, the first batch shows it.
    return lambda size: batched(examples, padding_id(context.tokenizer), size, length)[::-1]


def _scores(context: Context, cell: Cell, text: list[dict] | None, removed: list[int]) -> LayerScores:
    method, reading, _, seed = cell
    offered = {
        "seed": seed,
        # Losses of a model without some layers are not coalitions of the whole model.
        "cache": None if removed else context.coalitions,
        "key": context.revision,
        "remove": context.row.remove,
        "window": selection.count_of(context.row.remove, context.layers),
    }
    options = {name: value for name, value in offered.items() if name in method_named(method).options}
    with skipping(context.model, removed), warnings.catch_warnings():
        # The tables show which layers had no near-zero activation; a line a seed on the screen adds nothing.
        warnings.filterwarnings("ignore", message="no activation below epsilon")
        return score(context.model, text, method, reading="paper" if reading == "none" else reading, **options)


def _long(scores: LayerScores, row_id: str, cell: Cell) -> list[dict]:
    """The scores of every layer, one quantity of one layer a line."""
    method, reading, _, seed = cell
    facts = {"row": row_id, "method": method, "reading": reading, "seed": seed}
    return [
        facts | {"layer": int(line["layer"]), "quantity": quantity, "value": f"{line[quantity]:.9g}"}
        for line in scores.table.to_dict("records")
        for quantity in scores.table.columns
        if quantity not in ("layer", "rank")
    ]
