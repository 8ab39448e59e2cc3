"""Sentiment classification by an encoder with a trained head: argmax of the logits, accuracy."""

import numpy as np
import torch
from datasets import Dataset

from avss.data import context_of, pad, padding_id
from avss.errors import InputError
from avss.observe import evaluating
from avss.progress import progress
from avss.tasks.base import Outcome, Task


def measure(model, tokenizer, dataset: Dataset, column: str, *, context: int | None, batch_size: int) -> Outcome:
    """Hits a document.

    Raises `InputError` for a model without a classification head, and for labels that it does not have.
    """
    if not type(model).__name__.endswith("ForSequenceClassification"):
        raise InputError(
            f"task sentiment needs a model with a classification head, {type(model).__name__} has none; "
            f"fine-tune one, for instance with recipes/minilm_sst2.py"
        )
    if "label" not in dataset.column_names:
        raise InputError(f"task sentiment needs a column label; the data has {', '.join(dataset.column_names)}")
    labels = dataset["label"]
    keep = [
        index for index, label in enumerate(labels) if isinstance(label, int) and 0 <= label < model.config.num_labels
    ]
    if not keep:
        raise InputError(
            f"no usable rows: column label holds no class from 0 to {model.config.num_labels - 1} "
            f"(its first value is {labels[0]!r}); give a split with labels"
        )
    dataset = dataset.select(keep)
    context = context_of(model, tokenizer, context)
    encoded = tokenizer(list(dataset[column]), truncation=True, max_length=context)["input_ids"]
    by_length = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    starts = range(0, len(by_length), batch_size)
    predicted = np.empty(len(encoded), dtype=np.int64)
    with evaluating(model):
        for start in progress(starts, "evaluating"):
            chosen = by_length[start : start + batch_size]
            inputs = pad([encoded[index] for index in chosen], padding_id(tokenizer))
            logits = model(**{key: tensor.to(model.device) for key, tensor in inputs.items()}).logits
            predicted[chosen] = torch.argmax(logits, dim=-1).cpu().numpy()
    hits = (predicted == np.array(dataset["label"])).astype(np.float64)
    protocol = f"argmax of the classification head, texts cut at {context} tokens"
    return Outcome(hits, np.ones_like(hits), protocol)


TASK = Task(
    name="sentiment",
    metric="accuracy",
    columns=("sentence", "text", "review"),
    extra=("label",),
    measure=measure,
    context=128,
)
