"""The cache of losses answers for the model and batch that run, or not at all."""

import copy
import json
import multiprocessing
import os
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import avss
from avss.architectures import blocks_of
from avss.engine import coalitions
from avss.engine.ablation import ablate
from avss.engine.coalitions import Coalitions
from avss.methods import METHODS
from tests.conftest import ragged, tiny

ONES = [[1, 1, 1, 1]]
CACHED = [name for name, method in METHODS.items() if "cache" in method.options]


def pruned_at(layer):
    return lambda model: avss.prune(model, [layer])


@torch.no_grad()
def another_head(model):
    model.lm_head.weight.mul_(0.1)
    return model


def through_data(model):
    """In the way of optimizers: torch counts no change of the weights."""
    next(blocks_of(model)[1].parameters()).data.mul_(2)
    return model


def another_constant(model):
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = 0.5
    return model


def another_base(model):
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            module.inv_freq = module.inv_freq * 2
    return model


def fine_tuned(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    batch = ragged((8, 8))
    model(**batch, labels=batch["input_ids"]).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return model


CHANGES = [pruned_at(0), pruned_at(3), another_head, through_data, another_constant, another_base, fine_tuned]


def test_models_that_share_a_parent_and_a_key_share_no_losses(tmp_path):
    batch, models = ragged(), [tiny("llama")]
    models += [change(copy.deepcopy(models[0])) for change in CHANGES]
    for model in models * 2:
        mask = [[1] * len(blocks_of(model))]
        cached = ablate(model, [batch], mask, cache=tmp_path, key="one name for all")
        assert np.array_equal(cached.loss, ablate(model, [batch], mask).loss)
    assert cached.block_forwards == 0, "the second round reads the cache"
    assert len(list(tmp_path.iterdir())) == len(models)


def test_a_model_edited_between_two_calls_is_measured_anew(tmp_path):
    model, batch = tiny("llama"), ragged()
    before = ablate(model, [batch], ONES, cache=tmp_path)
    another_head(model)
    after = ablate(model, [batch], ONES, cache=tmp_path)
    assert np.array_equal(after.loss, ablate(model, [batch], ONES).loss)
    assert not np.array_equal(after.loss, before.loss)


@pytest.mark.parametrize("method", CACHED)
def test_scores_of_two_prunings_differ_though_they_share_a_cache(method, tmp_path):
    models = [avss.prune(tiny("llama"), [layer]) for layer in (0, 3)]
    for model in models:
        found = avss.score(model, [ragged()], method, cache=tmp_path, key="parent").values
        assert np.array_equal(found, avss.score(model, [ragged()], method).values)


def test_a_model_without_some_blocks_for_a_while_has_losses_of_its_own(tmp_path):
    model, batch = tiny("llama"), ragged()
    for layer in (1, 2):
        with avss.skipping(model, [layer]):
            cached = ablate(model, [batch], [[1, 1, 1]], cache=tmp_path, key="a")
            assert np.array_equal(cached.loss, ablate(model, [batch], [[1, 1, 1]]).loss)


def test_weights_that_are_saved_and_loaded_keep_their_losses(tmp_path):
    model, batch = tiny("llama"), ragged()
    ablate(model, [batch], ONES, cache=tmp_path / "cache", key=None)
    model.save_pretrained(tmp_path / "model")
    loaded = type(model).from_pretrained(tmp_path / "model")
    assert ablate(loaded, [batch], ONES, cache=tmp_path / "cache").block_forwards == 0


def test_a_key_keeps_apart_what_the_weights_do_not_tell(tmp_path):
    model, batch = tiny("llama"), ragged()
    ablate(model, [batch], ONES, cache=tmp_path, key="as it is")
    handle = blocks_of(model)[1].register_forward_hook(lambda module, args, output: output * 2)
    hooked = ablate(model, [batch], ONES, cache=tmp_path, key="doubled")
    assert np.array_equal(hooked.loss, ablate(model, [batch], ONES).loss)
    handle.remove()


DAMAGES = {
    "empty": lambda text: "",
    "no JSON": lambda text: "{oops",
    "a list": lambda text: "[1]",
    "cut": lambda text: text[: len(text) // 2],
    "twice": lambda text: text + text,
    "another number": lambda text: text.replace("[[", "[[9", 1),
    "NaN": lambda text: text.replace(text[text.index("[[") + 2 : text.index(",", text.index("[["))], "NaN", 1),
    "another length": lambda text: json.dumps(json.loads(text) | {"count": [1]}),
    "no checksum": lambda text: json.dumps({"count": [3], "masks": {"[1.0, 1.0, 1.0, 1.0]": [[1.0], [0.5]]}}),
    "too deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_warning_and_the_same_losses(damage, tmp_path):
    model, batch = tiny("llama"), ragged()
    expected = ablate(model, [batch], ONES, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(DAMAGES[damage](file.read_text()))
    with pytest.warns(UserWarning, match=f"{file.name} is damaged; its losses are computed again") as caught:
        found = ablate(model, [batch], ONES, cache=tmp_path)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert np.array_equal(found.loss, expected.loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ablate(model, [batch], ONES, cache=tmp_path).block_forwards == 0


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_byte_can_change_without_notice(data, tmp_path):
    path, mask = tmp_path / "file.json", (1.0, 0.5)
    path.unlink(missing_ok=True)
    kept = Coalitions(path)
    kept.add(mask, [[0.25, 1 / 3], [0.5, 0.125]], [3, 4])
    kept.save()
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.sampled_from([place, len(whole)]))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Coalitions(path)
    if mask in found:
        assert found[mask] == [[0.25, 1 / 3], [0.5, 0.125]]
        assert found.count == [3, 4]
    else:
        assert not found.masks


def test_a_file_that_cannot_be_read_is_one_warning(tmp_path):
    (tmp_path / "file.json").mkdir()
    with pytest.warns(UserWarning, match="is damaged"):
        kept = Coalitions(tmp_path / "file.json")
    kept.add((1.0,), [[0.25], [0.5]], [1])
    with pytest.warns(UserWarning, match="losses cannot be kept in .*; the run goes on"):
        kept.save()
    assert kept[(1.0,)] == [[0.25], [0.5]]


def adding(path, start: int) -> None:
    coalitions.SAVE_EVERY = -1.0
    kept = Coalitions(path)
    for number in range(start, start + 40):
        kept.add((float(number),), [[number / 3], [0.5]], [1])
    os._exit(0)


def test_two_processes_on_one_file_leave_it_whole(tmp_path):
    path, context = tmp_path / "file.json", multiprocessing.get_context("fork")
    processes = [context.Process(target=adding, args=(path, start)) for start in (0, 100)]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Coalitions(path)
    assert [process.exitcode for process in processes] == [0, 0]
    found = Coalitions(path)
    assert len(found.masks) >= 40, "what one process has added last is there"
    for number in (*range(40), *range(100, 140)):
        if (float(number),) in found:
            assert found[(float(number),)] == [[number / 3], [0.5]]
    assert list(tmp_path.iterdir()) == [path]
