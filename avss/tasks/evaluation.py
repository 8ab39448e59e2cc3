"""`evaluate`, the one door to all tasks."""

from collections.abc import Sequence

from datasets import Dataset
from torch import nn

from avss import intervals, metrics
from avss.architectures import unwrapped
from avss.engine.modes import unchanged
from avss.tasks.catalogue import task_named
from avss.tasks.labelled import label_options, rows_for
from avss.tasks.shots import pool_of, prompting_for


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
    shots: int = 0,
    prompt: str = "plain",
    by: str | None = None,
    shots_from: Dataset | str | None = None,
    label_column: str | None = None,
    label_words: Sequence[str] | None = None,
) -> dict:
    """How well `model` does `task` on `data`.

    data: a `datasets.Dataset`, or a name as `avss.load_data` takes it, with its split. column: the text column, by
    default the usual one of the task. samples: documents drawn by `seed` (None: all). context: tokens a document or
    window has, solved examples among them. shots: solved examples before each question, drawn by seed 0 from the rows
    of `shots_from` (a Dataset, or a split of `data`; None: the usual one for calibration) that are not evaluated
    themselves. prompt: `plain`, or `chat` for the tokenizer's own template.
    by: for a task that generates answers, `generation` (the default), or `likelihood`: the perplexity of the right
    answers, with nothing generated.
    label_column: the column of the labels, by default `label`. label_words: the words that stand for the
    classes, in their order, where a causal language model judges sentiment (None: negative, positive).

    Returns `task`, `metric`, `value`, `n` (documents), `low` and `high` (95 % bootstrap interval over documents),
    `also` (what else the metric's module computes, by name, and of a perplexity the mean `nats_per_token`, which is
    finite also where the perplexity is not), `data`, `protocol`. On return the model is as it was. Raises `InputError`
    for an unknown task, unusable data, a model that cannot do the task, shots or a prompt that the model or its
    tokenizer cannot take, and numbers that are not finite.
    """
    chosen = task_named(task)
    chosen.check_prompting(shots, prompt)
    chosen.check_by(by)
    words = label_options(chosen, label_column, label_words)
    pool = pool_of(chosen, data, column, shots_from, label_column) if shots else None
    dataset, column, name = rows_for(chosen.columns, data, split, column, samples, seed, "evaluation", label_column)
    model = unwrapped(model)
    options = {"context": context or chosen.context, "batch_size": batch_size} | words
    if chosen.prompted:
        avoid = chosen.questions(dataset, column) if shots else ()
        options["prompting"] = prompting_for(chosen, model, tokenizer, shots, prompt, pool, avoid, **words)
    metric = "perplexity" if by == "likelihood" else chosen.metric
    with unchanged(model):
        if by == "likelihood":
            (outcome,) = chosen.likelihood_each(model, tokenizer, dataset, column, removed=[[]], **options)
        else:
            outcome = chosen.measure(model, tokenizer, dataset, column, **options)
        values = metrics.compute(metric, outcome.predictions, outcome.references)
    if metric == "perplexity":
        # Finite where the perplexity is above the range of float64.
        values["nats_per_token"] = float(outcome.numerator.sum() / outcome.denominator.sum())
    low, high = intervals.interval(metric, outcome.numerator, outcome.denominator)
    return {
        "task": task,
        "metric": metric,
        "value": values.pop(metric),
        "n": len(outcome.numerator),
        "low": low,
        "high": high,
        "also": values,
        "data": name,
        "protocol": outcome.protocol,
    }
