"""Public functions leave a model, its configs and the random numbers of the process as they were."""

import pytest
import torch
from datasets import Dataset

import avss
from avss.architectures import blocks_of
from avss.engine.modes import differentiable, evaluating, unchanged
from avss.engine.observe import hooked
from avss.engine.relevance import attnlrp
from avss.methods import METHODS
from avss.tasks import TASKS
from tests.conftest import labelled, ragged, tiny
from tests.prompts import prompt_tokenizer
from tests.states import disordered, drawing, state_of

ERRORS = {"none": None, "error": RuntimeError("the data broke"), "interrupt": KeyboardInterrupt()}
# One of each kind: an encoder, absolute positions, rotary ones, positions from the mask, sliding windows.
KINDS = ("bert", "gpt2", "llama", "opt", "qwen2")
ROWS = Dataset.from_list(
    [
        {"sentence": f"the film was {word}", "label": label, "text": f"the {word} film", "context": "Rome is old"}
        | {"question": "Where is it?", "answers": {"text": ["Rome"]}}
        for word, label in (("good", 1), ("bad", 0), ("fine", 1))
    ]
)


@pytest.fixture(autouse=True)
def own_dtype():
    yield
    torch.set_default_dtype(torch.float32)


def assert_same(before: dict, after: dict) -> None:
    assert {name: after[name] == value for name, value in before.items()} == dict.fromkeys(before, True)


@pytest.mark.parametrize("ending", ERRORS)
@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_scoring_changes_nothing_that_training_would_go_on_with(method, family, ending):
    model, error = disordered(tiny(family)), ERRORS[ending]
    batches = drawing(model, [labelled(family, ragged()), labelled(family, ragged((4, 6)))], error)
    before = state_of(model)
    if error is None or not METHODS[method].reads_text:
        avss.score(model, batches, method)
    else:
        with pytest.raises(type(error)):
            avss.score(model, batches, method)
    assert_same(before, state_of(model))


@pytest.mark.parametrize("ending", ERRORS)
@pytest.mark.parametrize("family", KINDS)
def test_ablation_changes_nothing(family, ending, tmp_path):
    model, error = disordered(tiny(family)), ERRORS[ending]
    batches = drawing(model, [labelled(family, ragged())], error)
    before, masks = state_of(model), [[1, 0, 1, 1], [0.5, 1, 1, 0]]
    if error:
        with pytest.raises(type(error)):
            avss.ablate(model, batches, masks, cache=tmp_path)
    else:
        avss.ablate(model, batches, masks, cache=tmp_path)
    assert_same(before, state_of(model))


def failing_at(model, call: int, error: BaseException) -> None:
    """Makes the second block raise when it runs for this time."""
    calls = []

    def on_block(*_):
        calls.append(1)
        torch.rand(3)
        if len(calls) == call:
            raise error

    blocks_of(model)[1].register_forward_hook(on_block)


@pytest.mark.parametrize("ending", ERRORS)
@pytest.mark.parametrize(
    ("task", "family"),
    [(task, family) for task in TASKS for family in KINDS if task == "sentiment" or family != "bert"],
)
def test_tasks_change_nothing(task, family, ending):
    model, error = disordered(tiny(family)), ERRORS[ending]
    failing_at(model, 2 if error else -1, error)
    tokenizer, before = prompt_tokenizer(), state_of(model)
    options = {"context": 60 if task != "language_modeling" else 6, "batch_size": 1}
    if error:
        with pytest.raises(type(error)):
            avss.evaluate(model, tokenizer, task, ROWS, **options)
    else:
        avss.evaluate(model, tokenizer, task, ROWS, **options)
    assert_same(before, state_of(model))


@pytest.mark.parametrize("ending", ERRORS)
@pytest.mark.parametrize(
    "context",
    [
        unchanged,
        evaluating,
        differentiable,
        attnlrp,
        lambda model: hooked(model, "block_output", lambda *_: None),
        lambda model: avss.skipping(model, [1, 3]),
    ],
    ids=["unchanged", "evaluating", "differentiable", "attnlrp", "hooked", "skipping"],
)
def test_contexts_restore_what_they_change(context, ending):
    model, error = disordered(tiny("qwen2")), ERRORS[ending]
    before = state_of(model)
    if error:
        with pytest.raises(type(error)), context(model):
            raise error
    else:
        with context(model):
            pass
    assert_same(before, state_of(model))


def test_a_context_undoes_what_was_changed_inside():
    model = disordered(tiny("llama"))
    before, block = state_of(model), blocks_of(model)[2]
    with unchanged(model):
        block.self_attn.past = torch.zeros(3)
        block.mlp.act_fn = torch.nn.Identity()
        block.register_forward_pre_hook(lambda *_: None)
        block.train(not block.training)
        model.generation_config.max_new_tokens = 3
        model.config.pad_token_id = 7
        model.set_attn_implementation("eager")
        del blocks_of(model)[3]
    assert_same(before, state_of(model))
