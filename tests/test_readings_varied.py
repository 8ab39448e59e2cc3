"""Readings varied one choice at a time, the curve of the sparsity, and models rescaled without any effect."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from avss.architectures import blocks_of
from avss.engine.observe import evaluating, observe
from avss.engine.rescaling import scale_hidden, scale_stream
from avss.errors import InputError
from avss.methods import score
from avss.reading import PRESETS, Reading
from avss.report import readings
from avss.report.figures.readings import sparsity_curves, varied_readings
from avss.report.snapshot import Results
from avss.report.tables import readings as tables
from avss.store import Store
from tests.conftest import ragged, tiny

ROW = "sst2-distilbert"
BLOCKS, SEEDS, DOCUMENTS = 6, 3, 40
BATCHES = [ragged(), ragged((6, 8), seed=1)]


def differing(one: str, other: str) -> list[str]:
    first, second = Reading.parse(one), Reading.parse(other)
    return [name for name in vars(first) if getattr(first, name) != getattr(second, name)]


@pytest.fixture(scope="module")
def main(tmp_path_factory) -> Store:
    """A main store without results, and inside it a row with a random order for every reading and seed, and a curve."""
    store, rng = Store(tmp_path_factory.mktemp("results")), np.random.default_rng(0)
    inner = Results(store).readings.store
    facts = {"configuration": {"dataset": "SST-2", "model": "DistilBERT"}}
    run = inner.start("mini", ROW, "2026-01-01T00:00:00Z", facts)
    removed = ["none", *map(str, range(BLOCKS))]
    hits = dict(zip(removed, (rng.random((1 + BLOCKS, DOCUMENTS)) < 0.7).astype(float), strict=True))
    for layers, numerator in hits.items():
        run.add_outcomes({layers: (numerator, np.ones(DOCUMENTS))})
    cells = [("original", "none", "none", 0)]
    cells += [("avss", reading, "lowest(1)", seed) for reading in readings.readings() for seed in range(SEEDS)]
    cells += [("avss", reading, "released_code(0.25)", 0) for reading in PRESETS]
    for method, reading, rule, seed in cells:
        scores = rng.permutation(BLOCKS) + 1.0
        layers = "none" if method == "original" else str(scores.argmin())
        observation = {
            **{"key": f"{method}{reading}{rule}{seed}", "profile": "mini", "row": ROW, "task": "sentiment"},
            **{"dataset": "SST-2", "data": "data", "data_fingerprint": "ffff", "model": "model", "revision": "aaaa"},
            **{"method": method, "reading": reading, "selection": rule, "removed": layers, "coalition": layers},
            **{"layers": BLOCKS, "share_of_layers": 1 / BLOCKS, "share_of_parameters": 0.1, "seed": seed, "samples": 8},
            **{"metric": "accuracy", "value": hits[layers].mean(), "original": hits["none"].mean(), "n": DOCUMENTS},
            **{"low": 0, "high": 1, "seconds": 1, "peak_memory_mb": 1, "status": "ok"},
        }
        known = {"row": ROW, "method": method, "reading": reading, "seed": seed}
        values = [
            known | {"layer": layer, "quantity": quantity, "value": value}
            for quantity in ("std", "normalized_avss")
            for layer, value in enumerate(scores)
        ]
        run.add([observation], values if rule == "lowest(1)" else [])
    readings.keep_curve(inner, "mini", ROW, {"curve": "first"} | facts, observe(tiny("llama"), BATCHES, histogram=True))
    return store


def test_every_value_of_every_field_is_read_once():
    names = readings.readings()
    alone = [name for name in names if readings.axis_of(name)[0] in readings.FIELDS]
    all_but = [name for name in names if readings.axis_of(name)[0] == readings.ALL_BUT]
    assert len(set(names)) == len(names) == 2 + len(alone) + len(all_but)
    assert all(differing(name, "paper") == [readings.axis_of(name)[0]] for name in alone)
    assert [differing(name, "released-code") for name in all_but] == [[name] for name in readings.DIVERGENCES]
    assert set(readings.DIVERGENCES) == set(differing("paper", "released-code"))
    assert readings.axis_of("paper,site=mlp_hidden") == ("site", "mlp_hidden")
    assert readings.axis_of("released-code,padding=excluded") == (readings.ALL_BUT, "padding=excluded")
    assert readings.axis_of("paper,site=mlp_hidden,ddof=1") == ("other", "paper,site=mlp_hidden,ddof=1")


def test_every_reading_is_held_against_paper_on_the_same_sample(main):
    store = Results(main).readings.store
    table = readings.compared(Results(store), ROW).set_index("reading")
    assert list(table.index) == list(readings.readings())
    layers = store.layers("mini", ROW).query("quantity == 'normalized_avss'").sort_values("layer")
    scores = {key: part["value"].to_numpy() for key, part in layers.groupby(["reading", "seed"])}
    seen = store.observations("mini", ROW)
    seen = seen[seen["selection"] == "lowest(1)"]
    for reading, line in table.iterrows():
        pairs = [(scores["paper", seed], scores[reading, seed]) for seed in range(SEEDS)]
        if reading == "paper":
            pairs = combinations([scores["paper", seed] for seed in range(SEEDS)], 2)
        taus = [stats.kendalltau(*pair).statistic for pair in pairs]
        assert [line.tau, line.tau_low, line.tau_high] == pytest.approx([np.mean(taus), min(taus), max(taus)])
        own = seen[seen["reading"] == reading]
        kept = own["value"] / own["original"]
        assert [line.retention, line.worst, line.best] == pytest.approx([kept.mean(), kept.min(), kept.max()])
        assert line.retention_low <= line.retention <= line.retention_high


def test_tables_tell_each_divergence_and_selection(main):
    store = Results(main).readings.store
    assert tables.comparison_table(Results(store), ROW).count("\n| ") == 1 + len(readings.readings())
    divergences = tables.divergence_table(Results(store), ROW)
    assert all(f"| {name} = " in divergences for name in readings.DIVERGENCES)
    assert tables.selection_table(Results(store), ROW).count("released_code(0.25)") == len(PRESETS)
    assert (
        f"of {len([r for r in readings.readings() if readings.axis_of(r)[0] in readings.FIELDS])} single changes"
        in (tables.counted_changes(Results(store), ROW))
    )
    assert "quantile:0.5" in tables.scale_table(Results(store), ROW)
    assert f"{ROW} (mini)" in tables.exponent_table(Results(store))


def test_the_curve_is_exact():
    model, batches = tiny("llama"), BATCHES
    activations = []
    hooks = [
        block.register_forward_hook(lambda module, args, output: activations.append(output))
        for block in blocks_of(model)
    ]
    with evaluating(model):
        for batch in batches:
            model.base_model(**batch)
    for hook in hooks:
        hook.remove()
    masks = [batch["attention_mask"].bool() for batch in batches]
    depth = len(blocks_of(model))
    table = readings.curve(observe(model, batches, histogram=True))
    assert table["layer"].nunique() == depth
    for layer, part in table.groupby("layer"):
        own = activations[layer::depth]
        values = torch.cat([output[mask].abs().flatten() for output, mask in zip(own, masks, strict=True)]).numpy()
        expected = [(values < epsilon).mean() for epsilon in part["epsilon"]]
        np.testing.assert_allclose(part["sparsity"], expected, rtol=1e-12)
        assert values.min() >= part["epsilon"].min() / 2


def test_a_curve_is_stored_once_and_the_newest_is_read(tmp_path):
    store, model = Store(tmp_path), tiny("llama")
    first, second = (observe(model, BATCHES[:count], histogram=True) for count in (1, 2))
    for key, moments in (("a", first), ("a", second), ("b", second)):
        readings.keep_curve(store, "mini", ROW, {"curve": key}, moments)
    assert len(store.provenances("mini", ROW)) == 2
    stored, expected = readings.stored_curve(Results(store), ROW), readings.curve(second)
    np.testing.assert_array_equal(stored["epsilon"], expected["epsilon"])
    np.testing.assert_allclose(stored["sparsity"], expected["sparsity"], rtol=1e-8)
    spread = [second[layer].variance() ** 0.5 for layer in stored["layer"]]
    np.testing.assert_allclose(stored["std"], spread, rtol=1e-8)


def test_the_exponent_is_that_of_a_gaussian():
    epsilon = np.geomspace(1e-3, 3, 2000)
    curve = pd.DataFrame({"epsilon": epsilon, "sparsity": 2 * stats.norm.cdf(epsilon) - 1})
    shares = [0.01, 0.5, 0.9]
    at = stats.norm.ppf(0.5 + np.array(shares) / 2)
    expected = 2 + 2 * at * stats.norm.pdf(at) / shares
    np.testing.assert_allclose(readings.exponents(curve, shares), expected, atol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_a_scaled_stream_computes_the_same_and_scores_otherwise(tied):
    model, batches, factor = tiny("llama"), BATCHES, 2.0**5
    model.config.tie_word_embeddings = tied
    if tied:
        model.tie_weights()
    with evaluating(model):
        expected = [model(**batch).logits for batch in batches]
    plain, quantile = (score(model, batches, reading=f"paper,epsilon={e}") for e in ("0.01", "quantile:0.1"))
    scale_stream(model, factor)
    with evaluating(model):
        assert all(torch.equal(model(**batch).logits, logits) for batch, logits in zip(batches, expected, strict=True))
    moved = score(model, batches, reading=f"paper,epsilon={0.01 * factor}")
    np.testing.assert_array_equal(moved.values, plain.values)
    np.testing.assert_array_equal(moved.table["std"], plain.table["std"] * factor)
    np.testing.assert_array_equal(score(model, batches, reading="paper,epsilon=quantile:0.1").values, quantile.values)


def test_a_scaled_hidden_layer_computes_the_same_and_gains_rank():
    model, batches, reading = tiny("llama"), BATCHES, "paper,site=mlp_hidden"
    before = score(model, batches, reading=reading).values
    layer = int(before.argmin())
    with evaluating(model):
        expected = [model(**batch).logits for batch in batches]
    scale_hidden(model, layer, 2.0 ** np.ceil(np.log2(before.max() / before.min())))
    with evaluating(model):
        assert all(torch.equal(model(**batch).logits, logits) for batch, logits in zip(batches, expected, strict=True))
    assert score(model, batches, reading=reading).values.argmax() == layer


def test_only_a_family_that_is_known_is_rescaled():
    with pytest.raises(InputError, match="distilbert cannot be rescaled"):
        scale_stream(tiny("distilbert"), 2.0)


@pytest.mark.parametrize("draw", [varied_readings, sparsity_curves])
def test_figures_draw_what_is_stored_and_say_where_nothing_is(main, tmp_path, draw):
    figure, data = draw(Results(main))
    assert len(figure.axes) >= 2
    assert list(data["row"].unique()) == [ROW]
    figure, data = draw(Results(Store(tmp_path)))
    assert data.empty
    assert "not measured" in [text.get_text() for text in figure.texts]
