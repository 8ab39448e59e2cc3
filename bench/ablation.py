"""Time saved by running the common blocks of several masks once: leave-one-out, CIM and greedy removal, end to end.

    python bench/ablation.py --out bench/results/ablation-cpu.json
    python bench/ablation.py --device cuda --dtype bfloat16 --shape LLama-8B --tokens 2048 --batch 1 --repeats 3 \\
        --methods leave_one_out --out bench/results/ablation-cuda.json

Each method is timed as the package runs it, and with a whole forward pass for every mask in place of its engine, in the
same process, in rounds of changing order. A randomly initialised model with head. Both have to give the same scores.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from unittest import mock

import numpy as np
from torch import nn

from avss.architectures import blocks_of
from avss.methods import score
from avss.scores import LayerScores
from measuring import llama, ragged, rounds, shaped, spread, text
from measuring.command import Record, add_random_model, add_rounds, begin, command, setting_of
from measuring.whole_passes import whole_passes

METHODS = ("leave_one_out", "cim", "greedy")


def shared(method: str, model: nn.Module, batches: list[dict], **options) -> LayerScores:
    return score(model, batches, method, **options)


def naive(method: str, model: nn.Module, batches: list[dict], **options) -> LayerScores:
    with mock.patch(f"avss.methods.{method}.ablate", whole_passes):
        return score(model, batches, method, **options)


@contextmanager
def counting(model: nn.Module) -> Iterator[list]:
    """A list that grows by one entry whenever a block runs."""
    ran: list = []
    with ExitStack() as stack:
        for block in blocks_of(model):
            stack.callback(block.register_forward_hook(lambda *_: ran.append(None)).remove)
        yield ran


def measure(method: str, model: nn.Module, batches: list[dict], arguments: argparse.Namespace) -> dict:
    options = {"remove": arguments.remove} if method == "greedy" else {}
    runs: dict[str, Callable] = {
        way.__name__: partial(way, method, model, batches, **options) for way in (shared, naive)
    }
    scores, forwards = {}, {}
    for name, run in runs.items():
        with counting(model) as ran:
            scores[name] = run().values
        forwards[name] = len(ran)
    if not np.allclose(scores["shared"], scores["naive"], rtol=1e-4, atol=arguments.tolerance):
        raise SystemExit(f"{method}: the two ways differ: {scores['shared']} and {scores['naive']}")
    taken = rounds(runs, arguments.repeats, arguments.device, arguments.patience)
    row = {"method": method, "blocks": len(blocks_of(model)), "repeats": len(taken["shared"])} | options
    for name in runs:
        row |= spread(f"{name}_seconds", taken[name]) | {f"{name}_block_forwards": forwards[name]}
    row |= spread("speedup", [long / short for short, long in zip(*taken.values(), strict=True)])
    row["counted_speedup"] = round(forwards["naive"] / forwards["shared"], 4)
    row["largest_difference"] = float(f"{np.abs(scores['shared'] - scores['naive']).max():.3g}")
    return row


def main() -> None:
    parser = command(__doc__)
    add_rounds(parser, repeats=5, patience=600, limited="the rounds of a method")
    add_random_model(parser, width=256, blocks=32, vocabulary=1024)
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest difference of scores besides rounding")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--remove", type=int, default=8, help="blocks that greedy removal takes away")
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = begin(parser)
    if arguments.shape:
        model = shaped(arguments.shape, arguments.device, arguments.dtype)
    else:
        size = (arguments.width, arguments.blocks, arguments.tokens, arguments.vocabulary)
        model = llama(*size, arguments.device, arguments.dtype)
    lengths = ragged(arguments.batches * arguments.batch, arguments.tokens)
    batches = text(lengths, arguments.batch, arguments.vocabulary, arguments.device)
    names = ("width", "blocks", "vocabulary", "batches", "batch", "tokens")
    record = Record(arguments, setting_of(arguments, *names))
    for method in arguments.methods:
        record.add(measure(method, model, batches, arguments))


if __name__ == "__main__":
    main()
