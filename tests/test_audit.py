"""The audit: the paper's table against its text, the file of claims, measured results, and the figure of Table 1."""

import re

import matplotlib as mpl
import numpy as np
import pytest
import yaml

from avss.errors import InputError
from avss.printed import TABLE_1
from avss.report import audit
from avss.report.audit import ask, findings, load_claims
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

CLAIM = {"id": "one", "where": "1", "claim": "It is so.", "quote": "so", "check": "best"}


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


def test_retention_turns_round_for_perplexity(store):
    """`fill` gives a token the loss (3 - 2 * share) / 2, and retention is exp of the difference of the losses."""
    cases = {finding.source: finding for finding in findings(Results(store)) if finding.claim.id == "keeps-over-90"}
    told = {case.name: case for case in cases["mini"].cases}["HackerNews, LLama-7B: AVSS"]
    before, after = (3 - 2 * share for share in (0.9, 0.875))
    assert told.numbers.startswith(f"{np.exp((before - after) / 2):.3f} [")


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
    title = " ".join(figure.get_suptitle().split())
    assert title == "Beyond chance, AVSS keeps less than random removal in 0 of 3 rows, more in 0; 3 undecided"
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
