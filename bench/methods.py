"""Time and memory of each method that reads text, relative to a bare forward pass with head over the same batches.

    python bench/methods.py --out bench/results/methods-cpu.json
    python bench/methods.py --device cuda --dtype bfloat16 --shape LLama-8B --tokens 1024 --batch 4 --batches 1 \\
        --out bench/results/methods-cuda.json

A randomly initialised Llama-class model, or one of the paper's shapes. Bare and scored passes in turn in one process;
peak memory from one process each, because a process's peak never falls; all have imported the same. On an accelerator,
its own peak is measured.
"""

import argparse
import multiprocessing
import statistics

import torch
from transformers import PreTrainedModel

from avss.methods import METHODS, score
from avss.runs.provenance import peak_memory_mb
from measuring import llama, ragged, shaped, text, timed
from measuring.command import Record, add_random_model, add_rounds, begin, command, setting_of

BARE = "bare"


def model_of(arguments: argparse.Namespace) -> PreTrainedModel:
    placed = arguments.device, arguments.dtype
    if arguments.shape:
        return shaped(arguments.shape, *placed)
    return llama(arguments.width, arguments.blocks, arguments.tokens, arguments.vocabulary, *placed)


def text_of(arguments: argparse.Namespace) -> list[dict]:
    return text(ragged(arguments.batches * arguments.batch, arguments.tokens), arguments.batch, arguments.vocabulary)


def run(name: str, model, batches) -> None:
    if name != BARE:
        score(model, batches, name)
        return
    with torch.inference_mode():
        for batch in batches:
            model(**{key: value.to(model.device) for key, value in batch.items()}, use_cache=False)


def seconds(name: str, model, batches) -> float:
    return timed(lambda: run(name, model, batches), model.device.type)


def _peak(name: str, arguments: argparse.Namespace, answer) -> None:
    torch.set_num_threads(arguments.threads)
    run(name, model_of(arguments), text_of(arguments))
    answer.put(peak_memory_mb())


def peak_memory(name: str, arguments: argparse.Namespace) -> float:
    """Peak memory in MiB of a process that does nothing else."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_peak, args=(name, arguments, answer))
    process.start()
    peak = answer.get(timeout=3600)
    process.join()
    return peak


def measure(name: str, model, batches, bare_peak: float, arguments: argparse.Namespace) -> dict:
    seconds(BARE, model, batches)
    first = seconds(name, model, batches)
    # A method that runs for minutes is measured once: warming up and noise matter little then.
    repeats = arguments.repeats if first < arguments.patience else 0
    pairs = [(seconds(BARE, model, batches), seconds(name, model, batches)) for _ in range(repeats)]
    pairs = pairs or [(seconds(BARE, model, batches), first)]
    ratios = sorted(scored / bare for bare, scored in pairs)
    peak = peak_memory(name, arguments)
    ratio = statistics.median(ratios)
    target = METHODS[name].target and METHODS[name].target(arguments.blocks)
    return {
        "method": name,
        "repeats": len(pairs),
        "bare_seconds": round(statistics.median(bare for bare, _ in pairs), 4),
        "scored_seconds": round(statistics.median(scored for _, scored in pairs), 4),
        "time_ratio": round(ratio, 4),
        "time_ratio_quartiles": [round(ratios[len(ratios) // 4], 4), round(ratios[-1 - len(ratios) // 4], 4)],
        "time_target": target,
        "on_target": None if target is None else ratio <= target,
        "bare_peak_mib": round(bare_peak, 1),
        "scored_peak_mib": round(peak, 1),
        "memory_ratio": round(peak / bare_peak, 4),
    }


def main() -> None:
    reading = [name for name, method in METHODS.items() if method.reads_text]
    parser = command(__doc__)
    add_rounds(parser, repeats=9, patience=60, limited="a method; one that takes longer runs once")
    add_random_model(parser, width=512, blocks=16, vocabulary=1024)
    parser.add_argument("--methods", nargs="+", choices=reading, default=reading)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = begin(parser)
    names = ("width", "blocks", "vocabulary", "batches", "batch", "tokens")
    record = Record(arguments, setting_of(arguments, *names))
    bare_peak = peak_memory(BARE, arguments)
    model, batches = model_of(arguments), text_of(arguments)
    for name in arguments.methods:
        record.add(measure(name, model, batches, bare_peak, arguments))


if __name__ == "__main__":
    main()
