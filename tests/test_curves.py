"""A row's curve: the layers that go at every share, what they cost together, and how figure and table show them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers as hf

from avss import selection
from avss.engine.passes import logits_of
from avss.errors import InputError
from avss.pruning import skipping
from avss.removals import removing
from avss.runs import experiment
from avss.runs.cells import cells
from avss.runs.experiment import run_row
from avss.runs.profile import Row, load_profile
from avss.store import Store
from tests.conftest import COMMON, WORDS, ragged


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


def test_a_curve_changes_nothing_of_its_row(row, tmp_path):
    plain, both = Store(tmp_path / "plain"), Store(tmp_path / "both")
    run_row(replace(row, curve=()), "p", plain, None)
    run_row(row, "p", both, None)
    columns = ["key", "method", "selection", "seed", "removed", "value", "low", "high"]
    own = both.observations()[~both.observations()["selection"].str.startswith("curve:")]
    assert own[columns].to_numpy().tolist() == plain.observations()[columns].to_numpy().tolist()
    assert both.layers()["value"].tolist() == plain.layers()["value"].tolist()
    # Added to a row that was measured before, it measures only its own points.
    assert run_row(row, "p", plain, None) == len(cells(row)) - len(cells(replace(row, curve=())))


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
    with removing(model, removed) as without:
        found = dict(without.each(batch, lambda logits: [logits.flatten().tolist()]))
    assert without.block_forwards <= 0.6 * sum(blocks - len(gone) for gone in removed)
    for index in range(0, len(removed), 11):
        with torch.no_grad(), skipping(model, removed[index]):
            expected = logits_of(model, batch).flatten().tolist()
        np.testing.assert_allclose(found[index][0], expected, rtol=1e-12)
