"""F1 and exact match of SQuAD, as a module of the `evaluate` library."""

import datasets
import evaluate
import numpy as np

from avss.metrics.answers import best, exact_match, f1


class Squad(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="SQuAD's F1 and exact match, best of the references, averaged over questions, from 0 to 1.",
            inputs_description=(
                "predictions: one answer (str) a question; references: its acceptable answers (list of str), "
                "none where the question has no answer."
            ),
            citation="Rajpurkar et al., SQuAD: 100,000+ questions for machine comprehension of text, EMNLP 2016",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
            ),
        )

    def _compute(self, predictions, references):
        pairs = list(zip(predictions, references, strict=True))
        return {
            score.__name__: float(np.mean([best(score, given, accepted) for given, accepted in pairs]))
            for score in (f1, exact_match)
        }
