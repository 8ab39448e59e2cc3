"""The calibration text that the options of a command name, from its rows to batches of plain text."""

import argparse
from collections.abc import Iterable

from datasets import Dataset
from torch import Tensor

from avss.data import batches, context_of, fingerprint, labelled_by, load_data, sample, usable_rows
from avss.options import PLAIN_CONTEXT
from avss.tasks.catalogue import TASKS, Task, columns_of


def rows(arguments: argparse.Namespace, tasks: Iterable[Task] = TASKS.values()) -> tuple[Dataset, str]:
    """The documents that `--data`, `--split`, `--samples` and `--seed` choose, and the name of their text column.

    Where `--label-column` is given, its labels are in the column `label`. tasks: whose usual columns are looked for
    where `--column` names none. Raises `InputError` as `avss.load_data` does, and for a column that is not there.
    """
    name, labels = f"data {arguments.data}", getattr(arguments, "label_column", None)
    dataset = load_data(arguments.data, arguments.split, purpose="calibration")
    dataset = labelled_by(dataset, labels, name) if labels else dataset
    dataset, column = usable_rows(dataset, columns_of(tasks), arguments.column, name)
    return sample(dataset, arguments.samples, arguments.seed), column


def plain_text(
    arguments: argparse.Namespace, model, tokenizer, dataset: Dataset, column: str
) -> tuple[list[dict[str, Tensor]], dict]:
    """Batches of these documents as plain text, and the facts that tell which text it was."""
    context = context_of(model, tokenizer, arguments.context or PLAIN_CONTEXT)
    facts = {
        "data": arguments.data,
        "fingerprint": fingerprint(dataset, [column]),
        "column": column,
        "samples": len(dataset),
        "context": context,
        "seed": arguments.seed,
    }
    return batches(dataset[column], tokenizer, context=context, batch_size=arguments.batch_size), facts
