"""Many sets of removed blocks in one walk against the model really run without each of them, one after another."""

import copy
import itertools
import math
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from datasets import Dataset

from avss.architectures import blocks_of
from avss.engine.modes import evaluating
from avss.engine.passes import logits_of
from avss.errors import InputError
from avss.pruning import skipping
from avss.removals import removing
from avss.tasks import language_modeling, sentiment
from avss.tasks.prompts import Prompting
from tests.conftest import DECODERS, ENCODERS, SENTENCES, ragged, tiny, word_tokenizer
from tests.prompts import prompt_tokenizer
from tests.states import disordered, state_of
from tests.test_tasks import OPINIONS, REVIEWS

SETS = [[], [1], [3], [1, 3], [0], [2, 3], [0, 2], [1, 2, 3]]
# One factor a run of blocks; two sets share blocks and not the factor.
SCALES = [[], [1.5], [0.7], [1.2, 2.0], [3.0], [0.9], [3.0, 0.5], [1.5]]
TEXT = Dataset.from_dict({"text": [*SENTENCES, "film", "it was the very good row and not a poor film"]})


@contextmanager
def counting(model):
    """A list that grows by one entry whenever a block runs."""
    ran = []
    with ExitStack() as stack:
        for block in blocks_of(model):
            stack.callback(block.register_forward_hook(lambda *_: ran.append(None)).remove)
        yield ran


def one_by_one(task, model, *rest, removed, scales=None, **options):
    outcomes = []
    for layers, factors in zip(removed, scales or [None] * len(removed), strict=True):
        with skipping(model, layers, factors):
            outcomes.append(task.measure(model, *rest, **options))
    return outcomes


def assert_same(task, model, *rest, removed=SETS, **options):
    """In one walk and one by one; the outcomes of the walk."""
    together = task.measure_each(model, *rest, removed=removed, **options)
    for found, expected in zip(together, one_by_one(task, model, *rest, removed=removed, **options), strict=True):
        np.testing.assert_allclose(found.numerator, expected.numerator, rtol=1e-12, atol=0)
        np.testing.assert_array_equal(found.denominator, expected.denominator)
        np.testing.assert_allclose(found.predictions, expected.predictions, rtol=1e-12, atol=0)
        np.testing.assert_array_equal(np.shape(found.references), np.shape(expected.references))
        assert found.protocol == expected.protocol
    return together


@pytest.mark.parametrize("scales", [None, SCALES], ids=["plain", "compensated"])
@pytest.mark.parametrize("family", DECODERS)
def test_losses_of_all_sets_equal_those_of_one_set_after_another(family, scales):
    model, tokenizer = tiny(family).double(), word_tokenizer(bos=family in ("llama", "opt"))
    found = assert_same(language_modeling, model, tokenizer, TEXT, "text", context=7, batch_size=2, scales=scales)
    assert len({round(outcome.numerator.sum(), 6) for outcome in found}) == len(SETS), "the sets differ"


@pytest.mark.parametrize("scales", [None, SCALES], ids=["plain", "compensated"])
@pytest.mark.parametrize("family", ENCODERS)
def test_classes_under_all_sets_equal_those_of_one_set_after_another(family, scales):
    options = {"context": 16, "batch_size": 3, "scales": scales}
    assert_same(sentiment, tiny(family), word_tokenizer(), REVIEWS, "sentence", **options)
    # Random models choose one class; their logits tell more.
    model, batch, single = tiny(family), ragged(), []
    with removing(model, SETS, scales=scales) as without:
        found = dict(without.each(batch, lambda logits: [logits.flatten().tolist()]))
    for layers, factors in zip(SETS, scales or [None] * len(SETS), strict=True):
        with evaluating(model), skipping(model, layers, factors):
            single.append(logits_of(model, batch).flatten().tolist())
    np.testing.assert_allclose([found[index][0] for index in range(len(SETS))], single, atol=1e-6)
    assert len({tuple(logits) for logits in single}) == len(SETS), "the sets differ"


@pytest.mark.parametrize("scales", [None, SCALES], ids=["plain", "compensated"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pieces", ["uneven", "joined"])
def test_label_words_under_all_sets_equal_those_of_one_set_after_another(pieces, dtype, scales):
    model, tokenizer = tiny("llama").to(dtype), prompt_tokenizer(pieces, True)
    assert_same(sentiment, model, tokenizer, OPINIONS, "sentence", context=60, batch_size=3, scales=scales)


def test_label_words_after_a_shared_beginning_are_scaled_too():
    model, tokenizer = tiny("llama").double(), prompt_tokenizer("uneven", True)
    prompting = Prompting(solved=(("Review: good\nSentiment:", "positive"),))
    options = {"context": 60, "batch_size": 3, "prompting": prompting, "scales": SCALES}
    assert_same(sentiment, model, tokenizer, OPINIONS, "sentence", **options)


def prefixes(sets, blocks=4):
    """How often a block runs: once for each different beginning, up to a block that stays."""
    masks = [[layer not in layers for layer in range(blocks)] for layers in sets]
    return len({tuple(mask[:end]) for mask in masks for end in range(1, blocks + 1) if mask[end - 1]})


def test_blocks_before_the_sets_part_run_once():
    model, batch = tiny("llama"), ragged()
    sets = [list(layers) for size in range(4) for layers in itertools.combinations(range(4), size)]
    with counting(model) as ran, removing(model, sets) as without:
        found = dict(without.each(batch, lambda logits: [logits.flatten().tolist()]))
    assert len(ran) == without.block_forwards == prefixes(sets) < sum(4 - len(layers) for layers in sets)
    assert sorted(found) == list(range(len(sets)))


def test_blocks_that_cannot_run_on_their_own_run_once_a_set(monkeypatch):
    def refused(model):
        raise InputError("block 0 hands later blocks more than its hidden state")

    monkeypatch.setattr("avss.removals.separable", refused)
    model, tokenizer = tiny("llama").double(), word_tokenizer()
    with counting(model) as ran:
        language_modeling.measure_each(model, tokenizer, TEXT, "text", context=7, batch_size=99, removed=SETS)
    assert len(ran) % sum(4 - len(layers) for layers in SETS) == 0
    for scales in (None, SCALES):
        assert_same(language_modeling, model, tokenizer, TEXT, "text", context=7, batch_size=2, scales=scales)


def test_the_model_is_as_it_was_also_after_an_error():
    model = disordered(tiny("llama"))
    before = state_of(model)
    with removing(model, SETS) as without:
        dict(without.each(ragged(), lambda logits: [[0.0]]))
    assert state_of(model) == before
    with pytest.raises(ZeroDivisionError), removing(model, SETS) as without:
        dict(without.each(ragged(), lambda logits: [[1 / 0]]))
    assert state_of(model) == before


@pytest.mark.parametrize(
    ("removed", "reason"),
    [([[1], [4]], "layer 4 does not exist"), ([[1, 1]], "layer 1 is named twice"), ([[0, 1, 2, 3]], "all 4 layers")],
)
def test_a_set_that_cannot_be_removed_is_refused_before_any_pass(removed, reason):
    model = tiny("llama")
    with counting(model) as ran, pytest.raises(InputError, match=reason), removing(model, removed):
        pass
    assert not ran


def test_a_set_without_a_factor_for_each_of_its_runs_is_refused():
    with pytest.raises(InputError, match="1 scales for 2 runs"), removing(tiny("llama"), [[0, 2]], scales=[[1.5]]):
        pass


def test_what_a_killed_run_measured_is_measured_once(tmp_path):
    model, tokenizer = tiny("llama"), word_tokenizer()
    common = {"context": 7, "batch_size": 1, "removed": SETS, "cache": tmp_path, "key": "k"}
    whole = language_modeling.measure_each(model, tokenizer, TEXT, "text", **common)
    with counting(model) as ran:
        again = language_modeling.measure_each(model, tokenizer, TEXT, "text", **common)
        assert not ran
        more = language_modeling.measure_each(model, tokenizer, TEXT, "text", **common | {"removed": [*SETS, [2]]})
        windows = math.ceil(sum(len(text.split()) + 1 for text in TEXT["text"]) / 7)
        assert len(ran) == 3 * windows, "one set is new"
        other = copy.deepcopy(model)
        with torch.no_grad():
            blocks_of(other)[0].mlp.down_proj.weight.mul_(2)
    changed = language_modeling.measure_each(other, tokenizer, TEXT, "text", **common)
    scaled = language_modeling.measure_each(model, tokenizer, TEXT, "text", scales=SCALES, **common)
    np.testing.assert_array_equal(scaled[0].numerator, whole[0].numerator)
    assert not any(np.array_equal(a.numerator, b.numerator) for a, b in zip(scaled[1:], whole[1:], strict=True))
    for first, second, third in zip(whole, again, more, strict=False):
        np.testing.assert_array_equal(first.numerator, second.numerator)
        np.testing.assert_array_equal(first.numerator, third.numerator)
    assert not np.array_equal(changed[0].numerator, whole[0].numerator)


def test_the_whole_model_alone_runs_without_stand_ins():
    model = tiny("llama")
    with removing(model, [[]]) as without, evaluating(model):
        assert without.parts is None
        ((_, (found,)),) = without.each(ragged(), lambda logits: [logits.flatten().tolist()])
        expected = model(**ragged(), use_cache=False).logits
    np.testing.assert_array_equal(found, expected.flatten().tolist())
