"""A row's curve: the layers that go at every share, what they cost together, and how figure and table show them."""

import json
import re
from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import transformers as hf
from matplotlib.text import Text

from avss import intervals, selection
from avss.engine.passes import logits_of
from avss.errors import InputError
from avss.methods.catalogue import column_of
from avss.pruning import skipping
from avss.removals import removing
from avss.report import comparisons
from avss.report.curves import curve, still_kept
from avss.report.figures.curves import finding, retention_curve
from avss.report.figures.style import style
from avss.report.snapshot import Results
from avss.report.tables import curve_table, points_table
from avss.runs import experiment
from avss.runs.cells import Cell, cells
from avss.runs.context import loaded
from avss.runs.experiment import run_row
from avss.runs.profile import Row, load_profile
from avss.runs.stored_scores import StoredScores
from avss.store import Store, key_of
from tests.conftest import COMMON, WORDS, ragged
from tests.stores import COMMITTED, fill
from tests.test_removals import prefixes


@pytest.fixture
def row(saved, tmp_path) -> Row:
    """Ten documents and a tiny encoder of four blocks."""
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "validation"):
        texts = [" ".join(WORDS[(i * j + len(split)) % 13] for j in range(1, 4 + i % 3)) for i in range(10)]
        lines = [json.dumps({"sentence": text, "label": i % 2}) for i, text in enumerate(texts)]
        (data / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    methods = ("avss", "random", "greedy", "angular")
    facts = {"remove": 0.5, "seeds": 2, "samples": 4, "methods": methods, "selections": {"avss": ("iterative",)}}
    return Row("r", "sentiment", str(saved("bert")), str(data), curve=(1, 0.5, 3), **facts)


def layers(text: str) -> set[str]:
    return set(text.split("+"))


@pytest.mark.long
def test_a_curve_starts_from_the_same_scores_and_passes_through_the_point_of_its_row(row, tmp_path, monkeypatch):
    scored = []

    def counted(model, text, method, **options):
        scored.append((method, options.get("window")))
        return score(model, text, method, **options)

    score = experiment.score
    monkeypatch.setattr(experiment, "score", counted)
    store = Store(tmp_path / "results")
    run_row(row, "p", store, tmp_path / "coalitions")
    table = store.observations()
    assert (table["status"] == "ok").all(), table["status"].unique()
    assert len(table) == len(cells(row)) == 1 + 5 * 2 * 4
    for (method, rule), part in table[table["method"] != "original"].groupby(
        ["method", table["selection"].str.extract(r"(\w+)\(")[0]]
    ):
        assert part["selection"].unique().tolist() == [f"{rule}(0.5)", *(f"curve:{rule}({k})" for k in (1, 0.5, 3))]
        for seed, own in part.groupby("seed"):
            point, one, two, three = own.itertuples()
            same = ("removed", "value", "low", "high", "original", "coalition")
            assert [getattr(point, name) for name in same] == [getattr(two, name) for name in same]
            assert [len(layers(each.removed)) for each in (one, two, three)] == [1, 2, 3]
            if method != "angular":
                assert layers(one.removed) < layers(two.removed) < layers(three.removed), (method, rule, seed)
    # A seed: AVSS once, and three turns of `iterative`; the window of `angular` is another at each number of layers.
    assert len([method for method, _ in scored if method == "avss"]) == 2 * (1 + 3)
    assert [window for method, window in scored if method == "angular"] == [2, 1, 3] * 2
    assert len([method for method, _ in scored if method == "random"]) == 2


@pytest.mark.long
def test_a_curve_changes_nothing_of_its_row(row, tmp_path):
    plain, both = Store(tmp_path / "plain"), Store(tmp_path / "both")
    run_row(replace(row, curve=()), "p", plain, None)
    run_row(row, "p", both, None)
    columns = ["key", "method", "selection", "seed", "removed", "value", "low", "high"]
    own = both.observations()[~both.observations()["selection"].str.startswith("curve:")]
    assert own[columns].to_numpy().tolist() == plain.observations()[columns].to_numpy().tolist()
    assert both.layers()["value"].tolist() == plain.layers()["value"].tolist()
    # Results from before there were curves are found by these keys.
    context = loaded(row, None)
    calibrated = {"data": context.calibrated_on, "samples": 4}
    facts = {"method": "avss", "reading": "paper", "selection": "lowest", "remove": 0.5, "seed": 1}
    known = key_of(pinned=context.pinned, calibrated=calibrated, **facts)
    assert known in set(own.query("method == 'avss' and seed == 1 and selection == 'lowest(0.5)'")["key"])
    # Added to a row that was measured before, it measures only its own points.
    assert run_row(row, "p", plain, None) == len(cells(row)) - len(cells(replace(row, curve=())))
    added = [store.observations().sort_values("key")[columns].to_numpy().tolist() for store in (plain, both)]
    assert added[0] == added[1], "also where a score depends on how many layers go"


@pytest.mark.long
def test_points_added_later_are_chosen_by_the_stored_scores(row, tmp_path, monkeypatch):
    row = replace(row, selections={})
    both, later = Store(tmp_path / "both"), Store(tmp_path / "later")
    run_row(row, "p", both, None)
    run_row(replace(row, curve=()), "p", later, None)
    monkeypatch.setattr(experiment, "score", lambda *_, **__: pytest.fail("scored again"))
    # An order of removal and a window are other scores for other amounts.
    assert run_row(replace(row, methods=("avss", "random")), "p", later, None) == 2 * 2 * 3
    columns = ["key", "selection", "seed", "removed", "value", "low", "high", "n"]
    points = [each.observations().query("method in ['avss', 'random']").sort_values("key") for each in (both, later)]
    assert points[0][columns].to_numpy().tolist() == points[1][columns].to_numpy().tolist()
    scored, evaluated = later.provenances("p", "r")
    assert evaluated["scores_from"] == [scored["run"]]


@pytest.mark.long
def test_a_point_by_stored_scores_that_the_model_cannot_lose_fails_alone(row, tmp_path, monkeypatch, recwarn):
    row = replace(row, methods=("avss", "random"), selections={})
    store = Store(tmp_path / "results")
    run_row(replace(row, curve=()), "p", store, None)

    def refusing(model, layers, *rest):
        if len(layers) == 1:
            raise InputError("this model cannot lose one block")
        return skipping(model, layers, *rest)

    monkeypatch.setattr(experiment, "skipping", refusing)
    run_row(row, "p", store, None)
    found = store.observations()
    lost = found["selection"] == "curve:lowest(1)"
    assert (found["status"] == "ok").equals(~lost)
    assert set(found.loc[lost, "status"]) == {"failed: this model cannot lose one block"}
    assert not [warning for warning in recwarn if "one by one" in str(warning.message)]


@pytest.mark.long
def test_stored_scores_that_do_not_tell_layers_apart_are_made_again(row, tmp_path):
    row = replace(row, methods=("avss",), selections={})
    store = Store(tmp_path / "results")
    run_row(replace(row, curve=()), "p", store, None)
    context, layers = loaded(row, None), store.layers("p", "r")
    point = Cell("avss", "paper", "lowest", 0, 1)

    def chosen(layers, cell=point):
        return StoredScores(context, store.observations(), lambda: layers).choice(cell)

    score = layers["quantity"].eq(column_of("avss")) & layers["seed"].eq(0) & layers["reading"].eq("paper")
    assert chosen(layers).removed == [int(layers.loc[layers[score]["value"].idxmin(), "layer"])]
    equal = layers.assign(value=layers["value"].mask(score, 1.0))
    assert chosen(equal) is None
    assert chosen(layers[~(score & layers["layer"].eq(2))]) is None
    assert chosen(layers, point._replace(at=None)) is None
    assert chosen(layers, point._replace(seed=7)) is None
    assert chosen(layers, point._replace(selection="iterative")) is None


def test_a_point_that_the_model_does_not_have_is_refused_before_any_result(row, tmp_path):
    profile = tmp_path / "mine.yaml"
    facts = {"id": "r", "task": row.task, "checkpoint": row.checkpoint, "data": row.data, "remove": 1}
    profile.write_text(json.dumps({"rows": [facts | {"curve": [1, 4]}]}))
    with pytest.raises(InputError, match="curve is 4: 4 of 4 layers means removing 4"):
        load_profile(profile)


def test_a_curve_of_fifteen_points_and_ten_scores_costs_at_most_six_tenths_of_single_evaluations():
    blocks, points = 18, range(1, 16)
    torch.manual_seed(0)
    config = COMMON | {"num_hidden_layers": blocks, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    model, batch = hf.LlamaForCausalLM(hf.LlamaConfig(**config, num_key_value_heads=2)).double().eval(), ragged()
    generator = np.random.default_rng(0)
    depth = np.arange(blocks)
    # As rows have them: by depth, from below and from above, by depth with noise, and in random order.
    scores = [depth, -depth, *(-depth + 4 * generator.normal(size=blocks) for _ in range(3))]
    scores += [generator.normal(size=blocks) for _ in range(5)]
    removed = [sorted(selection.lowest(score, k)) for score in scores for k in points]
    assert prefixes(removed, blocks) <= 0.6 * sum(blocks - len(gone) for gone in removed)
    # The walk runs as many blocks as there are beginnings: here those of fourteen sets, each as if it ran alone.
    some = removed[::11]
    with removing(model, some) as without:
        found = dict(without.each(batch, lambda logits: [logits.flatten().tolist()]))
    assert without.block_forwards == prefixes(some, blocks)
    for index, gone in enumerate(some):
        with torch.no_grad(), skipping(model, gone):
            expected = logits_of(model, batch).flatten().tolist()
        np.testing.assert_allclose(found[index][0], expected, rtol=1e-12)


DOCUMENTS = 40
# The share of documents that are right without these layers; the second seed of AVSS chooses others.
RIGHT = {"none": 0.9, "1": 0.875, "2": 0.85, "1+2": 0.8, "2+3": 0.7, "1+2+3": 0.825}
CURVES = {
    ("avss", "paper", "lowest"): [("1", "1+2", "1+2+3"), ("2", "2+3", "1+2+3")],
    ("random", "none", "lowest"): [("2", "1+2", "1+2+3"), ("2", "1+2", "1+2+3")],
}


def stored(store: Store, metric: str = "accuracy", own: int = 2, right: dict | None = None) -> None:
    """A row of which every number is known; its own share is that of `own` layers."""
    right = RIGHT | (right or {})
    names = {"dataset": "SST-2", "model": "Tiny"}
    observations = [("original", "none", "none", 0, "none")]
    for (method, reading, rule), seeds in CURVES.items():
        for seed, sets in enumerate(seeds):
            observations += [(method, reading, f"curve:{rule}({k})", seed, gone) for k, gone in enumerate(sets, 1)]
            observations.append((method, reading, f"{rule}({own})", seed, sets[own - 1]))
    asked = ["".join(map(str, facts)) for facts in observations]
    run = store.start("mini", "r", "2026-01-01T00:00:00Z", {"configuration": names, "asked": asked, "protocol": "p"})
    for gone in RIGHT:
        run.add_outcome(f"x-{gone}", *outcome(metric, gone, right))
    for key, (method, reading, chosen, seed, gone) in zip(asked, observations, strict=True):
        count = 0 if gone == "none" else len(layers(gone))
        facts = {"key": key, "profile": "mini", "row": "r", "task": "sentiment", "method": method, "reading": reading}
        facts |= {"selection": chosen, "seed": seed, "removed": gone, "coalition": f"x-{gone}", "layers": 4}
        facts |= {"share_of_layers": count / 4, "share_of_parameters": count / 8, "metric": metric, "n": DOCUMENTS}
        facts |= {
            "value": intervals.value(metric, *outcome(metric, gone, right)),
            "status": "ok",
            "data": "d",
            "model": "m",
        }
        run.add([facts | {"original": intervals.value(metric, *outcome(metric, "none", right))}])


def outcome(metric: str, gone: str, right: dict = RIGHT) -> tuple:
    hits = (np.arange(DOCUMENTS) < right[gone] * DOCUMENTS).astype(float)
    return (hits, np.ones(DOCUMENTS)) if metric == "accuracy" else (3 - 2 * hits, np.full(DOCUMENTS, 2.0))


@pytest.mark.parametrize("metric", ["accuracy", "perplexity"])
def test_a_curve_holds_the_mean_retention_of_the_seeds_and_its_interval(tmp_path, metric):
    store = Store(tmp_path / "results")
    stored(store, metric)
    found = curve(Results(store), "r")
    assert found["name"].unique().tolist() == ["AVSS", "random"]
    assert found.groupby("name")["removed"].agg(list).tolist() == [[1, 2, 3]] * 2
    values = {gone: intervals.value(metric, *outcome(metric, gone)) for gone in RIGHT}
    shares = [intervals.retention(metric, values[gone], values["none"]) for gone in ("1+2", "2+3")]
    mean = np.mean(shares) if metric == "accuracy" else np.sqrt(np.prod(shares))
    two = found.query("name == 'AVSS' and removed == 2").iloc[0]
    assert two["retention"] == pytest.approx(mean)
    assert two["seeds"] == 2
    assert two["low"] < min(shares) <= mean <= max(shares) < two["high"]
    # Seeds that chose the same layers leave the documents alone to vary.
    drawn = [intervals.resampled(metric, *outcome(metric, gone)) for gone in ("1+2", "none")]
    same = found.query("name == 'random' and removed == 2").iloc[0]
    assert (same["low"], same["high"]) == pytest.approx(intervals.bounds(intervals.retention(metric, *drawn)))
    assert not found.isna().any(axis=None)


def test_the_largest_number_of_blocks_is_that_before_the_first_point_that_loses_too_much(tmp_path):
    store = Store(tmp_path / "results")
    stored(store)
    points = curve(Results(store), "r").query("name == 'AVSS'")
    # 0.958, 0.833 and 0.917 of the original: what comes back later does not count.
    assert still_kept(points, "retention") == 1
    assert still_kept(points.assign(retention=[0.95, 0.9, 0.91]), "retention") == 3
    assert still_kept(points.assign(retention=[0.89, 0.95, 0.95]), "retention") == 0
    assert still_kept(points.assign(low=[0.95, np.nan, 0.95]), "low") == 1
    table = curve_table(Results(store), "r")
    assert "| mini | AVSS | 1 of 4 blocks | 12\u00a0% |" in table
    assert "| 1, 2, 3 | 2 |" in table
    shares = points_table(Results(store), "r", "mini")
    assert shares.startswith("| method | without 1 | without 2 | without 3 |")
    assert re.search(r"\| AVSS \| 0\.958 [^|]+\| 0\.833 [^|]+\| 0\.917 ", shares)
    assert "Not measured" in points_table(Results(store), "r", "reference")


def test_an_original_at_chance_has_no_share_that_is_kept(tmp_path):
    store = Store(tmp_path / "results")
    stored(store, right={"none": 0.55})
    assert curve(Results(store), "r")["retention"].isna().all()
    table = curve_table(Results(store), "r")
    assert "| mini | AVSS | too weak to judge (accuracy 0.55) |" in table
    with mpl.rc_context(style("light")):
        assert retention_curve(Results(store), "r")[1].empty


def test_other_pages_see_the_share_of_the_row_alone(tmp_path):
    store = Store(tmp_path / "results")
    stored(store)
    results = Results(store)
    assert len(results.in_use) == 1 + 2 * 2
    assert len(results.curves) == 2 * 2 * 3
    assert results.left_over.empty
    assert set(comparisons.removals(results, "r")["layer"]) == {1, 2, 3}
    assert set(comparisons.summary(results, "r")["share_of_layers"]) == {0, 0.5}


def test_a_row_with_a_curve_and_one_without_are_drawn(tmp_path):
    store = Store(tmp_path / "results")
    stored(store)
    fill(store, "mini")
    with mpl.rc_context(style("light")):
        figure, data = retention_curve(Results(store), "r")
        figure.draw_without_rendering()
        assert [panel.get_title("left") for panel in figure.axes if panel.get_visible()] == ["AVSS", "random"]
        assert len(data) == 6
        nothing, none = retention_curve(Results(store))
        nothing.draw_without_rendering()
    assert none.empty
    assert "no curve" in curve_table(Results(store))


@pytest.mark.parametrize(
    ("random", "told"),
    [
        ([(0.7, 0.8), (0.7, 0.8), (0.4, 0.6)], "AVSS keeps less than random removal at 2 of 3"),
        ([(0.1, 0.2), (0.1, 0.2), (0.7, 0.8)], "AVSS keeps less than random removal at 1 of 3"),
        ([(0.1, 0.2), (0.4, 0.6)], "AVSS keeps less than random removal at 0 of 2"),
        ([(0.4, 0.6), (np.nan, np.nan)], "AVSS and random removal are told apart at none of 2"),
        ([], "AVSS and random removal have no curves to compare"),
    ],
)
def test_a_title_counts_where_avss_and_random_removal_are_apart(random, told):
    points = [("avss", "paper", 0.5, 0.6)] * 3, [("random", "none", *bounds) for bounds in random]
    lines = [(*point, removed) for part in points for removed, point in enumerate(part, 1)]
    part = pd.DataFrame(lines, columns="method reading low high removed".split()).assign(rule="lowest")
    more = sum(high < 0.5 for _, high in random)
    counted = f" and more at {more}, by intervals without a correction" if "keeps" in told else ""
    end = f" numbers of removed blocks{counted}" if random else ""
    assert finding(part) == told + end
    # Other readings and rules have curves of their own.
    others = pd.concat([part.assign(rule="iterative"), part.assign(reading="other")])
    assert finding(others) == "AVSS and random removal have no curves to compare"


@pytest.mark.parametrize("row", ["sst2-smollm2", "reviews-mini-llama-1b"])
def test_the_title_of_a_curve_is_about_the_model_of_its_row_and_above_the_panels(row):
    with mpl.rc_context(style("light")):
        figure, _ = retention_curve(COMMITTED, row)
        figure.draw_without_rendering()
    model = {"sst2-smollm2": "SmolLM2-135M-Instruct", "reviews-mini-llama-1b": "mini LLama-1B (2.4 M)"}[row]
    assert figure.get_suptitle().startswith(f"On {model}, AVSS ")
    title = figure._suptitle.get_window_extent()
    assert title.x1 <= figure.bbox.x1
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert not [panel for panel in panels if panel.get_tightbbox().overlaps(title)]


def test_the_titles_of_many_panels_are_whole_and_apart():
    with mpl.rc_context(style("light")):
        figure, data = retention_curve(COMMITTED, "reviews-mini-llama-1b")
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()
        panels = [panel for panel in figure.axes if panel.get_visible()]
        titles = {panel.get_title("left") for panel in panels}
        boxes = [text.get_window_extent() for text in figure.findobj(Text) if text.get_text() in titles]
    assert len(boxes) == len(panels)
    assert len(panels) == data.loc[data["rule"] == "lowest", "name"].nunique() > 12
    # Iterative removal stands in the panel of its method.
    again = {
        panel.get_title("left")
        for panel in panels
        if any(line.get_marker() == "^" and len(line.get_xdata()) for line in panel.lines)
    }
    assert again >= {"AVSS", "block influence"}
    assert "LRP" not in again
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= figure.get_figwidth() <= 7 >= figure.get_figheight()
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
