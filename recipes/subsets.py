"""The score of a row's model without each set of its blocks, for "remove blocks yourself" in the book.

    .venv/bin/python recipes/subsets.py mini reviews-mini-distilbert        # 62 sets of 6 blocks, in half a minute

All sets but none and all are evaluated on the row's documents, so the numbers are those of its page. They share one
walk: blocks that sets have in common run once. Beside them stand the scores by which AVSS, block influence and five
random orders choose blocks (calibration sample of seed 0). A store of its own, results/subsets, keeps them apart from
the rows of the book; it has no outcomes by document.
"""

import argparse
import time
from itertools import chain, combinations
from pathlib import Path

import torch

import avss
from avss import intervals
from avss.architectures import blocks_of
from avss.data import sample
from avss.pruning import parameter_share
from avss.report.explorer import SCORE, SUBSETS
from avss.runs.context import Context, facts_of, loaded
from avss.runs.profile import load_profile
from avss.runs.provenance import now
from avss.store import Run, Store, key_of, layers_text

MOST_BLOCKS = 10
RANDOM_SEEDS = range(5)


def evaluate(context: Context, sets: list[list[int]], run: Run) -> None:
    """Add the score without each set of blocks to the run; the first set is empty."""
    row, metric = context.row, context.task.metric
    outcomes = context.task.measure_each(
        context.model,
        context.tokenizer,
        context.evaluation,
        context.column,
        context=row.context or context.task.context,
        batch_size=row.batch_size,
        removed=sets,
    )
    run.describe(protocol=outcomes[0].protocol)
    original = intervals.value(metric, outcomes[0].numerator, outcomes[0].denominator)
    run.add(
        [
            observed(context, removed, (outcome.numerator, outcome.denominator), original, run.provenance["profile"])
            for removed, outcome in zip(sets, outcomes, strict=True)
        ]
    )


def observed(context: Context, removed: list[int], parts: tuple, original: float, profile: str) -> dict:
    """The observation of one set, by the outcome of each document."""
    row, metric, coalition = context.row, context.task.metric, context.coalition(removed)
    low, high = intervals.interval(metric, *parts)
    return {
        "key": key_of(coalition=coalition),
        "profile": profile,
        "row": row.id,
        "task": row.task,
        "dataset": row.dataset,
        "data": row.data,
        "data_fingerprint": context.evaluated_on,
        "model": row.checkpoint,
        "revision": context.revision,
        "method": "subset" if removed else "original",
        "reading": "none",
        "selection": "none",
        "removed": layers_text(removed),
        "coalition": coalition,
        "layers": context.layers,
        "share_of_layers": f"{len(removed) / context.layers:.6f}",
        "share_of_parameters": f"{parameter_share(context.model, removed):.6f}",
        "seed": 0,
        "samples": 0,
        "metric": metric,
        "value": f"{intervals.value(metric, *parts):.9g}",
        "low": f"{low:.9g}",
        "high": f"{high:.9g}",
        "original": f"{original:.9g}",
        "n": len(parts[0]),
        "status": "ok",
    }


def scores(context: Context) -> list[dict]:
    """The scores of the methods that the page compares, one block a line."""
    row = context.row
    drawn = sample(context.calibration, row.samples, seed=0)
    batches = avss.task_batches(
        context.model, context.tokenizer, row.task, drawn, context=row.context, batch_size=row.batch_size
    )
    asked = [("avss", "paper", 0), ("block_influence", "none", 0), *(("random", "none", seed) for seed in RANDOM_SEEDS)]
    lines = []
    for method, reading, seed in asked:
        options = {"seed": seed} if method == "random" else {}
        for layer, value in enumerate(avss.score(context.model, batches, method, **options).values):
            facts = {"row": row.id, "method": method, "reading": reading, "seed": seed}
            lines.append(facts | {"layer": layer, "quantity": SCORE, "value": f"{value:.9g}"})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="name or file of a profile")
    parser.add_argument("row")
    parser.add_argument("--out", type=Path, default=Path("results", SUBSETS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        profile, started = load_profile(arguments.profile), time.monotonic()
        context = loaded(profile.row(arguments.row), None)
        blocks = range(len(blocks_of(context.model)))
        if len(blocks) > MOST_BLOCKS:
            raise avss.InputError(
                f"row {arguments.row} has {len(blocks)} blocks, and 2^{len(blocks)} sets of them; "
                f"take a row of at most {MOST_BLOCKS}"
            )
        if context.task.generated:
            raise avss.InputError(f"task {context.task.name} generates and has no walk for many sets; take another row")
        run = Store(arguments.out).start(profile.name, arguments.row, now(), facts_of(context))
        run.add([], scores(context))
        sets = [list(one) for one in chain.from_iterable(combinations(blocks, size) for size in range(len(blocks)))]
        evaluate(context, sets, run)
        run.describe(seconds=round(time.monotonic() - started, 1), finished=now())
        print(f"{arguments.row}: {len(sets) - 1} sets, {run.provenance['seconds']} s")
    except avss.InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
