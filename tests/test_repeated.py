"""`make book FRESH=1`: rows computed anew against the stored ones."""

from dataclasses import replace

import pytest

from avss.engine.trie import Walk
from avss.errors import InputError
from avss.report import repeated
from avss.report.comparisons import FIRST_ROW
from avss.report.snapshot import Results
from avss.runs.again import run_again
from avss.runs.profile import Row
from avss.store import Store
from tests.conftest import COMMON
from tests.stores import DOCUMENTS, PERPLEXITY_ROW, REMOVED, fill


def compared(tmp_path, rows=(), stored=None, **fresh):
    fill(Store(tmp_path / "stored"), "mini", **(stored or fresh))
    fill(Store(tmp_path / "fresh"), "mini", **fresh)
    return repeated.repeated(Results(Store(tmp_path / "fresh")), Results(Store(tmp_path / "stored")), rows)


def test_the_same_numbers_agree(tmp_path):
    (line,) = compared(tmp_path).itertuples()
    assert line.agrees
    assert (line.row, line.same_blocks, line.largest_difference) == (FIRST_ROW, 1, 0)
    assert line.measurements == line.stored == sum(map(len, REMOVED.values()))


@pytest.mark.parametrize(("change", "agrees"), [(0.9 / DOCUMENTS, True), (1.1 / DOCUMENTS, False)])
def test_a_share_of_right_answers_may_differ_by_one_document(tmp_path, change, agrees):
    found = compared(tmp_path, stored={"values": {"5": 0.5 + change}}, values={"5": 0.5})
    assert list(found["agrees"]) == [agrees]


@pytest.mark.parametrize(("factor", "agrees"), [(1.0005, True), (1.002, False)])
def test_a_perplexity_may_differ_by_a_thousandth_of_a_nat(tmp_path, factor, agrees):
    found = compared(
        tmp_path, stored=PERPLEXITY_ROW | {"values": {"5": 100 * factor}}, **PERPLEXITY_ROW, values={"5": 100}
    )
    assert list(found["agrees"]) == [agrees]


def test_other_blocks_in_more_than_one_of_twenty_measurements_differ(tmp_path):
    fill(Store(tmp_path / "stored"), "mini", removed=REMOVED | {("random", "none"): ["2", "5", "2"]})
    fill(Store(tmp_path / "fresh"), "mini")
    found = repeated.repeated(Results(Store(tmp_path / "fresh")), Results(Store(tmp_path / "stored")))
    assert found["same_blocks"].item() == pytest.approx(12 / 13)
    assert not found["agrees"].item()


def test_a_measurement_that_is_not_stored_does_not_agree(tmp_path):
    found = compared(tmp_path, stored={"removed": {("original", "none"): ["none"]}}, revision="aaaa")
    assert (found["stored"].item(), found["agrees"].item()) == (1, False)


def test_rows_that_are_not_computed_anew_are_named(tmp_path):
    with pytest.raises(InputError, match="no measurement of other; run it first"):
        compared(tmp_path, rows=["other"])
    with pytest.raises(InputError, match="no measurement of any row"):
        repeated.repeated(Results(Store(tmp_path / "empty")), Results(Store(tmp_path / "stored")))


def test_the_command_fails_where_a_row_differs(tmp_path, capsys):
    assert compared(tmp_path)["agrees"].all()
    assert repeated.main([str(tmp_path / "fresh"), str(tmp_path / "stored")]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 rows agree with the stored results\n")
    assert repeated.main([str(tmp_path / "fresh"), str(tmp_path / "empty"), "--rows", FIRST_ROW]) == 1
    assert "DIFFERS" in capsys.readouterr().out
    assert repeated.main([str(tmp_path / "empty"), str(tmp_path / "stored")]) == 2


def test_a_row_computed_anew_starts_from_nothing(saved, tmp_path):
    row = Row("r", "sentiment", str(saved("bert")), "microworld/reviews", documents=8, remove=1, seeds=1, samples=4)
    for _ in range(2):
        run_again(row, "p", tmp_path)
        (run,) = Store(tmp_path).provenances("p", "r")
        assert len(run["asked"]) == len(Store(tmp_path).observations())


def test_methods_of_a_row_computed_anew_share_their_losses(saved, tmp_path, monkeypatch):
    walked, outcomes = [], Walk.outcomes
    monkeypatch.setattr(Walk, "outcomes", lambda walk, masks: (walked.append(len(masks)), outcomes(walk, masks))[1])
    methods = ("cim", "leave_one_out")
    row = Row("r", "sentiment", str(saved("bert")), "microworld/reviews", documents=8, remove=1, seeds=1, samples=4)
    run_again(replace(row, methods=methods), "p", tmp_path)
    # The whole model, each block off and each half on; for leaving one out, nothing more.
    assert walked[:2] == [2 * COMMON["num_hidden_layers"] + 1, 0]
