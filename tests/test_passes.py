"""Passes over batches: each batch is numbered, checked before it is run, and sent with its padding on the right."""

import pytest
import torch

import avss
from avss.engine import observe as observing
from avss.engine.passes import passes
from avss.errors import InputError
from avss.methods import METHODS
from avss.reading import Reading
from tests.conftest import labelled, padded_right, ragged, tiny

READS_TEXT = [name for name, method in METHODS.items() if method.reads_text]


def test_batches_are_numbered_and_sent_as_they_are():
    batches = [labelled("bert", ragged()), {"input_ids": ragged((4, 4))["input_ids"], "other": "text"}]
    found = list(passes(tiny("bert"), iter(batches), "testing"))
    assert [each.number for each in found] == [0, 1]
    assert sorted(found[0].inputs) == ["attention_mask", "input_ids"]
    assert torch.equal(found[0].inputs["input_ids"], batches[0]["input_ids"])
    assert torch.equal(found[0].mask, batches[0]["attention_mask"].bool())
    assert torch.equal(found[0].labels, batches[0]["labels"])
    assert sorted(found[1].inputs) == ["input_ids"]
    assert found[1].labels is None
    assert bool(found[1].mask.all())


def test_padding_moves_to_the_right():
    batch = ragged(left=True)
    (found,) = passes(tiny("llama"), [batch], "testing")
    assert torch.equal(found.inputs["input_ids"], padded_right(batch)["input_ids"])
    assert torch.equal(found.mask, padded_right(batch)["attention_mask"].bool())


@pytest.mark.parametrize("method", READS_TEXT)
@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no batches were given"),
        ([ragged(), {"text": ["a"]}], r"batch 1 has no input_ids \(it has text\)"),
        ([ragged(), ragged() | {"attention_mask": torch.zeros(3, 9, dtype=int)}], "batch 1 holds padding only"),
        ([{"input_ids": torch.ones(4, dtype=int)}], r"batch 0 has input_ids of shape \(4,\); give both as"),
        ([ragged() | {"attention_mask": torch.ones(3, 4, dtype=int)}], r"\(3, 9\) and attention_mask \(3, 4\)"),
    ],
)
def test_every_method_names_a_batch_that_it_cannot_use(method, batches, message):
    with pytest.raises(InputError, match=message) as caught:
        avss.score(tiny("llama"), batches, method)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "avss"])
def test_a_reading_is_an_option_of_avss_alone(method):
    model, batches = tiny("llama"), [ragged()]
    assert "reading" not in METHODS[method].options
    avss.score(model, batches, method, reading="paper")
    avss.score(model, batches, method, reading=Reading())
    for reading in ("released-code", Reading(site="block_update")):
        with pytest.raises(InputError, match=f"method {method} has no readings, and reading is '.*'; leave"):
            avss.score(model, batches, method, reading=reading)


def test_avss_takes_a_reading_by_name_and_by_value():
    model, batches = tiny("llama"), [ragged()]
    named = avss.score(model, batches, "avss", reading="paper,site=block_update")
    assert named.table.equals(avss.score(model, batches, reading=Reading(site="block_update")).table)
    assert named.table.equals(METHODS["avss"].function(model, batches, "paper,site=block_update").table)


def test_options_are_those_of_the_functions():
    assert METHODS["avss"].options == ("reading", "epsilons", "histogram")
    assert METHODS["greedy"].options == ("remove", "cache", "key")
    assert METHODS["last"].options == ()


def test_names_that_notebooks_import_are_where_they_were():
    assert {"observe", "hooked", "evaluating"} <= set(vars(observing))
