"""`avss evaluate`: what the command checks before the model is loaded, and the result that it prints and writes."""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

from avss import __version__
from avss.errors import InputError
from avss.files import write_whole
from avss.options import check_numbers
from avss.outputs import check_own_result, checked_output


def run(arguments: argparse.Namespace, inputs: list[str], load: Callable[[argparse.Namespace], tuple]) -> None:
    """Print the result of one model on a task and, with `--out`, write it as JSON.

    inputs: the files and folders that are read. load: arguments to the model and its tokenizer. Raises `InputError` as
    `avss.evaluate`, for a value that is not finite, and for an output that cannot be written.
    """
    from avss.data import labelled_by, load_data, usable_rows
    from avss.tasks import evaluate, task_named
    from avss.tasks.labelled import label_options
    from avss.tasks.shots import pool_of

    task = task_named(arguments.task)
    task.check_prompting(arguments.shots, arguments.prompt)
    task.check_by(arguments.by)
    label_column, label_words = arguments.label_column, arguments.label_words
    label_options(task, label_column, label_words)
    if arguments.shots_from and not arguments.shots:
        raise InputError(f"--shots-from {arguments.shots_from} is given without --shots; give a number of examples")
    if arguments.out:
        checked_output(arguments.out, arguments.force, inputs=inputs, own=check_own_result)
    check_numbers(arguments)
    data, name = arguments.data, f"data {arguments.data}"
    dataset = load_data(data, arguments.split)
    dataset = labelled_by(dataset, label_column, name) if label_column else dataset
    dataset, column = usable_rows(dataset, task.columns, arguments.column, name)
    pool = pool_of(task, data, column, arguments.shots_from, label_column)[0] if arguments.shots else None
    model, tokenizer = load(arguments)
    result = evaluate(
        model,
        tokenizer,
        task.name,
        dataset,
        column=column,
        samples=arguments.samples,
        context=arguments.context,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        shots=arguments.shots,
        prompt=arguments.prompt,
        by=arguments.by,
        shots_from=pool,
        label_words=label_words,
    )
    result |= {"model": arguments.model, "data": data, "avss": __version__}
    if not math.isfinite(result["value"]):
        raise InputError(
            f"{result['metric']} of model {arguments.model} on {data} is {result['value']}, which is no measurement; "
            f"load the model in a wider dtype, or check its weights"
        )
    text = json.dumps(_without_nan(result), indent=1, allow_nan=False) + "\n"
    # Printed first: if writing fails, the result is not lost.
    print(text, end="")
    if arguments.out:
        write_whole(Path(arguments.out), text)


def _without_nan(value):
    """The value, with None in place of numbers that JSON lacks, such as the interval of a single document."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
