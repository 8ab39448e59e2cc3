"""The outcomes of a batch under a layer mask: its losses, or its distance from the whole model's predictions.

Each class is made for one batch and called with the logits of one mask after another. A call gives one list of floats
a quantity, each with a number a document, and the number of predictions of each document.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from avss.engine.gold import UNSCORED, gold, is_classifier, labels_of, predicting

Outcome = tuple[list[list[float]], list[int]]


class Losses:
    """Loss in nats, summed over the scored predictions of a document, and their mean gold probability.

    tensors: the tensors besides the inputs that decide the outcomes. quantity: their name in errors. whole_first:
    whether the logits of the whole model must come before all others.
    """

    quantity: ClassVar[str] = "losses"
    whole_first: ClassVar[bool] = False

    def __init__(self, model: nn.Module, inputs: dict[str, Tensor], labels: Tensor | None):
        self.model, self.labels = model, labels_of(model, inputs | {"labels": labels})
        self.tensors = {"labels": self.labels}

    def __call__(self, logits: Tensor) -> Outcome:
        found = gold(self.model, logits, self.labels.to(logits.device))
        log_probability = found.log_probability.double()
        total = log_probability.exp().masked_fill(~found.scored, 0).sum(1)
        probability = total / found.count.clamp(min=1)
        return [(-log_probability.sum(1)).tolist(), probability.tolist()], found.count.tolist()


class Divergences:
    """KL(p_whole, p) in nats, summed over the predictions of a document; attributes as those of `Losses`.

    A causal language model predicts the tokens that its labels score, by default every token that follows another. A
    classifier predicts once a document, and needs no labels. The whole model's log-probabilities of this batch are
    kept in float32 (float64 for a float64 model), and those of a mask are there for one document at a time.
    """

    quantity: ClassVar[str] = "divergences"
    whole_first: ClassVar[bool] = True

    def __init__(self, model: nn.Module, inputs: dict[str, Tensor], labels: Tensor | None):
        self.model = model
        ids = inputs["input_ids"]
        if is_classifier(model):
            self.scored = torch.ones(len(ids), 1, dtype=torch.bool, device=ids.device)
        else:
            self.scored = labels_of(model, inputs | {"labels": labels})[:, 1:] != UNSCORED
        self.tensors = {"scored": self.scored}
        self.whole: list[Tensor] = []

    def __call__(self, logits: Tensor) -> Outcome:
        rows = zip(predicting(self.model, logits), self.scored.to(logits.device), strict=True)
        found = (_log_probabilities(row[scored]) for row, scored in rows)
        if not self.whole:
            self.whole = list(found)
            found = self.whole
        divergences = [
            kl_div(given, whole, reduction="none", log_target=True).sum(1).double().sum()
            for given, whole in zip(found, self.whole, strict=True)
        ]
        return [torch.stack(divergences).tolist()], self.scored.sum(1).tolist()


def _log_probabilities(logits: Tensor) -> Tensor:
    return (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(-1)
