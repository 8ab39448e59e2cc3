"""Time saved by evaluating the removed sets of a row in one walk: all together, and one after another, end to end.

    python bench/evaluation.py --model models/smollm2-135m --data $AVSS_DATA/sst2 --documents 8 \\
        --out bench/results/evaluation-cpu.json

The sets are the first different ones that the methods choose, on several calibration samples, as a row does. Both ways
run in one process, in rounds of changing order, and have to give the same outcome for every document.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from ablation import counting
from avss import load_data, load_model
from avss.architectures import blocks_of
from avss.data import sample, usable_rows
from avss.methods import method_named, score
from avss.pruning import skipping
from avss.reading import Reading
from avss.tasks import task_batches
from avss.tasks.base import Outcome
from avss.tasks.catalogue import TASKS, Task, task_named
from measuring import rounds, spread
from measuring.command import Record, add_rounds, begin, command, setting_of

# Methods of a row that take a pass or two, and readings. Those that read no text choose the same set on every seed.
CHOICES = [
    *[("avss", name) for name in ("paper", "released-code", "paper,site=block_update", "paper,tokens=after_first")],
    *[(method, "paper") for method in ("random", "last", "first", "block_influence", "angular", "update_norm")],
    *[(method, "paper") for method in ("magnitude", "gbis", "taylor")],
]
SEEDS = 5


def chosen_sets(model: nn.Module, tokenizer, task: str, arguments: argparse.Namespace) -> list[list[int]]:
    """The first different sets that methods and seeds choose, methods one after another in each seed."""
    found: dict[tuple[int, ...], None] = {}
    data = load_data(arguments.data, arguments.calibration)
    for seed in range(SEEDS):
        for method, reading in CHOICES:
            common = {"context": arguments.context, "samples": arguments.samples, "seed": seed}
            filled = method == "avss" and Reading.parse(reading).padding == "included"
            text = task_batches(model, tokenizer, task, data, fill=filled, **common)
            offered = {"seed": seed, "window": arguments.remove}
            options = {name: value for name, value in offered.items() if name in method_named(method).options}
            given = text if method_named(method).reads_text else None
            scores = score(model, given, method, reading=reading, **options)
            found.setdefault(tuple(sorted(scores.lowest(arguments.remove))))
    return [list(layers) for layers in found][: arguments.sets]


def together(task: Task, model: nn.Module, removed: list[list[int]], *rest, **options) -> list[Outcome]:
    return task.measure_each(model, *rest, removed=removed, **options)


def single(task: Task, model: nn.Module, removed: list[list[int]], *rest, **options) -> list[Outcome]:
    outcomes = []
    for layers in removed:
        with skipping(model, layers):
            outcomes.append(task.measure(model, *rest, **options))
    return outcomes


def measure(task: Task, arguments: argparse.Namespace) -> dict:
    model, tokenizer = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype)
    removed = chosen_sets(model, tokenizer, task.name, arguments)
    data, column = usable_rows(load_data(arguments.data, arguments.evaluation), task.columns, None, arguments.data)
    rest = (tokenizer, sample(data, arguments.documents, 0), column)
    options = {"context": arguments.context, "batch_size": arguments.batch}
    runs = {way.__name__: partial(way, task, model, removed, *rest, **options) for way in (together, single)}
    outcomes, forwards = {}, {}
    for name, run in runs.items():
        with counting(model) as ran:
            outcomes[name] = run()
        forwards[name] = len(ran)
    difference = max(
        float(np.abs(one.numerator - other.numerator).max()) for one, other in zip(*outcomes.values(), strict=True)
    )
    if difference > arguments.tolerance:
        raise SystemExit(f"the two ways differ by {difference}")
    taken = rounds(runs, arguments.repeats, arguments.device, arguments.patience)
    row = {"task": task.name, "blocks": len(blocks_of(model)), "remove": arguments.remove, "sets": len(removed)}
    row["repeats"] = len(taken["together"])
    for name in runs:
        row |= spread(f"{name}_seconds", taken[name]) | {f"{name}_block_forwards": forwards[name]}
    row |= spread("speedup", [long / short for short, long in zip(*taken.values(), strict=True)])
    row["counted_speedup"] = round(forwards["single"] / forwards["together"], 4)
    return row | {"largest_difference": difference, "removed": ["+".join(map(str, layers)) for layers in removed]}


def main() -> None:
    parser = command(__doc__, threads=1)
    add_rounds(parser, repeats=3, patience=600, limited="the rounds")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--task", choices=[name for name, task in TASKS.items() if not task.generated])
    parser.add_argument("--calibration", help="a split of the data")
    parser.add_argument("--evaluation", help="a split of the data")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="nats by which a document may differ")
    parser.add_argument("--sets", type=int, default=30)
    parser.add_argument("--remove", type=int, default=7)
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--samples", type=int, default=4, help="calibration documents a seed")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--context", type=int, default=128)
    parser.set_defaults(task="sentiment")
    arguments = begin(parser)
    setting = {"model": Path(arguments.model).name, "data": Path(arguments.data).name}
    setting |= setting_of(arguments, "documents", "samples", "batch", "context")
    Record(arguments, setting).add(measure(task_named(arguments.task), arguments))


if __name__ == "__main__":
    main()
