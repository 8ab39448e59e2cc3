"""The tasks: `catalogue` holds their facts, and each file the functions of one task.

Two functions lead to all of them: `evaluate`, and `task_batches` for methods that need labels.
"""

import importlib

from avss.tasks.catalogue import TASKS, Task, columns_of, task_named

# Tables and profiles read the catalogue where torch is not installed, so these are imported on first use.
_WITH_TORCH = {
    "Outcome": "avss.tasks.base",
    "evaluate": "avss.tasks.evaluation",
    "task_batches": "avss.tasks.labelled",
}


def __getattr__(name: str):
    if name not in _WITH_TORCH:
        raise AttributeError(f"module 'avss.tasks' has no attribute {name!r}")
    return getattr(importlib.import_module(_WITH_TORCH[name]), name)


__all__ = ["TASKS", "Outcome", "Task", "columns_of", "evaluate", "task_batches", "task_named"]
