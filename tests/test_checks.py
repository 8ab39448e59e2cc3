"""Each kind of check on tables where the verdict is plain, and the verdict that its cases make together."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from avss.methods.catalogue import BASELINES
from avss.report import audit
from avss.report.audit import ask, verdict
from avss.report.cases import Margin, Source
from avss.report.checks import CHECKS
from avss.report.tables import audit as tables

# Two data sets, two models each.
LINES = pd.DataFrame(
    {"task": "sentiment", "dataset": ["A", "A", "B", "B"], "model": ["small", "large", "small", "large"]}
).assign(
    gbis=0.5, lrp=[0.6, 0.5, 0.6, 0.6], cim=0.7, avss=0.8, parameter_reduction=["16.67%", "12.50%", "15.62%", "20%"]
)


def score(value, low=None, high=None, metric="accuracy", original=1.0):
    """A score; without bounds it is a printed one."""
    low, high = (value, value) if low is None else (low, high)
    kept = {"retention": value / original, "retention_low": low / original, "retention_high": high / original}
    n = np.nan if low == high else 100
    return SimpleNamespace(value=value, low=low, high=high, metric=metric, n=n, **kept)


def margin(value, low, high, outcome=None):
    return Margin(value, low, high, outcome or ("holds" if low > 0 else "fails" if high < 0 else "undecided"), 100)


def source(scores=None, margins=None, blocks=None, name="mini") -> Source:
    return Source(name, scores or {}, margins or {}, blocks or {})


def outcomes(kind: str, known: Source, lines: pd.DataFrame = LINES, /, **parameters) -> list[str]:
    return [case.outcome for case in CHECKS[kind].cases(known, lines, **parameters)]


def test_retention_lies_above_where_its_whole_interval_does():
    kept = {0: score(0.95, 0.92, 0.98), 1: score(0.95, 0.88, 0.99), 2: score(0.8, 0.7, 0.89)}
    measured = source({(line, "avss"): each for line, each in kept.items()})
    assert outcomes("retention", measured, methods=["avss"], share=0.9) == [
        "holds",
        "undecided",
        "fails",
        "not measured",
    ]


def test_a_decline_is_seen_where_the_interval_leaves_out_the_original():
    kept = {0: score(0.9, 0.85, 0.95), 1: score(0.99, 0.95, 1.02), 2: score(1.1, 1.05, 1.2), 3: score(1, 1.0, 1.0)}
    measured = source({(line, "gbis"): each for line, each in kept.items()})
    assert outcomes("decline", measured, methods=["gbis"]) == ["holds", "undecided", "fails", "fails"]
    assert outcomes("decline", measured, methods=["gbis"], expected=False) == ["fails", "undecided", "holds", "holds"]


def all_margins(*by_line) -> dict:
    return {(line, other): each for line, each in enumerate(by_line) for other in BASELINES}


def test_best_needs_all_baselines_and_one_that_is_better_is_enough_to_fail():
    margins = all_margins(*[margin(0.1, 0.05, 0.2)] * 4)
    margins[1, "lrp"] = margin(0.02, -0.01, 0.05)
    margins[2, "lrp"], margins[2, "cim"] = margin(0.02, -0.01, 0.05), margin(-0.1, -0.2, -0.05)
    del margins[3, "cim"]
    assert outcomes("best", source(margins=margins)) == ["holds", "undecided", "fails", "not measured"]
    assert outcomes("best", source(margins=margins), others=["gbis"]) == ["holds"] * 4
    told = CHECKS["best"].cases(source(margins=margins), LINES)[2].numbers
    assert told == "over CIM −0.100 [−0.200,\u00a0−0.050], n\u00a0=\u00a0100"


def test_a_comparison_that_holm_leaves_undecided_is_so_whatever_its_interval():
    margins = all_margins(*[margin(0.1, 0.05, 0.2, "undecided")] * 4)
    assert outcomes("best", source(margins=margins)) == ["undecided"] * 4
    assert verdict(outcomes("best", source(margins=margins))) == "undecided"


def test_wins_count_every_row_and_baseline():
    margins = all_margins(margin(0.1, 0.05, 0.2), margin(-0.1, -0.2, -0.05))
    found = outcomes("wins", source(margins=margins))
    assert found == ["holds"] * 3 + ["fails"] * 3 + ["not measured"] * 6


def test_a_mean_over_rows_needs_all_of_them():
    margins = all_margins(margin(0.3, 0.2, 0.4), margin(-0.1, -0.15, -0.05), margin(0.3, 0.2, 0.4))
    # (0.2 - 0.15) / 2 > 0.
    assert outcomes("best_mean", source(margins=margins), by="dataset") == ["holds", "not measured"]
    margins |= {(3, other): margin(-0.3, -0.5, -0.1) for other in BASELINES}
    assert outcomes("best_mean", source(margins=margins), by="dataset") == ["holds", "undecided"]
    margins[0, "lrp"] = margins[1, "lrp"] = margin(-0.1, -0.2, -0.05)
    assert outcomes("best_mean", source(margins=margins), by="dataset")[0] == "fails"


def test_a_lead_is_the_largest_where_no_other_comes_near():
    near, far = margin(0.1, 0.05, 0.15), margin(0.4, 0.3, 0.5)
    margins = all_margins(far, near, far, near)
    largest = {"by": "model", "value": "small"}
    assert outcomes("largest_lead", source(margins=margins), **largest) == ["holds"]
    assert outcomes("largest_lead", source(margins=margins), by="model", value="large") == ["fails"]
    # Over the best baseline, so one that comes near is enough; [0.05, 0.35] overlaps.
    margins[0, "cim"] = margins[2, "cim"] = margin(0.2, 0.05, 0.35)
    assert outcomes("largest_lead", source(margins=margins), **largest) == ["undecided"]
    behind = all_margins(margin(-0.1, -0.2, -0.05), near, margin(-0.1, -0.2, -0.05), near)
    worse = {key: each if key[0] in (0, 2) else margin(-0.9, -0.95, -0.8) for key, each in behind.items()}
    assert outcomes("largest_lead", source(margins=worse), **largest) == ["fails"], "to lose by less is no lead"
    del margins[3, "gbis"]
    assert outcomes("largest_lead", source(margins=margins), **largest) == ["not measured"]


def test_the_runner_up_is_second():
    three = pd.DataFrame({"dataset": "A", "model": ["x", "y", "z"]})
    values = {(0, "avss"): score(0.9), (1, "avss"): score(0.8), (2, "avss"): score(0.7)}
    assert [outcomes("runner_up", source(values), three, model=name) for name in "xyz"] == [
        ["fails"],
        ["holds"],
        ["fails"],
    ]
    turned = {key: score(each.value, metric="perplexity") for key, each in values.items()}
    assert [outcomes("runner_up", source(turned), three, model=name) for name in "yz"] == [["holds"], ["fails"]]
    wide = {(0, "avss"): score(0.9, 0.85, 0.95), (1, "avss"): score(0.8, 0.7, 0.87), (2, "avss"): score(0.5, 0.4, 0.6)}
    assert [outcomes("runner_up", source(wide), three, model=name) for name in "xyz"] == [
        ["undecided"],
        ["undecided"],
        ["fails"],
    ]
    assert outcomes("runner_up", source({(0, "avss"): score(0.9)}), three, model="x") == ["not measured"]


def test_a_measured_value_is_the_printed_one_where_its_interval_covers_it():
    measured = source({(0, "avss"): score(0.8, 0.7, 0.9), (1, "avss"): score(0.5, 0.4, 0.6)})
    assert outcomes("value", measured, value=0.75) == ["holds", "fails", "not measured", "not measured"]


def test_the_order_of_blocks_is_settled_by_a_corrected_p():
    truth = np.arange(6.0)
    # Of 720 orders of six blocks one agrees in full and one is the reverse, so p is 2 / 720.
    scores = {0: truth, 1: -truth, 2: np.array([0, 3, 1, 5, 2, 4.0])}
    blocks = {(line, "avss"): (np.stack([each] * 2), np.stack([truth] * 2)) for line, each in scores.items()}
    found = outcomes("rank_agreement", source(blocks=blocks), quantity="avss", sign=1)
    assert found == ["holds", "fails", "undecided", "not measured"]
    turned = outcomes("rank_agreement", source(blocks=blocks), quantity="avss", sign=-1)
    assert turned == ["fails", "holds", "undecided", "not measured"]
    told = CHECKS["rank_agreement"].cases(source(blocks=blocks), LINES, quantity="avss", sign=1)[0].numbers
    assert told == f"tau +1.00 [+1.00,\u00a0+1.00], p\u00a0(Holm) = {3 * 2 / 720:.3f}, blocks: 6"
    # Of four blocks p is 2 / 24, so no order settles anything.
    few = {(0, "avss"): (np.arange(4.0)[None], np.arange(4.0)[None])}
    assert outcomes("rank_agreement", source(blocks=few), LINES[:1], quantity="avss", sign=1) == ["undecided"]


def test_one_model_on_three_data_sets_is_one_model():
    """The claim holds on each of two rows of one model, fails on one of the other's two, and one row is too weak."""
    kept = [score(0.95, 0.92, 0.98), score(0.5, 0.4, 0.6), score(0.97, 0.92, 0.99), score(0.99, 0.95, 1.0)]
    known = source({(line, "avss"): each for line, each in enumerate(kept)})
    for line, model in enumerate(["small", "large", "small", "large"]):
        known.models[line], known.ran[line] = model, f"data {line}, {model}"
    claim = audit.Claim("one", "1", "It is so.", "so", "retention", "every", LINES, {"methods": ["avss"], "share": 0.9})
    found = ask(claim, known)
    assert found.models == {"small": "holds", "large": "fails"}
    assert (str(found.by_model), str(found.by_case)) == ("1 of 2 holds, 1 fails", "3 of 4 hold, 1 fails")
    assert tables._cell(found) == "models: 1 of 2 holds, 1 fails; rows: 3 of 4 hold, 1 fails"
    known.weak[1] = "F1 0.02"
    found = ask(claim, known)
    assert found.models == {"small": "holds", "large": "holds"}
    assert str(found.by_case) == "3 of 3 hold, 1 too weak to judge"
    assert found.cases[1].numbers == "data 1, large: F1 0.02"
    known.weak[3] = "F1 0.03"
    assert str(ask(claim, known).by_model) == "1 of 1 holds, 1 too weak to judge"


def test_shares_entries_and_values_of_the_table():
    nothing = source()
    assert outcomes("share_removed", nothing, low=15, high=16.67) == ["holds", "fails", "holds", "fails"]
    blocks = {"blocks": 6, "block_parameters": 125, "parameters": 1000}
    models = {"small": blocks, "large": blocks | {"blocks": 32}}
    assert outcomes("whole_blocks", nothing, of="blocks", models=models) == ["holds", "holds", "fails", "fails"]
    assert outcomes("whole_blocks", nothing, of="parameters", models=models) == ["fails", "holds", "fails", "fails"]
    assert outcomes("distinct", nothing) == ["holds", "fails", "holds", "holds"]
    assert outcomes("count", nothing, column="dataset", low=2) == ["holds"]
    assert outcomes("count", nothing, column="dataset", low=3, high=3) == ["fails"]
    assert outcomes("not_printed", nothing) == ["not measured"]


@pytest.mark.parametrize(
    ("found", "needs", "expected"),
    [
        ("holds holds", "every", "holds"),
        ("holds fails", "every", "fails"),
        ("holds open", "every", "undecided"),
        # A row that is missing keeps a claim about all of them from holding.
        ("holds unknown", "every", "undecided"),
        ("fails open", "every", "fails"),
        ("open unknown", "every", "undecided"),
        ("unknown unknown", "every", "not measured"),
        ("weak unknown", "every", "too weak to judge"),
        ("holds holds fails", "most", "holds"),
        ("holds fails", "most", "fails"),
        ("fails open open", "most", "undecided"),
        ("fails fails open", "most", "fails"),
        ("holds unknown unknown", "most", "undecided"),
    ],
)
def test_cases_make_a_verdict(found, needs, expected):
    words = {"open": "undecided", "unknown": "not measured", "weak": "too weak to judge"}
    assert verdict([words.get(outcome, outcome) for outcome in found.split()], needs) == expected
