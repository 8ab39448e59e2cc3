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
from avss.report.explorer import SCORE, SUBSETS
from avss.runs.context import Context, facts_of, loaded
from avss.runs.profile import load_profile
from avss.runs.provenance import now
from avss.store import Run, Store, key_of

MOST_BLOCKS = 10
RANDOM_SEEDS = range(5)


def evaluate(context: Context, sets: list[list[int]], run: Run) -> None:
    """Add the score without each set of blocks to the run; the first set is empty."""
    outcomes = context.batches.run("evaluation", context.measured_by(context.task.measure_each, removed=sets))
    run.describe(protocol=outcomes[0].protocol)
    original = intervals.value(context.task.metric, outcomes[0].numerator, outcomes[0].denominator)
    described = context.described(run.provenance["profile"]) | {"original": f"{original:.9g}"}
    described |= {"reading": "none", "selection": "none", "seed": 0, "samples": 0}
    observations = []
    for removed, outcome in zip(sets, outcomes, strict=True):
        measured = context.measured(removed, outcome.numerator, outcome.denominator)
        chosen = {"key": key_of(coalition=measured["coalition"]), "method": "subset" if removed else "original"}
        observations.append(described | measured | chosen)
    run.add(observations)


def scores(context: Context) -> list[dict]:
    """The scores of the methods that the page compares, one block a line."""
    row = context.row
    drawn = sample(context.calibration, row.samples, seed=0)
    shape = {"context": row.context, "batch_size": row.batch_size, "prompt": row.prompt}
    batches = avss.task_batches(context.model, context.tokenizer, row.task, drawn, **shape)
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
