"""The registry of tasks, and `evaluate`, the one door to all of them. A new task is a new file and a new line here."""

from torch import nn

from avss import statistics
from avss.data import load_data, sample, usable_rows
from avss.errors import look_up
from avss.tasks import language_modeling, sentiment
from avss.tasks.base import Outcome, Task

TASKS: dict[str, Task] = {module.TASK.name: module.TASK for module in (sentiment, language_modeling)}


def task_named(name: str) -> Task:
    """The task, or `InputError` naming those that exist."""
    return look_up("task", name, TASKS)


def evaluate(
    model: nn.Module,
    tokenizer,
    task: str,
    data,
    *,
    split: str | None = None,
    column: str | None = None,
    samples: int | None = None,
    context: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> dict:
    """How well `model` does `task` on `data`.

    data: a `datasets.Dataset`, or a name as `avss.load_data` takes it, with its split. column: the text column, by
    default the usual one of the task. samples: documents drawn by `seed` (None: all). context: tokens a document or
    window has. Returns `task`, `metric`, `value`, `n` (documents), `low` and `high` (95 % bootstrap interval over
    documents), `data`, `protocol`. Raises `InputError` for an unknown task, unusable data, or a model that cannot do
    the task.
    """
    chosen = task_named(task)
    name = data if isinstance(data, str) else "data"
    dataset = load_data(data, split) if isinstance(data, str) else data
    dataset, column = usable_rows(dataset, chosen.columns, column, name)
    dataset = sample(dataset, samples, seed)
    outcome = chosen.measure(
        model, tokenizer, dataset, column, context=context or chosen.context, batch_size=batch_size
    )
    low, high = statistics.interval(chosen.metric, outcome.numerator, outcome.denominator)
    return {
        "task": task,
        "metric": chosen.metric,
        "value": statistics.value(chosen.metric, outcome.numerator, outcome.denominator),
        "n": len(outcome.numerator),
        "low": low,
        "high": high,
        "data": name,
        "protocol": outcome.protocol,
    }


__all__ = ["TASKS", "Outcome", "Task", "evaluate", "task_named"]
