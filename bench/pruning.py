"""What a model gains when blocks go: parameters, memory, tokens a second and time to the first token, by blocks left.

    python bench/pruning.py --out bench/results/pruning-cpu.json
    python bench/pruning.py --device cuda --dtype bfloat16 --shape LLama-8B --prompt 1024 --new 128 --removed 4 8 \\
        --out bench/results/pruning-cuda.json

A randomly initialised Llama-class model, or one of the paper's shapes, whole and without its last k blocks; its blocks
are alike, so that which of them go makes no difference to speed. All are timed in every round, in an order that
rotates, and a speed-up is the median over the rounds of whole over pruned in the same round: what else the machine does
then strikes both. Peak memory is the lowest of a few processes of one model each, because a process's peak never falls
and allocators differ from run to run. On an accelerator, device events and its own peak.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measuring import dimensions, llama, shaped, shapes, spread
from transformers import PreTrainedModel

from avss import prune
from avss.files import write_whole
from avss.models import DTYPES
from avss.runs.provenance import now, peak_memory_mb
from avss.runs.provenance import provenance as provenance_of

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
    """Seconds, and what the run returned."""
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
    """The prompt in one pass; of the logits only the last token's, as for generation."""
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


def _peak(blocks: int, arguments: argparse.Namespace, answer) -> None:
    torch.set_num_threads(arguments.threads)
    # An accelerator counts from when it is first used; it then holds nothing.
    torch.empty(0, device=arguments.device)
    before = peak_memory_mb()
    measure(model_of(arguments, blocks), prompts(arguments), arguments.new, arguments.device)
    answer.put((before, peak_memory_mb()))


def peak_memory(blocks: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """MiB that a process holds before there is a model, and its peak with one of this many blocks and nothing else."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_peak, args=(blocks, arguments, answer))
    process.start()
    peak = answer.get(timeout=3600)
    process.join()
    return peak


def sizes(model, cached: int, arguments: argparse.Namespace) -> dict:
    parameters = list(model.parameters())
    blocks = model.config.num_hidden_layers
    before, peak = min((peak_memory(blocks, arguments) for _ in range(arguments.processes)), key=lambda pair: pair[1])
    return {
        "blocks": blocks,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "weights_mib": round(sum(parameter.nbytes for parameter in parameters) / 2**20, 3),
        "cache_mib": round(cached / 2**20, 3),
        "process_mib": round(before, 1),
        "peak_mib": round(peak, 1),
    }


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--shape", choices=shapes(), help="of the paper's models (default: width, blocks, vocabulary)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--processes", type=int, default=3, help="of each size, for its peak memory")
    parser.add_argument("--removed", type=int, nargs="+", default=[2, 4, 8], help="how many blocks go, beside none")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens decoded after it")
    arguments = parser.parse_args()
    if arguments.shape:
        arguments.width, arguments.blocks, arguments.vocabulary = dimensions(arguments.shape)
    torch.set_num_threads(arguments.threads)
    if arguments.device == "cpu":
        # Else the peak of an accelerator that is there and unused would be reported.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    loads = [os.getloadavg()]
    counts, ids = sorted({0, *arguments.removed}), prompts(arguments)
    models = {removed: without_last(arguments, removed) for removed in counts}
    cached = {removed: measure(model, ids, arguments.new, arguments.device)[1] for removed, model in models.items()}
    rounds: dict[int, list[dict]] = {removed: [] for removed in counts}
    for turn in range(arguments.repeats):
        start = turn % len(counts)
        for removed in counts[start:] + counts[:start]:
            rounds[removed].append(measure(models[removed], ids, arguments.new, arguments.device)[0])
    loads.append(os.getloadavg())
    rows = []
    for removed, model in models.items():
        row = {"removed": removed, "repeats": arguments.repeats} | sizes(model, cached[removed], arguments)
        rows.append(row | speeds(rounds[0], rounds[removed], arguments))
        print(json.dumps(rows[-1]), flush=True)
    if arguments.out:
        names = ("width", "blocks", "vocabulary", "batch", "prompt", "new")
        facts = provenance_of(arguments.device, arguments.dtype) | {"created": now()}
        # Over one, five and fifteen minutes, before the timing and after it.
        facts["load_average"] = [[round(load, 2) for load in loads_then] for loads_then in loads]
        setting = {name: getattr(arguments, name) for name in names}
        setting |= {"shape": arguments.shape} if arguments.shape else {}
        write_whole(arguments.out, json.dumps({"setting": setting, "rows": rows, "provenance": facts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
