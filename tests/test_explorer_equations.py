"""The equations in the browser against those in Python, to 1e-9, on random inputs and on the shipped statistics.

`book/_static/equations.js` runs under node; skipped, with the reason, where there is none.
"""

import json
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

from avss import equations, intervals, selection
from avss.moments import HISTOGRAM_BINS, Moments, histogram_edges, magnitude_quantile
from avss.reading import Reading
from avss.report.layer_statistics import EPSILONS, FIRST_BIN, FLOOR, packed, stored, unpacked
from avss.scores import from_moments, rank

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "book/_static/equations.js"
NODE = shutil.which("node")
# Every case is the name of a function and its arguments; the answers come back in the same order.
RUN = """
const avss = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(([name, ...given]) => {
  try { return avss[name](...given); } catch (error) { return {error: error.message}; }
})));
"""
CLOSE = {"rtol": 1e-9, "atol": 0}
COLUMNS = ("variance", "std", "normalized_variance", "sparsity", "normalized_sparsity", "sparsity_deviation")
COLUMNS += ("avss", "normalized_avss", "cumulative_avss", "rank")

pytestmark = pytest.mark.skipif(NODE is None, reason="no node on this machine; install Node.js 20 or newer")


def answers(cases: list[list]) -> list:
    done = subprocess.run(
        [NODE, "-e", RUN, str(SCRIPT)], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def drawn(seed: int) -> Moments:
    """The moments of one block of random activations, of a scale of its own, two documents in it."""
    random = np.random.default_rng(seed)
    parts = [np.float32(random.standard_t(3, size=400) * 10.0 ** random.integers(-4, 3)) for _ in range(2)]
    bins = np.searchsorted(histogram_edges(), np.abs(np.concatenate(parts)).astype(float), side="right") - 1
    return Moments(
        count=np.array([part.size for part in parts]),
        mean=np.array([part.astype(float).mean() for part in parts]),
        m2=np.array([part.astype(float).var() * part.size for part in parts]),
        near_zero=np.array([[(np.abs(part) < epsilon).sum() for epsilon in EPSILONS] for part in parts]),
        epsilons=EPSILONS,
        width=8,
        histogram=np.bincount(bins, minlength=HISTOGRAM_BINS),
    )


def thresholds(moments: list[Moments]) -> list[float]:
    """Each threshold with exact counts of its own, some edges of bins, and three quantiles."""
    edges = histogram_edges()[FIRST_BIN + 1 :][: len(packed(moments)["histogram"][0])]
    quantiles = [magnitude_quantile(moments, share) for share in (0.1, 0.5, 0.9)]
    return [*EPSILONS, *edges[::7], *(found for found in quantiles if found >= FLOOR)]


def check(moments: list[Moments], kept: dict) -> int:
    """Compare all that the page computes of one model's blocks; the number of thresholds."""
    wanted = thresholds(moments)
    found = answers([["from_moments", kept, epsilon, EPSILONS, FIRST_BIN] for epsilon in wanted])
    for epsilon, columns in zip(wanted, found, strict=True):
        # An epsilon that the moments hold in no other way is an edge of their histogram.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = from_moments(moments, Reading(epsilon=float(epsilon))).table
        for name in COLUMNS:
            np.testing.assert_allclose(columns[name], table[name], err_msg=f"{name} at {epsilon}", **CLOSE)
        assert columns["empty"] == np.flatnonzero(table["sparsity"] == 0).tolist()
    return len(wanted)


@pytest.mark.parametrize("seed", range(3))
def test_eqs_1_to_9_of_random_blocks_are_those_of_python(seed):
    moments = [drawn(10 * seed + block) for block in range(5)]
    assert check(moments, packed(moments)) > 20


def test_packed_moments_come_back():
    moments = [drawn(block) for block in range(4)]
    for one, other in zip(moments, unpacked(packed(moments)), strict=True):
        np.testing.assert_allclose(one.variance(), other.variance(), **CLOSE)
        for epsilon in (FLOOR, 1e-5, 0.01, 2.0**-3, 1.0):
            assert one.near_zero_count(epsilon) == other.near_zero_count(epsilon)


def test_eqs_1_to_9_of_the_shipped_statistics_are_those_of_python():
    models = stored(ROOT / "results")
    assert models, "results/statistics is empty"
    for facts in models:
        for site in ("block_output", "mlp_hidden"):
            kept = facts["statistics"][site]["all"]
            moments = unpacked(kept)
            assert packed(moments) | {"m2": kept["m2"]} == kept
            assert check(moments, kept) > 10


def test_single_equations_ranks_and_rules_are_those_of_python():
    random = np.random.default_rng(0)
    cases, expected = [], []
    for layers in (2, 6, 31):
        spread, sparse = random.uniform(0, 50, layers), random.uniform(0.001, 1, layers)
        scores = equations.avss(spread, sparse)
        # Equal scores: the deeper block goes first.
        tied = np.round(scores / scores.max(), 1) + 0.1
        for values in (scores, tied):
            for k in {1, layers // 2, layers - 1}:
                cases.append(["lowest", values.tolist(), int(k)])
                expected.append(selection.lowest(values, int(k)))
            for mass in (0.05, 0.25, 0.5, 0.95):
                cases += [[rule, values.tolist(), mass] for rule in ("cumulative", "released_code")]
                expected += [selection.cumulative(values, mass), selection.released_code(values, mass)]
            cases += [["rank", values.tolist()], ["kendall_tau", values.tolist(), list(range(layers))]]
            expected += [rank(values).tolist(), intervals.kendall_tau(values, range(layers))]
        for name in ("standard_deviation", "normalized_variance"):
            cases.append([name, spread.tolist()])
            expected.append(getattr(equations, name)(spread))
        for name in ("normalized_sparsity", "sparsity_deviation"):
            cases.append([name, sparse.tolist()])
            expected.append(getattr(equations, name)(sparse))
        cases += [["avss", spread.tolist(), sparse.tolist()], ["normalized_avss", scores.tolist()]]
        expected += [scores, equations.normalized_avss(scores)]
        cases.append(["cumulative_avss", equations.normalized_avss(scores).tolist()])
        expected.append(equations.cumulative_avss(equations.normalized_avss(scores)))
    for case, found, wanted in zip(cases, answers(cases), expected, strict=True):
        # JSON has no nan: there Kendall's tau of values that are all equal is null.
        found = np.nan if found is None else found
        np.testing.assert_allclose(found, wanted, err_msg=str(case), **CLOSE)


def test_edges_and_quantiles_are_those_of_python():
    bins = [0, 1, FIRST_BIN, FIRST_BIN + 1, 1000, HISTOGRAM_BINS - 1]
    assert answers([["edge", place] for place in bins]) == histogram_edges()[bins].tolist()
    moments = [drawn(block) for block in range(3)]
    shares = [0.2, 0.5, 0.99]
    found = answers([["magnitude_quantile", packed(moments), share, FIRST_BIN] for share in shares])
    assert found == [magnitude_quantile(moments, share) for share in shares]


def test_a_sparsity_of_zero_is_an_error_and_in_the_table_a_bound():
    error, table = answers(
        [["avss", [1, 2], [0.5, 0]], ["from_moments", packed([drawn(0), drawn(2)]), 1e-5, EPSILONS, FIRST_BIN]]
    )
    assert "sparsity is 0 in blocks 1" in error["error"]
    assert all(score > 0 for score in table["avss"])


def test_a_threshold_that_was_not_counted_is_refused():
    (found,) = answers([["from_moments", packed([drawn(0)]), 0.0123, EPSILONS, FIRST_BIN]])
    assert "near-zero counts were not made for epsilon = 0.0123" in found["error"]
