"""A model with and without its last blocks: how fast it reads a prompt and writes on."""

import argparse
import time
from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from avss import prune

from . import llama, shaped, spread

TIMES = ("prefill", "decode", "first_token")


def model_of(arguments: argparse.Namespace, blocks: int) -> PreTrainedModel:
    placed = arguments.device, arguments.dtype
    if arguments.shape:
        return shaped(arguments.shape, *placed, blocks)
    return llama(arguments.width, blocks, arguments.prompt + arguments.new, arguments.vocabulary, *placed)


def without_last(arguments: argparse.Namespace, removed: int) -> PreTrainedModel:
    model = model_of(arguments, arguments.blocks)
    return prune(model, range(arguments.blocks - removed, arguments.blocks)) if removed else model


def prompts(arguments: argparse.Namespace) -> torch.Tensor:
    """Random token ids, (batch, prompt) int64."""
    generator = torch.Generator().manual_seed(0)
    shape = (arguments.batch, arguments.prompt)
    return torch.randint(3, arguments.vocabulary, shape, generator=generator).to(arguments.device)


def timed(run: Callable, device: str) -> tuple[float, object]:
    """Seconds, and the result of the run."""
    if device == "cuda":
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        result = run()
        ended.record()
        torch.cuda.synchronize()
        return began.elapsed_time(ended) / 1000, result
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


def read(model, ids: torch.Tensor):
    """The prompt in one pass, with the logits of the last token only, as for generation."""
    return model(input_ids=ids, use_cache=True, logits_to_keep=1)


def continued(model, output, tokens: int):
    """Greedy decoding with the cache, one token a pass."""
    for _ in range(tokens):
        chosen = output.logits[:, -1:].argmax(-1)
        output = model(input_ids=chosen, past_key_values=output.past_key_values, use_cache=True)
    return output


def measure(model, ids: torch.Tensor, new: int, device: str) -> tuple[dict[str, float], int]:
    """Seconds of each of `TIMES`, and the bytes of the cache at the end."""
    with torch.inference_mode():
        first_token, _ = timed(lambda: read(model, ids[:1]).logits.argmax().item(), device)
        prefill, output = timed(lambda: read(model, ids), device)
        decode, output = timed(lambda: continued(model, output, new), device)
    cached = sum(layer.keys.nbytes + layer.values.nbytes for layer in output.past_key_values.layers)
    return {"prefill": prefill, "decode": decode, "first_token": first_token}, cached


def speeds(whole: list[dict], pruned: list[dict], arguments: argparse.Namespace) -> dict:
    """Of each time its median and quartiles over the rounds, and the same of how much faster than the whole model."""
    found = {}
    for name in TIMES:
        pairs = [(first[name], later[name]) for first, later in zip(whole, pruned, strict=True)]
        found |= spread(f"{name}_seconds", [later for _, later in pairs], digits=6)
        found |= spread(f"{name}_speedup", [first / later for first, later in pairs], digits=6)
    for name, tokens in (("prefill", arguments.prompt), ("decode", arguments.new)):
        rate = arguments.batch * tokens / found[f"{name}_seconds"]
        found[f"{name}_tokens_per_second"] = round(rate, 1)
    return found
