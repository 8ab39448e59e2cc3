"""The tasks: `catalogue` holds their facts, each file its functions, and `evaluate` is the one door to all of them."""

from avss.tasks.catalogue import TASKS, Task, task_named


def __getattr__(name: str):
    # Tables and profiles read the catalogue where torch is not installed.
    if name != "evaluate":
        raise AttributeError(f"module 'avss.tasks' has no attribute {name!r}")
    from avss.tasks.evaluation import evaluate

    return evaluate


__all__ = ["TASKS", "Task", "evaluate", "task_named"]
