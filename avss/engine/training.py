"""Training of LoRA adapters on named layers: one loop over any loss, which a killed run continues exactly.

LoRA is that of Hu et al. 2021 (arXiv 2106.09685) in all linear maps of the layers, with alpha = 2 x rank. The optimiser
is AdamW at a constant rate without weight decay, and gradients are clipped at norm 1. There is no dropout.
"""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from avss.architectures import adapted, blocks_of
from avss.errors import InputError
from avss.files import write_whole
from avss.identity import weights_digest

STATE = "healing.safetensors"


def train_adapters(
    model: nn.Module,
    layers: Sequence[int],
    loss_of: Callable[[nn.Module, int], Tensor],
    *,
    steps: int,
    rank: int,
    learning_rate: float,
    seed: int,
    facts: dict,
    state: str | Path | None = None,
    every: int = 1,
    watch: Callable[[nn.Module, int], None] | None = None,
) -> tuple[PeftModel, list[float]]:
    """Train LoRA in these layers and return the model of `peft` and the loss of every step.

    The adapters are put into `model` itself, and nothing else is trained. loss_of: takes the model with its adapters
    and the number of the step, from 0, and gives a scalar that depends on nothing else. facts: all that decides the
    losses besides the arguments here, as JSON holds it. state: a folder in which adapters, optimiser and losses are
    kept, in one file, after every `every` steps and the last one. The next run goes on from there and has exactly the
    same losses. watch: called with the model and the number of steps made, before the first and after each; a step is
    watched before it is kept, so that none is left out after a kill. Raises `InputError` for layers that the model does
    not have or that have no linear map, numbers below 1, an adapter that acts already, a loss that is not finite, and a
    state of another training.
    """
    state = None if state is None else Path(state)
    total = len(blocks_of(model))
    wrong = [layer for layer in layers if not 0 <= layer < total]
    if wrong or not layers:
        raise InputError(f"layers to train are {list(layers)} of {total}; give at least one, from 0 to {total - 1}")
    for name, number in (("steps", steps), ("rank", rank)):
        if number < 1:
            raise InputError(f"{name} of the training is {number}; give at least 1")
    if not learning_rate > 0:
        raise InputError(f"learning rate is {learning_rate}; give a number above 0")
    if adapted(model):
        raise InputError("an adapter acts in this model; merge it first, with model = model.merge_and_unload()")
    maps = _linear_maps(model, layers)
    if not maps:
        raise InputError(f"layers {list(layers)} of a {type(model).__name__} have no linear map, so LoRA has no place")
    # All that decides the training, so that no state of another one is continued.
    facts = facts | {
        **{"steps": steps, "rank": rank, "learning_rate": learning_rate, "seed": seed},
        **{"layers": sorted(layers), "weights": weights_digest(model)},
    }
    # A Conv1D of transformers holds its matrix the other way round.
    turned = all(isinstance(model.get_submodule(name), Conv1D) for name in maps)
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules=maps, fan_in_fan_out=turned)
    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft asks by a name that transformers is about to drop.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        torch.manual_seed(seed)
        trained = get_peft_model(model, config)
    weights = {name: each for name, each in trained.named_parameters() if each.requires_grad}
    optimizer = torch.optim.AdamW(weights.values(), lr=learning_rate, weight_decay=0.0)
    losses = _resumed(state, weights, optimizer, facts)
    # Without dropout the losses depend on nothing but the state.
    trained.eval()
    if watch and not losses:
        watch(trained.get_base_model(), 0)
    for step in range(len(losses), steps):
        loss = loss_of(trained.get_base_model(), step)
        if not loss.isfinite():
            raise InputError(f"the loss of step {step} is {loss.item()}; lower the learning rate")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if watch:
            watch(trained.get_base_model(), len(losses))
        if len(losses) % every == 0 or len(losses) == steps:
            _keep(state, weights, optimizer, facts, losses)
    return trained, losses


def _linear_maps(model: nn.Module, layers: Sequence[int]) -> list[str]:
    """The full names of the linear maps of these layers."""
    names = {module: name for name, module in model.named_modules()}
    blocks = blocks_of(model)
    parts = (part for layer in sorted(set(layers)) for part in blocks[layer].modules())
    return [names[part] for part in parts if isinstance(part, nn.Linear | Conv1D)]


def _keep(state: Path | None, weights: dict, optimizer, facts: dict, losses: list[float]) -> None:
    """One file, so that adapters, optimiser and losses always belong together."""
    if state is None:
        return
    tensors = {f"adapter/{name}": each.detach().contiguous() for name, each in weights.items()}
    for name, each in weights.items():
        tensors |= {f"{key}/{name}": torch.as_tensor(part).contiguous() for key, part in optimizer.state[each].items()}
    state.mkdir(parents=True, exist_ok=True)
    write_whole(state / STATE, save(tensors, {"facts": json.dumps(facts), "losses": json.dumps(losses)}))


def _resumed(state: Path | None, weights: dict, optimizer, facts: dict) -> list[float]:
    """The losses of the steps that were made, with adapters and optimiser as they were; none where nothing is kept."""
    if state is None or not (state / STATE).exists():
        return []
    try:
        with safe_open(state / STATE, "pt") as file:
            told = {name: json.loads(text) for name, text in file.metadata().items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, ValueError) as error:
        raise InputError(f"{state / STATE} holds no state of a training; remove it to start anew") from error
    if told["facts"] != json.loads(json.dumps(facts)):
        raise InputError(f"{state} holds a training with other settings; remove it, or name another folder")
    with torch.no_grad():
        for name, each in weights.items():
            each.copy_(tensors.pop(f"adapter/{name}"))
    for place, tensor in tensors.items():
        key, _, name = place.partition("/")
        # AdamW keeps its count of steps on the CPU.
        optimizer.state[weights[name]][key] = tensor if key == "step" else tensor.to(weights[name].device)
    return told["losses"]
