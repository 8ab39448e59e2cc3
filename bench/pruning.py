"""Gains from removing blocks: parameters, memory, tokens a second and time to the first token, by blocks left.

    python bench/pruning.py --out bench/results/pruning-cpu.json
    python bench/pruning.py --device cuda --dtype bfloat16 --shape LLama-8B --prompt 1024 --new 128 --removed 4 8 \\
        --out bench/results/pruning-cuda.json

A randomly initialised Llama-class model, or one of the paper's shapes, whole and without its last k blocks; its blocks
are alike, so the speed does not depend on the blocks removed. All are timed in every round, in an order that
rotates, and a speed-up is the median over the rounds of whole over pruned in the same round: other load on the machine
affects both. Peak memory is the lowest of a few processes of one model each, because a process's peak never falls
and allocators differ from run to run. On an accelerator, device events and its own peak.
"""

import argparse
import multiprocessing

import torch

from avss.runs.provenance import peak_memory_mb
from measuring.command import Record, add_random_model, begin, command, setting_of
from measuring.generating import measure, model_of, prompts, speeds, without_last


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


def main() -> None:
    parser = command(__doc__)
    add_random_model(parser, width=512, blocks=16, vocabulary=8192)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--processes", type=int, default=3, help="of each size, for its peak memory")
    parser.add_argument("--removed", type=int, nargs="+", default=[2, 4, 8], help="numbers of blocks to remove")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens decoded after it")
    arguments = begin(parser)
    names = ("width", "blocks", "vocabulary", "batch", "prompt", "new")
    record = Record(arguments, setting_of(arguments, *names))
    counts, ids = sorted({0, *arguments.removed}), prompts(arguments)
    models = {removed: without_last(arguments, removed) for removed in counts}
    cached = {removed: measure(model, ids, arguments.new, arguments.device)[1] for removed, model in models.items()}
    rounds: dict[int, list[dict]] = {removed: [] for removed in counts}
    for turn in range(arguments.repeats):
        start = turn % len(counts)
        for removed in counts[start:] + counts[:start]:
            rounds[removed].append(measure(models[removed], ids, arguments.new, arguments.device)[0])
    for removed, model in models.items():
        row = {"removed": removed, "repeats": arguments.repeats} | sizes(model, cached[removed], arguments)
        record.add(row | speeds(rounds[0], rounds[removed], arguments))


if __name__ == "__main__":
    main()
