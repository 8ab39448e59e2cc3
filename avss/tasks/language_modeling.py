"""Token-level perplexity of a causal language model on joined documents, by fixed windows."""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from avss.data import Example, beginning, context_of, joined, usable_size
from avss.engine.gold import is_causal
from avss.engine.passes import not_finite, require_finite_weights
from avss.errors import InputError
from avss.progress import progress
from avss.removals import removing
from avss.tasks.base import Outcome


def measure(model, tokenizer, dataset: Dataset, column: str, *, context: int | None, batch_size: int) -> Outcome:
    """Negative log-likelihood and scored tokens a document, of the model as it is; errors as `measure_each`."""
    return measure_each(model, tokenizer, dataset, column, context=context, batch_size=batch_size, removed=[[]])[0]


def measure_each(
    model,
    tokenizer,
    dataset: Dataset,
    column: str,
    *,
    context: int | None,
    batch_size: int,
    removed: Sequence[Sequence[int]],
    **kept,
) -> list[Outcome]:
    """Negative log-likelihood and scored tokens a document, without each of these sets of blocks.

    Documents are joined, each followed by EOS, and cut into windows of `context` tokens that do not overlap. A
    tokenizer that adds BOS has it at the start of every window, as one of its tokens. The first token of a window is
    not scored. A scored token counts for the document that it belongs to. kept: options of `removing`.
    Raises `InputError` for a model that is no causal language model, a tokenizer without EOS, a batch size below 1,
    text that is shorter than two tokens, losses that are not finite, and sets of blocks as `removing`.
    """
    _check(model)
    usable_size(batch_size)
    context = context_of(model, tokenizer, context)
    stream, lengths = joined(tokenizer, dataset[column])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    bos = beginning(tokenizer)
    body = context - len(bos)
    full = len(stream) // body * body
    windows = list(stream[:full].view(-1, body).split(batch_size)) if full else []
    rest = stream[full:]
    if len(rest) + len(bos) >= 2:
        windows.append(rest[None])
    if not windows:
        raise InputError("no usable rows: the text is shorter than two tokens; give more")

    numerator, denominator = np.zeros((len(removed), len(lengths))), np.zeros(len(lengths))
    position = 0
    with removing(model, removed, **kept) as without:
        for number, part in enumerate(progress(windows, "evaluating")):
            ids = torch.cat([torch.tensor(bos).expand(len(part), -1).to(part), part], dim=1).to(model.device)
            owners = owner[position : position + part.numel()].reshape(part.shape)[:, 1 - len(bos) :].ravel()
            documents, owners = np.unique(owners, return_inverse=True)

            def losses(logits: Tensor, ids: Tensor = ids, owners=owners, number: int = number) -> list[list[float]]:
                logits = logits[:, :-1].float()
                nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
                nll = nll.double().cpu().numpy()
                if not np.isfinite(nll).all():
                    raise not_finite("task language_modeling", "losses", number, model)
                return [np.bincount(owners, nll).tolist()]

            scored = {"owners": torch.from_numpy(owners)}
            for index, (loss,) in without.each({"input_ids": ids}, losses, scored):
                numerator[index, documents] += loss
            denominator[documents] += np.bincount(owners)
            position += part.numel()
    require_finite_weights(model)
    protocol = (
        f"documents joined with EOS, non-overlapping windows of {context} tokens, "
        f"{'BOS at the start of each, ' if bos else 'no BOS, '}first token of a window not scored, "
        f"exp(total NLL / {int(denominator.sum())} scored tokens)"
    )
    return [Outcome(losses, denominator, protocol, losses, denominator) for losses in numerator]


def examples(model, tokenizer, dataset: Dataset, column: str, context: int | None) -> list[Example]:
    """Whole documents cut at `context` tokens, every token labelled. Documents of one token have no prediction and are
    left out. Raises `InputError` as `measure` for the model.
    """
    _check(model)
    context = context_of(model, tokenizer, context)
    encoded = tokenizer(list(dataset[column]), truncation=True, max_length=context)["input_ids"]
    return [Example(ids, ids) for ids in encoded if len(ids) >= 2]


def _check(model) -> None:
    if not is_causal(model):
        raise InputError(f"task language_modeling needs a causal language model, {type(model).__name__} is none")
