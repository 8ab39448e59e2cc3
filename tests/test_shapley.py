"""Layer Shapley values of real model classes, against hooks, and what a killed run keeps."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

import avss
from avss.architectures import blocks_of
from avss.cli import main
from avss.engine.ablation import ablate
from avss.engine.branches import branches_of
from avss.errors import InputError
from avss.methods.shapley import block_forwards, shares
from avss.scores import LayerScores
from tests.conftest import SENTENCES, labelled, ragged, tiny
from tests.oracles import mean_gains, outcomes

COLUMNS = ["layer", "shapley", "standard_error", "low", "high", "document_error", "rank"]


def batches_for(family):
    return [labelled(family, ragged()), labelled(family, ragged((4, 6), seed=1, left=True), seed=1)]


def test_values_are_the_mean_gain_over_all_orders(family):
    model, batches = tiny(family), batches_for(family)
    found = avss.score(model, iter(batches), "shapley")
    assert found.values == pytest.approx(mean_gains(model, batches), abs=1e-5)
    assert list(found.table) == COLUMNS
    assert (found.documents, found.tokens, found.estimator) == (5, 31, "exact")
    assert not found.table["standard_error"].any()
    assert found.table["low"].equals(found.table["high"])
    assert found.efficiency_gap == pytest.approx(0, abs=1e-12)


def subsets_one_by_one(model, batches):
    """The factorial formula over all subsets, each mask through a run of its own, to the last digit."""
    layers = len(blocks_of(model))
    value = {
        mask: -ablate(model, batches, [mask]).mean_loss[0] for mask in itertools.product((0.0, 1.0), repeat=layers)
    }
    found = np.zeros(layers)
    for mask, layer in itertools.product(value, range(layers)):
        if not mask[layer]:
            size = int(sum(mask))
            weight = math.factorial(size) * math.factorial(layers - size - 1) / math.factorial(layers)
            joined = (*mask[:layer], 1.0, *mask[layer + 1 :])
            found[layer] += weight * (value[joined] - value[mask])
    return found


def test_values_of_the_six_block_encoder_are_exact():
    model, tokenizer = avss.load_model("mini/distilbert", device="cpu")
    rows = avss.load_data("microworld/reviews").select(range(3))
    text = tokenizer(list(rows["sentence"]), padding=True)
    batch = {name: torch.tensor(text[name]) for name in ("input_ids", "attention_mask")}
    batches = [batch | {"labels": torch.tensor(rows["label"])}]
    found = avss.score(model, batches, "shapley")
    assert len(found.values) == 6
    assert found.values == pytest.approx(subsets_one_by_one(model, batches), abs=1e-9)


def test_values_of_a_real_llama_of_five_blocks_are_exact(stories):
    model, tokenizer = avss.load_model(str(stories), device="cpu")
    batches = list(avss.batches(["Once upon a time there was a dog.", "Tom was sad."], tokenizer, context=16))
    found = avss.score(model, batches, "shapley")
    assert len(found.values) == 5
    assert found.values == pytest.approx(subsets_one_by_one(model, batches), abs=1e-9)


@pytest.mark.parametrize("estimator", ["exact", "permutation", "kernel", "window"])
def test_blocks_that_add_nothing_have_no_value(planted, estimator):
    found = avss.score(planted.model, planted.batches, "shapley", estimator=estimator, budget=30)
    none = found.table.iloc[planted.layers]
    if estimator == "kernel":
        assert (none["low"] <= 0).all()
        assert (none["high"] >= 0).all()
    else:
        assert none["shapley"].abs().max() < 1e-12
        assert sorted(found.lowest(3)) == planted.layers


def test_blocks_that_add_the_same_vector_have_the_same_value():
    model = tiny("gpt2")
    with torch.no_grad():
        for block in blocks_of(model)[1:3]:
            for linear in (block.attn.c_proj, block.mlp.c_proj):
                linear.weight.zero_()
                linear.bias.copy_(torch.linspace(-1, 2, 16))
    values = avss.score(model, [ragged()], "shapley").values
    assert values[1] == pytest.approx(values[2], abs=1e-6)
    assert abs(values[1]) > 1e-3


def test_values_of_a_sum_of_scores_are_the_sums_of_the_values():
    model, batches = tiny("llama"), [ragged()]

    def first(model, batch):
        return model(**batch).logits[:, 0, 0]

    def second(model, batch):
        return model(**batch).logits[:, 1, 3]

    def both(model, batch):
        return first(model, batch) + second(model, batch)

    found = [avss.score(model, batches, "shapley", value=value).values for value in (first, second, both)]
    assert found[2] == pytest.approx(found[0] + found[1], abs=1e-5)


@pytest.mark.parametrize("players", ["blocks", "sublayers"])
def test_a_score_of_ones_own_is_valued_as_the_likelihood_is(family, players):
    model, batches = tiny(family), [labelled(family, ragged((7, 7)))]

    def likelihood(model, batch):
        loss, _, count = outcomes(model, batch)
        return -loss / count

    own = avss.score(model, batches, "shapley", players=players, value=likelihood)
    found = avss.score(model, batches, "shapley", players=players)
    assert own.table[["shapley", "document_error"]].to_numpy() == pytest.approx(
        found.table[["shapley", "document_error"]].to_numpy(), abs=1e-4
    )
    assert own.block_forwards >= found.block_forwards


def test_sublayers_are_players_of_their_own_that_add_up_to_their_block(family):
    model, batches = tiny(family), batches_for(family)
    with torch.no_grad():
        linear = blocks_of(model)[2].get_submodule(branches_of(model)[2].attention)
        linear.weight.zero_()
        if linear.bias is not None:
            linear.bias.zero_()
    found = avss.score(model, batches, "shapley", players="sublayers")
    table = found.table
    assert len(table) == 4
    assert table["shapley"].to_numpy() == pytest.approx((table["attention"] + table["mlp"]).to_numpy(), abs=1e-12)
    assert table["attention"][2] == pytest.approx(0, abs=1e-6)
    assert (table["attention"].abs().drop(2) > 1e-6).all()
    assert found.sum_of_values == pytest.approx(found.v_all - found.v_none, abs=1e-12)


def test_the_error_of_a_block_is_that_of_the_sum_of_its_sublayers():
    options = {"players": "sublayers", "estimator": "permutation", "target": 0, "budget": 60}
    table = avss.score(tiny("llama"), batches_for("llama"), "shapley", **options).table
    least = (table["attention_standard_error"] - table["mlp_standard_error"]).abs()
    most = table["attention_standard_error"] + table["mlp_standard_error"]
    assert ((least - 1e-12 <= table["standard_error"]) & (table["standard_error"] <= most + 1e-12)).all()


def test_windows_of_one_are_leave_one_out():
    model, batches = tiny("llama"), batches_for("llama")
    found = avss.score(model, batches, "shapley", estimator="window", level=1)
    assert found.values == pytest.approx(avss.score(model, batches, "leave_one_out").values, abs=1e-12)
    assert found.table[["standard_error", "low", "high"]].isna().all(axis=None)
    assert found.efficiency_gap != 0


def test_errors_over_documents_are_those_of_a_ratio():
    model = tiny("llama")
    documents = [ragged((length,), seed=length) for length in (3, 5, 6, 9)]
    counts = np.array([2, 4, 5, 8])
    one = np.array([avss.score(model, [document], "shapley").values for document in documents])
    found = avss.score(model, documents, "shapley")
    assert found.values == pytest.approx(one.T @ counts / 19, abs=1e-6)
    apart = (one - found.values) * counts[:, None]
    expected = np.sqrt(4 / 3 * np.square(apart).sum(0)) / 19
    assert found.table["document_error"].to_numpy() == pytest.approx(expected, abs=1e-5)
    assert avss.score(model, documents[:1], "shapley").table["document_error"].isna().all()
    assert found.by_document == pytest.approx((one * counts[:, None]).T, abs=1e-5)
    assert found.scored.tolist() == counts.tolist()


@pytest.mark.parametrize("players", ["blocks", "sublayers"])
@pytest.mark.parametrize("estimator", ["exact", "permutation", "kernel", "window"])
@pytest.mark.parametrize("family", ["llama", "bert"])
def test_as_many_blocks_run_as_the_scores_state(family, estimator, players):
    model, batches, runs = tiny(family), batches_for(family), []
    for block in blocks_of(model):
        block.register_forward_hook(lambda *_: runs.append(1))
    found = avss.score(model, batches, "shapley", players=players, estimator=estimator, target=0, budget=20)
    assert found.block_forwards == len(runs)


def test_block_forwards_count_every_shared_beginning_once():
    generator = np.random.default_rng(0)
    for width, skips in itertools.product((1, 2), (True, False)):
        coalitions = generator.random((30, 5 * width)) < 0.6
        nodes = set()
        for row in coalitions.tolist():
            for depth in range(5):
                if any(row[depth * width : (depth + 1) * width]) or not skips:
                    nodes.add(tuple(row[: (depth + 1) * width]))
        assert block_forwards(coalitions, width, skips) == len(nodes)


OPTIONS = [
    {"estimator": "exact"},
    {"estimator": "permutation", "target": 0, "budget": 24},
    {"estimator": "permutation", "truncate": True, "target": 0, "budget": 24},
    {"estimator": "kernel", "target": 0, "budget": 24},
    {"estimator": "window", "players": "sublayers"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_a_run_that_was_interrupted_computes_no_coalition_twice_and_ends_alike(planted, tmp_path, options):
    model, batches, heads = planted.model, planted.batches, []
    counting = model.lm_head.register_forward_hook(lambda *_: heads.append(1))
    whole = avss.score(model, batches, "shapley", **options)
    needed = len(heads)
    generator = np.random.default_rng(len(options))
    heads.clear()
    interrupts = 0
    for left in generator.integers(10, 60, 4):
        budget = [int(left)]

        def interrupt(*_, budget=budget):
            budget[0] -= 1
            if budget[0] < 0:
                raise KeyboardInterrupt

        hooks = [block.register_forward_pre_hook(interrupt) for block in blocks_of(model)]
        try:
            avss.score(model, batches, "shapley", **options, cache=tmp_path, key="planted")
        except KeyboardInterrupt:
            interrupts += 1
        for hook in hooks:
            hook.remove()
    again = avss.score(model, batches, "shapley", **options, cache=tmp_path, key="planted")
    counting.remove()
    assert interrupts >= 2
    assert len(heads) == needed
    assert again.table.equals(whole.table)
    assert again.block_forwards == whole.block_forwards


def test_other_methods_find_the_coalitions_that_were_kept(tmp_path):
    model, batches, runs = tiny("llama"), batches_for("llama"), []
    avss.score(model, batches, "shapley", estimator="window", cache=tmp_path, key="a")
    for block in blocks_of(model):
        block.register_forward_hook(lambda *_: runs.append(1))
    avss.score(model, batches, "leave_one_out", cache=tmp_path, key="a")
    assert not runs
    avss.score(model, batches, "shapley", estimator="exact", cache=tmp_path, key="a")
    runs.clear()
    options = {"target": 0, "budget": 10, "cache": tmp_path, "key": "a"}
    for estimator in ("permutation", "kernel"):
        avss.score(model, batches, "shapley", estimator=estimator, **options)
    avss.score(model, batches, "greedy", cache=tmp_path, key="a")
    assert not runs


def test_a_document_with_nothing_to_predict_changes_nothing():
    model = tiny("llama")
    alone = avss.score(model, [ragged((6, 8))], "shapley").values
    with_more = avss.score(model, [ragged((6, 8)), ragged((1,))], "shapley")
    assert with_more.values == pytest.approx(alone, abs=1e-12)
    assert with_more.documents == 3


def test_another_seed_draws_other_coalitions_and_the_same_one_the_same():
    model, batches = tiny("llama"), [ragged()]
    options = {"estimator": "permutation", "target": 0, "budget": 10}
    first, again, other = (avss.score(model, batches, "shapley", **options, seed=seed) for seed in (0, 0, 1))
    assert first.table.equals(again.table)
    assert not first.table.equals(other.table)


def test_saved_values_keep_what_they_were_computed_from(tmp_path):
    found = avss.score(tiny("llama"), [ragged()], "shapley", estimator="window")
    found.save(tmp_path / "s.csv", model="m")
    facts = json.loads((tmp_path / "s.json").read_text())
    assert (facts["estimator"], facts["block_forwards"], facts["model"]) == ("window", found.block_forwards, "m")
    assert facts["sum_of_values"] - facts["efficiency_gap"] == pytest.approx(facts["v_all"] - facts["v_none"])
    loaded = LayerScores.load(tmp_path / "s.csv")
    assert loaded.values == pytest.approx(found.values)
    assert loaded.table["standard_error"].isna().all()


def test_shares_are_clipped_only_where_that_is_asked_for():
    assert shares([3, -1, 2]) == pytest.approx([0.75, -0.25, 0.5])
    assert shares([3, -1, 2], clipped=True) == pytest.approx([0.6, 0, 0.4])
    for values, clipped in (([1, -2], False), ([-1, -2], True)):
        with pytest.raises(InputError, match="have no shares"):
            shares(values, clipped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"players": "heads"}, "players 'heads' is not known; choose one of blocks, sublayers"),
        ({"estimator": "shap"}, "estimator 'shap' is not known; choose one of exact, permutation, kernel, window"),
        ({"estimator": "window", "level": 0}, "level is 0; give the longest window, from 1 to 4 players"),
        ({"target": -1}, "target is -1; give a number at least 0"),
        ({"target": "low"}, "target is 'low'"),
        ({"budget": 0}, "budget is 0; give a number above 0"),
        ({"budget": math.inf}, "budget is inf"),
        ({"seed": -1}, "seed is -1; give a whole number, at least 0"),
        ({"truncate": "no"}, "truncate is 'no'; give True or False"),
        ({"value": "accuracy"}, "value is 'accuracy'; give a function of the model and a batch"),
        ({"value": lambda model, batch: [1.0]}, r"value gave \[1.0\] for batch 0; it must give one finite number"),
        ({"value": lambda model, batch: [math.nan] * 3}, r"value gave \[nan, nan, nan\] for batch 0"),
    ],
)
def test_options_that_cannot_be_used_are_named(options, message):
    with pytest.raises(InputError, match=message):
        avss.score(tiny("llama"), [ragged()], "shapley", **options)


def test_exact_values_of_many_players_are_refused_before_any_work(planted):
    with pytest.raises(InputError, match=r"exact values of 16 players need 2\^16 coalitions; choose permutation"):
        avss.score(planted.model, [{}], "shapley", players="sublayers", estimator="exact")


def test_no_batches_are_named():
    for value in (None, lambda model, batch: [1.0]):
        with pytest.raises(InputError, match="no batches were given"):
            avss.score(tiny("llama"), [], "shapley", value=value)


def test_a_command_scores_sublayers_and_names_options_that_do_not_fit(saved, tmp_path, capsys):
    text, out = tmp_path / "text.txt", tmp_path / "scores.csv"
    text.write_text("\n".join(SENTENCES) + "\n")
    command = ["score", str(saved("llama")), "--data", str(text), "--method", "shapley", "--out", str(out)]
    for wrong in ("layers=3", "players"):
        assert main([*command, "--option", wrong]) == 2
        assert f"--option {wrong} does not fit method shapley; give NAME=VALUE, of these" in capsys.readouterr().err
    assert main([*command, "--option", "players=heads"]) == 2
    assert "players 'heads' is not known" in capsys.readouterr().err
    options = ["players=sublayers", "estimator=permutation", "budget=20"]
    assert main([*command, "--seed", "3", *(part for each in options for part in ("--option", each))]) == 0
    facts = json.loads(out.with_suffix(".json").read_text())
    assert (facts["estimator"], facts["seed"]) == ("permutation", 3)
    assert {"attention", "mlp"} <= set(LayerScores.load(out).table)
