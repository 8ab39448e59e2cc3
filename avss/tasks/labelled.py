"""`task_batches`: the documents of a data set as a task shows them to a model, with their labels."""

from collections.abc import Sequence

from datasets import Dataset
from torch import Tensor, nn

from avss.architectures import unwrapped
from avss.data import batched, context_of, labelled_by, load_data, padding_id, sample, usable_rows
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
    label_column: str | None = None,
    label_words: Sequence[str] | None = None,
) -> list[dict[str, Tensor]]:
    """Batches of labelled documents, for `avss.score` and `avss.ablate`.

    data: a `datasets.Dataset`, or a name as `avss.load_data` takes it, with its split (None: the usual one for
    calibration). column: the text column, by default the usual one of the task. samples: documents drawn by `seed`
    (None: all). context: tokens a document may have (None: the task's). fill: pads every batch to `context`, for
    readings in which padding counts. shots, prompt, shots_from: as in `avss.evaluate`; a Dataset is a calibration split
    itself. The solved examples are no documents. label_column, label_words: as in `avss.evaluate`.

    Each batch has `input_ids` and `attention_mask`, (B, T) int64, and `labels`, (B,) classes or (B, T) token ids with
    -100 where nothing is scored. The shortest documents come first. Raises `InputError` for an unknown task, unusable
    data, a model that cannot do the task, and where no document has a label.
    """
    model, chosen = unwrapped(model), task_named(task)
    chosen.check_prompting(shots, prompt)
    options = label_options(chosen, label_column, label_words)
    dataset, column, _ = rows_for(chosen.columns, data, split, column, None, seed, "calibration", label_column)
    if chosen.prompted:
        pool = (dataset, column) if shots_from is None else pool_of(chosen, data, column, shots_from, label_column)
        options["prompting"] = prompting_for(chosen, model, tokenizer, shots, prompt, pool, **options)
        dataset = without_solved(chosen, dataset, column, options["prompting"])
    dataset = sample(dataset, samples, seed)
    context = context_of(model, tokenizer, chosen.context if context is None else context)
    examples = chosen.examples(model, tokenizer, dataset, column, context, **options)
    return batched(examples, padding_id(tokenizer), batch_size, context if fill else None)


def check_labels(task: Task | None, column: str | None, words: Sequence[str] | None) -> None:
    """Raises `InputError` for a label column or label words that nothing reads, and for words that are no label words.

    task: None where documents are shown as plain text.
    """
    if task is None and (column is not None or words is not None):
        raise InputError("a label column or label words are given without a task; name the task, such as sentiment")
    if task is not None:
        label_options(task, column, words)


def label_options(task: Task, column: str | None, words: Sequence[str] | None) -> dict:
    """What a task's own functions are given for these label words. Raises `InputError` for a task without labels."""
    for option, given in (("label column", column), ("label words", words)):
        if given is not None and "label" not in task.extra:
            raise InputError(f"task {task.name} has no labels, and the {option} is {given!r}; leave it out")
    if words is None:
        return {}
    from avss.tasks.sentiment import label_words

    return {"words": label_words(words)}


def rows_for(
    columns: tuple[str, ...],
    data: Dataset | str,
    split: str | None,
    column: str | None,
    samples: int | None,
    seed: int,
    purpose: str,
    label_column: str | None = None,
) -> tuple[Dataset, str, str]:
    """The rows that a task uses for this purpose, the name of their text column, and the name of the data.

    columns: where the text may be, if `column` names none.
    """
    name = data if isinstance(data, str) else "data"
    if split is not None and not isinstance(data, str):
        raise InputError(f"split {split!r} is given with a Dataset, which has no splits; leave the split out")
    dataset = load_data(data, split, purpose=purpose) if isinstance(data, str) else data
    dataset = labelled_by(dataset, label_column, name) if label_column else dataset
    dataset, column = usable_rows(dataset, columns, column, name)
    return sample(dataset, samples, seed), column, name
