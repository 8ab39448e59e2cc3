"""What AVSS scoring costs beside a bare forward pass over the same batches: time and peak memory, side by side.

    python bench/scoring.py [--out bench/results/scoring-cpu.json]

A randomly initialised Llama-class model, base model only (no head), bare and scored passes in turn in one process; peak
memory from one process each, because a process's peak never falls; both have imported the same.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from avss.files import write_whole
from avss.methods import score
from avss.provenance import now, peak_memory_mb
from avss.provenance import provenance as provenance_of

BATCHES, BATCH, TOKENS = 4, 8, 128


def model_of(width: int, blocks: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=blocks,
        num_attention_heads=width // 64,
        vocab_size=1024,
        max_position_embeddings=TOKENS,
    )
    return LlamaForCausalLM(config).eval()


def text() -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 1024, (BATCHES, BATCH, TOKENS), generator=generator)
    # A quarter of the documents is half padding, as real batches are ragged.
    mask = torch.ones_like(ids)
    mask[:, ::4, TOKENS // 2 :] = 0
    return [{"input_ids": i, "attention_mask": m} for i, m in zip(ids, mask, strict=True)]


def bare(model, batches) -> None:
    with torch.inference_mode():
        for batch in batches:
            model.base_model(**batch)


def scored(model, batches) -> None:
    score(model, batches)


def _peak(run, width: int, blocks: int, answer) -> None:
    torch.set_num_threads(2)
    run(model_of(width, blocks), text())
    answer.put(peak_memory_mb())


def peak_memory(run, width: int, blocks: int) -> float:
    """Peak memory in MiB of a process that does nothing else."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_peak, args=(run, width, blocks, answer))
    process.start()
    peak = answer.get(timeout=600)
    process.join()
    return peak


def seconds(run, model, batches) -> float:
    began = time.perf_counter()
    run(model, batches)
    return time.perf_counter() - began


def measure(width: int, blocks: int, repeats: int) -> dict:
    model, batches = model_of(width, blocks), text()
    bare(model, batches), scored(model, batches)
    pairs = [(seconds(bare, model, batches), seconds(scored, model, batches)) for _ in range(repeats)]
    memory = {run.__name__: peak_memory(run, width, blocks) for run in (bare, scored)}
    ratios = sorted(later / first for first, later in pairs)
    return {
        "width": width,
        "blocks": blocks,
        "tokens": BATCHES * BATCH * TOKENS,
        "repeats": repeats,
        "bare_seconds": round(statistics.median(first for first, _ in pairs), 4),
        "scored_seconds": round(statistics.median(later for _, later in pairs), 4),
        "time_ratio": round(statistics.median(ratios), 4),
        "time_ratio_quartiles": [round(ratios[len(ratios) // 4], 4), round(ratios[-1 - len(ratios) // 4], 4)],
        "bare_peak_mib": round(memory["bare"], 1),
        "scored_peak_mib": round(memory["scored"], 1),
        "memory_ratio": round(memory["scored"] / memory["bare"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 512, 768])
    parser.add_argument("--blocks", type=int, default=16)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    rows = [measure(width, arguments.blocks, arguments.repeats) for width in arguments.widths]
    for row in rows:
        print(json.dumps(row))
    if arguments.out:
        facts = provenance_of("cpu", "float32") | {"created": now()}
        write_whole(arguments.out, json.dumps({"rows": rows, "provenance": facts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
