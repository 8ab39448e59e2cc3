"""How near estimates of layer Shapley values come to a long run of permutations, and what they cost.

    python bench/shapley.py --permutations 20000 --batches 32 --context 16 --seeds 2 --budgets 50 200 --threads 1 \\
        --out bench/results/shapley-cpu.json

The reference has another seed, so its chance is not that of the estimates. It runs on the same documents. Its own
standard error stands in the first row: it falls with the root of the number of permutations.
"""

import time

import numpy as np

from avss import batches, load_data, load_model, score
from avss.architectures import blocks_of
from measuring.command import Record, begin, command

# The estimators by chance; the window estimator has one value at one cost.
SAMPLERS = ("permutation", "kernel")


def relative(errors, values) -> float:
    """The length of one vector over that of the other."""
    return float(np.linalg.norm(errors) / np.linalg.norm(values))


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--model", default="mini/llama-8b")
    parser.add_argument("--data", default="microworld/posts")
    parser.add_argument("--column", default="text")
    parser.add_argument("--players", choices=["blocks", "sublayers"], default="blocks")
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--batch", type=int, default=2, help="documents a batch")
    parser.add_argument("--context", type=int, default=32)
    parser.add_argument("--budgets", type=float, nargs="+", default=[50, 100, 200], help="forward passes a document")
    parser.add_argument("--permutations", type=int, default=20000, help="of the reference at least, in all batches")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = begin(parser)
    record = Record(arguments, {name: value for name, value in vars(arguments).items() if name != "out"})
    model, tokenizer = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype)
    rows = load_data(arguments.data).select(range(arguments.batches * arguments.batch))
    text = batches(rows[arguments.column], tokenizer, context=arguments.context, batch_size=arguments.batch)
    text, blocks, seeds = list(text), len(blocks_of(model)), range(arguments.seeds)

    def timed(estimator: str, budget: float, seed: int) -> tuple:
        started = time.perf_counter()
        options = {"players": arguments.players, "estimator": estimator, "target": 0, "budget": budget, "seed": seed}
        found = score(model, text, "shapley", **options)
        return found, time.perf_counter() - started

    # An order of M blocks runs M (M + 3) / 4 of them alone, or at most twice as many sublayers. Many orders in one call
    # share blocks, so more of them are walked.
    width = 2 if arguments.players == "sublayers" else 1
    long = arguments.permutations / len(text) * width * (blocks + 3) / 4
    reference, seconds = timed("permutation", long, arguments.seeds)
    own = relative(reference.table["standard_error"], reference.values)
    spent = reference.block_forwards / blocks / len(text)
    record.add(
        {
            "estimator": "reference",
            "permutations": arguments.permutations,
            "forwards_a_document": round(spent, 1),
            "relative_standard_error": own,
            "seconds": round(seconds, 1),
        }
    )
    sampled = [(name, budget, seed) for budget in arguments.budgets for name in SAMPLERS for seed in seeds]
    for estimator, budget, seed in [*sampled, ("window", 1, 0)]:
        found, seconds = timed(estimator, budget, seed)
        chance = estimator in SAMPLERS
        record.add(
            {
                "estimator": estimator,
                "budget": budget if chance else None,
                "seed": seed,
                "forwards_a_document": round(found.block_forwards / blocks / len(text), 1),
                "relative_error": relative(found.values - reference.values, reference.values),
                "relative_standard_error": relative(found.table["standard_error"], found.values) if chance else None,
                "seconds": round(seconds, 1),
            }
        )


if __name__ == "__main__":
    main()
