"""`avss check`: what the command checks before the model is loaded, and what it prints and writes."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from avss import __version__
from avss.options import check_numbers
from avss.outputs import CHECKED, check_own_result, checked_output


def run(arguments: argparse.Namespace, inputs: list[str], load: Callable[[argparse.Namespace], tuple]) -> None:
    """Print the facts of one model and, with `--out`, write them as JSON.

    inputs: the files and folders that are read. load: arguments to the model and its tokenizer. Raises `InputError` as
    `avss.check`, and for an output that cannot be written.
    """
    from avss import calibration, selection
    from avss.checkup import check
    from avss.checkup_text import facts_of
    from avss.files import write_whole
    from avss.tasks import TASKS, task_named
    from avss.tasks.labelled import check_labels

    if arguments.out:
        own = partial(check_own_result, keys=CHECKED, command="check")
        checked_output(arguments.out, arguments.force, inputs=inputs, own=own)
    check_numbers(arguments)
    task = task_named(arguments.task) if arguments.task else None
    remove = arguments.layers if arguments.layers is not None else arguments.fraction
    # A number of layers that fits no model, before the model is loaded.
    selection.count_of(remove, 1 << 30)
    if task or not arguments.leave_one_out:
        check_labels(task, arguments.label_column, arguments.label_words)
    dataset, column = calibration.rows(arguments, [task] if task else TASKS.values())
    model, tokenizer = load(arguments)
    found = check(
        model,
        tokenizer,
        dataset,
        remove=remove,
        leave_one_out=arguments.leave_one_out,
        task=arguments.task,
        column=column,
        samples=arguments.samples,
        context=arguments.context,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        label_column="label" if arguments.label_column else None,
        label_words=arguments.label_words,
    )
    print(found)
    if arguments.out:
        facts = {"model": arguments.model, "data": arguments.data, "task": arguments.task, "avss": __version__}
        write_whole(Path(arguments.out), json.dumps(facts_of(found) | facts, indent=1) + "\n")
