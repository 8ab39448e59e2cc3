"""All facts of every metric, and the modules of the `evaluate` library that compute them, without a network.

`evaluate.load(str(path_of("f1")))` loads one; `evaluate` copies it into its own cache of modules, keyed by content.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from avss.errors import InputError, look_up

Number = TypeVar("Number", float, NDArray[np.float64])
FOLDER = Path(__file__).parent


def _itself(ratio: Number) -> Number:
    return ratio


def _perplexity(nats: Number) -> Number:
    # A perplexity above the range of float64 is infinite, without a warning.
    with np.errstate(over="ignore"):
        return np.exp(nats)


@dataclass(frozen=True)
class Metric:
    """The facts of one metric.

    label: its name for readers. module: the `evaluate` module in this folder that computes it. digits: the decimals
    that the paper's Table 1 prints. ratio: turns the sum of numerators over the sum of denominators into the value.
    scale: its inverse, which gives the scale on which values are averaged and compared. unit: of differences on that
    scale, where it is not that of the values. most: what a document counts at most, where a value is the mean over the
    documents (None: it has no upper end). guessing: the value that says nothing of a model, if there is one: of
    accuracy that of two equally likely labels, as the tasks here have. least: below this value a model is too weak for
    its losses to mean anything (ours).
    """

    name: str
    label: str
    module: str
    digits: int = 4
    ratio: Callable[[Number], Number] = _itself
    scale: Callable[[Number], Number] = _itself
    unit: str = ""
    most: float | None = 1
    higher_is_better: bool = True
    guessing: float | None = None
    least: float = 0

    @property
    def direction(self) -> int:
        """1 where more of the metric is better, -1 where less is."""
        return 1 if self.higher_is_better else -1

    def lead(self, own: float, other: float) -> float:
        """By how much `own` is better than `other`, on `scale`: of perplexity in nats a token. Negative: worse."""
        return float(self.scale(own) - self.scale(other)) * self.direction

    def too_weak(self, value: float, low: float) -> bool:
        """Whether a model that scores so is too weak to judge what pruning costs it. low: end of its 95 % interval."""
        return value < self.least or (self.guessing is not None and min(value, low) <= self.guessing)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", "accuracy", guessing=0.5),
        Metric(
            "perplexity",
            "perplexity",
            "perplexity",
            digits=3,
            ratio=_perplexity,
            scale=np.log,
            unit="nats a token",
            most=None,
            higher_is_better=False,
        ),
        Metric("f1", "F1", "squad", guessing=0, least=0.1),
        Metric("exact_match", "exact match", "squad", guessing=0),
    )
}


def metric_named(name: str) -> Metric:
    """The metric, or `InputError` naming those that exist."""
    return look_up("metric", name, METRICS)


def path_of(metric: str) -> Path:
    """The file of the `evaluate` module that computes a metric. Raises `InputError` for one that none computes."""
    module = metric_named(metric).module
    return FOLDER / module / f"{module}.py"


def compute(metric: str, predictions, references) -> dict[str, float]:
    """The metric, and those that its module computes beside it, by name.

    predictions, references: one entry a document, as the module describes them. Raises `InputError` where the cache
    of `evaluate` cannot be written.
    """
    path = path_of(metric)
    # Imported here: it takes seconds, and only this function needs it.
    import evaluate

    try:
        module = evaluate.load(str(path), keep_in_memory=True)
    except OSError as error:
        raise InputError(
            f"metric {metric}: the cache of evaluate cannot be used ({error}); "
            f"set HF_HOME to a folder that can be written"
        ) from error
    return module.compute(predictions=predictions, references=references)
