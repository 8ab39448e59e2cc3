"""The snapshot of the results: what is shown is what the newest configuration asks for, and the rest is listed."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from avss import store as store_module
from avss.report.block_scores import layer_values, taus_of_pairs
from avss.report.comparisons import FIRST_ROW, differences, lowest_removals, successes, summary
from avss.report.figures import BOOK_FIGURES, ROW_FIGURES
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows
from avss.report.tables import TABLES
from avss.store import Store
from tests.stores import PERPLEXITY_ROW, REMOVED, SEEDS, fill, keys_of

LATER = "2026-02-01T00:00:00Z"
TWO = {cell: [layers if layers == "none" else "1+2" for layers in sets] for cell, sets in REMOVED.items()}


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "results")


def left_over(results: Results) -> str:
    """The note of the coverage page about observations of earlier configurations."""
    return TABLES["coverage_table"](results).partition("\nLeft from an earlier configuration")[2]


def test_a_row_that_removed_one_layer_and_then_two_shows_two_alone(store):
    first = fill(store, "mini")
    fill(store, "mini", created=LATER, removed=TWO, asked=keys_of(TWO))
    results = Results(store)
    avss = summary(results).query("source == 'mini' and method == 'avss' and reading == 'paper'").iloc[0]
    assert avss["seeds"] == SEEDS
    assert avss["removed"] == f"1+2 ({SEEDS} of {SEEDS})"
    assert set(lowest_removals(results).query("method != 'original'")["selection"]) == {"lowest(2)"}
    assert set(layer_values(results, "variance")["seeds"]) == {SEEDS}
    assert set(results.left_over["key"]) == set(first[1:])
    assert "`lowest(1)`" in left_over(results)
    assert "`lowest(2)`" not in left_over(results)


FEWER_SEEDS = {cell: sets[:2] for cell, sets in REMOVED.items()}
NO_RANDOM = {cell: sets for cell, sets in REMOVED.items() if cell != ("random", "none")}
ONE_READING = {cell: sets for cell, sets in REMOVED.items() if cell != ("avss", "released-code")}


@pytest.mark.parametrize("asked", [FEWER_SEEDS, NO_RANDOM, ONE_READING], ids=["seeds", "method", "reading"])
def test_cells_that_are_asked_for_no_more_are_in_no_number(store, asked):
    """The newest run found everything measured and recorded what it asks for."""
    fill(store, "mini")
    fill(store, "mini", created=LATER, removed={}, asked=keys_of(asked))
    results = Results(store)
    found = summary(results).query("source == 'mini' and method != 'original'")
    expected = {cell: len(sets) for cell, sets in asked.items() if cell[0] != "original"}
    assert found.set_index(["method", "reading"])["seeds"].to_dict() == expected
    compared = differences(results).query("source == 'mini'")
    assert set(compared.set_index(["method", "reading"]).index) <= set(expected)
    assert set(taus_of_pairs(results)["method"]) <= {method for method, _ in expected}
    assert len(results.in_use) + len(results.left_over) == len(results.observations)
    assert left_over(results)


@pytest.mark.parametrize("changed", ["other samples", "other model", "other context"])
def test_observations_of_other_samples_or_another_model_are_left_over(store, changed):
    """Their keys differ, and nothing else in the store tells samples and context apart."""
    old = fill(store, "mini", revision=changed)
    fill(store, "mini", created=LATER)
    results = Results(store)
    assert set(results.left_over["key"]) == set(old)
    assert len(lowest_removals(results)) == sum(len(sets) for sets in REMOVED.values())


def test_a_row_whose_new_configuration_has_no_result_yet_is_not_measured(store):
    fill(store, "mini")
    fill(store, "mini", created=LATER, removed={}, asked=["another key"])
    fill(store, "reference")
    results = Results(store)
    assert set(lowest_removals(results)["profile"]) == {"reference"}
    assert f"`{FIRST_ROW}` (mini): 13 observations" in left_over(results)


def test_a_failure_that_is_asked_for_no_more_is_no_failure(store):
    fill(store, "mini", fails=(("random", 0),))
    fill(store, "mini", created=LATER, removed={}, asked=keys_of(NO_RANDOM))
    assert (Results(store).in_use["status"] == "ok").all()


def test_rows_of_two_profiles_that_stand_for_one_line_are_shown_together(store):
    fill(store, "mini", row="reviews-small", dataset="reviews", model="small", stands_for=FIRST_ROW)
    fill(store, "reference", row="sst2-encoder", dataset="SST-2", model="encoder", stands_for=FIRST_ROW)
    results = Results(store)
    assert set(lowest_removals(results, "reviews-small")["profile"]) == {"mini", "reference"}
    assert list(lowest_removals(results, FIRST_ROW)["row"].unique()) == ["sst2-encoder", "reviews-small"]


def test_of_two_rows_of_a_profile_that_stand_for_one_line_the_last_counts(store):
    fill(store, "mini", row="old-name", stands_for=FIRST_ROW)
    fill(store, "mini", row="new-name", stands_for=FIRST_ROW, created=LATER)
    results = Results(store)
    assert set(lowest_removals(results, FIRST_ROW)["row"]) == {"new-name"}
    assert set(results.left_over["row"]) == {"old-name"}


def test_all_parts_of_a_snapshot_are_of_one_time(store):
    fill(store, "mini")
    results = Results(store)
    before = len(results.in_use), list(measured_rows(results))
    fill(store, "reference", created=LATER)
    assert (len(results.in_use), list(measured_rows(results))) == before
    assert set(Results(store).in_use["profile"]) == {"mini", "reference"}


def test_a_store_from_before_configurations_were_recorded_shows_its_newest_model(store):
    fill(store, "mini")
    fill(store, "mini", revision="bbbb", created=LATER)
    for path in store.root.rglob("*.json"):
        path.write_text(path.read_text().replace('"asked"', '"unknown"'))
    assert set(Results(store).in_use["revision"]) == {"bbbb"}


def test_every_file_of_the_results_is_read_once_however_many_tables_there_are(store, tmp_path, monkeypatch):
    for profile in ("mini", "reference"):
        fill(store, profile)
        fill(store, profile, **PERPLEXITY_ROW)
    reads, read = Counter(), store_module.read_table

    def counting(path, *arguments, **options):
        reads[Path(path)] += 1
        return read(path, *arguments, **options)

    monkeypatch.setattr(store_module, "read_table", counting)
    results = Results(store)
    for table in TABLES.values():
        table(results)
    assert {path: times for path, times in reads.items() if store.root in path.parents and times > 1} == {}
    assert len([path for path in reads if store.root in path.parents]) == 4 * 3


def test_tables_and_figures_change_nothing_in_the_snapshot_that_they_share(store):
    fill(store, "mini")
    results, untouched = Results(store), Results(store)
    for table in TABLES.values():
        table(results)
    for draw in BOOK_FIGURES.values():
        draw(results)
    for draw in ROW_FIGURES.values():
        draw(results, FIRST_ROW)
    for part in ("observations", "in_use", "left_over", "layers"):
        pd.testing.assert_frame_equal(getattr(results, part), getattr(untouched, part))
    for shared in (summary, differences, taus_of_pairs, successes):
        pd.testing.assert_frame_equal(shared(results, FIRST_ROW), shared(untouched, FIRST_ROW))
