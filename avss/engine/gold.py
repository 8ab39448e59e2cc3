"""Logit, probability and loss of the gold label, or of the gold tokens, for methods that read labels.

A classifier has one gold label a document. A causal language model has one gold token a position: position t predicts
token t + 1, labels are not shifted (the convention of transformers), and a label of -100 is not scored.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from avss.errors import InputError

UNSCORED = -100
# Classes that predict the next token and do not all say so in their names.
CAUSAL = frozenset(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())


def is_classifier(model: nn.Module) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in _names(model))


def is_causal(model: nn.Module) -> bool:
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) or name in CAUSAL for name in _names(model))


def _names(model: nn.Module) -> list[str]:
    """The names of the model's class and of those that it derives from, such as a class of transformers."""
    return [kind.__name__ for kind in type(model).__mro__]


def labels_of(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The gold labels of a batch: (B,) int64 for a classifier, (B, T) int64 for a causal language model.

    A causal language model whose batch has no `labels` is its own teacher: every real token that follows a real token
    is scored. Raises `InputError` for a classifier's batch without labels, and for a model that is neither.
    """
    if is_causal(model):
        mask = batch.get("attention_mask")
        labels = batch["input_ids"] if batch.get("labels") is None else batch["labels"]
        if mask is None:
            return labels
        # Padded on the left, a document's first token would be predicted from padding.
        unscored = mask == 0
        unscored[:, 1:] |= mask[:, :-1] == 0
        return labels.masked_fill(unscored, UNSCORED)
    if not is_classifier(model):
        raise InputError(
            f"{type(model).__name__} has no head that predicts labels or tokens; "
            "load it as a sequence classifier or a causal language model"
        )
    if batch.get("labels") is None:
        raise InputError("a batch has no labels, which this method needs; give data with a column of labels")
    return batch["labels"]


@dataclass(frozen=True)
class Gold:
    """The gold predictions of a batch, (B, P) each; P is 1 for a classifier, T - 1 for a causal language model.

    logit, log_probability: float32 (float64 for a float64 model). scored: bool, False without a prediction;
    there the other two are 0.
    """

    logit: Tensor
    log_probability: Tensor
    scored: Tensor

    @property
    def loss(self) -> Tensor:
        """Negative log-likelihood of each document, (B,), in nats, summed over the scored predictions."""
        return -self.log_probability.sum(1)

    @property
    def count(self) -> Tensor:
        """How many predictions of each document are scored, (B,) int64."""
        return self.scored.sum(1)


def predicting(model: nn.Module, logits: Tensor) -> Tensor:
    """The logits that predict a label or a token, (B, P, C): all positions of a document but its last one."""
    return logits[:, :-1] if is_causal(model) else logits[:, None]


def gold(model: nn.Module, logits: Tensor, labels: Tensor) -> Gold:
    """The gold predictions in `logits`, (B, C) or (B, T, V), for `labels` as `labels_of` gives them."""
    logits, labels = predicting(model, logits), labels[:, 1:] if is_causal(model) else labels[:, None]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    scored = labels != UNSCORED
    logit = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    log_probability = logit - logits.logsumexp(-1)
    return Gold(logit.masked_fill(~scored, 0), log_probability.masked_fill(~scored, 0), scored)
