"""The score of a model without each of its blocks, and that of chance beside it, document by document.

All masks of a batch walk one trie (`avss.engine.ablation`), and their outcomes may be cached. Chance is our definition:
for labels one guess in as many as there are classes, for tokens a unigram model, which knows how often each token is
scored in other documents and nothing else. `avss.report.cornerstones` compares the two.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.engine.ablation import Ablation, ablate
from avss.engine.gold import UNSCORED, is_classifier, labels_of
from avss.errors import InputError
from avss.tasks.catalogue import task_named
from avss.tasks.labelled import rows_for
from avss.tasks.sentiment import VERBALIZED


@dataclass(frozen=True)
class WithoutEach:
    """Outcomes of D documents, as numerators of the metric; of M blocks.

    metric: accuracy, or perplexity. whole: (D,), of the whole model. without: (M, D), without each block alone. chance:
    (D,). denominator: (D,), 1 or the scored predictions. All float64.
    """

    metric: str
    whole: NDArray[np.float64]
    without: NDArray[np.float64]
    chance: NDArray[np.float64]
    denominator: NDArray[np.float64]


def likelihood_without_each(
    model: nn.Module,
    batches: Iterable[dict],
    others: Iterable[dict],
    cache: str | os.PathLike | None = None,
) -> WithoutEach:
    """The negative log-likelihood of the gold tokens without each block, and under a unigram model of other documents.

    batches: as `avss.ablate` takes them; others: likewise, of documents that the unigram model learns from. It counts
    each token of the vocabulary once more than it is seen. Raises `InputError` for a model that is no causal language
    model, and as `ablate` does.
    """
    if is_classifier(model):
        raise InputError(f"{type(model).__name__} predicts labels and no tokens; take hits_without_each")
    batches = list(batches)
    found = _without_each(model, batches, cache)
    seen = torch.ones(model.config.get_text_config().vocab_size, dtype=torch.float64)
    for batch in others:
        tokens = _scored(model, batch)
        seen += torch.bincount(tokens[tokens != UNSCORED], minlength=len(seen))
    nats = -(seen / seen.sum()).log()
    chance = [
        nats[tokens.clamp(min=0)].where(tokens != UNSCORED, 0).sum(1)
        for batch in batches
        for tokens in [_scored(model, batch)]
    ]
    loss, count = found.loss, found.count.astype(np.float64)
    return WithoutEach("perplexity", loss[0], loss[1:], torch.cat(chance).numpy(), count)


def hits_without_each(
    model: nn.Module,
    tokenizer,
    rows: Dataset,
    *,
    context: int | None = None,
    batch_size: int = 32,
    cache: str | os.PathLike | None = None,
) -> WithoutEach:
    """Whether the label that is most likely without each block is the right one, in the task `sentiment`.

    rows: with a text column of that task and its labels, as `avss.evaluate` takes them. Raises `InputError` as the task
    does.
    """
    task = task_named("sentiment")
    rows, column, _ = rows_for(task.columns, rows, None, None, None, 0, "evaluation")
    sets = [[], *([block] for block in range(len(blocks_of(model))))]
    shape = {"context": context or task.context, "batch_size": batch_size}
    found = task.measure_each(model, tokenizer, rows, column, **shape, removed=sets, cache=cache, key=task.name)
    hits = np.stack([outcome.numerator for outcome in found])
    classes = model.config.num_labels if is_classifier(model) else len(VERBALIZED)
    return WithoutEach("accuracy", hits[0], hits[1:], np.full(hits.shape[1], 1 / classes), np.ones(hits.shape[1]))


def _without_each(model: nn.Module, batches: list[dict], cache) -> Ablation:
    """Outcomes of the whole model, then of the model without each block."""
    blocks = len(blocks_of(model))
    return ablate(model, batches, np.concatenate([np.ones((1, blocks)), 1 - np.eye(blocks)]), cache=cache)


def _scored(model: nn.Module, batch: dict) -> Tensor:
    """The tokens that are predicted, (B, T - 1), -100 where nothing is."""
    return labels_of(model, batch)[:, 1:].cpu()
