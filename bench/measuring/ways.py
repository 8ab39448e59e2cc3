"""Ways to score the layers of a model, from a bare forward pass to the released scripts' way."""

import statistics
from contextlib import ExitStack

import torch
from torch import nn
from torch.nn.functional import pad

from avss.architectures import blocks_of
from avss.methods import score

EPSILON = {"kept": 0.01, "released": 1e-5}


def run_bare(model: nn.Module, batch: dict, **options):
    return model.base_model(**{key: value.to(model.device) for key, value in batch.items()}, use_cache=False, **options)


@torch.inference_mode()
def bare(model: nn.Module, batches: list[dict]) -> None:
    for batch in batches:
        run_bare(model, batch)


def avss(model: nn.Module, batches: list[dict]) -> None:
    score(model, batches)


@torch.inference_mode()
def kept(model: nn.Module, batches: list[dict]) -> list[tuple[float, float]]:
    """Variance and sparsity of every layer over real tokens, from hidden states that stay in memory until the end."""
    kept_states = []
    for batch in batches:
        states = run_bare(model, batch, output_hidden_states=True).hidden_states[1:]
        kept_states.append([state[batch["attention_mask"].bool()] for state in states])
    found = []
    for layer in zip(*kept_states, strict=True):
        values = torch.cat(layer).float()
        found.append((values.var(correction=0).item(), (values.abs() < EPSILON["kept"]).float().mean().item()))
    return found


@torch.inference_mode()
def released(model: nn.Module, batches: list[dict]) -> list[tuple[float, float]]:
    """The reading `released-code` of every layer, as the released scripts come to it."""
    found, activations = [], []
    with ExitStack() as stack:
        for block in blocks_of(model):
            stack.callback(block.register_forward_hook(lambda _, __, output: activations.append(output)).remove)
        for batch in batches:
            run_bare(model, batch)
            found.append(
                [
                    (layer.mean(1).var(-1).mean().item(), (layer.abs() < EPSILON["released"]).float().mean().item())
                    for layer in activations
                ]
            )
            activations.clear()
    return [tuple(map(statistics.fmean, zip(*layer, strict=True))) for layer in zip(*found, strict=True)]


WAYS = {way.__name__: way for way in (bare, avss, kept, released)}


def padded(batches: list[dict], limit: int) -> list[dict]:
    return [{key: pad(value, (0, limit - value.shape[1])) for key, value in batch.items()} for batch in batches]
