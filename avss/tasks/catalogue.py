"""All facts of every task. A new task is a new file and an entry here.

The functions of a task are in its own file. They are imported on first use, so this module needs no torch.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from avss.errors import InputError, look_up

if TYPE_CHECKING:
    from avss.data import Example
    from avss.tasks.base import Outcome

# How questions are put to a causal language model: as plain text, or through the tokenizer's chat template.
PROMPTS = ("plain", "chat")
# How the answers of a model are judged: the text that it generates, or the likelihood that it gives the right one.
BY = ("generation", "likelihood")


@dataclass(frozen=True)
class Task:
    """The facts of one task.

    name: what users type, and the name of its file in `avss/tasks`. metric: an entry of `avss.metrics.METRICS`.
    columns: names under which the text is looked for, in order. extra: further columns that the result depends on.
    context: tokens a document or window has by default. windows: it cuts the text into windows and runs the head at
    every token; otherwise the head runs at the last tokens alone. generated: the most tokens that it generates for a
    document; its file then also has `likelihood_each`. prompted: a causal language model reads a document inside a
    question, which may follow solved examples.
    """

    name: str
    metric: str
    columns: tuple[str, ...]
    extra: tuple[str, ...]
    context: int
    windows: bool = False
    generated: int = 0
    prompted: bool = False

    @property
    def _module(self) -> ModuleType:
        return importlib.import_module(f"avss.tasks.{self.name}")

    @property
    def measure(self) -> "Callable[..., Outcome]":
        """measure(model, tokenizer, dataset, text_column, *, context, batch_size) -> Outcome.

        Prompted tasks also take `prompting` (`avss.tasks.prompts.Prompting`).

        Raises `InputError` for data or a model that it cannot use.
        """
        return self._module.measure

    @property
    def measure_each(self) -> "Callable[..., list[Outcome]]":
        """measure_each(..., removed, scales, cache, key) -> one Outcome for each of the sets of blocks in `removed`.

        Not for tasks that generate. The other arguments and the errors are those of `measure`. scales, cache, key: as
        `avss.removals.removing` takes them.
        """
        return self._module.measure_each

    @property
    def likelihood_each(self) -> "Callable[..., list[Outcome]]":
        """As `measure_each`, for tasks that generate: the negative log-likelihood and the tokens of the right answer.

        The metric of such an outcome is perplexity.
        """
        return self._module.likelihood_each

    @property
    def examples(self) -> "Callable[..., list[Example]]":
        """examples(model, tokenizer, dataset, text_column, context) -> list[Example]; `prompting` as `measure`.

        The documents as the task shows them to the model, with the right labels, for methods that need labels. Raises
        `InputError` as `measure`.
        """
        return self._module.examples

    @property
    def questions(self) -> Callable[..., list[str]]:
        """questions(dataset, column) -> list[str]: each row inside the plain prompt, or empty; for `prompted` tasks."""
        return self._module.questions

    @property
    def solved(self) -> Callable[..., list[tuple[str, str]]]:
        """solved(dataset, column) -> list[tuple[str, str]]: question and right answer of each row that has both.

        For `prompted` tasks. Raises `InputError` for data without the columns, or labels that are no classes.
        """
        return self._module.solved

    def check_prompting(self, shots: int, prompt: str) -> None:
        """Raises `InputError` for shots or a prompt that no model takes, and where this task asks no question."""
        look_up("prompt", prompt, dict.fromkeys(PROMPTS))
        if isinstance(shots, bool) or not isinstance(shots, int) or shots < 0:
            raise InputError(f"shots is {shots!r}; give a whole number of solved examples from 0")
        if (shots or prompt != PROMPTS[0]) and not self.prompted:
            name, value = ("shots", shots) if shots else ("prompt", prompt)
            raise InputError(f"{name} is {value}, and task {self.name} asks no question; leave {name} out")

    def check_by(self, by: str | None) -> None:
        """Raises `InputError` for a way to judge answers that is unknown, and where this task generates none."""
        if by is None:
            return
        look_up("by", by, dict.fromkeys(BY))
        if not self.generated:
            raise InputError(f"by is {by!r}, and task {self.name} generates no answer; leave by out")


# The order in which their columns are tried if no task is named. A row with a context also has a title, so the context
# comes first.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("sentiment", "accuracy", ("sentence", "text", "review"), ("label",), context=128, prompted=True),
        Task(
            "question_answering",
            "f1",
            ("context",),
            ("question", "answers"),
            context=512,
            generated=32,
            prompted=True,
        ),
        Task(
            "language_modeling", "perplexity", ("text", "content", "sentence", "title"), (), context=512, windows=True
        ),
    )
}


def columns_of(tasks: Iterable[Task] = TASKS.values()) -> tuple[str, ...]:
    """The names under which the text of these tasks is looked for, in order, each once."""
    return tuple(dict.fromkeys(column for task in tasks for column in task.columns))


def task_named(name: str) -> Task:
    """The task, or `InputError` naming those that exist."""
    return look_up("task", name, TASKS)
