"""AVSS companion: layer importance from activation variance and sparsity, with baselines, pruning and evaluation.

Everything public is here and is imported when first used, so that tables and figures work where torch is not installed.
"""

import importlib

_PUBLIC = {
    "InputError": "avss.errors",
    "LayerScores": "avss.scores",
    "METHODS": "avss.methods",
    "Moments": "avss.moments",
    "Reading": "avss.reading",
    "TASKS": "avss.tasks",
    "ablate": "avss.engine.ablation",
    "batches": "avss.data",
    "check": "avss.checkup",
    "eavss": "avss.hallucination.scores",
    "evaluate": "avss.tasks",
    "load_data": "avss.data",
    "load_model": "avss.models",
    "load_pairs": "avss.hallucination.pairs",
    "pair_batches": "avss.hallucination.encoding",
    "prune": "avss.pruning",
    "recover": "avss.recovery.recovering",
    "score": "avss.methods",
    "skipping": "avss.pruning",
    "task_batches": "avss.tasks",
}
__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'avss' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
