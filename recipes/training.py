"""The training loop shared by the recipes: AdamW, linear warm-up, cosine decay, resumable.

A recipe gives a model and a function from step number to (inputs, loss); because the batch depends on the step alone,
a run that was killed continues from its last checkpoint exactly as if nothing had happened. Checkpoints are
safetensors, never pickles.
"""

import json
import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

STATE, PROGRESS = "training.safetensors", "training.json"


def set_seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak`, then cosine decay to a tenth of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))


def _save(folder: Path, model, optimizer, step: int, seconds: float, losses: list[float]) -> None:
    names = {id(p): n for n, p in model.named_parameters()}
    tensors = {f"model.{n}": p.detach().contiguous() for n, p in model.named_parameters()}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            tensors[f"{key}.{names[id(parameter)]}"] = torch.as_tensor(value).contiguous()
    temporary = folder / (STATE + ".part")
    save_file(tensors, temporary, metadata={"step": str(step)})
    progress = {"step": step, "seconds": seconds, "losses": losses}
    (folder / (PROGRESS + ".part")).write_text(json.dumps(progress))
    os.replace(temporary, folder / STATE)
    os.replace(folder / (PROGRESS + ".part"), folder / PROGRESS)


def _resume(folder: Path, model, optimizer) -> tuple[int, float, list[float]]:
    if not (folder / PROGRESS).exists():
        return 0, 0.0, []
    progress = json.loads((folder / PROGRESS).read_text())
    tensors = load_file(folder / STATE)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
            if f"exp_avg.{name}" in tensors:
                optimizer.state[parameter] = {
                    "step": tensors[f"step.{name}"].cpu(),
                    "exp_avg": tensors[f"exp_avg.{name}"].to(parameter.device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(parameter.device),
                }
    return progress["step"], progress["seconds"], progress["losses"]


def train(
    model: torch.nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    *,
    steps: int,
    peak: float,
    folder: Path,
    seed: int,
    warmup: int = 100,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    checkpoint_every: int = 200,
    log_every: int = 50,
) -> dict:
    """Train `model` in place for `steps` optimiser steps and return {steps, seconds, loss, losses}.

    `loss_at(step)` draws the batch of that step and returns the scalar loss. State lives in `folder` until the
    caller removes it; the random state is reseeded at every step so that dropout repeats after a resume.
    """
    folder.mkdir(parents=True, exist_ok=True)
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    first, spent, losses = _resume(folder, model, optimizer)
    if first:
        print(f"resuming at step {first} of {steps}", flush=True)
    model.train()
    began, window = time.monotonic(), []
    for step in range(first, steps):
        torch.manual_seed(seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak, warmup)
        loss = loss_at(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        window.append(float(loss.detach()))
        done = step + 1
        if done % log_every == 0 or done == steps:
            losses.append(round(float(np.mean(window)), 5))
            window.clear()
            seconds = spent + time.monotonic() - began
            print(f"step {done}/{steps}  loss {losses[-1]:.4f}  {seconds:.0f} s", flush=True)
        if done % checkpoint_every == 0 or done == steps:
            _save(folder, model, optimizer, done, spent + time.monotonic() - began, losses)
    model.eval()
    return {
        "steps": steps,
        "seconds": round(spent + time.monotonic() - began, 1),
        "loss": losses[-1] if losses else None,
        "losses": losses,
    }
