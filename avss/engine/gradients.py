"""One backward pass a batch: the gradient of a target with respect to the output of each block, reduced at once.

Only activations get gradients; parameters are frozen for the pass. Hooks turn the gradient at each block's output into
one number a document as soon as it is there, so that hidden states live for one batch and gradients for one block.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from avss.architectures import blocks_of
from avss.engine.branches import joined, state_in, state_out
from avss.engine.gold import Gold, gold, labels_of
from avss.engine.modes import differentiable
from avss.engine.observe import Run
from avss.engine.passes import logits_of, not_finite, passes, require_finite
from avss.errors import InputError

# From the gold predictions of a batch to what is differentiated, one number a document, (B,).
Target = Callable[[Gold], Tensor]
# From a block's input h, its update u and the gradient g at its output, to one number a document, (B,). All three are
# (B, T, F) in float64, and zero where there is padding.
Statistic = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class GradientPass:
    """The results of all batches. Documents in which nothing is scored are left out.

    values: (M, D) float64, the statistic of each block and document. scored: (D,) int64, how many predictions the
    target of each document sums over. tokens: real tokens read.
    """

    values: NDArray[np.float64]
    scored: NDArray[np.int64]
    tokens: int


def gradient_pass(model: nn.Module, batches: Iterable[dict], target: Target, statistic: Statistic) -> GradientPass:
    """`statistic` of every block and document, with gradients of `target`: one forward and one backward pass a batch.

    batches: dicts of tensors (B, T), with `labels` where the model needs them (`avss.engine.gold.labels_of`). Documents
    do not mix in a model, so the gradient of the sum of all targets holds each document's own gradient. Raises
    `InputError` for a model that lets no gradient through (quantised, made under inference_mode, or with a frozen
    graph), batches that cannot be used, labels that are missing, nothing scored, and losses or gradients that are not
    finite.
    """
    done: list[_Batch] = []
    with differentiable(model):
        for number, inputs, mask, labels in passes(model, batches, "gradients"):
            done.append(_one_batch(model, number, inputs, mask, labels, target, statistic))
            # On a CPU looking is free. On an accelerator it would wait for the device.
            if done[-1].values.device.type == "cpu":
                _require_finite(done[-1:], model)
    _require_finite(done, model)
    values, scored = torch.cat([each.values for each in done], 1), torch.cat([each.scored for each in done])
    values, scored = values.cpu().numpy(), scored.cpu().numpy()
    if not scored.any():
        raise InputError("nothing in the batches is scored: all labels are -100 or documents have one token")
    return GradientPass(values[:, scored > 0], scored[scored > 0], int(sum(each.tokens for each in done)))


class _Batch(NamedTuple):
    """Of one batch: its number, the statistic (M, B), the target (B,), the scored predictions (B,) and real tokens."""

    number: int
    values: Tensor
    target: Tensor
    scored: Tensor
    tokens: Tensor


def _require_finite(done: list[_Batch], model: nn.Module) -> None:
    for each in done:
        # First, because a loss that is NaN makes the gradients of all blocks NaN, and no block is to blame.
        if not bool(torch.isfinite(each.target).all()):
            raise not_finite("the model", "losses or logits", each.number, model)
        require_finite(each.values.cpu(), "gradients", each.number, model)


def _one_batch(
    model: nn.Module,
    number: int,
    inputs: dict[str, Tensor],
    mask: Tensor,
    labels: Tensor | None,
    target: Target,
    statistic: Statistic,
) -> _Batch:
    """A function of its own, so that the graph of one batch is gone before the next is run."""
    # Copies, because tensors that the caller made under inference_mode cannot take part in a backward pass.
    inputs = {name: value.clone() for name, value in inputs.items()}
    answers = labels_of(model, inputs | {"labels": labels}).clone()
    values: dict[int, Tensor] = {}
    with _reducing(model, mask.to(model.device), statistic, values) as embedded:
        logits = logits_of(model, inputs)
        found = gold(model, logits, answers.to(logits.device))
        if not found.logit.requires_grad:
            raise InputError(_frozen("the head"))
        differentiated = target(found)
        torch.autograd.grad(differentiated.sum(), embedded)
    columns = torch.stack([values[block].to(model.device) for block in range(len(values))])
    return _Batch(number, columns, differentiated.detach(), found.count.to(model.device), mask.sum())


@contextmanager
def _reducing(model: nn.Module, mask: Tensor, statistic: Statistic, values: dict[int, Tensor]) -> Iterator[list]:
    """Hooks that fill `values` during the backward pass. Yields a list that will hold the embedded tokens (B, T, F).

    With frozen parameters nothing before the first block has a gradient, so the graph begins at the first block.
    """
    embedded: list[Tensor] = []

    def begin(module, args, kwargs):
        embedded.append(state_in(args, kwargs).requires_grad_())

    def through(block: int, path: str):
        # Through the residual stream a gradient would pass even where a branch blocks it.
        def check(module, args, output) -> None:
            # Some blocks choose by a part of theirs to what they attend, on purpose without gradients.
            if torch.is_grad_enabled() and args and args[0].requires_grad and not state_out(output).requires_grad:
                raise InputError(_frozen(f"{path} of block {block}"))

        return check

    def on_block(block: int):
        def watch(module, args, kwargs, output) -> None:
            leaving = state_out(output)
            run.check(block, leaving)
            after, before = joined(leaving.detach()), joined(state_in(args, kwargs).detach())

            def reduce(gradient: Tensor) -> None:
                padding = ~mask.to(gradient.device)[..., None]
                both = (part.to(gradient.device, torch.float64) for part in (before, joined(gradient)))
                h, g = (part.masked_fill(padding, 0) for part in both)
                u = after.to(torch.float64).masked_fill(padding, 0).sub_(h)
                values[block] = statistic(h, u, g)

            leaving.register_hook(reduce)

        return watch

    blocks, run = blocks_of(model), Run(model)
    run.begin(mask.shape)
    with ExitStack() as stack:
        stack.callback(blocks[0].register_forward_pre_hook(begin, with_kwargs=True).remove)
        for number, block in enumerate(blocks):
            for path, module in block.named_modules():
                if isinstance(module, (nn.Linear, Conv1D)):
                    stack.callback(module.register_forward_hook(through(number, path)).remove)
            stack.callback(block.register_forward_hook(on_block(number), with_kwargs=True).remove)
        yield embedded
        run.end()


def _frozen(where: str) -> str:
    return f"no gradient passes {where}: the model is quantised or its graph is frozen; load it unquantised"


__all__ = ["GradientPass", "differentiable", "gradient_pass"]
