"""What is kept against the time that is saved: numbers of rows and of benchmarks meet at the share of the blocks."""

import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from avss.report import benchmarks
from avss.report.curves import curve
from avss.report.figures.pareto import finding, kept_against_saved
from avss.report.figures.style import style
from avss.report.pareto import pareto
from avss.report.snapshot import Results
from avss.store import Store
from tests.stores import COMMITTED
from tests.test_cost import method_row, pruned, write
from tests.test_curves import stored


@pytest.fixture
def results(tmp_path) -> Results:
    """A curve at 1, 2 and 3 of 4 blocks, and times at 0, 2 and 4 of 8, so that a quarter and a half were timed."""
    store = Store(tmp_path / "results")
    stored(store)
    write(store, "pruning-cpu", [pruned(removed) for removed in (0, 2, 4)])
    write(store, "methods-cpu", [method_row("avss", 1.5), method_row("cim", 9.0)])
    return Results(store)


def of_decoder(results: Results) -> Results:
    for path in results.store.root.glob("*/*/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"class": "LlamaForCausalLM"}))
    return Results(results.store)


def test_each_point_has_the_measured_time_of_its_share_and_the_cost_of_its_method(results):
    assert pareto(results).empty, "a classifier decodes nothing"
    results = of_decoder(results)
    data = pareto(results)
    # Three of four blocks are more than was timed.
    assert data["removed"].unique().tolist() == [1, 2]
    times = benchmarks.pruning(results).query("quantity == 'decoding'").set_index("removed")["factor"]
    for gone, timed in ((1, 2), (2, 4)):
        assert data.loc[data["removed"] == gone, "saved"].unique().tolist() == pytest.approx([1 - 1 / times[timed]])
    assert data.groupby("method")["scoring"].agg(set).to_dict() == {"avss": {1.5}, "random": {0.0}}
    kept = curve(results, "r").query("removed < 3")["retention"]
    np.testing.assert_array_equal(data["retention"], kept)
    best = data[data["best"]].set_index("removed")["retention"]
    assert best.to_dict() == data.groupby("removed")["retention"].max().to_dict()


def test_a_method_whose_cost_was_not_measured_has_none(results, tmp_path):
    results = of_decoder(results)
    write(results.store, "methods-cpu", [method_row("cim", 9.0)])
    assert pareto(results).query("method == 'avss'")["scoring"].isna().all()
    with mpl.rc_context(style("light")):
        figure, _ = kept_against_saved(results)
        figure.draw_without_rendering()
    assert "not measured" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_title_counts_where_avss_is_best(results):
    data = pareto(of_decoder(results))
    other = data[data["method"] == "avss"].assign(method="block_influence", best=False)
    other["retention"] += [0.01, -0.01]
    assert finding(pd.concat([data.assign(best=True), other])).startswith(
        "AVSS (reading paper) keeps most at 2 of 2 savings of time"
    )
    assert finding(pd.concat([data, other])).endswith("keeps more at 1 of 2")


def test_without_a_benchmark_or_a_curve_nothing_is_drawn(tmp_path):
    for write_curve in (False, True):
        store = Store(tmp_path / f"{write_curve}" / "results")
        if write_curve:
            stored(store)
        assert pareto(Results(store)).empty
        with mpl.rc_context(style("light")):
            assert kept_against_saved(Results(store))[1].empty


def test_all_panels_fit_on_one_sheet_of_paper():
    with mpl.rc_context(style("light")):
        figure, data = kept_against_saved(COMMITTED)
    assert data.groupby(["source", "row"]).ngroups > 3
    width, height = figure.get_size_inches()
    assert height / width < 1.38
