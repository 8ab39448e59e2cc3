"""Healing of what each score left of a row's model, kept in the store: one budget for all, so the blocks are compared.

A study takes the blocks that the row's stored results removed on seed 0. It heals each pruned model by the same recipe
on the same text, and measures the row's metric before, at points on the way, and after. Documents that share a passage
with the evaluated ones are left out of the text. The whole model is trained alike (score `original`), because text of
the same kind may help any model.
"""

import shutil
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
from torch import nn

from avss.data import fingerprint, sample
from avss.engine.gold import is_causal
from avss.errors import InputError
from avss.pruning import prune
from avss.recovery.recovering import DISTILLATION, OBJECTIVES, Recipe, check_recipe, digest, recover, text_of
from avss.recovery.text import without_shared
from avss.runs.context import Context, loaded, usable_data
from avss.runs.profile import Row
from avss.runs.provenance import now, provenance
from avss.store import Run, Store, failed, key_of, layers_of, layers_text

# Raised by one whenever the same inputs would give another number.
PROTOCOL = 1
WHOLE = "original"
# So many steps pass before a training is kept; a killed one repeats fewer.
EVERY = 5


@dataclass(frozen=True)
class Study:
    """What is compared on a row.

    scores: methods of the row in the reading `paper`, and `original`, from which nothing is removed. objectives: each
    heals every choice of blocks; the whole model is not distilled from itself. training: the split of the row's data
    that is trained on (None: the one for calibration). documents: how many of the row's evaluated documents are
    measured (None: all). points: measurements after the first one, at equal distances.
    """

    scores: tuple[str, ...] = (WHOLE, "avss", "block_influence", "random", "last")
    objectives: tuple[str, ...] = OBJECTIVES
    training: str | None = None
    documents: int | None = None
    points: int = 4

    def measured_after(self, steps: int) -> list[int]:
        """The numbers of steps after which the metric is measured, 0 first. Raises `InputError` for too few steps."""
        if not 1 <= self.points <= steps:
            raise InputError(f"measurements on the way are {self.points} of {steps} steps; give 1 to {steps}")
        return [round(point * steps / self.points) for point in range(self.points + 1)]


@dataclass(frozen=True)
class Prepared:
    """What all trainings of a study share. context: with the measured documents as those that are evaluated.

    texts: documents to train on, of which `left_out` shared a passage.
    """

    context: Context
    texts: list[str]
    left_out: int
    trained_on: str

    def measure(self, model: nn.Module):
        """The outcome of the model on the evaluated documents, by the row's protocol."""
        context = replace(self.context, model=model)
        return context.batches.run("evaluation", context.measured_by(context.task.measure))


def removed_by(store: Store, profile: str, row: Row, scores: tuple[str, ...]) -> dict[str, list[int]]:
    """The blocks that each score removed on seed 0, by the stored results of the row; none for `original`.

    Raises `InputError` for a score that the newest configuration of the row has no result of.
    """
    table = _asked(store, profile, row.id)
    table = table[(table["status"] == "ok") & (table["seed"] == 0)]
    table = table[table["reading"].isin(["none", "paper"]) & table["selection"].isin(["none", f"lowest({row.remove})"])]
    known = dict(zip(table["method"], table["removed"], strict=True))
    for score in scores:
        if score not in known:
            raise InputError(
                f"row {row.id} of profile {profile} has no result of score {score!r} in {store.root}; run the row "
                f"first, or choose of {', '.join(known) or 'none'}"
            )
    return {name: layers_of(known[name]) for name in scores}


def _asked(store: Store, profile: str, row: str) -> pd.DataFrame:
    """The observations that the row's newest configuration asks for."""
    table = store.observations(profile, row)
    return table[table["key"].isin(store.asked_for(profile, row))]


def run_study(
    row: Row, profile: str, store: Store, into: Store, study: Study, recipe: Recipe, states: Path | None = None
) -> int:
    """Train what is missing and add its measurements to `into`; return how many trainings were made.

    store: the row's own results. recipe: its objective is replaced by each of the study's. states: a folder in which
    trainings are kept for a run that was killed. A training that fails is stored with its reason, and tried again by
    the next run. Raises `InputError` as `removed_by` and `avss.runs.experiment.run_row`, for a recipe that no training
    can have, for text of which nothing is left to train on, and for a row whose stored results are of another model.
    """
    for objective in study.objectives:
        check_recipe(replace(recipe, objective=objective))
    after = study.measured_after(recipe.steps)
    removed = removed_by(store, profile, row, study.scores)
    prepared = _prepared(row, study, recipe)
    context, began = prepared.context, time.monotonic()
    _check_model(context, store, profile)
    trainings = _trainings(prepared, removed, study, recipe)
    keys = {
        _key(training, score, step): (training, score, step)
        for training, (_, layers) in trainings.items()
        for score in study.scores
        if removed[score] == layers
        for step in after
    }
    finished = into.finished(profile, row.id)
    missing = {training for key, (training, _, _) in keys.items() if key not in finished}
    if not missing and into.asked_for(profile, row.id) == set(keys):
        return 0
    run = into.start(profile, row.id, now(), _facts(prepared, study, recipe) | {"asked": list(keys)})
    # What the row has measured on these documents is found by its names.
    known = store.outcomes(profile, row.id) | into.outcomes(profile, row.id)
    keeper = _Keeper(prepared, run, profile, known, finished)
    for training, (own, layers) in trainings.items():
        if training not in missing:
            continue
        model, folder = deepcopy(context.model), states / training if states else None
        if layers:
            prune(model, layers)
        scores = [score for score in study.scores if removed[score] == layers]
        watch = partial(keeper.watch, training, own, layers, scores, after)
        options = {"teacher": context.model} if own.objective == DISTILLATION else {}
        try:
            _, losses = recover(
                model, context.tokenizer, prepared.texts, own, state=folder, every=EVERY, watch=watch, **options
            )
        except InputError as error:
            # Such as a loss that is not finite; other choices of blocks may not have it.
            keeper.fail(training, own, layers, scores, after, error)
            continue
        name = f"{own.objective}/{layers_text(layers)}"
        run.describe_training(name, losses)
        if folder:
            shutil.rmtree(folder)
    run.describe(seconds=round(time.monotonic() - began, 1), finished=now())
    return len(missing)


def _prepared(row: Row, study: Study, recipe: Recipe) -> Prepared:
    context = loaded(row, None)
    if not is_causal(context.model):
        raise InputError(
            f"row {row.id}: healing needs a causal language model, {type(context.model).__name__} is none; take the "
            f"row of a decoder"
        )
    source, column = usable_data(replace(row, calibration=study.training or row.calibration), "calibration")
    # All that the row evaluates on, also where fewer documents are measured here.
    texts = without_shared(source[column], context.evaluation[context.column])
    text = text_of(context.model, context.tokenizer, texts, recipe)
    measured = sample(context.evaluation, study.documents, 0)
    evaluated_on = fingerprint(measured, [context.column, *context.task.extra])
    context = replace(context, evaluation=measured, evaluated_on=evaluated_on)
    return Prepared(context, texts, len(source) - len(texts), digest(text))


def _check_model(context: Context, store: Store, profile: str) -> None:
    row = context.row.id
    if context.revision not in set(_asked(store, profile, row)["revision"]):
        raise InputError(f"row {row} was measured on another model than the one at {context.row.checkpoint}; run it")


def _trainings(
    prepared: Prepared, removed: dict[str, list[int]], study: Study, recipe: Recipe
) -> dict[str, tuple[Recipe, list[int]]]:
    """By key: the recipe and the removed blocks. Scores that removed the same blocks share one."""
    found = {}
    for objective in study.objectives:
        for layers in {tuple(layers): layers for layers in removed.values()}.values():
            if objective == DISTILLATION and not layers:
                continue
            own = replace(recipe, objective=objective)
            pinned = {"pinned": prepared.context.pinned, "trained_on": prepared.trained_on}
            found[key_of(protocol=PROTOCOL, removed=layers, **pinned, **asdict(own))] = own, layers
    return found


def _key(training: str, score: str, step: int) -> str:
    return key_of(training=training, score=score, step=step)


def _facts(prepared: Prepared, study: Study, recipe: Recipe) -> dict:
    context, told = prepared.context, asdict(recipe)
    del told["objective"]
    return provenance(str(context.model.device), context.row.dtype) | {
        "configuration": asdict(context.row),
        "study": asdict(study),
        "recipe": told,
        "trained_on": {
            "windows": prepared.trained_on,
            "documents": len(prepared.texts),
            "left out, as they share 13 words in a row with evaluated text": prepared.left_out,
        },
        "protocol": "LoRA in all linear maps of all blocks, AdamW at a constant rate; plain text in windows",
    }


class _Keeper:
    """Measures a model on its way and adds what it finds to the run, once for each model and number of steps."""

    def __init__(self, prepared: Prepared, run: Run, profile: str, known: dict, finished: set[str]):
        self.prepared, self.run, self.profile, self.known = prepared, run, profile, known
        self.mine: set[str] = set()
        self.added = set(finished)

    def fail(
        self, training: str, recipe: Recipe, layers: list[int], scores: list[str], after, error: InputError
    ) -> None:
        """Add what the training was not measured at, with the reason."""
        self.run.add(
            [
                self._described(training, recipe, layers, score, step) | failed(error)
                for step in after
                for score in scores
                if _key(training, score, step) not in self.added
            ]
        )

    def watch(
        self,
        training: str,
        recipe: Recipe,
        layers: list[int],
        scores: list[str],
        after: list[int],
        model: nn.Module,
        step: int,
    ) -> None:
        if step not in after or all(_key(training, score, step) in self.added for score in scores):
            return
        # Before the first step no objective has done anything.
        coalition = f"{training}-{step}" if step else self.prepared.context.coalition(layers)
        if coalition not in self.known:
            outcome = self.prepared.measure(model)
            self.known[coalition] = outcome.numerator, outcome.denominator
        if coalition not in self.mine:
            self.run.add_outcomes({coalition: self.known[coalition]})
            self.mine.add(coalition)
        measured = self.prepared.context.measured(layers, *self.known[coalition]) | {"coalition": coalition}
        self.run.add([self._described(training, recipe, layers, score, step) | measured for score in scores])
        self.added |= {_key(training, score, step) for score in scores}

    def _described(self, training: str, recipe: Recipe, layers: list[int], score: str, step: int) -> dict:
        """The columns of an observation that are known before it is measured."""
        return self.prepared.context.described(self.profile) | {
            "key": _key(training, score, step),
            "method": score,
            "reading": "paper" if score == "avss" else "none",
            "selection": f"{recipe.objective}({recipe.tokens(step)})",
            "removed": layers_text(layers),
            "seed": recipe.seed,
            "samples": len(self.prepared.texts),
        }
