"""Scores without each block, chance levels, cornerstones and the share of the top players."""

import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

import avss
from avss.engine.gold import UNSCORED
from avss.errors import InputError
from avss.report.cornerstones import (
    Stored,
    at_chance,
    cornerstones,
    removals_of,
    stored,
    top_share,
    write_documents,
)
from avss.report.layer_claims import layer_claims_table, layer_findings
from avss.report.tables import cornerstones as layers
from avss.runs.without_each import WithoutEach, hits_without_each, likelihood_without_each
from recipes import shapley as recipe
from tests.conftest import WORDS, ragged, tiny
from tests.oracles import outcomes


def test_likelihoods_without_a_block_are_those_of_the_model_that_skips_it():
    model, batches = tiny("llama"), [ragged(), ragged((4, 6), seed=1)]
    found = likelihood_without_each(model, batches, [ragged((8, 8), seed=2)])
    whole = np.concatenate([outcomes(model, batch)[0] for batch in batches])
    assert found.whole == pytest.approx(whole, abs=1e-4)
    assert found.denominator.tolist() == [8, 4, 6, 3, 5]
    for layer in range(4):
        with avss.skipping(model, [layer]):
            without = np.concatenate([outcomes(model, batch)[0] for batch in batches])
        assert found.without[layer] == pytest.approx(without, abs=1e-4)


def test_chance_counts_the_scored_tokens_of_other_documents():
    model, batch, other = tiny("llama"), ragged((5,)), ragged((9, 3), seed=2)
    labels = batch["input_ids"].clone()
    labels[:, :3] = UNSCORED
    found = likelihood_without_each(model, [batch | {"labels": labels}], [other])
    seen = Counter(other["input_ids"][0, 1:].tolist() + other["input_ids"][1, 1:3].tolist())
    expected = sum(-np.log((seen[token] + 1) / (10 + 64)) for token in batch["input_ids"][0, 3:].tolist())
    assert found.chance == pytest.approx([expected])
    assert found.denominator.tolist() == [2]


@pytest.mark.parametrize(("name", "documents"), [("mini/distilbert", 40), ("mini/llama-1b", 6)])
def test_hits_without_a_block_are_those_of_the_task(name, documents):
    model, tokenizer = avss.load_model(name, device="cpu")
    rows = avss.load_data("microworld/reviews").select(range(documents))
    found = hits_without_each(model, tokenizer, rows, batch_size=4)
    assert found.chance.tolist() == [0.5] * documents
    assert found.whole.mean() == avss.evaluate(model, tokenizer, "sentiment", rows)["value"]
    for layer in (0, len(found.without) - 1):
        with avss.skipping(model, [layer]):
            assert found.without[layer].mean() == avss.evaluate(model, tokenizer, "sentiment", rows)["value"]


def test_a_classifier_has_no_likelihood_of_tokens():
    with pytest.raises(InputError, match="predicts labels and no tokens; take hits_without_each"):
        likelihood_without_each(tiny("bert"), [ragged()], [])


def test_a_cornerstone_takes_accuracy_to_an_interval_that_holds_chance():
    half, ones = np.full(100, 0.5), np.ones(100)
    hits = np.array([np.arange(100) < right for right in (95, 70, 55, 50, 10)], dtype=float)
    found = cornerstones("accuracy", hits, half, ones)
    assert found["value"].tolist() == [0.95, 0.7, 0.55, 0.5, 0.1]
    # Worse than chance is no better than chance.
    assert found["cornerstone"].tolist() == [False, False, True, True, True]
    assert not at_chance("accuracy", hits[0], half, ones)


def test_a_cornerstone_takes_perplexity_to_that_of_a_unigram_model():
    generator = np.random.default_rng(0)
    counts = np.full(50, 10.0)
    losses = np.array([level * counts + generator.normal(0, 1, 50) for level in (3, 5.9, 6, 9)])
    found = cornerstones("perplexity", losses, 6 * counts, counts)
    assert found["cornerstone"].tolist() == [False, False, True, True]
    assert found["value"][0] == pytest.approx(np.exp(3), rel=0.1)


def test_one_document_judges_nothing():
    with pytest.raises(InputError, match="one document has no interval"):
        at_chance("accuracy", np.ones(1), np.full(1, 0.5), np.ones(1))


def test_the_share_of_the_top_players_is_clipped_only_where_that_is_asked_for():
    values = np.repeat([[1.0], [-1], [4], [2], [0.5]], 8, axis=1)
    chosen, share, low, high = top_share(values)
    assert chosen.tolist() == [0, 2, 3]
    assert (share, low, high) == pytest.approx((7 / 6.5,) * 3)
    assert top_share(values, clipped=True)[1] == pytest.approx(7 / 7.5)
    assert top_share(values, top=1)[0].tolist() == [2]


def test_the_interval_of_a_share_holds_it_and_narrows_with_documents():
    generator = np.random.default_rng(1)
    widths = []
    for documents in (10, 1000):
        values = np.array([3, 1, 1, 1])[:, None] + generator.normal(0, 1, (4, documents))
        _, share, low, high = top_share(values, top=1)
        assert low < share < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_shares_of_nothing_are_named():
    with pytest.raises(InputError, match="the values add up to -3, so they have no shares"):
        top_share(np.full((3, 4), -0.25))
    with pytest.raises(InputError, match="top is 4; give a number from 1 to the 3 players"):
        top_share(np.ones((3, 4)), top=4)


def test_stored_results_are_read_as_they_were_written(tmp_path):
    model, batches = tiny("llama"), [ragged((6, 8)), ragged((5,))]
    found = avss.score(model, batches, "shapley")
    removals = likelihood_without_each(model, batches, batches)
    digest = write_documents(tmp_path / "own.documents.csv.gz", found.by_document, found.scored, **asdict(removals))
    found.save(tmp_path / "own.csv", metric=removals.metric, model="tiny", sha256_of_documents=digest)
    (read,) = stored(tmp_path)
    assert (read.name, read.metric) == ("own", "perplexity")
    assert read.scores.values == pytest.approx(found.values)
    assert read.by_document == pytest.approx(found.by_document, rel=1e-6)
    assert read.scored.tolist() == found.scored.tolist()
    for name in ("whole", "without", "chance", "denominator"):
        assert getattr(read, name) == pytest.approx(getattr(removals, name), rel=1e-6)
    assert removals_of(read).equals(cornerstones("perplexity", read.without, read.chance, read.denominator))
    other = WithoutEach(
        "perplexity", removals.whole + 1, *(getattr(removals, n) for n in ("without", "chance", "denominator"))
    )
    write_documents(tmp_path / "own.documents.csv.gz", found.by_document, found.scored, **asdict(other))
    with pytest.raises(InputError, match=r"documents\.csv\.gz is damaged"):
        stored(tmp_path)


def result(without, whole=0.95, values=((8.0,), (1.0,), (1.0,), (1.0,))) -> Stored:
    """Results of 100 documents: accuracy of the whole model and without each block, and values of each block."""
    hits = np.array([np.arange(100) < 100 * right for right in (whole, *without)], dtype=float)
    spread = np.tile(np.array(values), (1, 10)) + np.random.default_rng(0).normal(0, 0.1, (len(values), 10))
    facts, half, ones = {"metric": "accuracy", "model": "m"}, np.full(100, 0.5), np.ones(100)
    return Stored("t", None, facts, spread, np.ones(10), hits[0], hits[1:], half, ones)


def verdicts(*results: Stored) -> dict[str, str]:
    return {finding.id: finding.verdict for finding in layer_findings(list(results))}


def test_claims_hold_of_a_model_whose_first_block_alone_carries_it():
    assert set(verdicts(result([0.5, 0.95, 0.94, 0.95])).values()) == {"holds"}


def test_claims_fail_of_a_model_that_its_last_block_carries():
    found = verdicts(result([0.7, 0.7, 0.7, 0.5], values=((1.0,),) * 20))
    assert found["cornerstones-are-early"] == "fails"
    assert found["one-layer-is-enough"] == "holds"
    assert found["others-cost-little"] == "fails"
    assert found["few-dominate"] == "fails"


def test_a_model_without_cornerstones_says_nothing_of_their_place():
    found = verdicts(result([0.9, 0.9, 0.9, 0.9]))
    assert found["one-layer-is-enough"] == "fails"
    assert found["cornerstones-are-early"] == "undecided"


def test_a_model_at_chance_is_too_weak_for_claims_about_its_scores():
    (finding, *_) = layer_findings([result([0.5, 0.5, 0.5, 0.5], whole=0.55)])
    assert (finding.verdict, finding.cases[0].numbers) == ("too weak to judge", "the whole model is at chance")
    assert "too weak to judge" in layer_claims_table([result([0.5] * 4, whole=0.5)])


def test_claims_without_results_are_not_measured():
    assert set(verdicts().values()) == {"not measured"}


def test_a_claim_that_is_not_understood_is_named(tmp_path):
    path = tmp_path / "claims.yml"
    path.write_text("layer_claims:\n- {id: a, claim: b, check: early, low: 1}\n")
    with pytest.raises(InputError, match=r"layer claim .* is not understood"):
        layer_findings([result([0.5, 0.9, 0.9, 0.9])], path)


def test_the_table_of_cornerstones_names_them_and_a_model_that_is_too_weak():
    table = layers.cornerstone_table({"good": result([0.5, 0.9, 0.9, 0.9]), "weak": result([0.5] * 4, whole=0.55)})
    good, weak = table.strip().splitlines()[2:]
    assert good.split(" | ")[1:5] == ["accuracy, 100", "0.950", "0.500", "0"]
    assert "block 0: 0.500 [" in good
    assert "too weak to judge" in weak


def test_the_table_of_removals_counts_the_cornerstones_of_each_method():
    case, truth = result([0.5, 0.9, 0.9, 0.5]), np.array([4.0, 1, 2, 3])
    own = {"avss": np.array([0.0, 1, 2, 3]), "leave_one_out": truth, "block_influence": truth}
    line = layers.removed_table({"m": own}, {"m": truth}, {"m": case}).strip().splitlines()[-1]
    assert line == "| m | 0, 3 | 0 | 1 | 0 | 0 | 0 |"
    assert "| leave one out | 1.00 |" in layers.tau_table({"m": own}, {"m": truth})


def test_tables_without_results_say_so():
    assert layers.stored_table([]) == layers.convergence_table(None) == "Not measured.\n"


def test_the_table_of_convergence_states_the_error_of_its_reference():
    reference = {"estimator": "reference", "permutations": 1000, "relative_standard_error": 0.012}
    line = {"estimator": "kernel", "seed": 0, "forwards_a_document": 199.0, "relative_error": 0.031}
    rows = [reference, line | {"relative_standard_error": 0.04}, line | {"relative_standard_error": None}]
    table = layers.convergence_table({"rows": rows, "setting": {"model": "m"}})
    assert "| kernel | 199 | 0 | 3.1\u00a0% | 4.0\u00a0% |" in table
    assert "| not measured |" in table
    assert "at least 1,000 orders of `m`. Its own standard error is 1.2\u00a0%" in table


def test_the_recipe_computes_no_coalition_twice_and_ends_alike(saved, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "hackernews"
    folder.mkdir(parents=True)
    for split, first in (("comments_2021", 0), ("comments_no_commas", 5)):
        lines = [json.dumps({"text": " ".join((2 * WORDS)[first + start :][:6])}) for start in range(8)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("AVSS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(recipe, "CACHE", tmp_path / "cache")
    model, tokenizer = avss.load_model(str(saved("llama")), device="cpu")
    recipe.run("hackernews", model, tokenizer, "tiny", tmp_path / "first")
    heads = []
    # The other scores run the model whole; the coalitions and removals are read.
    monkeypatch.setattr(recipe, "OTHERS", ("leave_one_out", "magnitude"))
    model.lm_head.register_forward_hook(lambda *_: heads.append(1))
    recipe.run("hackernews", model, tokenizer, "tiny", tmp_path / "again")
    assert not heads
    first, again = (stored(tmp_path / name)[0] for name in ("first", "again"))
    assert first.scores.values.tolist() == again.scores.values.tolist()
    assert removals_of(first).equals(removals_of(again))
    assert again.facts["resumed"]
    assert {"git_revision", "versions", "fingerprint", "budget", "block_forwards"} <= set(first.facts)
    assert set(recipe.OTHERS) < set(first.scores.table)
