"""The scores of a row's model without sets of layers, and the factors by which compensation scales what is left."""

import warnings
from collections.abc import Iterable

import numpy as np

from avss.compensation import factors
from avss.errors import InputError
from avss.pruning import skipping
from avss.runs.context import Context
from avss.selection import runs_of
from avss.store import Run, layers_text
from avss.tasks.base import Outcome


class Evaluation:
    """The score of the model without some layers, per document; each set of layers is evaluated once."""

    def __init__(self, context: Context, run: Run, known: dict):
        self.context, self.run, self.known = context, run, known

    def __call__(self, removed: list[int], scales: list[float] | None = None) -> tuple:
        """Numerators and denominators without these layers, the hidden state behind each cut times its scale."""
        coalition = self.context.coalition(removed, scales is not None)
        if coalition not in self.known:
            with skipping(self.context.model, removed, scales):
                outcome = self.context.batches.run("evaluation", self.context.measured_by(self.context.task.measure))
            if not _finite(outcome):
                raise InputError(
                    f"the scores of some documents are not finite without layers {layers_text(removed)}, "
                    f"in {self.context.row.dtype}; load the model in a wider dtype"
                )
            self._keep({coalition: outcome})
        return self.known[coalition]

    def new(self, sets: Iterable[list[int]], compensated: bool = False) -> list[list[int]]:
        """The different sets of layers that are not evaluated yet, those that begin alike side by side."""
        return sorted({tuple(each) for each in sets if self.context.coalition(each, compensated) not in self.known})

    def together(self, sets: Iterable[list[int]], scales: dict[str, list[float]] | None = None) -> None:
        """Evaluate the new ones of these sets of layers in one walk; those that fail are left for a call of their own.

        scales: of each set, by `layers_text`, where the hidden states behind the cuts are scaled. A task that generates
        has a pass of its own for each set.
        """
        compensated = scales is not None
        new = self.new(sets, compensated)
        if self.context.task.generated or len(new) < 2:
            return
        options = {"cache": self.context.coalitions, "key": self.context.pinned, "removed": new}
        if compensated:
            options["scales"] = [scales[layers_text(layers)] for layers in new]
        measure = self.context.measured_by(self.context.task.measure_each, **options)
        try:
            outcomes = self.context.batches.run("evaluation", measure)
        except (InputError, RuntimeError) as error:
            # One set is enough to fail them all.
            reason = " ".join(str(error).split())
            warnings.warn(f"{len(new)} sets of layers run one by one, as together they failed: {reason}", stacklevel=2)
            return
        names = [self.context.coalition(removed, compensated) for removed in new]
        self._keep({name: outcome for name, outcome in zip(names, outcomes, strict=True) if _finite(outcome)})

    def _keep(self, outcomes: dict[str, Outcome]) -> None:
        """Store these together, as each addition writes the whole table anew."""
        if not outcomes:
            return
        *_, last = outcomes.values()
        self.run.describe(protocol=last.protocol)
        found = {name: (outcome.numerator, outcome.denominator) for name, outcome in outcomes.items()}
        self.run.add_outcomes(found)
        self.known |= found


def _finite(outcome: Outcome) -> bool:
    return all(np.isfinite(part).all() for part in (outcome.numerator, outcome.denominator))


def scales_of(context: Context, sets: Iterable[list[int]]) -> dict[str, list[float]]:
    """For each set of layers, by `layers_text`, the factor of each of its cuts; one pass measures all.

    All factors are of the calibration sample of seed 0, so that a set has one score, whichever seed chose it. Raises
    `InputError` as `avss.compensation.factors`.
    """
    runs = {layers_text(layers): runs_of(layers) for layers in sets}
    different, text = sorted({run for own in runs.values() for run in own}), context.calibration_text(seed=0)
    cuts = context.batches.run("compensation", lambda size: factors(context.model, different, text(size)))
    scale = {(cut.first, cut.last): cut.scale for cut in cuts}
    return {name: [scale[run] for run in own] for name, own in runs.items()}
