"""The ablation engine against models that are really pruned, reweighted or hooked, one mask at a time."""

import copy
import itertools
import json
import weakref
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
import transformers as hf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import avss
from avss.architectures import blocks_of
from avss.engine import coalitions
from avss.engine.ablation import ablate
from avss.engine.branches import branches_of
from avss.errors import InputError
from tests.conftest import COMMON, DECODERS, ENCODERS, FAMILIES, labelled, ragged, tiny
from tests.oracles import forced, outcomes


def reweighted(model, mask):
    """A copy in which the layer that ends each branch has its weights and bias multiplied by the branch's gate."""
    model, names = copy.deepcopy(model), branches_of(model)[0]
    with torch.no_grad():
        for block, gates in zip(blocks_of(model), mask, strict=True):
            for branch, gate in zip((names.attention, names.mlp), gates, strict=True):
                for parameter in block.get_submodule(branch).parameters():
                    parameter.mul_(gate)
    return model


def assert_equal(found, row, model, batches):
    expected = [outcomes(model, batch) for batch in batches]
    loss, probability, count = (np.concatenate(column) for column in zip(*expected, strict=True))
    assert found.loss[row] == pytest.approx(loss, abs=1e-5, rel=1e-6)
    assert found.probability[row] == pytest.approx(probability, abs=1e-6)
    assert found.count.tolist() == count.tolist()


def two_batches(family, left=False):
    return [labelled(family, ragged(left=left)), labelled(family, ragged((4, 6), seed=1, left=left), seed=1)]


def parallel_stablelm():
    config = hf.StableLmConfig(**COMMON, num_key_value_heads=4, partial_rotary_factor=0.5, use_parallel_residual=True)
    return hf.StableLmForCausalLM(config)


def sequential_neox():
    return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**COMMON, use_parallel_residual=False))


def post_norm_opt():
    sizes = {name: value for name, value in COMMON.items() if name != "intermediate_size"}
    config = hf.OPTConfig(**sizes, ffn_dim=32, word_embed_proj_dim=8, do_layer_norm_before=False)
    return hf.OPTForCausalLM(config)


VARIANTS = {"parallel_stablelm": parallel_stablelm, "sequential_neox": sequential_neox, "post_norm_opt": post_norm_opt}


def with_biases(name):
    """A tiny model of a family or variant, as `tiny`, but with biases: a silent branch must lose its bias as well."""
    torch.manual_seed(0)
    model = VARIANTS[name]().eval() if name in VARIANTS else tiny(name)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif name in VARIANTS:
                parameter.mul_(5)
    return model


ALL = [*sorted(FAMILIES), *VARIANTS]
whole_gates = st.lists(st.sampled_from([0, 0, 0.25, 0.5, 0.9, 1, 1]), min_size=4, max_size=4)
branch_gates = st.lists(st.tuples(*[st.sampled_from([0, 0, 0.5, 1])] * 2), min_size=4, max_size=4)
few = settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_losses_equal_those_of_a_really_pruned_copy_for_every_set_of_blocks(name, left):
    model, batches = with_biases(name), two_batches(name, left)
    masks = [mask for mask in itertools.product((0, 1), repeat=4) if any(mask)]
    found = ablate(model, iter(batches), masks)
    assert found.tokens == 31
    for row, mask in enumerate(masks):
        pruned = copy.deepcopy(model)
        if not all(mask):
            avss.prune(pruned, [layer for layer in range(4) if not mask[layer]])
        assert_equal(found, row, pruned, batches)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("name", ALL)
@few
@given(masks=st.lists(branch_gates, min_size=1, max_size=3))
def test_branches_gated_apart_equal_scaled_weights(name, left, masks):
    model, batches = with_biases(name), two_batches(name, left)
    found = ablate(model, batches, masks)
    for row, mask in enumerate(masks):
        assert_equal(found, row, reweighted(model, mask), batches)


@pytest.mark.parametrize("name", ALL)
@few
@given(masks=st.lists(whole_gates, min_size=1, max_size=3))
def test_blocks_gated_in_part_equal_a_hook_that_mixes_input_and_output(name, masks):
    model, batches = with_biases(name), two_batches(name)
    found = ablate(model, batches, masks)
    for row, mask in enumerate(masks):
        with forced(model, dict(enumerate(mask))):
            assert_equal(found, row, model, batches)


def test_no_block_at_all_is_embeddings_and_head(family):
    model, batches = tiny(family), two_batches(family)
    found = ablate(model, batches, [[0] * 4])
    with forced(model, dict.fromkeys(range(4), 0)):
        assert_equal(found, 0, model, batches)
    assert found.block_forwards == 0


@pytest.mark.parametrize("family", ENCODERS)
def test_a_norm_after_the_sum_stays_when_both_branches_are_off(family):
    model, batches = with_biases(family), two_batches(family)
    skipped = ablate(model, batches, [[0, 1, 1, 1]])
    silent = ablate(model, batches, [[(0, 0), (1, 1), (1, 1), (1, 1)]])
    assert abs(skipped.loss - silent.loss).max() > 1e-3


@pytest.mark.parametrize("family", DECODERS)
def test_a_block_whose_branches_are_both_off_is_skipped(family):
    model, batches = with_biases(family), two_batches(family)
    silent = ablate(model, batches, [[(0, 0), (1, 1), (0, 0), (1, 1)]])
    assert np.array_equal(silent.loss, ablate(model, batches, [[0, 1, 0, 1]]).loss)
    assert silent.block_forwards == 2 * 2


def test_the_side_of_the_padding_changes_no_loss():
    model, masks = tiny("llama"), [[1, 1, 1, 1], [1, 0, 0.5, 1]]
    right, left = ragged((9, 5, 7)), ragged((9, 5, 7), left=True)
    for row, length in enumerate((9, 5, 7)):
        left["input_ids"][row, 9 - length :] = right["input_ids"][row, :length]
    found = [ablate(model, [batch], masks) for batch in (right, left)]
    assert found[0].count.tolist() == found[1].count.tolist() == [8, 4, 6]
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-5)


def test_labels_of_minus_100_are_not_scored():
    model, batch = tiny("llama"), ragged()
    labels = batch["input_ids"].clone()
    labels[:, :4] = -100
    labels[1] = -100
    found = ablate(model, [batch | {"labels": labels}], np.ones((1, 4)))
    assert found.count.tolist() == [5, 0, 3]
    assert found.loss[0, 1] == found.probability[0, 1] == 0
    with torch.no_grad():
        chances = model(**batch).logits.double().softmax(-1)
    gold = [chances[2, t, batch["input_ids"][2, t + 1]] for t in (3, 4, 5)]
    assert found.loss[0, 2] == pytest.approx(-np.log(gold).sum(), abs=1e-5)


def test_masks_may_repeat_and_keep_their_order():
    model, batches = tiny("gpt2"), two_batches("gpt2")
    masks = [[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]]
    found = ablate(model, batches, masks)
    for row, mask in enumerate(masks):
        assert np.array_equal(found.loss[row], ablate(model, batches, [mask]).loss[0])


def deep(layers):
    torch.manual_seed(0)
    config = COMMON | {"num_hidden_layers": layers}
    return hf.LlamaForCausalLM(hf.LlamaConfig(**config, num_key_value_heads=2)).eval()


def edges(masks):
    """How many blocks a walk must run: distinct beginnings of masks that end in a gate other than 0."""
    return len({tuple(mask[: depth + 1]) for mask in masks for depth in range(len(mask)) if mask[depth] != 0})


@pytest.mark.parametrize("layers", range(4, 13))
def test_leave_one_out_shares_what_comes_before_the_block(layers):
    model, batches, calls = deep(layers), [ragged(), ragged((4, 6), seed=1)], []
    for block in blocks_of(model):
        block.register_forward_hook(lambda *_: calls.append(1))
    masks = np.vstack([np.ones(layers), 1 - np.eye(layers)])
    found = ablate(model, batches, masks)
    assert found.block_forwards == len(calls) == len(batches) * layers * (layers + 1) // 2
    assert len(calls) / len(batches) <= 0.55 * layers**2 + layers


@few
@given(masks=st.lists(whole_gates, min_size=1, max_size=20))
def test_every_beginning_runs_once(masks):
    found = ablate(tiny("llama"), [ragged()], masks)
    assert found.block_forwards == edges(masks)


def most_alive(model, masks):
    """The most hidden states that exist at once, those that a block reads and writes among them."""
    states, most = {}, 0

    def seen(*tensors):
        nonlocal most
        states.update((id(tensor), weakref.ref(tensor)) for tensor in tensors)
        most = max(most, sum(reference() is not None for reference in states.values()))

    with ExitStack() as stack:
        for block in blocks_of(model):
            stack.callback(block.register_forward_pre_hook(lambda _, args: seen(args[0])).remove)
            stack.callback(block.register_forward_hook(lambda _, args, output: seen(args[0], output)).remove)
        ablate(model, [ragged(), ragged((4, 6), seed=1)], masks)
    return most


def test_at_most_one_hidden_state_a_depth_is_held():
    layers = 7
    model = deep(layers)
    everything = np.array(list(itertools.product((0, 1), repeat=layers)))
    assert most_alive(model, everything) <= layers + 1
    assert most_alive(model, np.array(list(itertools.product((1, 0.5), repeat=layers)))) <= layers + 1
    # The path that the masks have in common waits at one depth only: its state, and the two of the block that runs.
    assert most_alive(model, np.vstack([np.ones(layers), 1 - np.eye(layers)])) <= 3
    assert most_alive(model, np.ones((1, layers))) <= 2


class _Killed(Exception):
    pass


@contextmanager
def dying_after(model, forwards):
    """The model, raising when a block runs for the given time plus one."""
    calls = itertools.count(1)

    def on_block(*_):
        if next(calls) > forwards:
            raise _Killed

    with ExitStack() as stack:
        for block in blocks_of(model):
            stack.callback(block.register_forward_pre_hook(on_block).remove)
        yield


def masks_in(folder):
    return [json.loads(mask) for file in folder.glob("*.json") for mask in json.loads(file.read_text())["masks"]]


@pytest.mark.parametrize("forwards", [0, 5, 17, 29])
def test_a_run_that_is_interrupted_computes_only_what_is_missing(forwards, tmp_path):
    model, batches = tiny("qwen2"), [ragged(), ragged((4, 6), seed=1)]
    masks = [[float(gate) for gate in mask] for mask in itertools.product((0, 1), repeat=4)]
    expected = ablate(model, batches, masks)
    blocks = blocks_of(model)
    with pytest.raises(_Killed), dying_after(model, forwards):
        ablate(model, batches, masks, cache=tmp_path, key="a")
    assert blocks_of(model) is blocks

    per_batch = [json.loads(file.read_text())["masks"] for file in tmp_path.glob("*.json")]
    per_batch += [{}] * (2 - len(per_batch))
    missing = sum(edges([mask for mask in masks if json.dumps(mask) not in known]) for known in per_batch)
    resumed = ablate(model, batches, masks, cache=tmp_path, key="a")
    assert resumed.block_forwards == missing
    assert forwards == 0 or missing < expected.block_forwards
    for found in (resumed, ablate(model, batches, masks, cache=tmp_path, key="a")):
        assert np.array_equal(found.loss, expected.loss)
        assert np.array_equal(found.probability, expected.probability)
        assert np.array_equal(found.count, expected.count)
    assert found.block_forwards == 0
    assert all(file.suffix == ".json" for file in tmp_path.iterdir())


def test_the_cache_is_written_while_a_batch_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(coalitions, "SAVE_EVERY", 0)
    model, found = tiny("llama"), []
    blocks_of(model)[3].register_forward_hook(lambda *_: found.append(len(masks_in(tmp_path))))
    ablate(model, [ragged()], [[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1]], cache=tmp_path, key="a")
    assert found == [0, 1, 2]


def test_what_is_known_of_a_mask_serves_every_question_and_no_other_model_batch_or_kind(tmp_path):
    model, batch = tiny("bert"), labelled("bert", ragged())

    def forwards(model=model, batch=batch, mask=(1, 1, 0, 1), key="a"):
        return ablate(model, [batch], [mask], cache=tmp_path, key=key).block_forwards

    assert ablate(model, [batch], [[1] * 4, [1, 1, 0, 1]], cache=tmp_path, key="a").block_forwards == 5
    assert forwards() == 0
    assert forwards(key="b") == 3
    assert forwards(mask=[(1, 1), (1, 1), (0, 0), (1, 1)]) == 4
    assert forwards(batch=batch | {"labels": 1 - batch["labels"]}) == 3
    assert forwards(batch=labelled("bert", ragged(left=True))) == 3
    assert forwards(model=copy.deepcopy(model).to(torch.bfloat16)) == 3
    assert forwards() == 0


def test_the_model_is_left_as_it_was(family):
    model = tiny(family).train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    blocks, config = blocks_of(model), copy.deepcopy(model.config.to_dict())
    masks = [[(1, 0.5), (0, 1), (0, 0), (0.5, 1)]]
    ablate(model, two_batches(family), masks)
    with pytest.raises(_Killed), dying_after(model, 2):
        ablate(model, two_batches(family), masks)
    assert blocks_of(model) is blocks
    assert model.training
    assert all(module.training for module in model.modules())
    assert model.config.to_dict() == config
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


ONES = [[1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("family", "batches", "masks", "message"),
    [
        (
            "llama",
            [ragged()],
            [[1, 1, 1]],
            r"masks of shape \(1, 3\) do not fit a model of 4 blocks; give \(masks, 4\)",
        ),
        ("llama", [ragged()], [1, 1, 1, 1], r"masks of shape \(4,\) do not fit"),
        ("llama", [ragged()], [[[1, 1, 1]] * 4], r"masks of shape \(1, 4, 3\) do not fit"),
        ("llama", [ragged()], [[1, 1, 1, 1], [1, 1]], "differ in length; give each 4 gates"),
        ("llama", [ragged()], [[1, 1, "off", 1]], "are not numbers"),
        ("llama", [ragged()], [*ONES, [1, 1, 1.5, 1]], r"mask 1 has gate 1.5 at block 2; gates are between 0"),
        ("llama", [ragged()], [[-0.1, 1, 1, 1]], "mask 0 has gate -0.1 at block 0"),
        ("llama", [ragged()], [[1, float("nan"), 1, 1]], "mask 0 has gate nan at block 1"),
        ("llama", [ragged()], [[(1, 1), (1, 2), (1, 1), (1, 1)]], "mask 0 has gate 2 at block 1"),
        ("llama", [ragged()], [], "no masks were given"),
        ("llama", [], ONES, "no batches were given"),
        ("llama", [{"text": "good"}], ONES, r"batch 0 has no input_ids \(it has text\)"),
        ("llama", [ragged((1, 1))], ONES, "nothing in the batches is scored"),
        ("bert", [ragged()], ONES, "a batch has no labels"),
    ],
)
def test_bad_input_is_named(family, batches, masks, message):
    with pytest.raises(InputError, match=message) as raised:
        ablate(tiny(family), batches, masks)
    assert "\n" not in str(raised.value)


def test_models_that_cannot_be_ablated_are_named(tmp_path):
    with pytest.raises(InputError, match="BertModel has no head"):
        ablate(tiny("bert").base_model, [labelled("bert", ragged())], ONES)
    with pytest.raises(InputError, match="a Linear has no config"):
        ablate(torch.nn.Linear(2, 2), [ragged()], ONES)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file cannot be made .*; give a folder that can be written"):
        ablate(tiny("llama"), [ragged()], ONES, cache=tmp_path / "file")
    broken = tiny("llama")
    with torch.no_grad():
        blocks_of(broken)[2].mlp.down_proj.weight.fill_(torch.inf)
    with pytest.raises(InputError, match=r"mask \(1.0, 1.0, 1.0, 1.0\) has NaN or infinite losses in batch 0"):
        ablate(broken, [ragged()], ONES)
    assert np.isfinite(ablate(broken, [ragged()], [[1, 1, 0, 1]]).loss).all()
