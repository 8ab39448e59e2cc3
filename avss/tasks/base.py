"""What a task measures: one numerator and one denominator a document, so that any resample can be valued."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcome:
    """The result of one evaluation.

    numerator, denominator: (n,) float64, one entry a document: hits and 1 for accuracy, negative log-likelihood in
    nats and scored tokens for perplexity. protocol: how it was measured, in words.
    """

    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]
    protocol: str


@dataclass(frozen=True)
class Task:
    """measure(model, tokenizer, dataset, text_column, **settings) -> Outcome.

    columns: names under which the text is looked for, in order. extra: further columns that the result depends on.
    context: tokens a document or window has where the user does not say.
    """

    name: str
    metric: str
    columns: tuple[str, ...]
    extra: tuple[str, ...]
    measure: Callable[..., Outcome]
    context: int
