"""Cornerstone blocks, the share that the top blocks hold, and the stored results of recipes/shapley.py; no torch.

"Investigating Layer Importance in Large Language Models" (arXiv 2409.14381) calls a layer a cornerstone if the model
falls to chance without it, and names them by hand. The rules here are ours.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from avss import intervals
from avss.errors import InputError
from avss.files import write_whole
from avss.metrics import metric_named
from avss.records import gzipped, read_json, read_table, sha256_of, table_text
from avss.scores import LayerScores

TOP = 3
DOCUMENTS = ("quantity", "layer", "document", "numerator", "denominator")


def at_chance(metric: str, numerator: NDArray, chance: NDArray, denominator: NDArray) -> bool:
    """Whether a score is no better than chance: its 95 % interval over documents holds the level, or is all worse.

    All (D,), as in `avss.intervals`. Raises `InputError` as `avss.intervals.interval` does, and for a single document.
    """
    return bool(cornerstones(metric, numerator[None], chance, denominator)["cornerstone"][0])


def cornerstones(metric: str, without: NDArray, chance: NDArray, denominator: NDArray) -> pd.DataFrame:
    """The score without each block alone, one line a block: `layer`, `value`, `low`, `high` and `cornerstone`.

    without: (M, D); chance, denominator: (D,). A cornerstone is a block without which the score is `at_chance`. The
    intervals are not corrected for the number of blocks. A model that is at chance as a whole has no cornerstones that
    mean anything, so ask `at_chance` of it first. Raises `InputError` as `at_chance` does.
    """
    if len(denominator) == 1:
        raise InputError("one document has no interval; give more")
    level, better_above = intervals.value(metric, chance, denominator), metric_named(metric).higher_is_better
    lines = []
    for layer, numerator in enumerate(without):
        low, high = intervals.interval(metric, numerator, denominator)
        value = intervals.value(metric, numerator, denominator)
        stone = low <= level if better_above else high >= level
        lines.append({"layer": layer, "value": value, "low": low, "high": high, "cornerstone": stone})
    return pd.DataFrame(lines)


class Outcomes(Protocol):
    """A model's outcomes without each block, as in `avss.runs.without_each.WithoutEach`."""

    metric: str
    whole: NDArray[np.float64]
    without: NDArray[np.float64]
    chance: NDArray[np.float64]
    denominator: NDArray[np.float64]


def is_weak(found: Outcomes) -> bool:
    """Whether the whole model is at chance, so that nothing can be judged by its removals."""
    return at_chance(found.metric, found.whole, found.chance, found.denominator)


def removals_of(found: Outcomes) -> pd.DataFrame:
    """The `cornerstones` table of a model's outcomes."""
    return cornerstones(found.metric, found.without, found.chance, found.denominator)


def stones_of(found: Outcomes) -> list[int]:
    """The blocks of a model that are cornerstones, ascending."""
    table = removals_of(found)
    return table.loc[table["cornerstone"], "layer"].tolist()


def top_share(
    by_document: ArrayLike, top: int = TOP, clipped: bool = False
) -> tuple[NDArray[np.int64], float, float, float]:
    """The players of the largest values, the share of the total that they hold, and its 95 % interval: low, high.

    by_document: (players, D), values of each player for each document. clipped: negative values count as 0 in the sums
    over documents, as in the code of the paper. The interval draws documents anew and keeps the players. It holds the
    chance of an estimator that drew coalitions for each document apart. Raises `InputError` unless there are `top`
    players and the total is above 0, on each resample too.
    """
    values = np.asarray(by_document, dtype=np.float64)
    if not 1 <= top <= len(values):
        raise InputError(f"top is {top}; give a number from 1 to the {len(values)} players")
    chosen = np.sort(np.argsort(-values.sum(1), kind="stable")[:top])

    def share(documents: NDArray[np.int64]) -> float:
        sums = values[:, documents].sum(1)
        sums = sums.clip(0) if clipped else sums
        if not sums.sum() > 0:
            raise InputError(f"the values add up to {sums.sum():g}, so they have no shares; give more documents")
        return float(sums[chosen].sum() / sums.sum())

    documents = values.shape[1]
    return chosen, share(np.arange(documents)), *intervals.interval_of(share, documents)


@dataclass(frozen=True)
class Stored:
    """The results of one task of recipes/shapley.py.

    scores: the Shapley values, in nats a prediction. facts: of the run. by_document, scored: as in
    `avss.methods.shapley.ShapleyScores`. whole, without, chance, denominator: as in
    `avss.runs.without_each.WithoutEach`.
    """

    name: str
    scores: LayerScores
    facts: dict
    by_document: NDArray[np.float64]
    scored: NDArray[np.float64]
    whole: NDArray[np.float64]
    without: NDArray[np.float64]
    chance: NDArray[np.float64]
    denominator: NDArray[np.float64]

    @property
    def metric(self) -> str:
        return self.facts["metric"]


def write_documents(path: Path, by_document, scored, *, metric: str, whole, without, chance, denominator) -> str:
    """Write outcomes by document as a table, and return its SHA-256. The arguments are as in `Stored`."""
    parts = {
        "shapley": (by_document, scored),
        "without": (without, denominator),
        "whole": (whole[None], denominator),
        "chance": (chance[None], denominator),
    }
    lines = [
        {"quantity": name, "layer": layer, "document": document, "numerator": f"{top:.9g}", "denominator": f"{below:g}"}
        for name, (numerators, bottom) in parts.items()
        for layer, line in enumerate(numerators)
        for document, (top, below) in enumerate(zip(line, bottom, strict=True))
    ]
    content = gzipped(table_text(DOCUMENTS, lines))
    write_whole(path, content)
    return sha256_of(content)


def stored(folder: Path) -> list[Stored]:
    """The results in a folder such as results/shapley, by name. Raises `InputError` for a damaged file."""
    found = []
    for path in sorted(folder.glob("*.csv")):
        facts = read_json(path.with_suffix(".json"), ("metric", "model", "sha256_of_documents"))
        documents = path.with_suffix(".documents.csv.gz")
        digests = (facts["sha256_of_documents"],)
        table = read_table(documents, DOCUMENTS, DOCUMENTS[1:], digests=digests)
        arrays = {
            name: tuple(
                part.pivot(index="layer", columns="document", values=column).to_numpy()
                for column in ("numerator", "denominator")
            )
            for name, part in table.groupby("quantity")
        }
        found.append(
            Stored(
                path.stem,
                LayerScores.load(path),
                facts,
                arrays["shapley"][0],
                arrays["shapley"][1][0],
                arrays["whole"][0][0],
                arrays["without"][0],
                arrays["chance"][0][0],
                arrays["whole"][1][0],
            )
        )
    return found
