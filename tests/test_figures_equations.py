"""Figures of Eqs. 4 to 9, on a store in which every share is known: the curves are the formulas, one panel a model.

And the titles, which say what the data show, of these figures and of those on readings, massive activations and EAVSS.
"""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from avss.report.figures import equations as drawn
from avss.report.figures import hallucination, massive, readings
from avss.report.figures.style import WIDTH, style
from avss.report.hallucination import layers, store_of
from avss.report.snapshot import Results
from avss.store import Store
from tests.stores import COMMITTED

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


def plotted(*models: dict[str, list[float]]) -> pd.DataFrame:
    """What a figure plots: for each model the means by block of each line."""
    parts = [
        pd.DataFrame({"model": f"model {number}", "line": line, "layer": range(len(means)), "mean": means})
        for number, lines in enumerate(models)
        for line, means in lines.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_title_says_whether_sparsity_falls_or_rises_with_depth_in_more_models():
    falls, rises, level = [0.6, 0.3, 0.1], [0.1, 0.3, 0.6], [0.3, 0.3, 0.3]
    title = "Sparsity (reading paper) tends to"
    some = [{"paper": falls, "released-code": rises}, {"paper": rises}, {"paper": falls}, {"paper": level}]
    assert drawn.along_depth(plotted(*some)) == f"{title} fall with depth (τ < 0) in 2 of 4 models"
    assert drawn.along_depth(plotted(*some[1:2])) == f"{title} rise with depth (τ > 0) in 1 of 1 models"
    assert drawn.along_depth(plotted(*some[3:])) == f"{title} fall with depth (τ < 0) in 0 of 1 models"


def test_the_title_counts_the_models_in_which_eq_6_orders_by_the_distance():
    printed, ours = "Eq. 6 as printed", "distance from 1/M (ours)"
    same = {printed: [3, 2, 1], ours: [6, 4, 2]}
    other = {printed: [3, 2, 1], ours: [6, 2, 4]}
    none = {printed: [0, 0, 0], ours: [1, 2, 3]}
    title = "Eq. 6 as printed orders the blocks by their distance from the mean share (τ at least 0.9) in"
    assert drawn.by_distance(plotted(same, other, none)) == f"{title} 1 of 2 models; the highest τ is 1.00"
    assert drawn.by_distance(plotted(other)) == f"{title} 0 of 1 models; the highest τ is 0.33"
    assert drawn.by_distance(plotted(none)) == f"{title} 0 of 0 models"


def test_the_title_counts_the_models_in_which_both_sums_cover_the_same_blocks():
    depth, lowest = "depth order (Eq. 9)", "lowest score first (ours)"
    same = {depth: [0.1, 0.25, 1], lowest: [0.1, 0.25, 1]}
    other = {depth: [0.2, 0.5, 1], lowest: [1, 0.8, 0.2]}
    # Both cover no block, so none is the same.
    none = {depth: [0.3, 0.6, 1], lowest: [0.3, 0.6, 1]}
    title = "25\u00a0% of the score covers the same blocks in depth order (Eq. 9) as from the lowest score up in"
    assert drawn.by_sum(plotted(same, other, none)) == f"{title} 1 of 3 models"
    assert drawn.by_sum(plotted(other)) == f"{title} 0 of 1 models"


def test_real_models_come_first(tmp_path):
    made = Store(tmp_path / "results")
    fill(made, "mini", "mini/distilbert")
    fill(made, "reference", "models/decoder", SECOND)
    for draw in FIGURES:
        figure, data = draw(Results(made))
        assert list(data["profile"].unique()) == ["reference", "mini"]
        assert [panel.get_title().split()[0] for panel in figure.axes] == ["decoder", "distilbert"]


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
        inches = figure.dpi_scale_trans.inverted()
        written = next(text for text in figure.texts if text.get_text() == figure.get_suptitle())
        title = inches.transform_bbox(written.get_window_extent())
    assert figure.get_figwidth() == WIDTH
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= WIDTH
    assert len(figure.axes) == 5
    assert not any(one.overlaps(other) for one, other in combinations(panels, 2))
    assert 0 <= title.x0 < title.x1 <= WIDTH
    assert title.y1 <= figure.get_figheight()
    assert not any(title.overlaps(inches.transform_bbox(panel)) for panel in panels)
    assert {panel.get_ylim()[0] for panel in figure.axes} == {0}


def changed(row: str, **taus: tuple[float, float]) -> pd.DataFrame:
    """Lowest and highest tau of some readings of a row."""
    parts = [
        {"source": "mini", "row": row, "axis": axis, "tau_low": low, "tau_high": high, "seeds": 3}
        for axis, (low, high) in taus.items()
    ]
    return pd.DataFrame(parts)


def test_the_title_counts_the_changes_beyond_another_sample():
    one = changed("a", paper=(0.5, 0.7), site=(0.1, 0.4), epsilon=(0.1, 0.5), other=(0, 0.1))
    two = changed("b", paper=(0.5, 0.7), site=(0.1, 0.2), ddof=(0.1, 0.2))
    two.loc[two["axis"] == "ddof", "seeds"] = 1
    title = "A single change moves the order of the blocks more than another sample does in"
    assert readings.of_changes(pd.concat([one, two])) == f"{title} 1 of 2 cases (a), 1 of 1 cases (b)"
    assert readings.of_changes(one[one["axis"] != "paper"]) == "How each reading orders the blocks, and what is kept"


def ranked(row: str, *orders: str, removed: int) -> pd.DataFrame:
    """The blocks of a row from the lowest score upwards, one order for each threshold."""
    parts = [
        {"profile": "mini", "row": row, "epsilon": epsilon, "layer": int(layer), "goes": place < removed}
        for epsilon, order in enumerate(orders)
        for place, layer in enumerate(order)
    ]
    return pd.DataFrame(parts)


def test_the_title_says_whether_the_threshold_decides_which_blocks_go():
    moves, stays = ranked("a", "012", "102", "210", removed=1), ranked("b", "0123", "1032", removed=2)
    title = "The threshold ε decides which blocks go in"
    one, other = (f"of {n} blocks {k} go at one ε or another, {at} at a time" for n, k, at in ((3, 3, 1), (4, 2, 2)))
    assert readings.of_threshold(pd.concat([moves, stays])) == f"{title} 1 of 2 rows: {one}; {other}"
    assert readings.of_threshold(stays) == f"{title} 0 of 1 rows: {other}"
    nothing = ranked("a", "012", removed=0)
    assert readings.of_threshold(nothing) == "Sparsity of every block, and its rank by AVSS, at each threshold ε"


def test_blocks_are_ranked_by_avss_at_every_threshold_from_that_of_the_paper(tmp_path):
    """Four blocks; the ends of their curves, where S is 0 or 1, are not stored."""
    made = Store(tmp_path / "results")
    inner = Results(made).readings.store
    fill(inner, "mini", "mini/distilbert")
    variance = [1.0, 4.0, 9.0, 16.0]
    thresholds = [2.0**-8, 2.0**-7, 2.0**-6, 1.0]
    shares = np.array([[0.1, 0.1, 0.2, 1], [0, 0.4, 0.9, 1], [0, 0, 0.8, 0.9], [0, 0, 0.9, 1]])
    known = {"row": FIRST[0], "method": "avss", "reading": "paper", "seed": 0}
    lines = [
        known | {"layer": layer, "quantity": f"sparsity below {epsilon!r}", "value": share}
        for layer, curve in enumerate(shares)
        for epsilon, share in zip(thresholds, curve, strict=True)
        if 0 < share < 1
    ]
    lines += [known | {"layer": layer, "quantity": "variance", "value": value} for layer, value in enumerate(variance)]
    inner.start("mini", FIRST[0], "2026-01-02T00:00:00Z", {"curve": "x"}).add([], lines)
    figure, data = readings.sparsity_curves(Results(made))
    np.testing.assert_allclose(
        data.pivot(index="layer", columns="epsilon", values="sparsity")[thresholds[:3]], shares[:, :3]
    )
    ranks = data.pivot(index="layer", columns="epsilon", values="rank")
    assert ranks[thresholds[0]].isna().all(), "it lies below the threshold of the reading paper"
    # 10, 10, and two blocks without an activation below the threshold, which follow in the order of their variance.
    assert list(ranks[thresholds[1]]) == [1.5, 1.5, 3, 4]
    assert list(ranks[thresholds[2]]) == [2, 1, 3, 4]
    assert list(data.loc[data["goes"], ["layer", "epsilon"]].itertuples(index=False, name=None)) == [
        (0, thresholds[3]),
        (1, thresholds[2]),
    ]
    assert figure.get_suptitle().replace("\n", " ") == readings.of_threshold(data)


def test_the_title_counts_the_blocks_in_which_the_first_tokens_are_most():
    parts = [
        pd.DataFrame({"row": row, "model": row.upper(), "share_of_first": shares})
        for row, shares in (("a", [0.5, 0.6, 0.9]), ("b", [0.1, 0.2]))
    ]
    title = "The first tokens make up more than half of Eq. 1 in"
    assert massive.finding(pd.concat(parts)) == f"{title} 2 of 3 blocks of A, 0 of 2 blocks of B"
    assert massive.finding(parts[1]) == f"{title} 0 of 2 blocks of B"


def test_the_title_counts_the_layers_whose_interval_leaves_out_no_difference():
    eavss = pd.DataFrame({"eavss": [2, 0.5, 1, np.nan], "eavss_low": [1.5, 0.4, 0.9, np.nan]})
    eavss["eavss_high"] = [2.5, 0.6, 1.1, np.nan]
    both = eavss.assign(auroc=0.7, auroc_low=[0.4, 0.6, 0.6, 0.6], auroc_high=0.8)
    start = "By 95\u00a0% intervals (5\u00a0% leave out the truth),"
    told = f"{start} EAVSS differs from 1 in 2 of 3 layers of all sets"
    assert hallucination.finding(eavss) == told
    assert hallucination.finding(both) == f"{told}, a probe's AUROC from 0.5 in 3 of 4"
    alone = both[["auroc", "auroc_low", "auroc_high"]]
    assert hallucination.finding(alone) == f"{start} a probe's AUROC differs from 0.5 in 3 of 4 layers of all sets"
    assert hallucination.finding(pd.DataFrame()) == "EAVSS and the AUROC of a probe by layer"


def test_each_layer_of_eavss_names_the_runs_that_measured_it():
    named = set(", ".join(layers(COMMITTED)["run"]).split(", "))
    assert named
    assert named <= {path.stem for path in store_of(COMMITTED).root.rglob("*.json")}


def test_of_each_field_the_reading_that_changes_the_order_most_comes_first():
    lines = [("paper", "paper", 0.9), ("a", "epsilon", 0.8), ("b", "epsilon", 0.1), ("c", "site", 0.7)]
    one = pd.DataFrame(lines, columns=["reading", "axis", "tau"]).assign(choice="")
    # Alone in this row, `a` changes more than `b`; over both rows it does not.
    two = one.assign(tau=[0.9, 0.4, 0.5, 0.6])
    assert list(readings.by_effect(pd.concat([one, two]))["reading"]) == ["paper", "c", "b", "a"]
