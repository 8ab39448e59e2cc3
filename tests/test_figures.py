"""Figures and tables: from results alone, the same bytes every time, whatever profiles have run."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from avss import figures, summaries, tables
from avss.errors import InputError
from avss.results import Store

DOCUMENTS, SEEDS, BLOCKS = 40, 3, 6
# What each method removes on each seed, and the share of documents that the model then gets right.
REMOVED = {
    ("original", "none"): ["none"],
    ("avss", "paper"): ["1"] * SEEDS,
    ("avss", "released-code"): ["5"] * SEEDS,
    ("random", "none"): ["2", "5", "1"],
    ("last", "none"): ["5"] * SEEDS,
}
CORRECT = {"none": 0.9, "1": 0.875, "2": 0.8, "5": 0.5}


def fill(store: Store, profile: str, revision: str = "aaaa", created: str = "2026-01-01T00:00:00Z") -> None:
    """One run of the first row, in which every number is known."""
    configuration = {"dataset": "SST-2", "model": "DistilBERT"}
    facts = {"configuration": configuration, "hardware": {"processor": "slate"}, "protocol": "counting"}
    run = store.start(profile, summaries.FIRST_ROW, created, facts)
    for removed, correct in CORRECT.items():
        hits = (np.arange(DOCUMENTS) < correct * DOCUMENTS).astype(float)
        run.add_outcome(f"{profile}{revision}-{removed}", hits, np.ones(DOCUMENTS))
    for (method, reading), sets in REMOVED.items():
        for seed, removed in enumerate(sets):
            observation = {
                **{
                    "key": f"{profile}{revision}{method}{reading}{seed}",
                    "profile": profile,
                    "row": summaries.FIRST_ROW,
                },
                **{"task": "sentiment", "dataset": "SST-2", "data": "data", "data_fingerprint": "ffff"},
                **{"model": "model", "revision": revision, "method": method, "reading": reading, "selection": "lowest"},
                **{"removed": removed, "layers": BLOCKS, "share_of_layers": (removed != "none") / BLOCKS},
                **{"share_of_parameters": 0.1, "seed": seed, "samples": 8, "metric": "accuracy"},
                **{"value": CORRECT[removed], "low": 0, "high": 1, "original": CORRECT["none"], "n": DOCUMENTS},
                **{"seconds": 1, "peak_memory_mb": 1, "status": "ok"},
            }
            known = {"row": summaries.FIRST_ROW, "method": method, "reading": reading, "seed": seed}
            layers = [
                known | {"layer": layer, "quantity": quantity, "value": 1 + layer + seed / 10}
                for layer in range(BLOCKS)
                for quantity in ("variance", "sparsity", "normalized_avss")
                if method == "avss"
            ]
            run.add([observation], layers)


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "results")
    fill(made, "reference")
    fill(made, "mini")
    return made


def cells(table: str, line: str) -> list[str]:
    """The cells of the line of a Markdown table that starts with this text."""
    found = next(text for text in table.splitlines() if text.startswith(f"| {line} |"))
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_figures_load_without_torch_and_transformers():
    code = "import sys, avss.figures; print(*{'torch', 'transformers', 'datasets'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == ""


def test_everything_is_rendered_twice_with_the_same_bytes(store, tmp_path):
    first, second = (figures.render(store, tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in first] == [path.name for path in second]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
    names = {path.name for path in first}
    for name in figures.FIGURES:
        assert {f"{name}.light.svg", f"{name}.dark.svg", f"{name}.pdf", f"{name}.csv"} <= names
    assert {f"{name}.md" for name in tables.TABLES} <= names


@pytest.mark.parametrize("name", figures.FIGURES)
def test_light_and_dark_differ_in_colour_alone(store, name):
    light, dark = (figures.svg(name, store, theme) for theme in ("light", "dark"))
    assert light != dark
    assert len(light) == len(dark)
    assert b"<text" not in light


@pytest.mark.parametrize("profile", ["reference", "mini"])
def test_one_profile_is_enough(tmp_path, profile):
    only = Store(tmp_path / "results")
    fill(only, profile)
    assert all(figures.svg(name, only) for name in figures.FIGURES)
    as_printed, measured = cells(tables.score_table(only), "AVSS")
    assert as_printed == "0.8891"
    assert measured.startswith("0.875\u00a0±\u00a00.000 [")


def test_without_results_the_command_says_what_to_do(tmp_path, capsys):
    assert figures.main([str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "make book" in message
    assert not (tmp_path / "out").exists()


def test_what_was_not_measured_says_so(store):
    table = tables.score_table(store)
    assert cells(table, "GBIS") == ["0.8673", "not measured", "not measured"]
    assert cells(table, "random")[0] == "not measured"
    assert cells(table, "AVSS (released-code)")[0] == "not measured"


def test_retention_is_the_share_of_the_original(store):
    line = summaries.summary(store).query("source == 'mini' and method == 'random'").iloc[0]
    assert line["value"] == pytest.approx(np.mean([0.8, 0.5, 0.875]))
    assert line["retention"] == pytest.approx(np.mean([0.8, 0.5, 0.875]) / 0.9)
    assert line["retention_low"] < line["retention"] < line["retention_high"]
    assert line["sd"] == pytest.approx(np.std([0.8, 0.5, 0.875], ddof=1))


def test_a_verdict_counts_the_choice_of_seeds(store):
    """Over documents alone AVSS beats these three random orders; over documents and seeds that is open."""
    data = (
        summaries.differences(store).query("source == 'mini' and against == 'random'").set_index(["method", "reading"])
    )
    line = data.loc[("avss", "paper")]
    assert line["low"] > 0 >= line["wide_low"]
    assert line["verdict"] == "not told apart"
    assert data.loc[("last", "none"), "verdict"] == data.loc[("avss", "released-code"), "verdict"]


def test_the_same_block_gives_the_same_outcomes(store):
    data = summaries.differences(store).query("source == 'mini' and against == 'AVSS' and reading == 'released-code'")
    assert data["verdict"].item() == "worse"
    same = summaries.differences(store).query("source == 'mini' and method == 'last' and against == 'AVSS'")
    assert same["difference"].item() == data["difference"].item()


def test_a_retrained_model_replaces_the_old_one(store):
    fill(store, "mini", revision="bbbb", created="2026-02-01T00:00:00Z")
    newest = summaries.current(store).query("profile == 'mini'")
    assert set(newest["revision"]) == {"bbbb"}
    assert len(newest) == 1 + 4 * SEEDS
    assert len(summaries.current(store).query("profile == 'reference'")) == 1 + 4 * SEEDS
    layers = summaries.layer_values(store, "variance").query("profile == 'mini'")
    assert set(layers["run"]) == set(newest["run"])
    assert len(layers) == 2 * BLOCKS
    assert set(layers["seeds"]) == {SEEDS}


def test_results_that_lack_outcomes_name_the_run(store):
    for path in store.root.glob("mini/*/*.outcomes.csv.gz"):
        path.unlink()
    with pytest.raises(InputError, match="mini-sst2-distilbert-20260101T000000Z"):
        summaries.summary(store)


def test_the_reading_table_shows_the_presets(store):
    assert cells(tables.reading_table(store), "`population`") == ["`elements`", "`pooled_tokens`"]


def test_markdown_keeps_cells_whole(store):
    table = tables.markdown(pd.DataFrame({"a|b": ["x|y"], "n": [3], "share": [0.12345]}), digits=2, note="Note.")
    assert table.splitlines()[2] == "| x\\|y | 3 | 0.12 |"
    assert table.endswith("\nNote.\n")
