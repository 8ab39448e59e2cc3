"""Coverage: every row and every run is listed, with what failed and what was never measured."""

import json

import pytest

from avss.report.comparisons import FIRST_ROW
from avss.report.snapshot import Results
from avss.report.table1 import printed_table
from avss.report.tables.coverage import coverage_table, runs_table
from avss.store import Store
from tests.stores import DOCUMENTS, PERPLEXITY_ROW, REMOVED, SEEDS, fill


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "results")
    fill(made, "reference", removed=REMOVED | {("gbis", "none"): ["1"]})
    fill(made, "mini", fails=(("random", 1), ("random", 2)))
    fill(made, "mini", **PERPLEXITY_ROW)
    return made


def lines(table: str) -> list[list[str]]:
    """The cells of every line below the heading."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if line[:1] == "|"]


def test_rows_are_named_after_what_ran_and_lines_without_one_stand_in_a_note(store):
    fill(store, "mini", row="mine", dataset="my data", model="my model")
    text = coverage_table(Results(store))
    found = lines(text)
    assert [(line[0], line[-1]) for line in found] == [
        *[("SST-2, DistilBERT", "SST-2, DistilBERT")] * 2,
        ("HackerNews, LLama-7B", "HackerNews, LLama-7B"),
        ("my data, my model", ""),
    ]
    note = text.partition("no measured row stands for: ")[2].splitlines()[0]
    paper = [f"{line.dataset}, {line.model}" for line in printed_table().itertuples()]
    assert note.strip(".").split("; ") == [name for name in paper if name not in {line[0] for line in found}]
    assert "Profiles that have not run: paper." in text


def test_what_was_measured_names_methods_readings_selections_seeds_and_n(store):
    reference, mini = lines(coverage_table(Results(store)))[:2]
    every = "original, GBIS, AVSS, random, last"
    assert reference[:3] == ["SST-2, DistilBERT", "reference", every]
    assert reference[3:-1] == ["`paper`, `released-code`", "`lowest(1)`", f"1–{SEEDS}", str(DOCUMENTS), ""]
    assert mini[2] == every.replace("GBIS, ", "")
    assert mini[-2] == "2 of 13: no room"


def test_without_failures_there_is_no_column_for_them(tmp_path):
    made = Store(tmp_path / "results")
    fill(made, "mini")
    assert "failed" not in coverage_table(Results(made)).splitlines()[0]


def test_a_row_of_which_all_failed_is_no_gap(tmp_path):
    made = Store(tmp_path / "results")
    fill(made, "mini", removed={("original", "none"): ["none"]}, fails=(("original", 0),))
    line = lines(coverage_table(Results(made)))[0]
    assert line[:3] == ["SST-2, DistilBERT", "mini", "none"]
    assert line[-2] == "1 of 1: no room"


def test_an_older_models_observations_do_not_count(store):
    fill(store, "mini", revision="bbbb", created="2026-02-01T00:00:00Z", removed={("original", "none"): ["none"]})
    assert lines(coverage_table(Results(store)))[1][2] == "original"


def test_every_run_tells_when_how_long_on_what_and_with_which_code(store):
    path = next(store.root.glob(f"reference/{FIRST_ROW}/*.json"))
    hardware = {"processor": "slate", "accelerator": "abacus", "threads": 4}
    known = {"seconds": 3725.4, "git_revision": "0123456789abcdef", "git_dirty": True, "hardware": hardware}
    path.write_text(json.dumps(json.loads(path.read_text()) | known))
    table = runs_table(Results(store))
    found = {line[0]: line[1:] for line in lines(table)}
    assert found[f"`{path.stem}`"] == ["01 Jan 2026, 00:00", "1:02:05", "abacus", "4", "`0123456` with changes", "14"]
    [unfinished] = [line for run, line in found.items() if run.startswith(f"`mini-{FIRST_ROW}-20260101T000000Z-1-")]
    assert unfinished == [
        "01 Jan 2026, 00:00",
        "did not finish",
        "slate",
        *["not recorded"] * 2,
        "13, 2 of them failed",
    ]
    assert table.endswith("\nRuns: 3. Those that finished took 1:02:05 together.\n")


def test_a_curve_of_sparsity_is_kept_whole_and_not_timed(store):
    path = next(store.root.glob(f"reference/{FIRST_ROW}/*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"curve": "0123"}))
    assert {line[0]: line[2] for line in lines(runs_table(Results(store)))}[f"`{path.stem}`"] == "not timed"


def test_a_store_without_runs_has_an_empty_list(tmp_path):
    assert lines(runs_table(Results(Store(tmp_path)))) == []
