"""The statistics of every block that the explorer computes Eqs. 1 to 9 from: one file a model, numbers alone.

A file holds, for every site and both choices of `tokens`, the sums over all documents: count, mean and M2 (Eq. 1), the
near-zero counts of some thresholds, and the histogram of abs(a), which gives Eq. 4 at the edges of its bins.
`recipes/layer_statistics.py` writes the files. `book/_static/equations.js` reads the same fields.
"""

import json
from pathlib import Path

import numpy as np

from avss.errors import InputError
from avss.moments import HISTOGRAM_BINS, Moments, histogram_edges
from avss.reading import CHOICES
from avss.records import read_json

FOLDER = "statistics"
SITES, TOKENS = CHOICES["site"], CHOICES["tokens"]
# Thresholds that are no edges of bins, counted exactly.
EPSILONS = (1e-5, 1e-4, 1e-3, 0.01, 0.1)
# Magnitudes below this edge share one bin.
FLOOR = 2.0**-20
FIRST_BIN = int(np.searchsorted(histogram_edges(), FLOOR)) - 1


def packed(moments: list[Moments]) -> dict:
    """Moments with a histogram and the near-zero counts of `EPSILONS`, as lists that JSON can hold, one entry a layer.

    The documents are merged. `histogram` starts with the bin below `FLOOR`, which also holds all lower ones.
    """
    binned = np.array([layer.histogram for layer in moments])
    kept = np.column_stack([binned[:, : FIRST_BIN + 1].sum(1), binned[:, FIRST_BIN + 1 :]])
    last = 1 + int(np.flatnonzero(kept.any(0)).max())
    return {
        "width": moments[0].width,
        "count": [layer.elements for layer in moments],
        "mean": [float(layer.count @ layer.mean / layer.elements) for layer in moments],
        "m2": [layer.variance() * layer.elements for layer in moments],
        "near_zero": [[layer.near_zero_count(epsilon) for epsilon in EPSILONS] for layer in moments],
        "histogram": kept[:, :last].tolist(),
    }


def unpacked(kept: dict) -> list[Moments]:
    """The moments of each layer, as of one document."""
    moments = []
    for count, mean, m2, near_zero, counts in zip(
        *(kept[name] for name in ("count", "mean", "m2", "near_zero", "histogram")), strict=True
    ):
        histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        histogram[FIRST_BIN : FIRST_BIN + len(counts)] = counts
        single = (np.array([count]), np.array([mean]), np.array([m2]), np.array([near_zero]))
        moments.append(Moments(*single, EPSILONS, kept["width"], histogram=histogram))
    return moments


def text_of(facts: dict, statistics: dict[str, dict[str, dict]]) -> str:
    """The text of a file: provenance and the `packed` moments of each site and choice of tokens."""
    lines = [f"{json.dumps(site)}: {json.dumps(both)}" for site, both in statistics.items()]
    return json.dumps(facts, indent=1)[:-2] + ',\n "statistics": {\n' + ",\n".join(lines) + "\n }\n}\n"


def stored(root: Path) -> list[dict]:
    """The content of every file under the folder of all results, those of fewest blocks first.

    Raises `InputError` for a file that is damaged, or that lacks a site.
    """
    found = []
    for path in sorted((root / FOLDER).glob("*.json")):
        facts = read_json(path, ("row", "profile", "checkpoint", "statistics"))
        missing = [site for site in SITES if set(facts["statistics"].get(site, ())) != set(TOKENS)]
        if missing:
            raise InputError(
                f"{path} has no statistics of {missing[0]}; make it again with recipes/layer_statistics.py"
            )
        found.append(facts)
    return sorted(found, key=lambda facts: (facts["layers"], facts["row"]))
