"""What a method is: a name, where it comes from, and one function."""

from collections.abc import Callable
from dataclasses import dataclass

from avss.scores import LayerScores


@dataclass(frozen=True)
class Method:
    """function(model, batches, reading, **options) -> LayerScores, higher = more important.

    source: the publication, or that the definition is ours. summary: one line. reads_text: whether batches are used.
    reads_labels: whether a classifier's batches need `labels`.
    options: keyword arguments that the function takes.
    split: whether several processes share the batches (`avss.engine.parallel`); without it each of them does the whole
        work.
    """

    name: str
    function: Callable[..., LayerScores]
    source: str
    summary: str
    reads_text: bool = False
    reads_labels: bool = False
    options: tuple[str, ...] = ()
    split: bool = False
