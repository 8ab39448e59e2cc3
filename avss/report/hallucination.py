"""The stored results on hallucination (`avss.runs.hallucination`): scores of layers, measures, and sums of questions.

They have a store of their own inside the main one: a folder a model, and in it one a set of questions.
"""

import json
from collections import defaultdict
from collections.abc import Iterator

import pandas as pd
from numpy.typing import NDArray

from avss.hallucination.ratios import PairSums
from avss.intervals import Estimate, Seeds, bounds, redrawn
from avss.metrics import METRICS, metric_named
from avss.report.comparisons import sort_key
from avss.report.snapshot import Results
from avss.store import Store

FOLDER, HEALING = "eavss", "healing"
SUMS = ".sums.csv.gz"
# The sets of the follow-up paper, in the order of its abstract, with the names that readers see.
TITLES = {
    "nq_open": "NQ-Open",
    "sciq": "SciQ",
    "triviaqa": "TriviaQA",
    "truthfulqa": "TruthfulQA",
    "wikiqa": "WikiQA",
}
OF_LAYER = ["model", "set", "method", "quantity", "layer"]


def store_of(results: Results) -> Store:
    """The store of the results on hallucination."""
    return Store(results.store.root / FOLDER)


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The lines with the model and the set as columns, sets in the order of `TITLES`; others after them."""
    table = table.rename(columns={"profile": "model", "row": "set"})
    places = [sort_key(name, tuple(TITLES))[0] for name in table["set"]]
    return table.assign(_place=places).sort_values(["model", "_place", "set"], kind="stable").drop(columns="_place")


def layers(results: Results) -> pd.DataFrame:
    """One line a layer of each model and set: `model`, `set`, `layer`, a column a quantity, and its `run`s, by name.

    Of what was measured more than once the newest counts.
    """
    found = _ordered(store_of(results).layers()).drop_duplicates(OF_LAYER, keep="last")
    if found.empty:
        return pd.DataFrame(columns=["model", "set", "layer", "eavss", "eavss_low", "eavss_high", "auroc", "run"])
    groups = ["model", "set", "layer"]
    runs = found.groupby(groups)["run"].agg(lambda names: ", ".join(names.unique()))
    wide = found.pivot(index=groups, columns="quantity", values="value").join(runs).reset_index()
    return _ordered(wide.rename_axis(columns=None)).reset_index(drop=True)


def measures(results: Results) -> pd.DataFrame:
    """One line a measure of each model and set: `model`, `set`, `metric`, `value`, `low`, `high`, `n`, `run`."""
    found = _ordered(store_of(results).observations().drop(columns="model"))
    found = found[found["status"] == "ok"].drop_duplicates(["model", "set", "metric"], keep="last")
    return found[["model", "set", "metric", "value", "low", "high", "n", "run"]].reset_index(drop=True)


def sums(results: Results) -> dict[tuple[str, str], PairSums]:
    """The sums of the questions of each model and set, the newest run's. Raises `InputError` for a damaged file."""
    store, found = store_of(results), {}
    for path in sorted(store.root.glob(f"*/*/*{SUMS}")):
        facts = store.provenance(path.name.removesuffix(SUMS))
        reading = facts["configuration"]["reading"]
        found[facts["profile"], facts["row"]] = PairSums.read(path, reading, [facts["sha256_of_sums"]])
    return {key: found[key] for key in sorted(found, key=lambda key: (key[0], sort_key(key[1], tuple(TITLES))))}


def healed(results: Results) -> pd.DataFrame:
    """One line a question of each training: `model`, `set`, `control`, `seed`, `metric`, `question`, `value`.

    Only what the newest study asks for; metrics of tasks are in `elsewhere`. control: as in `avss.runs.healing`, random
    layers as `random` with the draw as their seed.
    """
    lines = []
    for known, values, _ in _trained(results):
        if known["metric"] not in METRICS:
            lines += [known | {"question": place, "value": value} for place, value in enumerate(values)]
    return pd.DataFrame(lines, columns=["model", "set", "control", "seed", "metric", "question", "value"])


def elsewhere(results: Results) -> dict[tuple[str, str, str], dict[str, Seeds]]:
    """What each training does to other tasks, by model, row and metric, and in these by control; a seed a training."""
    tops, bottoms = defaultdict(lambda: defaultdict(list)), {}
    for known, numerator, denominator in _trained(results):
        if known["metric"] in METRICS:
            place = known["model"], known["set"], known["metric"]
            tops[place][known["control"]].append(numerator)
            bottoms[place] = denominator
    return {
        place: {control: Seeds.of(place[2], given, bottoms[place]) for control, given in controls.items()}
        for place, controls in tops.items()
    }


def lead_of_training(own: Seeds, other: Seeds) -> Estimate:
    """By how much one training is better than another: in accuracy, or in nats a token where the metric is perplexity.

    Unlike `Seeds.lead_over`, the seeds of each are drawn anew on their own; documents are drawn together.
    """
    sign = metric_named(own.metric).direction
    drawn = sign * (redrawn(own.drawn) - redrawn(other.drawn, 1))
    return Estimate(float(sign * (own.whole.mean() - other.whole.mean())), *bounds(drawn))


def _trained(results: Results) -> Iterator[tuple[dict, NDArray, NDArray]]:
    """What is known of each outcome that the newest study of a model asks for, and the outcome itself."""
    store = Store(results.store.root / HEALING)
    for model in sorted(path.name for path in store.root.glob("*") if path.is_dir()):
        asked = store.asked_for(model, HEALING)
        for name, outcome in store.outcomes(model, HEALING).items():
            key, test, control, seed, metric = json.loads(name)
            if key in asked:
                known = {"model": model, "set": test, "control": control.split("-")[0], "seed": seed, "metric": metric}
                yield known, *outcome


def title_of(name: str) -> str:
    """The name of a set as readers see it."""
    return TITLES.get(name, name)
