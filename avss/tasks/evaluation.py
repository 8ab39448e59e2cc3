"""`evaluate`, the one door to all tasks."""

from torch import nn

from avss import intervals, metrics
from avss.data import load_data, sample, usable_rows
from avss.errors import InputError
from avss.tasks.catalogue import task_named


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
    documents), `also` (what else the metric's module computes, by name), `data`, `protocol`. Raises `InputError` for
    an unknown task, unusable data, or a model that cannot do the task.
    """
    chosen = task_named(task)
    name = data if isinstance(data, str) else "data"
    if split is not None and not isinstance(data, str):
        raise InputError(f"split {split!r} is of no use beside a Dataset, which is one; leave it out")
    dataset = load_data(data, split) if isinstance(data, str) else data
    dataset, column = usable_rows(dataset, chosen.columns, column, name)
    dataset = sample(dataset, samples, seed)
    outcome = chosen.measure(
        model, tokenizer, dataset, column, context=context or chosen.context, batch_size=batch_size
    )
    values = metrics.compute(chosen.metric, outcome.predictions, outcome.references)
    low, high = intervals.interval(chosen.metric, outcome.numerator, outcome.denominator)
    return {
        "task": task,
        "metric": chosen.metric,
        "value": values.pop(chosen.metric),
        "n": len(outcome.numerator),
        "low": low,
        "high": high,
        "also": values,
        "data": name,
        "protocol": outcome.protocol,
    }
