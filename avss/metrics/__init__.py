"""The metrics of the tasks as modules of the `evaluate` library, shipped here so that none comes from the network.

`evaluate.load(str(path_of("f1")))` loads one; `evaluate` copies it into its own cache of modules, keyed by content.
"""

from pathlib import Path

from avss.errors import InputError, look_up

FOLDER = Path(__file__).parent
# Metric: the module that computes it, perhaps beside others.
MODULES = {"accuracy": "accuracy", "perplexity": "perplexity", "f1": "squad", "exact_match": "squad"}


def path_of(metric: str) -> Path:
    """The file of the `evaluate` module that computes a metric. Raises `InputError` for one that none computes."""
    module = look_up("metric", metric, MODULES)
    return FOLDER / module / f"{module}.py"


def compute(metric: str, predictions, references) -> dict[str, float]:
    """The metric, and those that its module computes beside it, by name.

    predictions, references: one entry a document, as the module describes them. Raises `InputError` where the cache
    of `evaluate` cannot be written.
    """
    path = path_of(metric)
    # Imported here: it takes seconds, and nothing else needs it.
    import evaluate

    try:
        module = evaluate.load(str(path), keep_in_memory=True)
    except OSError as error:
        raise InputError(
            f"metric {metric}: the cache of evaluate cannot be used ({error}); "
            f"set HF_HOME to a folder that can be written"
        ) from error
    return module.compute(predictions=predictions, references=references)
