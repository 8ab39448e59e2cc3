"""The training loop shared by the recipes: linear warm-up, cosine decay, resumable.

A recipe gives a model, its optimisers and a function from step number to loss. The batch depends on the step alone, so
a killed run continues from its last checkpoint exactly as an uninterrupted one. A checkpoint is one file in
safetensors. Its metadata state the step, so the step and the weights always belong together.
"""

import json
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from avss.files import write_whole

STATE = "training.safetensors"


def set_seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def adamw(parameters: Iterable[torch.nn.Parameter], peak: float, weight_decay: float = 0.01) -> torch.optim.AdamW:
    """AdamW that decays matrices and embeddings, not biases and norms."""
    parameters = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=peak, betas=(0.9, 0.98))


def share_of_peak(step: int, steps: int, warmup: int, end: float) -> float:
    """Linear warm-up to 1, then cosine decay to `end`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * progress))


def _save(folder: Path, model, optimizers, progress: dict) -> None:
    names = {id(p): n for n, p in model.named_parameters()}
    tensors = {f"model.{n}": p.detach().contiguous() for n, p in model.named_parameters()}
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                tensors[f"{key}.{names[id(parameter)]}"] = torch.as_tensor(value).contiguous()
    write_whole(folder / STATE, save(tensors, {"progress": json.dumps(progress)}))


def _resume(folder: Path, model, optimizers, settings: dict) -> dict | None:
    state = folder / STATE
    if not state.exists():
        return None
    try:
        with safe_open(state, "pt") as file:
            progress = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, KeyError):
        raise SystemExit(f"{state} holds no state of a training; delete it to start anew") from None
    if progress["settings"] != settings:
        raise SystemExit(f"{folder} holds a run with other settings ({progress['settings']}); delete it to start anew")
    states: dict[str, dict] = {}
    for name, tensor in tensors.items():
        key, _, parameter = name.partition(".")
        states.setdefault(parameter, {})[key] = tensor
    names = {id(p): n for n, p in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(states[name].pop("model"))
    for optimizer in optimizers:
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            state = states[names[id(parameter)]]
            # AdamW keeps its step count on the CPU.
            optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in state.items()}
    return progress


def train(
    model: torch.nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    steps: int,
    folder: Path,
    seed: int,
    warmup: int = 100,
    end: float = 0.1,
    settings: dict | None = None,
    clip: float = 1.0,
    checkpoint_every: int = 200,
    log_every: int = 50,
) -> dict:
    """Train `model` in place for `steps` optimiser steps and return {steps, seconds, loss, losses}.

    `loss_at(step)` draws the batch of that step and returns the scalar loss. The learning rates that the optimisers
    come with are the peaks; they decay to `end` of that. State lives in `folder` until the caller removes it; the
    random state is reseeded at every step so that dropout repeats after a resume. settings: what else determines the
    run; a state made with others is not resumed but ends the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [group["lr"] for group in groups]
    settings = {"steps": steps, "peaks": peaks, "seed": seed, "warmup": warmup, "end": end, **(settings or {})}
    first, spent, losses, window = 0, 0.0, [], []
    if progress := _resume(folder, model, optimizers, settings):
        first, spent, losses, window = (progress[name] for name in ("step", "seconds", "losses", "window"))
        print(f"resuming at step {first} of {steps}", flush=True)
    model.train()
    began = time.monotonic()
    for step in range(first, steps):
        torch.manual_seed(seed * 1_000_003 + step)
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * share_of_peak(step, steps, warmup, end)
        loss = loss_at(step)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        for optimizer in optimizers:
            optimizer.step()
        window.append(float(loss.detach()))
        done = step + 1
        if done % log_every == 0 or done == steps:
            losses.append(round(float(np.mean(window)), 5))
            window.clear()
            seconds = spent + time.monotonic() - began
            print(f"step {done}/{steps}  loss {losses[-1]:.4f}  {seconds:.0f} s", flush=True)
        if done % checkpoint_every == 0 or done == steps:
            seconds = spent + time.monotonic() - began
            progress = {"step": done, "seconds": seconds, "losses": losses, "window": window, "settings": settings}
            _save(folder, model, optimizers, progress)
    model.eval()
    return {
        "steps": steps,
        "seconds": round(spent + time.monotonic() - began, 1),
        "loss": losses[-1] if losses else None,
        "losses": losses,
    }
