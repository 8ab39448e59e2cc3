"""The findings of the page "Explorer", computed by the package from the data of the page (`avss.report.explorer`).

The browser computes the same numbers again; each finding links to the view that shows them.
"""

import warnings
from collections.abc import Iterable
from html import escape
from urllib.parse import urlencode

import numpy as np

from avss import intervals, selection
from avss.moments import Moments, histogram_edges
from avss.reading import Reading
from avss.report.comparisons import label
from avss.report.explorer import data
from avss.report.layer_statistics import EPSILONS, FIRST_BIN, unpacked
from avss.report.markdown import NOT_MEASURED, Text, runs_of
from avss.report.snapshot import Results
from avss.scores import from_moments
from avss.store import layers_of, layers_text

# With a smaller share of activations near zero, a handful of them may decide.
MARGIN = 0.01


def findings_table(results: Results) -> Text:
    """The numbers behind the findings, as a list; that nothing is measured, where there are no statistics."""
    shown = data(results)
    models, sets = shown["models"], shown["subsets"]
    found = [*([_depth(models), _thresholds(models[0])] if models else []), *map(_choosers, sets[:1])]
    return Text("\n".join([f"- {text}" for text in found] or [f"{NOT_MEASURED.capitalize()}."]) + "\n")


def values(moments: list[Moments], epsilon: float) -> np.ndarray:
    """Eq. 8 of every block under a threshold; S = 0 counts as 1/N."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no activation below epsilon")
        return from_moments(moments, Reading(epsilon=epsilon)).table["normalized_avss"].to_numpy()


def thresholds(moments: list[Moments]) -> list[float]:
    """Those of the page's thresholds with a share of at least `MARGIN` of each block's activations on either side."""
    edges = histogram_edges()[FIRST_BIN + 1 :]
    counted = ((epsilon, [layer.sparsity(epsilon) for layer in moments]) for epsilon in sorted({*edges, *EPSILONS}))
    return [float(epsilon) for epsilon, shares in counted if min(shares) >= MARGIN and max(shares) <= 1 - MARGIN]


def _view(anchor: str, text: str, **state) -> str:
    return f'<a href="?{escape(urlencode(state))}#{anchor}">{text}</a>'


def _listed(items: Iterable) -> str:
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def _depth(models: list[dict]) -> str:
    """Which blocks AVSS removes in every model at the paper's threshold, beside the order of depth."""
    told, first = [], 0
    for model in models:
        scores = values(unpacked(model["statistics"]["block_output"]["all"]), Reading().epsilon)
        removed = selection.lowest(scores, model["remove"] or max(1, model["layers"] // 4))
        first += set(removed) == set(range(len(removed)))
        tau = f"{intervals.kendall_tau(scores, range(len(scores))):.2f}".replace("-", "−")
        view = _view("explore", model["model"], model=model["row"], amount=len(removed))
        told.append(f"{runs_of(removed)} of {model['layers']} in {view} (τ {tau})")
    return (
        f"Under the reading `paper`, AVSS removes exactly the first blocks in {first} of {len(models)} models. "
        f"It removes {_listed(told)}; τ is Kendall's τ of the score with depth. Scores are those of one calibration "
        "sample."
    )


def _thresholds(model: dict) -> str:
    """How many different blocks one threshold or another makes AVSS remove first, in the smallest model."""
    moments = unpacked(model["statistics"]["block_output"]["all"])
    grid = thresholds(moments)
    removed = {epsilon: selection.lowest(values(moments, epsilon), 1)[0] for epsilon in grid}
    blocks = sorted(set(removed.values()))
    examples = [
        _view(
            "explore",
            f"block {block}",
            model=model["row"],
            epsilon=min(e for e, one in removed.items() if one == block),
        )
        for block in blocks
    ]
    return (
        f"The threshold ε alone decides which block of {model['model']} goes. Over the {len(grid)} thresholds that "
        f"have at least {MARGIN:.0%} of each block's activations on either side, AVSS gives the lowest score to "
        f"{len(blocks)} different blocks: {_listed(examples)}. Each link is the smallest such threshold."
    )


def _choosers(row: dict) -> str:
    """The ranks of the sets that AVSS and block influence choose, among all sets of their size."""
    sizes = range(1, row["layers"])
    by_size = {size: [] for size in sizes}
    for name, one in row["measured"].items():
        by_size[len(layers_of(name))].append(one["value"])
    higher = row["higher_is_better"]
    told = []
    for chooser in (one for one in row["choosers"] if one["method"] != "random"):
        ranks, above = [], 0
        for size in sizes:
            blocks = selection.lowest(chooser["scores"], size)
            own = row["measured"][layers_text(blocks)]
            better = [value > own["value"] if higher else value < own["value"] for value in by_size[size]]
            ranks.append(1 + sum(better))
            mean = np.mean(by_size[size])
            above += own["low"] > mean if higher else own["high"] < mean
        told.append(
            f"{label(chooser['method'])} chooses the sets of rank {_listed(ranks)}, whose whole interval is better "
            f"than the average set of their size in {above} of {len(ranks)} sizes"
        )
    counts = _listed(len(by_size[size]) for size in sizes)
    blocks = selection.lowest(row["choosers"][0]["scores"], 2)
    view = _view("remove-blocks", f"blocks {runs_of(blocks)}", without=",".join(map(str, sorted(blocks))))
    return (
        f"Of {row['model']} there are {counts} sets of {_listed(sizes)} blocks. {'; '.join(told)}. Begin with {view}, "
        "the two blocks that AVSS removes."
    )


TABLES = {"explorer_findings": findings_table}
