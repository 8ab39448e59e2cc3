"""The data of the page "Explorer": made from runs by recipes, complete, and with findings that follow from it."""

import json
import re
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml

import avss
from avss.errors import InputError
from avss.report import explorer, layer_statistics
from avss.report.layer_statistics import SITES, TOKENS, unpacked
from avss.report.snapshot import Results
from avss.report.tables.explorer import findings_table, thresholds, values
from avss.scores import from_moments
from avss.store import Store
from recipes import layer_statistics as statistics_recipe
from recipes import subsets as subsets_recipe
from tests.conftest import SENTENCES
from tests.stores import COMMITTED as SHIPPED
from tests.stores import PERPLEXITY_ROW, fill


def run(recipe, monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", *map(str, arguments)])
    recipe.main()


@pytest.fixture
def profile(saved, tmp_path) -> Path:
    """A row on a tiny encoder of four blocks."""
    for split in ("train", "validation"):
        lines = [json.dumps({"sentence": text, "label": place % 2}) for place, text in enumerate(2 * SENTENCES)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    row = {"id": "own", "task": "sentiment", "checkpoint": str(saved("distilbert")), "data": str(tmp_path)}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"rows": [row | {"remove": 1, "samples": 6, "context": 16}]}))
    return path


def test_statistics_of_a_recipe_give_the_scores_that_the_package_gives(profile, tmp_path, monkeypatch):
    out = tmp_path / "results"
    run(statistics_recipe, monkeypatch, profile, "own", "--out", out / layer_statistics.FOLDER)
    (facts,) = layer_statistics.stored(out)
    assert facts["documents"] == 6
    assert facts["git_revision"]
    row = yaml.safe_load(profile.read_text())["rows"][0]
    model, tokenizer = avss.load_model(row["checkpoint"])
    drawn = avss.load_data(row["data"], "train")
    batches = avss.task_batches(model, tokenizer, "sentiment", drawn, samples=6, context=16)
    for site, tokens in ((SITES[0], TOKENS[0]), (SITES[4], TOKENS[1])):
        reading = avss.Reading(site=site, tokens=tokens)
        expected = avss.score(model, batches, reading=reading).table
        found = from_moments(unpacked(facts["statistics"][site][tokens]), reading).table
        for column in expected:
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-9, err_msg=f"{site} {column}")


def test_a_recipe_measures_every_set_as_evaluate_does(profile, tmp_path, monkeypatch):
    out = tmp_path / "results"
    run(subsets_recipe, monkeypatch, profile, "own", "--out", out / explorer.SUBSETS)
    (found,) = explorer.subsets(Results(Store(out)))
    names = {"+".join(map(str, one)) for size in (1, 2, 3) for one in combinations(range(4), size)}
    assert set(found["measured"]) == names
    assert [(one["method"], one["seed"]) for one in found["choosers"]] == [
        ("avss", 0),
        ("block_influence", 0),
        *(("random", seed) for seed in range(5)),
    ]
    row = yaml.safe_load(profile.read_text())["rows"][0]
    model, tokenizer = avss.load_model(row["checkpoint"])
    for name in ("2", "0+3"):
        with avss.skipping(model, [int(block) for block in name.split("+")]):
            expected = avss.evaluate(model, tokenizer, "sentiment", row["data"], split="validation", context=16)
        one = found["measured"][name]
        assert {key: expected[key] for key in ("value", "low", "high", "n")} == pytest.approx(
            {key: one[key] for key in ("value", "low", "high", "n")}
        )


def test_too_many_blocks_are_refused_before_anything_runs(profile, monkeypatch, capsys):
    monkeypatch.setattr(subsets_recipe, "MOST_BLOCKS", 3)
    with pytest.raises(SystemExit):
        run(subsets_recipe, monkeypatch, profile, "own")
    assert "row own has 4 blocks, and 2^4 sets of them; take a row of at most 3" in capsys.readouterr().err


def test_measured_sets_are_those_of_the_row_alone(tmp_path):
    store = Store(tmp_path)
    fill(store, "mini")
    fill(store, "mini", **PERPLEXITY_ROW)
    found = explorer.measured(Results(store), "mini", "sst2-distilbert")
    assert set(found) == {"1", "2", "5"}
    assert found["5"]["value"] == 0.5
    assert found["5"]["kept"] == pytest.approx(0.5 / 0.9)
    assert found["5"]["metric"] == "accuracy"
    assert explorer.measured(Results(store), "mini", PERPLEXITY_ROW["row"])["5"]["kept"] < 1


def test_nothing_stored_is_an_empty_page(tmp_path):
    results = Results(Store(tmp_path))
    assert explorer.data(results)["models"] == explorer.data(results)["subsets"] == []
    assert findings_table(results) == "Not measured.\n"


def test_a_file_without_a_site_is_named(tmp_path):
    folder = tmp_path / layer_statistics.FOLDER
    folder.mkdir()
    facts = {"row": "r", "profile": "p", "checkpoint": "c", "statistics": {SITES[0]: {"all": {}, "after_first": {}}}}
    (folder / "r.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"r\.json has no statistics of block_update; make it again with recipes/"):
        layer_statistics.stored(tmp_path)


def test_the_script_assigns_the_data_to_a_constant():
    name, text = re.fullmatch(r"const (\w+) = (.*);\n", explorer.script(SHIPPED)).groups()
    assert name == explorer.CONSTANT
    data = json.loads(text)
    assert len(data["models"]) >= 3
    assert len(data["subsets"][0]["measured"]) == 62
    # The curve of the decoder's row removed two, four and eight blocks.
    assert {name.count("+") + 1 for name in data["models"][1]["measured"]} == {2, 4, 8}
    # The whole set of the smallest model is measured, so that the two instruments agree.
    assert data["models"][0]["measured"].keys() >= data["subsets"][0]["measured"].keys()


def test_the_findings_follow_from_the_shipped_data():
    text = findings_table(SHIPPED)
    models = layer_statistics.stored(SHIPPED.store.root)
    smallest = unpacked(models[0]["statistics"]["block_output"]["all"])
    removed = {int(values(smallest, epsilon).argmin()) for epsilon in thresholds(smallest)}
    assert f"to {len(removed)} different block" in text
    # The second finding of the page.
    assert len(removed) > 1
    assert {int(block) for block in re.findall(r">block (\d+)<", text)} == removed
    (row,) = explorer.subsets(SHIPPED)
    assert [chooser["method"] for chooser in row["choosers"][:2]].count("avss") == 1
    for chooser in row["choosers"][:2]:
        ranks = []
        for size in range(1, 6):
            chosen = "+".join(map(str, sorted(np.argsort(chooser["scores"])[:size])))
            scores = [one["value"] for name, one in row["measured"].items() if name.count("+") == size - 1]
            ranks.append(1 + sum(score > row["measured"][chosen]["value"] for score in scores))
        assert f"rank {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}, whose whole interval" in text
        # The third one.
        assert chooser["method"] != "avss" or min(ranks) > 1
    assert "in 3 of 5 sizes; block influence" in text


def test_avss_removes_early_blocks_of_each_decoder_and_the_first_seven_of_smollm2():
    """The first finding of the page."""
    removed = {}
    for facts in explorer.data(SHIPPED)["models"]:
        scores = values(unpacked(facts["statistics"]["block_output"]["all"]), 0.01)
        removed[facts["row"]] = set(np.argsort(scores)[: facts["remove"] or facts["layers"] // 4].tolist())
        assert facts["layers"] <= 6 or max(removed[facts["row"]]) < facts["layers"] / 2
    assert removed["hackernews-smollm2"] == set(range(7))


def test_a_missing_set_is_an_error(tmp_path):
    store = Store(tmp_path / explorer.SUBSETS)
    fill(store, "mini")
    with pytest.raises(InputError, match=r"lacks sets of blocks; make it again with recipes/subsets\.py"):
        explorer.subsets(Results(Store(tmp_path)))
