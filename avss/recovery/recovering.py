"""Healing of a pruned model: LoRA in all of its blocks, by next-token loss or by distillation, merged at the end.

The one recipe is the budget: two pruned models that were healed by the same one have seen the same tokens in the same
order, so a difference comes from the blocks that were removed. Distillation is from the whole model, with the loss of
Hinton et al. 2015 (arXiv 1503.02531): the Kullback-Leibler divergence of the softened predictions.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from avss.architectures import blocks_of, unwrapped
from avss.data import context_of
from avss.engine.gold import is_causal
from avss.engine.modes import unchanged
from avss.engine.passes import device_of, logits_of, sent
from avss.engine.training import train_adapters
from avss.errors import InputError, look_up
from avss.identity import weights_digest
from avss.recovery.text import drawn, windows

NEXT_TOKEN, DISTILLATION = "next_token", "distillation"
OBJECTIVES = (NEXT_TOKEN, DISTILLATION)


@dataclass(frozen=True)
class Recipe:
    """How a pruned model is trained, and on how many tokens: steps x windows x context.

    objective: `next_token`, or `distillation` (from the whole model). windows: of `context` tokens, in each step.
    rank: of LoRA. temperature: divides the logits of both models in distillation. seed: draws adapters and windows.
    """

    objective: str = NEXT_TOKEN
    steps: int = 60
    windows: int = 4
    context: int = 256
    learning_rate: float = 1e-3
    rank: int = 8
    temperature: float = 1.0
    seed: int = 0

    def tokens(self, steps: int | None = None) -> int:
        """How many tokens the model has seen after so many steps (None: all), BOS included."""
        return (self.steps if steps is None else steps) * self.windows * self.context


def next_token_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """The mean negative log-likelihood of the tokens (B, T), but for the first of each row, in nats; a scalar.

    logits: (B, T, V).
    """
    return nn.functional.cross_entropy(_wide(logits[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def distillation_loss(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """temperature^2 x mean KL(softmax(wanted / temperature), softmax(logits / temperature)), in nats; a scalar.

    logits: of the pruned model, wanted: of the whole one, (B, T, V) each. The mean is over all positions but the last,
    which are those of `next_token_loss`. The square keeps the size of the gradients at any temperature.
    """
    mine, other = ((_wide(each[:, :-1]) / temperature).log_softmax(-1) for each in (logits, wanted))
    return temperature**2 * (other.exp() * (other - mine)).sum(-1).mean()


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def recover(
    model: nn.Module,
    tokenizer,
    texts: Sequence[str],
    recipe: Recipe | None = None,
    *,
    teacher: nn.Module | None = None,
    state: str | Path | None = None,
    every: int = 1,
    watch: Callable[[nn.Module, int], None] | None = None,
) -> tuple[nn.Module, list[float]]:
    """Heal a pruned causal language model on texts and return it, of its own class, and the loss of every step.

    LoRA acts in all linear maps of all blocks while it is trained; at the end it is merged into the weights of `model`
    itself, so that `save_pretrained` writes a plain checkpoint. After an error the model is as it was. texts:
    documents, on none of which the model should be measured afterwards (`avss.recovery.text.without_shared`). teacher:
    the whole model, for distillation. state, every, watch: as `avss.engine.training.train_adapters` takes them. Raises
    `InputError` for an unknown objective, a model that is no causal language model, a teacher that is missing, not
    asked for, or of another class or vocabulary, numbers of the recipe below 1, a context above the positions of the
    model, and as `windows` and `train_adapters`.
    """
    recipe, model = recipe or Recipe(), unwrapped(model)
    check_recipe(recipe)
    if not is_causal(model):
        raise InputError(f"healing needs a causal language model, {type(model).__name__} is none; load one")
    teacher = _checked_teacher(recipe, model, teacher)
    text = text_of(model, tokenizer, texts, recipe)

    def loss(student: nn.Module, step: int) -> Tensor:
        ids = sent(text[drawn(len(text), recipe.seed, step, recipe.windows)], device_of(student))
        logits = logits_of(student, {"input_ids": ids})
        if teacher is None:
            return next_token_loss(logits, ids)
        with torch.no_grad():
            wanted = logits_of(teacher, {"input_ids": ids.to(device_of(teacher))}).to(logits.device)
        return distillation_loss(logits, wanted, recipe.temperature)

    with ExitStack() as stack:
        stack.enter_context(unchanged(model))
        if teacher is not None:
            stack.enter_context(unchanged(teacher))
            teacher.eval()
        adapters, losses = train_adapters(
            model,
            range(len(blocks_of(model))),
            loss,
            steps=recipe.steps,
            rank=recipe.rank,
            learning_rate=recipe.learning_rate,
            seed=recipe.seed,
            facts=asdict(recipe) | {"text": digest(text), "teacher": teacher and weights_digest(teacher)},
            state=state,
            every=every,
            watch=watch,
        )
        adapters.merge_and_unload()
    return model, losses


def check_recipe(recipe: Recipe) -> None:
    """Raises `InputError` for an unknown objective and for numbers that no training can have."""
    look_up("objective", recipe.objective, dict.fromkeys(OBJECTIVES))
    for name in ("steps", "windows", "rank"):
        if getattr(recipe, name) < 1:
            raise InputError(f"{name} of the recipe is {getattr(recipe, name)}; give at least 1")
    for name in ("learning_rate", "temperature"):
        if not getattr(recipe, name) > 0:
            raise InputError(f"{name} of the recipe is {getattr(recipe, name)}; give a number above 0")


def text_of(model: nn.Module, tokenizer, texts: Sequence[str], recipe: Recipe) -> Tensor:
    """The windows that the recipe is trained on, (W, context) int64. Raises `InputError` as `recover`."""
    most = context_of(model, tokenizer, recipe.context)
    if most < recipe.context:
        raise InputError(
            f"context of the recipe is {recipe.context} tokens and the model has {most}; give at most those"
        )
    return windows(tokenizer, texts, recipe.context)


def digest(text: Tensor) -> str:
    """Twelve hexadecimal digits of the windows (W, T) that are trained on."""
    return hashlib.sha256(text.numpy().tobytes() + str(tuple(text.shape)).encode()).hexdigest()[:12]


def _checked_teacher(recipe: Recipe, model: nn.Module, teacher: nn.Module | None) -> nn.Module | None:
    """The teacher of distillation, None for another objective; errors as `recover`."""
    if (recipe.objective == DISTILLATION) != (teacher is not None):
        lacks = "needs the whole model as teacher" if teacher is None else "has no teacher"
        raise InputError(f"objective {recipe.objective} {lacks}; give a teacher with {DISTILLATION}, and only there")
    if teacher is None:
        return None
    teacher = unwrapped(teacher)
    if type(teacher) is not type(model):
        raise InputError(
            f"the teacher is a {type(teacher).__name__} and the pruned model a {type(model).__name__}; give the model "
            f"that it was pruned from"
        )
    mine, other = (each.get_output_embeddings().weight.shape[0] for each in (model, teacher))
    if mine != other:
        raise InputError(
            f"the teacher has {other} words and the pruned model {mine}; give the model that it was pruned from"
        )
    return teacher
