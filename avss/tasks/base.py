"""The outcome of a task: one numerator and one denominator a document. Any resample of documents has a value."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
