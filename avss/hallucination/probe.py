"""A linear probe a layer: how well a line through the pooled states tells hallucinated answers from supported ones.

It is the yardstick for EAVSS, which reads the same activations without labels to learn from. Logistic regression on
standardised states, cross-validated so that both answers to a question are always in the same fold; ours.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from avss.errors import InputError
from avss.intervals import RESAMPLES, bounds, times

FOLDS = 5
# The inverse strength of the ridge. States have more features than there are answers.
C = 0.01


@dataclass(frozen=True)
class Probes:
    """The held-out decision value of each answer, (M, 2, D): high where a probe takes it for hallucinated."""

    decisions: NDArray[np.float64]

    def _wins(self, layer: int) -> NDArray[np.float64]:
        """(D, D): 1 where hallucinated answer i is above supported answer j, 1/2 where they tie."""
        right, wrong = self.decisions[layer]
        return (wrong[:, None] > right) + 0.5 * (wrong[:, None] == right)

    @property
    def auroc(self) -> NDArray[np.float64]:
        """The chance that a hallucinated answer is above a supported one, (M,): 1/2 for a probe that knows nothing."""
        return np.array([self._wins(layer).mean() for layer in range(len(self.decisions))])

    def resampled(self, seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.float64]:
        """The AUROC on bootstrap resamples of the questions, (resamples, M); the same seed draws as `PairSums` does."""
        questions = self.decisions.shape[2]
        shares = times(questions, seed, resamples) / questions
        wins = (self._wins(layer) for layer in range(len(self.decisions)))
        return np.stack([((shares @ each) * shares).sum(1) for each in wins], 1)

    def intervals(self, seed: int = 0) -> pd.DataFrame:
        """95 % percentile intervals over questions: one line a layer, `auroc`, `auroc_low`, `auroc_high`.

        The probes stay as they were fitted.
        """
        low, high = np.array([bounds(layer) for layer in self.resampled(seed).T]).T
        layers = np.arange(len(self.decisions))
        return pd.DataFrame({"layer": layers, "auroc": self.auroc, "auroc_low": low, "auroc_high": high})


def probe(states: NDArray[np.float32]) -> Probes:
    """Cross-validated probes of all layers.

    states: (2, D, M, F), as `Answers.states`. Raises `InputError` for fewer questions than folds.
    """
    _, questions, layers, _ = states.shape
    if questions < FOLDS:
        raise InputError(f"probes of {questions} questions in {FOLDS} folds; give at least {FOLDS} pairs")
    labels, groups = np.repeat([0, 1], questions), np.tile(np.arange(questions), 2)
    decisions = []
    for layer in range(layers):
        values = states[:, :, layer].reshape(2 * questions, -1).astype(np.float64)
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
        found = cross_val_predict(
            fitted, values, labels, groups=groups, cv=GroupKFold(FOLDS), method="decision_function"
        )
        decisions.append(found.reshape(2, questions))
    return Probes(np.stack(decisions))
