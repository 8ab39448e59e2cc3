"""One row: load the model once, score it by every method and seed, remove layers, evaluate.

The only module that joins methods and tasks. Rows come from `avss.runs.profile`.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from avss import intervals, selection
from avss.errors import InputError
from avss.methods import method_named, score
from avss.progress import progress
from avss.pruning import skipping
from avss.reading import Reading
from avss.records import lines_of
from avss.runs.cells import Cell, cells
from avss.runs.choices import Choice, Choices
from avss.runs.context import Context, facts_of, loaded
from avss.runs.evaluation import Evaluation, scales_of
from avss.runs.profile import Row
from avss.runs.provenance import forget_peak, now, peak_memory_mb
from avss.runs.stored_scores import StoredScores, succeeded
from avss.scores import LayerScores
from avss.store import COMPENSATED, CURVE, Run, Store, failed, layers_of, layers_text

# Losses under layer masks are kept here, for a run that was killed and for methods that need the same ones.
COALITIONS = Path("build/coalitions")
# So many sets of layers are evaluated in one walk. Those of one method begin alike, more than those of two.
TOGETHER = 32


def run_row(row: Row, profile: str, store: Store, coalitions: Path | None = COALITIONS) -> int:
    """Compute what is missing of a row and add it to the store; return the number of observations added.

    coalitions: folder in which losses under layer masks, and the layers that a cell chose before it is evaluated, are
    kept (None: they are not). The store learns which observations this configuration asks for, also where none is
    missing. A cell that fails is stored with its reason, and the next run tries it again. Raises `InputError` for a
    missing package, model, licence or data set (`avss.runs.preflight`) before any download, for a model or data that
    cannot be loaded, and where the whole model cannot be evaluated.
    """
    began = time.monotonic()
    context = loaded(row, coalitions)
    keys = {context.key(cell): cell for cell in cells(row)}
    finished = store.finished(profile, row.id)
    missing = [cell for key, cell in keys.items() if key not in finished]
    changed = store.asked_for(profile, row.id) != set(keys)
    if not missing and not changed:
        return 0
    run = store.start(profile, row.id, now(), facts_of(context) | {"asked": list(keys)})
    if missing:
        _measure(context, missing, run, store)
    if changed or run.observations or run.outcomes:
        run.describe(seconds=round(time.monotonic() - began, 1), finished=now())
    else:
        # All that was missing failed again for the reason that is stored.
        run.discard()
    return len(run.observations)


def _measure(context: Context, missing: list[Cell], run: Run, store: Store) -> None:
    """Score these cells, evaluate several sets of layers at a time, and add what is measured after each walk."""
    row, profile = context.row, run.provenance["profile"]
    for earlier in store.provenances(profile, row.id):
        # Where every set of layers was evaluated by an earlier run, that run recorded the protocol.
        if earlier.get("pinned") == context.pinned and "protocol" in earlier:
            run.describe(protocol=earlier["protocol"])
    evaluate = Evaluation(context, run, store.outcomes(profile, row.id))
    observations = store.observations(profile, row.id)
    stored = observations.set_index("key")["status"]
    try:
        original = f"{intervals.value(context.task.metric, *evaluate([])):.9g}"
    except InputError as error:
        run.add([_described(context, missing[0], profile) | failed(error)])
        raise
    scores = StoredScores(context, observations, lambda: store.layers(profile, row.id))
    kept, scoring, waiting = Choices(context.coalitions), _Scoring(context, scores), []

    def keep_failure(observation: dict) -> None:
        # Stored once, however often it is tried again.
        if stored.get(observation["key"]) != observation["status"]:
            run.add([observation])

    def store_all() -> None:
        evaluate.together([choice.removed for _, choice in waiting])
        sources = {choice.scores_from for _, choice in waiting if choice.scores_from}
        if sources:
            run.describe(scores_from=sorted(sources.union(run.provenance.get("scores_from", ()))))
        with _added(run, kept) as measured:
            for cell, choice in waiting:
                described = _described(context, cell, profile) | {"original": original}
                try:
                    measured.append((described | _measured(context, evaluate, choice), choice.layers))
                except (InputError, RuntimeError) as error:
                    keep_failure(described | failed(error))
                    kept.forget(described["key"])
        waiting.clear()

    for cell in progress([cell for cell in missing if not cell.compensated], row.id):
        try:
            waiting.append((cell, kept.found(context.key(cell), lambda cell=cell: scoring(cell))))
        # Torch raises RuntimeErrors for operations that it cannot do; other cells may not need them.
        except (InputError, RuntimeError) as error:
            keep_failure(_described(context, cell, profile) | {"original": original} | failed(error))
        if len(evaluate.new(choice.removed for _, choice in waiting)) >= TOGETHER:
            store_all()
    store_all()
    twins = [cell for cell in missing if cell.compensated]
    stored_now = store.observations(profile, row.id)
    with _added(run, kept) as measured:
        for cell, found in _compensated(context, twins, evaluate, stored_now):
            observation = _described(context, cell, profile) | {"original": original} | found
            if found["status"] == "ok":
                measured.append((observation, []))
            else:
                keep_failure(observation)


@contextmanager
def _added(run: Run, kept: Choices) -> Iterator[list[tuple[dict, list[dict]]]]:
    """Observations to fill, each with the scores of its layers; the run adds them at the end, also after an error.

    Each addition writes whole tables. A killed process loses nothing that takes long to find again: the outcomes are
    stored as they are measured, and the choices, where the row has a folder for them, until their observations are.
    """
    found: list[tuple[dict, list[dict]]] = []
    try:
        yield found
    finally:
        if found:
            run.add([observation for observation, _ in found], [line for _, layers in found for line in layers])
        for observation, _ in found:
            kept.forget(observation["key"])


def _compensated(
    context: Context, missing: list[Cell], evaluate: Evaluation, stored: pd.DataFrame
) -> Iterator[tuple[Cell, dict]]:
    """Each of these cells with its measured columns; the layers are those of the stored cell without compensation."""
    plain = succeeded(stored)
    chosen = {cell: plain.get(context.key(cell._replace(compensated=False))) for cell in missing}
    removed = {cell: layers_of(line.removed) for cell, line in chosen.items() if line}
    scales, refusal = {}, InputError("the same cell without compensation failed")
    if removed:
        try:
            scales = scales_of(context, removed.values())
        except (InputError, RuntimeError) as error:
            refusal = error
    if scales:
        new = evaluate.new(removed.values(), compensated=True)
        for first in range(0, len(new), TOGETHER):
            evaluate.together(new[first : first + TOGETHER], scales)
    for cell in progress(missing, f"{context.row.id}, compensated"):
        try:
            if cell not in removed or not scales:
                raise refusal
            line, layers = chosen[cell], removed[cell]
            choice = Choice(layers, line.seconds, line.peak_memory_mb, [])
            yield cell, _measured(context, evaluate, choice, scales[layers_text(layers)])
        except (InputError, RuntimeError) as error:
            yield cell, failed(error)


def _described(context: Context, cell: Cell, profile: str) -> dict:
    """The columns of an observation that are known before it is measured."""
    row, rule = context.row, cell.selection
    if cell.at is not None:
        chosen = f"{CURVE}{rule}({cell.at})"
    else:
        chosen = f"{rule}({row.remove})" if rule in ("lowest", "iterative") else rule
    if cell.compensated:
        chosen = f"{COMPENSATED}{chosen}"
    return context.described(profile) | {
        "key": context.key(cell),
        "method": cell.method,
        "reading": cell.reading,
        "selection": chosen,
        "seed": cell.seed,
        "samples": 0 if cell.method == "original" else row.samples,
    }


def _measured(context: Context, evaluate: Evaluation, choice: Choice, scales: list[float] | None = None) -> dict:
    """The measured columns of an observation."""
    outcome = evaluate(choice.removed, scales)
    return context.measured(choice.removed, *outcome, compensated=scales is not None) | {
        "seconds": f"{choice.seconds:.3f}",
        "peak_memory_mb": f"{choice.peak_memory_mb:.0f}",
    }


class _Scoring:
    """The layers that each cell chooses. The points of a curve are chosen by the same scores, which are made once.

    A method with a window has scores of its own for each point, as the window is as long as the layers that go. What
    the store has of them is not made at all.
    """

    def __init__(self, context: Context, stored: StoredScores):
        self.context, self.stored, self.of, self.made = context, stored, None, {}
        # Sets of layers that this model can lose, as several cells choose the same.
        self.possible: set[tuple[int, ...]] = set()

    def __call__(self, cell: Cell) -> Choice:
        """Raises `InputError` also for layers that this model cannot lose."""
        if cell.method == "original":
            return Choice([], 0.0, peak_memory_mb(), [])
        choice = self.stored.choice(cell) or self._made(cell)
        if tuple(choice.removed) not in self.possible:
            with skipping(self.context.model, choice.removed):
                self.possible.add(tuple(choice.removed))
        return choice

    def _made(self, cell: Cell) -> Choice:
        context, used = self.context, []
        if self.of != cell._replace(at=None):
            self.of, self.made = cell._replace(at=None), {}
            padded = cell.reading != "none" and Reading.parse(cell.reading).padding == "included"
            reads = method_named(cell.method).reads_text
            self.text = context.calibration_text(cell.seed, padded) if reads else None

        def values(removed: list[int]):
            used.append(self._scored(cell, removed))
            return used[-1][0].values

        amount = context.row.remove if cell.at is None else cell.at
        removed = sorted(selection.select(cell.selection, values, context.layers, amount))
        scores, seconds, peaks = zip(*used, strict=True)
        shown = cell.selection == "lowest" and cell.at is None
        facts = {"row": context.row.id, "method": cell.method, "reading": cell.reading, "seed": cell.seed}
        return Choice(removed, sum(seconds), max(peaks), lines_of(scores[0].table, **facts) if shown else [])

    def _scored(self, cell: Cell, removed: list[int]) -> tuple[LayerScores, float, float]:
        """Scores without these layers, with the seconds that they took and the peak of memory meanwhile."""
        options = _options(self.context, cell, removed)
        name = repr((removed, options))
        if name not in self.made:
            forget_peak()
            began = time.monotonic()

            def scores(size: int) -> LayerScores:
                return _scores(self.context, cell, self.text and self.text(size), removed, options)

            found = self.context.batches.run(cell.method, scores)
            self.made[name] = found, time.monotonic() - began, peak_memory_mb()
        return self.made[name]


def _options(context: Context, cell: Cell, removed: list[int]) -> dict:
    """The options of the cell's method, of those that a row decides."""
    row = context.row
    offered = {
        "seed": cell.seed,
        # Losses of a model without some layers are not coalitions of the whole model.
        "cache": None if removed else context.coalitions,
        "key": context.revision,
        # An order of removal starts the same whatever number of layers goes.
        "remove": row.remove
        if cell.at is None
        else max(row.curve, key=lambda at: selection.count_of(at, context.layers)),
        "window": selection.count_of(row.remove if cell.at is None else cell.at, context.layers),
    }
    return {name: value for name, value in offered.items() if name in method_named(cell.method).options}


def _scores(context: Context, cell: Cell, text: list[dict] | None, removed: list[int], options: dict) -> LayerScores:
    reading = "paper" if cell.reading == "none" else cell.reading
    with skipping(context.model, removed), warnings.catch_warnings():
        # The tables show which layers had no near-zero activation; a line a seed on the screen adds nothing.
        warnings.filterwarnings("ignore", message="no activation below epsilon")
        return score(context.model, text, cell.method, reading=reading, **options)
