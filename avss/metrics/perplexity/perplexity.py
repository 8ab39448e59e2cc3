"""Token-level perplexity from sums over documents, as a module of the `evaluate` library."""

import datasets
import evaluate
import numpy as np


class Perplexity(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="exp(total negative log-likelihood / scored tokens), never a mean of documents' perplexities.",
            inputs_description=(
                "predictions: negative log-likelihood of each document in nats; references: its scored tokens."
            ),
            citation="",
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references):
        # Infinite above the range of float64.
        with np.errstate(over="ignore"):
            return {"perplexity": float(np.exp(np.sum(predictions) / np.sum(references)))}
