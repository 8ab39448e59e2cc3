"""`task_batches`: the documents of a data set as a task shows them to a model, with their labels."""

from datasets import Dataset
from torch import Tensor, nn

from avss.data import batched, context_of, load_data, padding_id, sample, usable_rows
from avss.errors import InputError
from avss.tasks.catalogue import Task, task_named
from avss.tasks.shots import pool_of, prompting_for, without_solved


def task_batches(
    model: nn.Module,
    tokenizer,
    task: str,
    data: Dataset | str,
    *,
    split: str | None = None,
    column: str | None = None,
    samples: int | None = None,
    context: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    fill: bool = False,
    shots: int = 0,
    prompt: str = "plain",
    shots_from: Dataset | str | None = None,
) -> list[dict[str, Tensor]]:
    """Batches of labelled documents, for `avss.score` and `avss.ablate`.

    data: a `datasets.Dataset`, or a name as `avss.load_data` takes it, with its split (None: the usual one for
    calibration). column: the text column, by default the usual one of the task. samples: documents drawn by `seed`
    (None: all). context: tokens a document may have (None: the task's). fill pads every batch to `context`, for
    readings in which padding counts. shots, prompt, shots_from: as in `avss.evaluate`; a Dataset is a calibration split
    itself. The solved examples are no documents.

    Each batch has `input_ids` and `attention_mask`, (B, T) int64, and `labels`, (B,) classes or (B, T) token ids with
    -100 where nothing is scored. The shortest documents come first. Raises `InputError` for an unknown task, unusable
    data, a model that cannot do the task, and where no document has a label.
    """
    chosen = task_named(task)
    chosen.check_prompting(shots, prompt)
    dataset, column, _ = rows_for(chosen, data, split, column, None, seed, "calibration")
    options = {}
    if chosen.prompted:
        pool = (dataset, column) if shots_from is None else pool_of(chosen, data, column, shots_from)
        options["prompting"] = prompting_for(chosen, model, tokenizer, shots, prompt, pool)
        dataset = without_solved(chosen, dataset, column, options["prompting"])
    dataset = sample(dataset, samples, seed)
    context = context_of(model, tokenizer, chosen.context if context is None else context)
    examples = chosen.examples(model, tokenizer, dataset, column, context, **options)
    return batched(examples, padding_id(tokenizer), batch_size, context if fill else None)


def rows_for(
    task: Task,
    data: Dataset | str,
    split: str | None,
    column: str | None,
    samples: int | None,
    seed: int,
    purpose: str,
) -> tuple[Dataset, str, str]:
    """The rows that a task uses for this purpose, the name of their text column, and the name of the data."""
    name = data if isinstance(data, str) else "data"
    if split is not None and not isinstance(data, str):
        raise InputError(f"split {split!r} is given with a Dataset, which has no splits; leave the split out")
    dataset = load_data(data, split, purpose=purpose) if isinstance(data, str) else data
    dataset, column = usable_rows(dataset, task.columns, column, name)
    return sample(dataset, samples, seed), column, name
