"""The audit: each kind of check on tables where the verdict is plain, the facts of the paper's table, and the tables
and the figure of Table 1.
"""

import re
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import yaml

from avss.errors import InputError
from avss.methods.catalogue import BASELINES
from avss.printed import TABLE_1
from avss.report import audit
from avss.report.audit import ask, findings, load_claims, verdict
from avss.report.cases import Margin, Source
from avss.report.checks import CHECKS
from avss.report.figures.style import style
from avss.report.figures.table_1 import table_1
from avss.report.snapshot import Results
from avss.report.sources import printed_source
from avss.report.table1 import printed_table
from avss.report.tables import audit as tables
from avss.report.tables.table_1 import table_1_table
from avss.store import Store
from tests.stores import PERPLEXITY_ROW, REMOVED, SEEDS, cells, fill

# Two data sets, two models each.
LINES = pd.DataFrame(
    {"task": "sentiment", "dataset": ["A", "A", "B", "B"], "model": ["small", "large", "small", "large"]}
).assign(
    gbis=0.5, lrp=[0.6, 0.5, 0.6, 0.6], cim=0.7, avss=0.8, parameter_reduction=["16.67%", "12.50%", "15.62%", "20%"]
)
CLAIM = {"id": "one", "where": "1", "claim": "It is so.", "quote": "so", "check": "best"}


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


def rows_of(found: list, outcome: str) -> list[str]:
    return [case.name for case in found if case.outcome == outcome]


@pytest.fixture(scope="module")
def printed() -> dict:
    """What the printed table says of each claim of the book."""
    known = printed_source()
    return {claim.id: ask(claim, known) for claim in load_claims()}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    made = Store(tmp_path_factory.mktemp("results"))
    worse = dict.fromkeys([("gbis", "none"), ("lrp", "none"), ("cim", "none")], ["5"] * SEEDS)
    fill(made, "mini", removed=REMOVED | worse)
    fill(made, "mini", **PERPLEXITY_ROW, removed=REMOVED | worse | {("cim", "none"): ["1"] * SEEDS})
    return made


# The paper's table against the paper's text.


def test_avss_is_best_in_nine_of_twelve_rows(printed):
    found = printed["best-in-all-tasks"]
    assert found.verdict == "fails"
    assert rows_of(found.cases, "fails") == ["SST-2, LLama-1B", "HackerNews, LLama-7B", "The Pile, LLama-8B"]
    assert len(rows_of(found.cases, "holds")) == 9
    assert printed["sentiment-best"].verdict == printed["language-modelling-best"].verdict == "fails"
    assert printed["question-answering-best"].verdict == "holds"


def test_over_ninety_percent_is_kept_in_ten_of_twelve_rows(printed):
    found = printed["keeps-over-90"]
    assert found.verdict == "fails"
    told = {case.name: case.numbers for case in found.cases if case.outcome == "fails"}
    assert told == {"HackerNews, LLama-7B: AVSS": "0.854", "The Pile, LLama-8B: AVSS": "0.869"}
    assert len(rows_of(found.cases, "holds")) == 10


def test_the_perplexity_that_the_text_singles_out_is_worse_than_two_baselines(printed):
    assert printed["language-modelling-value"].verdict == "holds"
    assert printed["language-modelling-singled-out"].verdict == "fails"
    lost = rows_of(printed["language-modelling-others-higher"].cases, "fails")
    assert lost == [
        *["HackerNews, LLama-7B: GBIS", "HackerNews, LLama-7B: LRP"],
        *["The Pile, LLama-8B: GBIS", "The Pile, LLama-8B: CIM"],
    ]


def test_two_methods_share_a_value(printed):
    found = printed["values-of-their-own"]
    shared = [(case.name, case.numbers) for case in found.cases if case.outcome == "fails"]
    assert shared == [("HackerNews, LLama-8B", "GBIS, LRP: 6.987")]


def test_the_reduction_is_a_share_of_layers_where_it_can_be_decoded(printed):
    layers, parameters = (printed[f"reduction-of-{of}"] for of in ("layers", "parameters"))
    assert rows_of(layers.cases, "fails") == ["HackerNews, LLama-8B", "The Pile, LLama-8B"]
    assert [case.numbers.split("for ")[1] for case in layers.cases if case.outcome == "holds"] == [
        *["1 of 6", "4 of 16", "8 of 32"],
        *["8 of 32"] * 4,
        *["4 of 32", "5 of 32", "4 of 32"],
    ]
    assert parameters.verdict == "fails"
    models = yaml.safe_load(audit.CLAIMS.read_text())["models"]
    for name, blocks, share in (("DistilBERT", 1, 0.106), ("LLama-1B", 4, 0.197)):
        model = models[name]
        assert blocks * model["block_parameters"] / model["parameters"] == pytest.approx(share, abs=0.0005)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("three-data-sets", "fails"),
        ("five-repetitions", "not measured"),
        ("up-to-a-quarter", "holds"),
        ("a-quarter-of-the-layers", "fails"),
        ("sentiment-value", "holds"),
        ("question-answering-value", "holds"),
        ("sentiment-others-decline", "holds"),
        ("sentiment-avss-does-not-decline", "fails"),
        # The lead is 0.8891 - 0.8739 on DistilBERT, 0.9032 - 0.8934 on Stablelm-3B.
        ("sentiment-especially-stablelm", "fails"),
        ("sentiment-runner-up", "holds"),
        # First on HackerNews, second on The Pile.
        ("language-modelling-runner-up", "fails"),
        ("question-answering-runner-up", "fails"),
        ("avss-ranks-layers", "not measured"),
    ],
)
def test_the_printed_table_and_the_text(printed, claim, expected):
    assert printed[claim].verdict == expected


def test_every_printed_number_is_taken_as_it_is(printed):
    table = printed_table()
    known = printed_source()
    assert len(table) == 12
    for number, line in table.iterrows():
        assert known.scores[number, "avss"].low == known.scores[number, "avss"].high == line["avss"]
        lower = line["direction"] == "lower"
        lead = np.log(line["cim"] / line["avss"]) if lower else line["avss"] - line["cim"]
        assert known.margins[number, "cim"].value == pytest.approx(lead)


# Each kind of check.


def test_retention_lies_above_where_its_whole_interval_does():
    kept = {0: score(0.95, 0.92, 0.98), 1: score(0.95, 0.88, 0.99), 2: score(0.8, 0.7, 0.89)}
    measured = source({(line, "avss"): each for line, each in kept.items()})
    assert outcomes("retention", measured, methods=["avss"], share=0.9) == [
        "holds",
        "undecided",
        "fails",
        "not measured",
    ]


def test_retention_turns_round_for_perplexity(store):
    """`fill` gives a token the loss (3 - 2 * share) / 2, and retention is exp of the difference of the losses."""
    cases = {finding.source: finding for finding in findings(Results(store)) if finding.claim.id == "keeps-over-90"}
    told = {case.name: case for case in cases["mini"].cases}["HackerNews, LLama-7B: AVSS"]
    before, after = (3 - 2 * share for share in (0.9, 0.875))
    assert told.numbers.startswith(f"{np.exp((before - after) / 2):.3f} [")


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


# The claims' file.


def write(path, **changes):
    entry = {name: value for name, value in (CLAIM | changes).items() if value is not None}
    path.write_text(yaml.safe_dump({"claims": [entry]}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"check": "hearsay"}, "claim one: check 'hearsay' is not known; choose one of retention"),
        ({"quote": None}, "claim one lacks quote"),
        ({"needs": "some"}, "claim one: needs 'some' is not known; choose one of every, most"),
        ({"rows": {"genre": "novel"}}, "claim one: column 'genre' is not known"),
        ({"rows": {"dataset": "WikiText"}}, "claim one is about no row of Table 1"),
        ({"colour": "red"}, "claim one: check best does not take {'colour': 'red'}"),
        ({"check": "largest_lead", "by": "model", "value": "GPT-2"}, "claim one: value 'GPT-2' is not known"),
        ({"check": "largest_lead", "by": "genre", "value": "A"}, "claim one: by 'genre' is not known"),
        ({"check": "retention", "methods": ["avs"], "share": 0.9}, "claim one: methods 'avs' is not known"),
        ({"check": "retention", "methods": ["avss"]}, "claim one: check retention does not take"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(InputError) as caught:
        load_claims(write(tmp_path / "claims.yml", **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_claims_of_one_name_are_refused(tmp_path):
    (tmp_path / "claims.yml").write_text(yaml.safe_dump({"claims": [CLAIM, CLAIM]}))
    with pytest.raises(InputError, match="two claims have the id one"):
        load_claims(tmp_path / "claims.yml")


# What is measured.


def test_measured_rows_are_judged_and_the_others_are_not_measured(store):
    found = {finding.claim.id: finding for finding in findings(Results(store)) if finding.source == "mini"}
    best = found["best-in-all-tasks"]
    assert best.verdict == "fails"
    assert rows_of(best.cases, "holds") == ["SST-2, DistilBERT"]
    # CIM removed the same block, so AVSS does not beat it.
    assert rows_of(best.cases, "fails") == ["HackerNews, LLama-7B"]
    assert len(rows_of(best.cases, "not measured")) == 10
    assert found["language-modelling-singled-out"].verdict == "fails"
    assert found["question-answering-best"].verdict == "not measured"


def test_an_interval_across_the_bound_reproduces_nothing(tmp_path):
    """AVSS keeps 0.8 of 0.9 on 40 documents, and CIM loses one document."""
    made = Store(tmp_path / "results")
    fill(made, "mini", removed=REMOVED | {("avss", "paper"): ["2"] * SEEDS, ("cim", "none"): ["1"] * SEEDS})
    found = {finding.claim.id: finding for finding in findings(Results(made)) if finding.source == "mini"}
    low, high = map(float, re.findall(r"(0\.\d+)[],]", found["keeps-over-90"].cases[0].numbers))
    assert low < 0.9 < high
    assert found["keeps-over-90"].verdict == "undecided"
    lost = {case.name: case.outcome for case in found["sentiment-others-decline"].cases}
    assert lost["SST-2, DistilBERT: CIM"] == "undecided"
    assert lost["SST-2, DistilBERT: GBIS"] == "not measured"


def test_scores_of_the_papers_models_are_asked_of_no_other(tmp_path):
    made = Store(tmp_path / "results")
    for profile in ("mini", "paper"):
        fill(made, profile, **PERPLEXITY_ROW)
    asked = {(finding.claim.id, finding.source): finding.verdict for finding in findings(Results(made))}
    assert asked["language-modelling-value", "mini"] == "not asked"
    assert asked["language-modelling-value", "paper"] == "fails"
    assert {asked["three-data-sets", profile] for profile in ("mini", "paper")} == {"not asked"}


def test_the_audit_is_a_table_with_the_cases_below(store):
    text = tables.audit_table(Results(store))
    claims = load_claims()
    table, *folded = text.split(":::{dropdown} ")
    assert len(table.strip().splitlines()) == 2 + len(claims)
    assert [part.splitlines()[0] for part in folded] == [claim.claim for claim in claims]
    line = cells(table, next(claim.claim for claim in claims if claim.id == "best-in-all-tasks"))
    assert line[1:] == [
        "not consistent: 9 of 12 hold, 3 fail",
        "models: 0 of 1 hold, 1 fails; rows: 1 of 2 holds, 1 fails (rows measured: 2 of 12)",
    ]
    assert set(CHECKS) == {line.split("`")[1] for line in tables.check_table(Results(store)).splitlines()[2:]}


def test_the_main_claims_are_those_of_the_audit(store):
    assert set(tables.MAIN) <= {claim.id for claim in audit.load_claims()}
    lines = tables.main_claims_table(Results(store)).splitlines()
    whole = tables.audit_table(Results(store)).splitlines()
    for line, claim in zip(lines[2:], tables.MAIN, strict=True):
        first, *verdicts = [cell.strip() for cell in line.strip("|").split("|")]
        same = next(cells for cells in whole if cells.startswith(f"| {first} |"))
        assert [cell.strip() for cell in same.strip("|").split("|")][2:] == verdicts, claim


def test_table_1_is_as_printed_digit_for_digit(store):
    text = table_1_table(Results(store))
    by_row = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:] if "|" in line]
    as_printed = [line[1:6] for line in by_row if line[0].startswith("**")]
    printed = TABLE_1.read_text().splitlines()[1:]
    assert as_printed == [line.split(",")[6:11] for line in printed]
    assert by_row[0][0] == "**SST-2, DistilBERT**, accuracy, 16.67%"
    assert by_row[1][0] == "SST-2, DistilBERT (mini), 16.67\u00a0% (10.00\u00a0% of the parameters)"
    assert by_row[1][5].startswith("0.875 [")
    assert len(by_row) == 12 + 2
    assert text.count("Lines that no measured row stands for: SST-2, LLama-1B; ") == 1


def test_the_figure_names_what_ran_and_its_title_says_what_was_found(tmp_path):
    made = Store(tmp_path / "results")
    fill(made, "reference", row="mine", dataset="my data", model="my model", stands_for="squad-llama-8b", metric="f1")
    fill(made, "mini")
    fill(made, "mini", **PERPLEXITY_ROW)
    results = Results(made)
    with mpl.rc_context(style("light")):
        figure, data = table_1(results)
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()
    [panel] = figure.axes
    names = [text.get_text() for text in panel.get_yticklabels()]
    assert names == ["my data, my model", "SST-2, DistilBERT", "HackerNews, LLama-7B"]
    assert set(data["source"]) == {"printed", "reference", "mini"}
    # Three random orders decide nothing (tests/test_figures.py).
    assert figure.get_suptitle() == "AVSS keeps less than random removal in 0 of 3 rows, more in 0; 3 undecided"
    assert figure.get_figwidth() <= 7
    assert figure.get_figheight() <= 7
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= figure.get_figwidth()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"claims: 3", b"- a", b"claims: [3]", b"claims: [{id: a", b"claims:\n- {id: a, rows: [x]}"],
)
def test_a_damaged_file_of_claims_is_one_line_with_its_name(tmp_path, content):
    (tmp_path / "claims.yml").write_bytes(content)
    with pytest.raises(InputError, match=r"^\S*claims\.yml[^\n]+$"):
        load_claims(tmp_path / "claims.yml")


@pytest.mark.parametrize("content", [b"", b"\xff", b"id,task\na,b\n", b"printed"])
def test_a_damaged_table_1_is_one_line_with_its_name(tmp_path, monkeypatch, content):
    damaged = TABLE_1.read_bytes().replace(b"0.8891", b"0.88x1") if content == b"printed" else content
    (tmp_path / "table1.csv").write_bytes(damaged)
    monkeypatch.setattr("avss.printed.TABLE_1", tmp_path / "table1.csv")
    with pytest.raises(InputError, match=r"^[^\n]*table1\.csv is damaged [^\n]+install the package again$"):
        printed_table()
