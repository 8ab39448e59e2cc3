"""Figures of Eqs. 4 to 9, on a store in which every share is known: the curves are the formulas, one panel a model."""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest

from avss.report.figures import equations as drawn
from avss.report.figures.style import WIDTH, style
from avss.report.snapshot import Results
from avss.store import Store

FIGURES = (drawn.sparsity_by_block, drawn.deviation_by_block, drawn.score_by_block, drawn.cumulative_by_block)
FIRST, SECOND = ("sst2-distilbert", "SST-2", "DistilBERT"), ("hackernews-llama-7b", "HackerNews", "LLama-7B")
SPARSITY = {0: np.array([0.04, 0.01, 0.02, 0.03]), 1: np.array([0.06, 0.03, 0.02, 0.05])}
AVSS = {0: np.array([4.0, 1.0, 2.0, 3.0]), 1: np.array([4.0, 1.0, 3.0, 2.0])}


def fill(store: Store, profile: str, name: str, row: tuple[str, str, str] = FIRST, repeat: int = 1) -> None:
    """A row of two seeds and two readings with these sparsities and scores, each block `repeat` times."""
    facts = {"configuration": {"dataset": row[1], "model": row[2], "stands_for": row[0]}}
    run = store.start(profile, row[0], "2026-01-01T00:00:00Z", facts)
    for reading in ("paper", "released-code"):
        for seed in (0, 1):
            sparsity, score = (np.tile(values[seed], repeat) for values in (SPARSITY, AVSS))
            if reading == "released-code":
                score = score[::-1]
            share = sparsity / sparsity.sum()
            quantities = {
                "normalized_sparsity": share,
                "sparsity_deviation": abs(sparsity - share),
                "normalized_avss": score / score.sum(),
            }
            known = {"row": row[0], "method": "avss", "reading": reading, "seed": seed}
            observation = known | {
                **{"key": f"{profile}{row[0]}{reading}{seed}", "profile": profile, "model": name, "revision": "aaaa"},
                **{"data_fingerprint": "ffff", "selection": "lowest(1)", "removed": "1", "value": 0.5, "status": "ok"},
            }
            layers = [
                known | {"layer": layer, "quantity": quantity, "value": value}
                for quantity, values in quantities.items()
                for layer, value in enumerate(values)
            ]
            run.add([observation], layers)


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "results")
    fill(made, "reference", "models/encoder")
    fill(made, "mini", "mini/distilbert")
    return made


def of(data, **chosen) -> np.ndarray:
    """The means by block of one line of one panel."""
    part = data[(data[list(chosen)] == list(chosen.values())).all(axis=1)]
    assert list(part["layer"]) == list(range(len(part)))
    return part["mean"].to_numpy()


def test_shares_are_means_over_the_seeds_with_lowest_and_highest(store):
    _, data = drawn.sparsity_by_block(Results(store))
    shares = np.array([values / values.sum() for values in SPARSITY.values()])
    for model in ("encoder (reference)", "distilbert (mini)"):
        np.testing.assert_allclose(of(data, model=model, line="paper"), shares.mean(axis=0))
    part = data[(data["model"] == "distilbert (mini)") & (data["line"] == "paper")]
    np.testing.assert_allclose(part[["low", "high"]], np.stack([shares.min(0), shares.max(0)], 1))
    _, data = drawn.score_by_block(Results(store))
    means = of(data, model="distilbert (mini)", line="paper")
    np.testing.assert_allclose(means, [0.4, 0.1, 0.25, 0.25])
    np.testing.assert_allclose(of(data, model="distilbert (mini)", line="released-code"), means[::-1])


def test_the_printed_deviation_follows_sparsity_and_ours_the_mean_share(store):
    _, data = drawn.deviation_by_block(Results(store))
    printed = np.mean([abs(s - s / s.sum()) for s in SPARSITY.values()], axis=0)
    np.testing.assert_allclose(of(data, model="distilbert (mini)", line="Eq. 6 as printed"), printed)
    share = np.mean([s / s.sum() for s in SPARSITY.values()], axis=0)
    ours = of(data, model="distilbert (mini)", line="distance from 1/M (ours)")
    np.testing.assert_allclose(ours, abs(share - 1 / 4))


def test_the_printed_sum_rises_with_depth_and_ours_with_the_score(store):
    _, data = drawn.cumulative_by_block(Results(store))
    printed = of(data, model="encoder (reference)", line="depth order (Eq. 9)")
    np.testing.assert_allclose(printed, [0.4, 0.5, 0.75, 1])
    # Blocks 1, 2, 3, 0 from the lowest score upwards; of equal scores the deeper one goes first.
    ours = of(data, model="encoder (reference)", line="lowest score first (ours)")
    np.testing.assert_allclose(ours, [1, 0.1, 0.6, 0.35])


def test_a_model_with_many_rows_has_one_panel(store):
    fill(store, "mini", "mini/llama-7b", SECOND)
    fill(store, "mini", "mini/distilbert", ("sst2-llama-1b", "SST-2", "LLama-1B"))
    figure, data = drawn.score_by_block(Results(store))
    titles = [panel.get_title().replace("\n", " ").partition(" τ")[0] for panel in figure.axes]
    assert titles == ["encoder (reference)", "distilbert (mini)", "llama-7b (mini)"]
    assert set(data.loc[data["model"] == "distilbert (mini)", "row"]) == {FIRST[0]}


def test_the_title_counts_the_models_that_avss_orders_by_depth(store):
    """The scores of a seed are 4, 1, 2, 3 or 4, 1, 3, 2: of six pairs, three or two are in the order of depth."""
    figure, _ = drawn.score_by_block(Results(store))
    assert figure.get_suptitle() == "AVSS orders the blocks by depth (τ at least 0.9) in 0 of 2 models"
    assert figure.axes[0].get_title().endswith(f"τ\u00a0−{1 / 6:.2f}")
    assert drawn.by_depth([0.95, 0.9, 0.2, float("nan")]).endswith("in 2 of 3 models")


@pytest.mark.parametrize("draw", FIGURES)
def test_without_scores_of_blocks_the_figure_says_so(tmp_path, draw):
    empty = Store(tmp_path / "results")
    fill(empty, "mini", "mini/distilbert")
    for path in empty.root.rglob("*.layers.csv"):
        path.unlink()
    figure, data = draw(Results(empty))
    assert data.empty
    assert [text.get_text() for text in figure.texts] == ["not measured"]


@pytest.mark.parametrize("draw", FIGURES)
def test_panels_fit_the_page_and_none_lies_on_another(store, draw):
    for number in range(3):
        fill(store, f"more{number}", "deep/llama", SECOND, repeat=8)
    with mpl.rc_context(style("light")):
        figure, _ = draw(Results(store))
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        panels = [panel.get_tightbbox() for panel in figure.axes]
    assert figure.get_figwidth() == WIDTH
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= WIDTH
    assert len(figure.axes) == 5
    assert not any(one.overlaps(other) for one, other in combinations(panels, 2))
    assert {panel.get_ylim()[0] for panel in figure.axes} == {0}
