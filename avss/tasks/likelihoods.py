"""Log-likelihoods of endings after their beginnings, such as label words after a review, or answers after a question.

Endings of one beginning share a pass where one's input starts with the other's. What all beginnings have in common may
run once (`avss.tasks.shared_prefix`). Logits are float32 for weights of any dtype.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avss.data import by_length
from avss.engine.passes import not_finite
from avss.progress import progress
from avss.pruning import skipping
from avss.removals import Removals, removing, with_scales
from avss.tasks.shared_prefix import SharedPrefix


@dataclass
class Continued:
    """One document: the token ids with each ending, and where the endings start."""

    sequences: list[list[int]]
    start: int


@dataclass
class _Pass:
    """One row of a forward pass, and the (document, ending) pairs whose tokens it predicts."""

    ids: list[int]
    predicts: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def likelihoods(
    model: nn.Module,
    removed: Sequence[Sequence[int]],
    documents: list[Continued],
    batch_size: int,
    filler: int,
    *,
    shares: bool,
    task: str,
    scales: Sequence[Iterable[float]] | None = None,
    **kept,
) -> NDArray[np.float64]:
    """Log-likelihood in nats of each ending without each of these sets of blocks, (sets, documents, endings), float64.

    documents: with the same number of endings each. filler: the id that pads. shares: whether what all documents begin
    with runs once; each set then has its own keys and values of it, and the sets run one by one. task: named in the
    errors. scales, and `cache` and `key` in `kept`: as `removing` takes them. Raises `InputError` for logits that are
    not finite, and for sets of blocks as `removing`.
    """
    options = {"batch_size": batch_size, "filler": filler, "task": task}
    if not shares or not any(map(len, removed)):
        with removing(model, removed, scales=scales, **kept) as without:
            return _likelihoods(without, documents, shares=shares, **options)
    found = []
    for layers, factors in with_scales(removed, scales):
        with skipping(model, layers, factors), removing(model, [[]]) as whole:
            found.append(_likelihoods(whole, documents, shares=True, **options))
    return np.concatenate(found)


def _likelihoods(
    without: Removals, documents: list[Continued], batch_size: int, filler: int, shares: bool, task: str
) -> NDArray[np.float64]:
    model = without.model
    head = model.get_output_embeddings()
    passes = _passes(documents)
    # The first token of an ending is predicted from the token before it, which has to run.
    most = min(document.start for document in documents) - 1 if shares else 0
    prefix = SharedPrefix(model, [ran.ids for ran in passes], most)
    running = prefix if prefix.tokens else without
    found = np.zeros((len(without.masks), len(documents), len(documents[0].sequences)))
    for batch, chosen in enumerate(progress(by_length(passes, batch_size), "evaluating")):
        rows = [passes[index] for index in chosen]
        # One entry a scored token: the row and position that predict it, the token, and its document and ending.
        scored = [
            (row, position - 1, document.sequences[ending][position], number, ending)
            for row, ran in enumerate(rows)
            for number, ending in ran.predicts
            for document in [documents[number]]
            for position in range(document.start, len(document.sequences[ending]))
        ]
        row, position, token, number, ending = np.array(scored).T
        # The head runs at these positions only: elsewhere a large vocabulary would fill the memory.
        kept, position = np.unique(position - prefix.tokens, return_inverse=True)
        inputs = prefix.inputs([ran.ids for ran in rows], filler)
        places = tuple(map(torch.from_numpy, (row, position, token)))
        kept = torch.from_numpy(kept)
        with _entering(head) as entered:

            def losses(logits: Tensor, places=places, entered=entered, batch: int = batch) -> list[list[float]]:
                row, position, token = (index.to(logits.device) for index in places)
                hidden = entered.pop()
                nll = torch.nn.functional.cross_entropy(logits[row, position].float(), token, reduction="none")
                if logits.dtype in (torch.bfloat16, torch.float16):
                    hidden = hidden.to(logits.device)[row, position]
                    nll += _rounding(head, hidden, logits[row, position], token)
                nll = nll.double().cpu().numpy()
                if not np.isfinite(nll).all():
                    raise not_finite(f"task {task}", "losses", batch, model)
                return [nll.tolist()]

            told = {"kept": kept, **dict(zip(("row", "position", "token"), places, strict=True))}
            for index, (nll,) in running.each(inputs, losses, told, logits_to_keep=kept):
                np.subtract.at(found[index], (number, ending), nll)
    return found


def _passes(documents: list[Continued]) -> list[_Pass]:
    """The passes to run. Endings share a pass if one's input starts with the other's, as those of one token do."""
    passes = []
    for number, document in enumerate(documents):
        own: list[_Pass] = []
        for ending in sorted(range(len(document.sequences)), key=lambda ending: -len(document.sequences[ending])):
            ids = document.sequences[ending][:-1]
            shared = next((earlier for earlier in own if earlier.ids[: len(ids)] == ids), None)
            if shared is None:
                own.append(shared := _Pass(ids))
            shared.predicts.append((number, ending))
        passes += own
    return passes


@contextmanager
def _entering(module: nn.Module) -> Iterator[list[Tensor]]:
    """A list that collects the inputs of the module."""
    entered: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    try:
        yield entered
    finally:
        handle.remove()


def _rounding(head: nn.Module, hidden: Tensor, logits: Tensor, token: Tensor) -> Tensor:
    """The gold logit in a narrow dtype minus the gold logit in float32, (N,); hidden (N, F), logits (N, V).

    Between 16 and 32, bf16 has steps of 0.125. The logits of the two labels then often tie.
    """
    index = token.to(head.weight.device)
    weight = head.weight[index].to(logits.device, torch.float32)
    bias = 0 if head.bias is None else head.bias[index].to(logits.device, torch.float32)
    narrow = logits.gather(1, token[:, None])[:, 0].float()
    return narrow - (torch.linalg.vecdot(hidden.float(), weight) + bias)
