"""Contrastive healing: LoRA in chosen layers, trained so that a question's state is near its supported answer.

The follow-up paper (arXiv 2411.10069) trains hallucination-prone layers contrastively; its loss is not public. Ours is
InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) on cosines of mean states, averaged over the layers. The anchor is
the state of the prompt, the positive that of its supported answer, the negatives all hallucinated ones of the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn

from avss.data import context_of, pad, padding_id
from avss.engine.gold import UNSCORED, gold, is_causal
from avss.engine.observe import hooked
from avss.engine.passes import logits_of, uncached
from avss.engine.training import train_adapters
from avss.errors import InputError, look_up
from avss.hallucination.encoding import encoded
from avss.hallucination.pairs import Pair, digest


@dataclass(frozen=True)
class Recipe:
    """How adapters are trained; every control of an experiment has the same.

    objective: `contrastive`, or `likelihood` (of the supported answers, as the control that needs no contrast). steps:
    of `pairs` questions each. rank: of LoRA. temperature: of InfoNCE. seed: draws the adapters and the questions.
    """

    objective: str = "contrastive"
    steps: int = 60
    pairs: int = 8
    learning_rate: float = 1e-3
    rank: int = 8
    temperature: float = 0.1
    seed: int = 0
    context: int = 256


def info_nce(anchor: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE of a batch, a scalar.

    anchor, positive, negatives: (B, F). For each anchor, -log of the share of exp(cos(anchor, positive) / temperature)
    in itself and the same of all B negatives.
    """
    anchor, positive, negatives = (nn.functional.normalize(each, dim=-1) for each in (anchor, positive, negatives))
    right = (anchor * positive).sum(-1, keepdim=True)
    return -torch.cat([right, anchor @ negatives.T], 1).div(temperature).log_softmax(1)[:, 0].mean()


def chosen_layers(scores: Sequence[float], k: int, draws: int = 5, seed: int = 0) -> dict[str, list[int]]:
    """The layers to train in an experiment: the k of the highest score, the k lowest, k at random `draws` times, all.

    Raises `InputError` unless k is at least 1 and at most the number of layers.
    """
    values = np.asarray(scores, np.float64)
    if not 1 <= k <= len(values):
        raise InputError(f"number of layers to train is {k} of {len(values)}; give 1 to {len(values)}")
    order = np.argsort(-values, kind="stable")
    random = np.random.Generator(np.random.PCG64(seed))
    chosen = {"highest": order[:k], "lowest": order[-k:]}
    chosen |= {f"random-{draw}": random.permutation(len(values))[:k] for draw in range(draws)}
    return {name: sorted(map(int, layers)) for name, layers in (chosen | {"all": order}).items()}


def heal(
    model: nn.Module,
    tokenizer,
    pairs: list[Pair],
    layers: Sequence[int],
    recipe: Recipe | None = None,
    *,
    state: str | Path | None = None,
) -> tuple[PeftModel, list[float]]:
    """Train LoRA in these layers, on pairs, and return the model of `peft` and the loss of every step.

    The adapters are put into `model` itself; `PeftModel.unload()` takes them out again, and `save_pretrained` saves
    them for plain `peft`. All linear maps of the layers get one, and nothing else is trained. state: a folder in which
    the training is kept after every step, for a run that was killed: the next one has exactly the same losses. Raises
    `InputError` for a model that is no causal language model, no pairs, an unknown objective, and as `train_adapters`.
    """
    recipe = recipe or Recipe()
    loss_of = look_up("objective", recipe.objective, OBJECTIVES)
    if not is_causal(model):
        raise InputError(f"healing needs a causal language model, {type(model).__name__} is none; load one")
    if not pairs:
        raise InputError("no pairs were given; give at least one question with a supported and a hallucinated answer")
    answers = [[pair.supported[0], pair.hallucinated[0]] for pair in pairs]
    examples = encoded(tokenizer, pairs, answers, context_of(model, tokenizer, recipe.context))

    def loss(adapted: nn.Module, step: int) -> Tensor:
        drawn = np.random.default_rng([recipe.seed, step]).permutation(len(pairs))[: recipe.pairs]
        return loss_of(adapted, _batch(examples, drawn, padding_id(tokenizer), model), layers, recipe)

    return train_adapters(
        model,
        layers,
        loss,
        steps=recipe.steps,
        rank=recipe.rank,
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        facts=asdict(recipe) | {"pairs of answers": digest(pairs)},
        state=state,
    )


def _batch(examples: list, drawn: Sequence[int], filler: int, model: nn.Module) -> dict[str, Tensor]:
    """The supported answers of these questions, then the hallucinated ones, (2 B, T)."""
    own = [examples[index][side] for side in range(2) for index in drawn]
    batch = pad([example.input_ids for example in own], filler)
    batch["labels"] = pad([example.labels for example in own], UNSCORED)["input_ids"]
    return {name: tensor.to(model.device) for name, tensor in batch.items()}


def _contrastive(model: nn.Module, batch: Mapping[str, Tensor], layers: Sequence[int], recipe: Recipe) -> Tensor:
    """InfoNCE of the pooled states, the mean over the trained layers."""
    kept: dict[int, Tensor] = {}

    def receive(layer, activation, base):
        if layer in layers:
            kept[layer] = activation

    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with hooked(model, "block_output", receive):
        model.base_model(**inputs, **uncached(model))
    answered = batch["labels"] != UNSCORED
    asked = batch["attention_mask"].bool() & ~answered
    half, losses = len(answered) // 2, []
    for state in kept.values():
        answers, questions = _mean(state, answered), _mean(state, asked)
        losses.append(info_nce(questions[:half], answers[:half], answers[half:], recipe.temperature))
    return torch.stack(losses).mean()


def _mean(state: Tensor, tokens: Tensor) -> Tensor:
    tokens = tokens.to(state.device, state.dtype)[..., None]
    return (state * tokens).sum(1) / tokens.sum(1).clamp(min=1)


def _likelihood(model: nn.Module, batch: Mapping[str, Tensor], layers: Sequence[int], recipe: Recipe) -> Tensor:
    """The mean negative log-likelihood of the tokens of supported answers."""
    half = len(batch["labels"]) // 2
    inputs = {name: batch[name][:half] for name in ("input_ids", "attention_mask")}
    read = gold(model, logits_of(model, inputs), batch["labels"][:half])
    return read.loss.sum() / read.count.sum()


OBJECTIVES = {"contrastive": _contrastive, "likelihood": _likelihood}
