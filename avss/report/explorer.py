"""The data of the page "Explorer", as one JavaScript constant: statistics of blocks, and which removals are measured.

The page computes Eqs. 1 to 9 itself from the statistics (`avss.report.layer_statistics`). A set of blocks has a score
here only where a run removed exactly this set: in the row that the statistics belong to, or among the sets that
`recipes/subsets.py` tries. Nothing here needs torch.
"""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from avss import intervals
from avss.errors import InputError
from avss.metrics import metric_named
from avss.report.comparisons import label
from avss.report.layer_statistics import EPSILONS, FIRST_BIN, SITES, TOKENS, stored
from avss.report.snapshot import Results
from avss.store import Store

CONSTANT = "explorer_data"
SUBSETS, SCORE = "subsets", "score"
# The facts of a file of statistics that the page shows.
_FACTS = ("row", "title", "model", "dataset", "layers", "parameters", "documents", "created", "git_revision")


def data(results: Results) -> dict:
    """All that the page needs; the lists are empty where nothing is stored.

    models: the facts of each model, its `statistics`, its `measured` removals by set (`1+4`), and how many blocks its
    row removes (None where no run of it is stored). subsets: all sets of
    one model with the methods that choose among them. Raises `InputError` for a damaged file.
    """
    sets = subsets(results)
    models = []
    for facts in stored(results.store.root):
        tried = {text: one for row in sets if row["row"] == facts["row"] for text, one in row["measured"].items()}
        shown = {name: facts[name] for name in _FACTS} | {"tokens": _tokens(facts["statistics"])}
        shown["remove"] = _removes(results, facts["row"])
        models.append(
            shown
            | {"statistics": facts["statistics"], "measured": tried | measured(results, facts["profile"], facts["row"])}
        )
    return {
        "epsilons": EPSILONS,
        "first_bin": FIRST_BIN,
        "sites": SITES,
        "tokens": TOKENS,
        "models": models,
        "subsets": sets,
    }


def script(results: Results) -> str:
    """The text of the page's data file: it assigns `data` to a constant, so that no request is needed."""
    return f"const {CONSTANT} = {json.dumps(data(results), separators=(',', ':'), allow_nan=False)};\n"


def measured(results: Results, profile: str, row: str) -> dict[str, dict]:
    """The removals that runs of this row measured, also for a curve, by set; where several did, those of the last."""
    table = pd.concat([results.curves, results.in_use])
    mine = (table["profile"] == profile) & (table["row"] == row) & (table["status"] == "ok")
    return _removals(table[mine])


def subsets(results: Results) -> list[dict]:
    """For each row of the store of subsets: its facts, its `measured` removals, and the scores of the `choosers`.

    whole: the score of the model with all blocks. higher_is_better: whether that of the metric is. Raises `InputError`
    where a set of blocks is missing.
    """
    store = Store(results.store.root / SUBSETS)
    observations, scores = store.observations(), store.layers()
    found = []
    for row, part in observations.groupby("row", sort=False):
        newest = part[part["run"] == part["run"].iloc[-1]]
        facts = store.provenance(newest["run"].iloc[0])
        removals = _removals(newest)
        layers = int(newest["layers"].iloc[0])
        if len(removals) + 1 != len(newest) or len(newest) != 2**layers - 1:
            raise InputError(f"run {facts['run']} lacks sets of blocks; make it again with recipes/subsets.py")
        own = scores[(scores["run"] == facts["run"]) & (scores["quantity"] == SCORE)]
        choosers = [
            {"method": method, "seed": int(seed), "label": label(method), "scores": each["value"].tolist()}
            for (method, seed), each in own.groupby(["method", "seed"], sort=False)
        ]
        names = facts["configuration"]
        shown = {"row": row, "model": names["model"], "dataset": names["dataset"], "layers": layers}
        shown["higher_is_better"] = metric_named(newest["metric"].iloc[0]).higher_is_better
        whole = _removal(newest[newest["removed"] == "none"].iloc[0])
        found.append(shown | {"whole": whole, "measured": removals, "choosers": choosers})
    return found


def _removals(table: pd.DataFrame) -> dict[str, dict]:
    return {line["removed"]: _removal(line) for _, line in table[table["removed"] != "none"].iterrows()}


def _removal(line: Mapping) -> dict:
    """One measured set: value, interval over documents, original, share kept (None where there is none), n and run."""
    metric, value, original = line["metric"], float(line["value"]), float(line["original"])
    kept = intervals.retention(metric, value, original)
    numbers = {"value": value, "low": line["low"], "high": line["high"], "original": original, "kept": kept}
    return {
        "metric": metric_named(metric).label,
        **{name: float(number) if np.isfinite(number) else None for name, number in numbers.items()},
        "n": int(line["n"]),
        "run": line["run"],
    }


def _removes(results: Results, row: str) -> int | None:
    configurations = [facts.get("configuration", {}) for facts in results.provenances.values() if facts["row"] == row]
    return next((one["remove"] for one in reversed(configurations) if "remove" in one), None)


def _tokens(statistics: Mapping) -> int:
    kept = statistics["block_output"]["all"]
    return kept["count"][0] // kept["width"]
