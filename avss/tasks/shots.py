"""Solved examples before each question: which rows they are, and the errors of options that a model cannot take."""

from collections.abc import Iterable

import numpy as np
from datasets import Dataset

from avss.data import labelled_by, load_data, usable_rows
from avss.engine.gold import is_causal
from avss.errors import InputError
from avss.tasks.catalogue import PROMPTS, Task
from avss.tasks.prompts import PLAIN, Prompting

# The examples are the first of these rows, so that another number of them begins alike.
DRAWN = 1000


def prompting_for(
    task: Task,
    model,
    tokenizer,
    shots: int,
    prompt: str,
    pool: tuple[Dataset, str] | None,
    avoid: Iterable[str] = (),
    **words,
) -> Prompting:
    """How the questions of a task are put to this model.

    pool: the rows of the calibration split and their text column; the solved examples are drawn of them by seed 0.
    avoid: questions that are evaluated, none of which is an example. words: of the labels, as `task.solved` takes them.
    Raises `InputError` for a model that reads no prompt, a tokenizer without the template, and a pool without so many
    examples.
    """
    task.check_prompting(shots, prompt)
    if not shots and prompt == PROMPTS[0]:
        return PLAIN
    if not is_causal(model):
        raise InputError(
            f"shots and prompt are for causal language models, and {type(model).__name__} is none; leave them out"
        )
    chat = prompt != PROMPTS[0]
    if chat and not getattr(tokenizer, "chat_template", None):
        raise InputError("the tokenizer has no chat template, which prompt chat needs; leave prompt out")
    return Prompting(chat, _drawn(task, shots, pool, set(avoid), words) if shots else ())


def pool_of(
    task: Task,
    data: Dataset | str,
    column: str | None,
    shots_from: Dataset | str | None,
    label_column: str | None = None,
) -> tuple[Dataset, str]:
    """The rows that solved examples may be, and their text column.

    shots_from: a data set, or the split of `data` (None: the usual one for calibration). Raises `InputError` where
    `data` has no splits and no rows are given.
    """
    rows, name = shots_from, "shots_from"
    if not isinstance(rows, Dataset):
        if isinstance(data, Dataset):
            raise InputError(
                "shots are drawn from a calibration split, and a Dataset has none; give its rows as shots_from"
            )
        rows, name = load_data(data, shots_from, purpose="calibration"), data
    rows = labelled_by(rows, label_column, name) if label_column else rows
    return usable_rows(rows, task.columns, column, name)


def without_solved(task: Task, dataset: Dataset, column: str, prompting: Prompting) -> Dataset:
    """The rows that are no solved example. Raises `InputError` where none is left."""
    if not prompting.solved:
        return dataset
    examples = {question for question, _ in prompting.solved}
    keep = [index for index, question in enumerate(task.questions(dataset, column)) if question not in examples]
    if not keep:
        raise InputError(f"all {len(dataset)} rows are solved examples; give fewer shots, or their rows as shots_from")
    return dataset.select(keep)


def _drawn(task: Task, shots: int, pool, avoid: set[str], words: dict) -> tuple[tuple[str, str], ...]:
    if pool is None:
        raise InputError(f"shots is {shots} and no calibration split is given to draw them from; give shots_from")
    rows, column = pool
    drawn = rows.select(np.random.Generator(np.random.PCG64(0)).permutation(len(rows))[:DRAWN])
    found = [pair for pair in dict.fromkeys(task.solved(drawn, column, **words)) if pair[0] not in avoid]
    if len(found) < shots:
        raise InputError(
            f"shots is {shots}, and {len(found)} of {len(drawn)} rows of the calibration split have an answer and are "
            f"not evaluated themselves; give fewer shots or another split"
        )
    return tuple(found[:shots])
