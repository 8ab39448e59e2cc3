"""Scores beside the loss without each block, and AVSS beside random removal: numbers by hand, titles as found."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from avss import intervals
from avss.report.comparisons import FIRST_ROW, over_random
from avss.report.figures import against_random, losses
from avss.report.figures.style import style
from avss.report.losses import all_predictions, beside_losses, prediction, taus_of_each
from avss.report.markdown import spell
from avss.report.snapshot import Results
from avss.report.sources import sources
from avss.report.tables.losses import loss_table
from avss.store import Store
from tests.stores import PERPLEXITY_ROW, REMOVED, SEEDS, cells, fill
from tests.test_figures import rewritten

LOSSES = {("leave_one_out", "none"): ["1"] * SEEDS, ("block_influence", "none"): ["1"] * SEEDS}


@pytest.fixture
def results(tmp_path) -> Results:
    """Scores and losses are noise, so that every tau differs."""
    store, generator = Store(tmp_path / "results"), np.random.default_rng(0)
    fill(store, "mini", removed=REMOVED | LOSSES)
    fill(store, "mini", **PERPLEXITY_ROW, removed=REMOVED | LOSSES)
    for path in store.root.glob("*/*/*.layers.csv"):
        rewritten(path, lambda table: table.assign(value=table["value"] + 3 * generator.random(len(table))))
    return Results(store)


def scores_of(results: Results, row: str, quantity: str, seed: int) -> list[float]:
    layers = results.layers
    return list(
        layers[(layers["row"] == row) & (layers["quantity"] == quantity) & (layers["seed"] == seed)]
        .query("reading in ('none', 'paper')")
        .sort_values("layer")["value"]
    )


def test_tau_with_the_loss_is_the_mean_of_the_taus_on_each_sample(results):
    found = prediction(results, FIRST_ROW).set_index(["method", "reading"])
    for method, quantity in (("avss", "normalized_avss"), ("block_influence", "block_influence"), ("last", "last")):
        taus = [
            stats.kendalltau(*(scores_of(results, FIRST_ROW, name, seed) for name in (quantity, "leave_one_out")))[0]
            for seed in range(SEEDS)
        ]
        line = found.loc[method].iloc[0]
        assert line["tau"] == pytest.approx(np.mean(taus))
        assert min(taus) <= line["low"] <= line["tau"] <= line["high"] <= max(taus)
    assert "leave_one_out" not in found.index, "the loss is not compared with itself"
    assert set(all_predictions(results)["row"]) == {FIRST_ROW, PERPLEXITY_ROW["row"]}


def test_seeds_that_one_of_the_two_lacks_are_left_out(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini", removed=REMOVED | LOSSES, fails=(("leave_one_out", 1), ("avss", 2)))
    pairs = beside_losses(Results(store), FIRST_ROW)
    assert pairs["mini", "avss", "paper", "normalized_avss"][0].shape == (1, 6)
    assert pairs["mini", "block_influence", "none", "block_influence"][0].shape == (2, 6)


def test_without_losses_agreement_with_depth_is_still_told(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini")
    found = taus_of_each(Results(store), FIRST_ROW).set_index(["method", "reading", "other"])["tau"]
    assert found["avss", "paper", "with depth"] == pytest.approx(1)
    assert found["last", "none", "with depth"] == pytest.approx(-1)
    assert "with the loss" not in found.index.get_level_values("other")
    assert prediction(Results(store), FIRST_ROW).empty


def test_the_table_of_a_page_has_the_tau_of_the_audit(results):
    """One rule: the page on AVSS and the audit show the same number for the same row."""
    shown = cells(loss_table(results, FIRST_ROW, "normalized_avss"), "mini")
    line = prediction(results, FIRST_ROW).query("method == 'avss' and reading == 'paper'").iloc[0]
    assert shown[:3] == ["paper", "6", spell(line["tau"], line["low"], line["high"], digits=2)]
    tau = sources(results)[1].blocks[0, "normalized_avss"]
    assert intervals.tau_over_seeds(*tau).value == line["tau"]


def lines(**taus: list[float]) -> pd.DataFrame:
    names = {"avss": "AVSS", "cim": "CIM", "block_influence": "block influence", "last": "last"}
    return pd.concat(
        pd.DataFrame({"method": method, "name": names[method], "tau": values, "source": "mini"}).assign(
            row=[f"row{number}" for number in range(len(values))]
        )
        for method, values in taus.items()
    )


def test_the_title_names_the_best_score_of_one_pass():
    """CIM runs the model without blocks, and `last` is a control."""
    data = lines(avss=[0.1, 0.2, 0.3], block_influence=[0.5, 0.7, 0.9], cim=[0.9] * 3, last=[1.0] * 3)
    assert losses.finding(data) == (
        "Of the scores that need one pass, block influence has the highest median τ with the loss "
        "(over 3 rows: 0.70; AVSS: 0.20)"
    )
    assert losses.finding(lines(avss=[0.1])).endswith("(over 1 row: 0.10)")


def test_avss_less_random_is_the_difference_of_the_shares_that_they_keep(results):
    line = over_random(results, FIRST_ROW).iloc[0]
    assert line["difference"] == pytest.approx((0.875 - np.mean([0.8, 0.5, 0.875])) / 0.9)
    assert line["singles"] == pytest.approx([(0.875 - other) / 0.9 for other in (0.8, 0.5, 0.875)])
    assert line["run"] == ", ".join(results.of(results.in_use, FIRST_ROW)["run"].unique())
    other = over_random(results, PERPLEXITY_ROW["row"]).iloc[0]
    before, avss, *random = ((3 - 2 * share) / 2 for share in (0.9, 0.875, 0.8, 0.5, 0.875))
    assert other["difference"] == pytest.approx(np.exp(before - avss) - np.exp(before - np.mean(random)))


def test_the_title_counts_models_and_then_rows():
    verdicts = ["worse", "worse", "not told apart", "worse", "better", "too weak to judge"]
    data = pd.DataFrame({"verdict": verdicts, "checkpoint": ["a", "a", "a", "b", "b", "c"], "source": "mini"})
    assert against_random.finding(data) == (
        "Beyond chance, AVSS keeps less than random removal in most rows of 1 of 2 models (3 of 5 rows; more in 1)"
    )


@pytest.mark.parametrize("draw", [*losses.ROW_FIGURES, *losses.FIGURES, *against_random.FIGURES])
def test_each_figure_has_its_finding_as_title_within_the_page(results, draw):
    with mpl.rc_context(style("light")):
        figure, data = draw(results, FIRST_ROW) if draw in losses.ROW_FIGURES else draw(results)
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()
    assert len(data)
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= figure.get_figwidth()
    title = " ".join(figure.get_suptitle().split())
    if draw is losses.score_against_loss:
        tau = prediction(results, FIRST_ROW).query("method == 'avss' and reading == 'paper'")["tau"].item()
        assert title == f"SST-2, DistilBERT: τ of AVSS with the loss without each block is {tau:.2f}"
    if draw is losses.rank_map:
        ranks = {
            quantity: stats.rankdata(np.mean([scores_of(results, FIRST_ROW, quantity, s) for s in range(SEEDS)], 0))[0]
            for quantity in ("normalized_avss", "leave_one_out")
        }
        assert title == "The first of 6 blocks has rank {:.0f} by AVSS, {:.0f} by the loss without it".format(
            *ranks.values()
        )
