"""Shared by the benchmarks: random models and text, times, and the memory of tensors."""

import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from avss.models import DTYPES
from avss.runs.profile import load_profile

MIB = 2**20


def llama(width: int, blocks: int, tokens: int, vocabulary: int, device: str = "cpu", dtype: str = "float32"):
    """A randomly initialised Llama-class model with heads of 64 features."""
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=blocks,
        num_attention_heads=width // 64,
        vocab_size=vocabulary,
        max_position_embeddings=tokens,
    )
    return _random(LlamaForCausalLM, config, device, dtype)


def shapes() -> dict[str, dict]:
    """The shapes of the paper's decoders, by the paper's names, from the profile that runs them."""
    causal = [row for row in load_profile("paper").rows if row.shape["architectures"][0].endswith("ForCausalLM")]
    return {row.model: row.shape for row in causal}


def dimensions(name: str) -> tuple[int, int, int]:
    """Width, blocks and vocabulary of a shape of the paper's."""
    shape = shapes()[name]
    return shape["hidden_size"], shape["num_hidden_layers"], shape["vocab_size"]


def shaped(name: str, device: str, dtype: str, blocks: int | None = None) -> PreTrainedModel:
    """A randomly initialised model of a shape of the paper's, or of so many of its blocks."""
    shape = {key: value for key, value in shapes()[name].items() if key != "dtype"}
    shape["num_hidden_layers"] = blocks or shape["num_hidden_layers"]
    return _random(AutoModelForCausalLM.from_config, AutoConfig.for_model(**shape), device, dtype)


def _random(make: Callable, config, device: str, dtype: str) -> PreTrainedModel:
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[dtype])
    try:
        # Made where it will run: the weights of the largest need not fit into this machine's own memory.
        with torch.device(device):
            return make(config).eval()
    finally:
        torch.set_default_dtype(default)


def text(lengths: Iterable[int], batch: int, vocabulary: int, device: str = "cpu") -> list[dict]:
    """Random token ids, a document a length, in batches that are padded to their longest."""
    generator, lengths = torch.Generator().manual_seed(0), list(lengths)
    batches = []
    for start in range(0, len(lengths), batch):
        sizes = torch.tensor(lengths[start : start + batch])
        mask = (torch.arange(int(sizes.max()))[None] < sizes[:, None]).long()
        ids = torch.randint(3, vocabulary, mask.shape, generator=generator) * mask
        batches.append({"input_ids": ids.to(device), "attention_mask": mask.to(device)})
    return batches


def ragged(documents: int, tokens: int) -> list[int]:
    """Lengths of documents, one in four half as long, because real batches are ragged."""
    return [tokens // 2 if index % 4 == 3 else tokens for index in range(documents)]


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds of a call: between device events on an accelerator, whose work ends with it."""
    if device == "cuda":
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        run()
        ended.record()
        torch.cuda.synchronize()
        return began.elapsed_time(ended) / 1000
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def rounds(runs: dict[str, Callable[[], object]], repeats: int, device: str, patience: float) -> dict[str, list[float]]:
    """Seconds of every run, once a round and each round in another order, after one round that warms up.

    As many rounds as fit into `patience` seconds, at most `repeats`; where not even one fits, the first one counts.
    """
    names = list(runs)
    first = {name: [timed(runs[name], device)] for name in names}
    fitting = min(repeats, patience / sum(taken for (taken,) in first.values()))
    if fitting < 1:
        return first
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(int(fitting)):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            found[name].append(timed(runs[name], device))
    return found


def live_peak(run: Callable[[], object], device: str) -> int:
    """The most bytes that tensors held at one time during a call, above what they held before it.

    On a CPU from the allocator's events, which other processes and the system's own accounting do not touch.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def spread(name: str, values: list[float], digits: int = 4) -> dict:
    """Median and quartiles, as a row holds them."""
    ordered = sorted(values)
    quartiles = [ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]]
    return {name: round(statistics.median(ordered), digits), f"{name}_quartiles": [round(q, digits) for q in quartiles]}
