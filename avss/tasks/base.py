"""What a task measures: one numerator and one denominator a document, so that any resample can be valued."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avss.data import Example


@dataclass(frozen=True)
class Outcome:
    """The result of one evaluation.

    numerator, denominator: (n,) float64, one entry a document: hits and 1 for accuracy, negative log-likelihood in
    nats and scored tokens for perplexity, F1 and 1 for answers. protocol: how it was measured, in words.
    predictions, references: n entries each, what the `evaluate` module of the metric reads (`avss.metrics`).
    """

    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]
    protocol: str
    predictions: Sequence
    references: Sequence


@dataclass(frozen=True)
class Task:
    """A task, by two functions that both raise `InputError` for data or a model that they cannot use.

    measure(model, tokenizer, dataset, text_column, *, context, batch_size) -> Outcome.
    examples(model, tokenizer, dataset, text_column, context) -> list[Example]: documents as the task shows them to
    the model, with the right labels, for methods that need labels.
    columns: names under which the text is looked for, in order. extra: further columns that the result depends on.
    context: tokens a document or window has where the user does not say.
    """

    name: str
    metric: str
    columns: tuple[str, ...]
    extra: tuple[str, ...]
    measure: Callable[..., Outcome]
    examples: Callable[..., list[Example]]
    context: int
