"""Every table and figure works at any time while rows are computed, and says what is missing."""

import matplotlib as mpl
import numpy as np
import pytest

from avss.errors import InputError
from avss.report.comparisons import FIRST_ROW, summary
from avss.report.figures import BOOK_FIGURES, ROW_FIGURES
from avss.report.figures.style import style
from avss.report.snapshot import Results
from avss.report.tables import TABLES, audit, overview, rows
from avss.store import Store
from tests.stores import PERPLEXITY_ROW, REMOVED, SEEDS, cells, fill

ORIGINAL = {("original", "none"): ["none"]}
FAILED = tuple((method, seed) for method, _ in REMOVED for seed in range(SEEDS) if method != "original")
HALF_DONE = {
    "only the original model": {"removed": ORIGINAL},
    "all methods failed": {"fails": FAILED},
    "one method, not AVSS": {"removed": ORIGINAL | {("random", "none"): ["2"]}},
    "AVSS on one seed": {"removed": ORIGINAL | {("avss", "paper"): ["1"]}},
    "an original that failed": {"fails": (("original", 0),)},
    "an original that is not finite": {"values": {"none": np.nan}},
    "scores that are not finite": {"values": {"1": np.inf, "5": np.nan}},
    "a row that stands for no line of the paper": {"row": "mine", "dataset": "my data", "model": "my model"},
}
# `make test` draws everything for these; with the others that takes a while.
SHORT = ("only the original model", "an original that is not finite", "a row that stands for no line of the paper")
STATES = [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in HALF_DONE]
ROW_TABLES = (
    rows.score_table,
    rows.retention_table,
    rows.removal_table,
    rows.agreement_table,
    rows.claim_table,
    rows.basis_table,
    lambda results, row: rows.difference_table(results, "random", row),
)


@pytest.fixture(scope="module", params=STATES)
def half_done(request, tmp_path_factory) -> tuple[Results, str]:
    """A row that is half done, and one that is complete. Tables and figures share the intervals."""
    store, state = Store(tmp_path_factory.mktemp("half-done") / "results"), HALF_DONE[request.param]
    fill(store, "mini", **state)
    fill(store, "mini", **PERPLEXITY_ROW)
    return Results(store), state.get("row", FIRST_ROW)


def test_every_table_is_made_while_a_row_is_half_done(half_done):
    results, row = half_done
    texts = [table(results) for table in TABLES.values()] + [table(results, row) for table in ROW_TABLES]
    for text in texts:
        assert "nan" not in text.split(), text
        assert "inf" not in text.split(), text


def test_every_figure_is_drawn_while_a_row_is_half_done(half_done):
    results, row = half_done
    with mpl.rc_context(style("light")):
        for draw in BOOK_FIGURES.values():
            draw(results)
        for draw in ROW_FIGURES.values():
            figure, _ = draw(results, row)
            figure.draw_without_rendering()


def test_the_tables_of_a_store_in_which_all_failed_say_what_to_run(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini", fails=(*FAILED, ("original", 0)))
    with pytest.raises(InputError, match=r"results are missing .* run `make book` first"):
        overview.glance_table(Results(store))


def test_claims_of_a_row_without_avss_are_not_measured(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini", removed=ORIGINAL)
    for reading in ("paper", "released-code"):
        assert rows.claim_table(Results(store), reading=reading) == "Not measured.\n"


def test_a_row_with_the_original_alone_shows_its_score_and_what_is_missing(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini", removed=ORIGINAL)
    first = "[SST-2, DistilBERT](/book/executed/sentiment.ipynb) (mini)"
    original, *others, stands_for = cells(overview.rows_table(Results(store), "sentiment"), first)
    assert original.startswith("0.900 [")
    assert others == ["not measured"] * 4
    assert stands_for == "SST-2, DistilBERT"


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_stored_value_that_is_not_finite_is_a_failure_and_no_number(tmp_path, value):
    store = Store(tmp_path / "results")
    fill(store, "mini", values={"5": value})
    results = Results(store)
    assert "last" not in set(summary(results)["method"])
    failed = results.in_use[results.in_use["status"] != "ok"]
    assert set(failed["method"]) == {"last", "avss", "random"}
    assert failed["status"].str.startswith("failed: ").all()
    assert "accuracy is " in cells(rows.basis_table(results), "failed")[-1]


def test_a_row_of_ones_own_is_in_no_table_about_the_paper(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini")
    before = [table(Results(store)) for table in (overview.glance_table, audit.audit_table)]
    fill(store, "mini", row="mine", dataset="my data", model="my model")
    assert [table(Results(store)) for table in (overview.glance_table, audit.audit_table)] == before
    assert "| my data, my model | mini |" in TABLES["coverage_table"](Results(store))
    assert cells(overview.rows_table(Results(store), "sentiment"), "my data, my model (mini)")[-1] == "", (
        "stands for none"
    )
    assert "printed" not in set(summary(Results(store), "mine")["source"])
