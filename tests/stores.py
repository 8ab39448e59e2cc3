"""The committed results, and stores in which every number is known, for the tests of tables and figures."""

from pathlib import Path

import numpy as np

from avss import intervals
from avss.report import comparisons
from avss.report.snapshot import Results
from avss.report.table1 import printed_table
from avss.store import Store

# Read once a process, each part at its first use.
COMMITTED = Results(Store(Path(__file__).parent.parent / "results"))
DOCUMENTS, SEEDS, BLOCKS = 40, 3, 6
# What each method removes on each seed, and the share of documents that the model then gets right.
REMOVED = {
    ("original", "none"): ["none"],
    ("avss", "paper"): ["1"] * SEEDS,
    ("avss", "released-code"): ["5"] * SEEDS,
    ("random", "none"): ["2", "5", "1"],
    ("last", "none"): ["5"] * SEEDS,
}
CORRECT = {"none": 0.9, "1": 0.875, "2": 0.8, "5": 0.5}
PERPLEXITY_ROW = {
    "row": "hackernews-llama-7b",
    "task": "language_modeling",
    "dataset": "HackerNews",
    "model": "LLama-7B",
    "metric": "perplexity",
}


def keys_of(
    removed: dict, row: str = comparisons.FIRST_ROW, profile: str = "mini", revision: str = "aaaa"
) -> list[str]:
    """The keys of the observations that `fill` makes of these removals."""
    return [
        f"{row}{profile}{revision}{method}{reading}{seed}{layers.count('+')}"
        for (method, reading), sets in removed.items()
        for seed, layers in enumerate(sets)
    ]


def fill(
    store: Store,
    profile: str,
    revision: str = "aaaa",
    created: str = "2026-01-01T00:00:00Z",
    *,
    row: str = comparisons.FIRST_ROW,
    task: str = "sentiment",
    dataset: str = "SST-2",
    model: str = "DistilBERT",
    metric: str = "accuracy",
    removed: dict = REMOVED,
    blocks: int = BLOCKS,
    fails: tuple = (),
    asked: list[str] | None = None,
    stands_for: str | None = None,
    values: dict | None = None,
) -> list[str]:
    """One run of a row in which every number is known; every method scores the blocks by depth, `last` against it.

    fails: methods and seeds that fail. asked: keys that the configuration asks for (None: those of this run).
    values: by removed layers, values to store in place of the true ones. stands_for: a line of Table 1 (None: that of
    this id, if there is one). Returns the keys of this run.
    """
    keys = keys_of(removed, row, profile, revision)
    if stands_for is None and row in set(printed_table()["id"]):
        stands_for = row
    configuration = {"id": row, "dataset": dataset, "model": model, "stands_for": stands_for}
    facts = {"configuration": configuration, "hardware": {"processor": "slate"}, "protocol": "counting"}
    facts["asked"] = keys if asked is None else asked
    run = store.start(profile, row, created, facts)
    true = {}
    for layers in dict.fromkeys(layers for sets in removed.values() for layers in sets):
        correct = CORRECT.get(layers, 0.7)
        hits = (np.arange(DOCUMENTS) < correct * DOCUMENTS).astype(float)
        # As losses: the fewer are right, the higher.
        outcome = (hits, np.ones(DOCUMENTS)) if metric != "perplexity" else (3 - 2 * hits, np.full(DOCUMENTS, 2.0))
        run.add_outcomes({f"{profile}{revision}-{layers}": outcome})
        true[layers] = intervals.value(metric, *outcome)
    shown = true | (values or {})
    names = iter(keys)
    for (method, reading), sets in removed.items():
        for seed, layers in enumerate(sets):
            count = 0 if layers == "none" else 1 + layers.count("+")
            status = "failed: no room" if (method, seed) in fails else "ok"
            observation = {
                **{"key": next(names), "profile": profile, "row": row},
                **{"task": task, "dataset": dataset, "data": "data", "data_fingerprint": "ffff"},
                **{"model": "model", "revision": revision, "method": method, "reading": reading},
                **{"selection": f"lowest({count})" if count else "none", "removed": layers},
                **{"coalition": f"{profile}{revision}-{layers}", "layers": blocks, "share_of_layers": count / blocks},
                **{"share_of_parameters": 0.1, "seed": seed, "samples": 8, "metric": metric},
                **{"value": shown[layers], "low": 0, "high": 1, "original": true.get("none"), "n": DOCUMENTS},
                **{"seconds": 1, "peak_memory_mb": 1, "status": status},
            }
            known = {"row": row, "method": method, "reading": reading, "seed": seed}
            quantities = ("variance", "sparsity", "normalized_avss") if method == "avss" else (method,)
            scores = [
                known | {"layer": layer, "quantity": quantity, "value": (1 + layer) * (-1 if method == "last" else 1)}
                for layer in range(blocks)
                for quantity in quantities
                if method != "original"
            ]
            run.add([observation], scores if status == "ok" else [])
    return keys


def cells(table: str, line: str) -> list[str]:
    """The cells of the line of a Markdown table that starts with this text."""
    found = next(text for text in table.splitlines() if text.startswith(f"| {line} |"))
    return [cell.strip() for cell in found.strip("|").split("|")][1:]
