"""One backward pass a batch: the gradient of a target with respect to what each block hands on, reduced at once.

Only activations get gradients; parameters are frozen for the pass. Hooks turn the gradient at each block's output into
one number a document as soon as it is there, so that hidden states live for one batch and gradients for one block.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avss.architectures import blocks_of
from avss.engine.gold import Gold, gold, labels_of
from avss.engine.observe import checked, hooked, uncached
from avss.errors import InputError
from avss.progress import progress
from avss.reading import Reading

# From the gold predictions of a batch to what is differentiated, one number a document, (B,).
Target = Callable[[Gold], Tensor]
# From a block's input h, its update u and the gradient g at its output, to one number a document, (B,). All three are
# (B, T, F) in float64, and zero where there is padding.
Statistic = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class GradientPass:
    """What came of all batches; documents in which nothing is scored are left out.

    values: (M, D) float64, the statistic of each block and document. scored: (D,) int64, how many predictions the
    target of each document sums over. tokens: real tokens read.
    """

    values: NDArray[np.float64]
    scored: NDArray[np.int64]
    tokens: int


def gradient_pass(model: nn.Module, batches: Iterable[dict], target: Target, statistic: Statistic) -> GradientPass:
    """`statistic` of every block and document, with gradients of `target`: one forward and one backward pass a batch.

    batches: dicts of tensors (B, T), with `labels` where the model needs them (`avss.engine.gold.labels_of`). Documents
    do not mix in a model, so that the gradient of the sum of all targets is each document's own. Raises `InputError`
    for a model that lets no gradient through (quantised, made under inference_mode, or with a frozen graph), batches
    that cannot be used, labels that are missing, nothing scored, and gradients that are not finite.
    """
    done = []
    with differentiable(model):
        for number, batch in enumerate(progress(batches, "gradients")):
            inputs, mask = checked(batch, number, Reading())
            done.append(_one_batch(model, inputs, mask, labels_of(model, batch), target, statistic))
    if not done:
        raise InputError("no batches were given; scoring needs at least one document")
    values, scored, tokens = zip(*done, strict=True)
    values, scored = torch.cat(values, 1).cpu().numpy(), torch.cat(scored).cpu().numpy()
    if not scored.any():
        raise InputError("nothing in the batches is scored: all labels are -100 or documents have one token")
    values, scored = values[:, scored > 0], scored[scored > 0]
    for block in np.flatnonzero(~np.isfinite(values).all(1)):
        raise InputError(f"block {block} has NaN or infinite gradients; load the model in a wider dtype or check it")
    return GradientPass(values, scored, int(sum(tokens)))


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients for activations alone; parameters and modes are as they were on exit.

    Raises `InputError` for a quantised model and for one whose parameters were made under inference_mode.
    """
    if getattr(model, "is_quantized", False) or any(map(_quantised, model.modules())):
        raise InputError("the model is quantised, so its gradients are not those of its weights; load it unquantised")
    parameters = {parameter: parameter.requires_grad for parameter in model.parameters()}
    if any(parameter.is_inference() for parameter in parameters):
        raise InputError("the model was made under torch.inference_mode and has no gradients; load it outside of it")
    training = {module: module.training for module in model.modules()}
    with torch.inference_mode(False), torch.enable_grad():
        try:
            model.eval().requires_grad_(False)
            yield
        finally:
            for parameter, wanted in parameters.items():
                parameter.requires_grad_(wanted)
            for module, mode in training.items():
                module.training = mode


def _one_batch(
    model: nn.Module, inputs: dict[str, Tensor], mask: Tensor, labels: Tensor, target: Target, statistic: Statistic
) -> tuple[Tensor, Tensor, Tensor]:
    """The statistic (M, B), the count of scored predictions (B,) and the number of real tokens.

    A function of its own, so that the graph of one batch is gone before the next is run.
    """
    # Copies, because tensors that the caller made under inference_mode cannot take part in a backward pass.
    inputs = {name: value.to(model.device).clone() for name, value in inputs.items()}
    values: dict[int, Tensor] = {}
    with _reducing(model, mask.to(model.device), statistic, values) as embedded:
        logits = model(**inputs, **uncached(model)).logits
        found = gold(model, logits, labels.to(logits.device).clone())
        if not found.logit.requires_grad:
            raise InputError(_frozen("the head"))
        torch.autograd.grad(target(found).sum(), embedded)
    columns = [values[block].to(model.device) for block in range(len(values))]
    return torch.stack(columns), found.count.to(model.device), mask.sum()


@contextmanager
def _reducing(model: nn.Module, mask: Tensor, statistic: Statistic, values: dict[int, Tensor]) -> Iterator[list]:
    """Hooks that fill `values` during the backward pass. Yields a list that the embedded tokens (B, T, F) will be in.

    With frozen parameters nothing before the first block has a gradient, so it is there that the graph begins.
    """
    embedded: list[Tensor] = []

    def begin(module, args, kwargs):
        embedded.append((args[0] if args else kwargs["hidden_states"]).requires_grad_())

    def through(branch: str):
        # Through the residual stream a gradient would pass even where a branch blocks it.
        def check(block: int, activation: Tensor, base: None) -> None:
            if not activation.requires_grad:
                raise InputError(_frozen(f"the {branch} of block {block}"))

        return check

    def on_block(block: int, leaving: Tensor, entering: Tensor) -> None:
        after, before = leaving.detach(), entering.detach()

        def reduce(gradient: Tensor) -> None:
            padding = ~mask.to(gradient.device)[..., None]
            h, g = (part.to(gradient.device, torch.float64).masked_fill(padding, 0) for part in (before, gradient))
            u = after.to(torch.float64).masked_fill(padding, 0).sub_(h)
            values[block] = statistic(h, u, g)

        leaving.register_hook(reduce)

    with ExitStack() as stack:
        handle = blocks_of(model)[0].register_forward_pre_hook(begin, with_kwargs=True)
        stack.callback(handle.remove)
        stack.enter_context(hooked(model, "attention_output", through("attention")))
        stack.enter_context(hooked(model, "mlp_output", through("feed-forward branch")))
        stack.enter_context(hooked(model, "block_update", on_block))
        yield embedded


def _quantised(module: nn.Module) -> bool:
    # Such modules may let an undefined gradient through without an error.
    return type(module).__module__.startswith(("torch.ao.nn.quantized", "torchao.", "bitsandbytes."))


def _frozen(where: str) -> str:
    return f"no gradient passes {where}: the model is quantised or its graph is frozen; load it unquantised"
