"""Compensation on every family: the factor is the formula's, and plain weights compute what a hook would."""

import copy
import json
import math
from contextlib import ExitStack

import hypothesis.strategies as st
import pytest
import torch
import transformers as hf
from hypothesis import given, settings

import avss
from avss.architectures import blocks_of
from avss.cli import main
from avss.compensation import compensate, factors
from avss.data import batches, fingerprint, load_data, sample
from avss.errors import InputError
from avss.selection import runs_of
from tests.conftest import DECODERS, FAMILIES, SENTENCES, ragged, tiny
from tests.test_pruning import AUTO, logits

REMOVED = [[0], [1], [3], [0, 2], [1, 2], [0, 1, 3]]
BATCHES = [ragged((9, 5, 7), seed=1), ragged((3, 8), seed=2)]


def runs(removed):
    """Maximal runs, by trying all."""
    return [
        (first, last)
        for first in range(10)
        for last in range(first, 10)
        if set(range(first, last + 1)) <= set(removed) and not {first - 1, last + 1} & set(removed)
    ]


def slow_scales(model, removed, made):
    """Each document alone, without padding; sums in Python."""
    inputs, outputs = {}, {}
    with ExitStack() as stack:
        for layer, block in enumerate(blocks_of(model)):

            def keep(module, args, kwargs, output, layer=layer):
                inputs.setdefault(layer, []).append(args[0] if args else kwargs["hidden_states"])
                outputs.setdefault(layer, []).append(output[0] if isinstance(output, tuple) else output)

            stack.callback(block.register_forward_hook(keep, with_kwargs=True).remove)
        for batch in made:
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                with torch.no_grad():
                    model(input_ids=ids[mask.bool()][None])
    scales = []
    for first, last in runs(removed):
        before = torch.cat([hidden[0] for hidden in inputs[first]]).tolist()
        behind = torch.cat([hidden[0] for hidden in outputs[last]]).tolist()
        ratios = []
        for channel in range(len(before[0])):
            entering = math.fsum(abs(token[channel]) for token in before) / len(before)
            leaving = math.fsum(abs(token[channel]) for token in behind) / len(behind)
            if entering > 0:
                ratios.append(leaving / entering)
        scales.append(math.fsum(ratios) / len(ratios))
    return scales


def hooked(model, removed, scales, batch):
    """Logits without these blocks, the hidden state at each cut multiplied where it passes."""

    def entering(module, args, kwargs, scale):
        if args:
            return (args[0] * scale, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": kwargs["hidden_states"] * scale}

    def leaving(module, args, output, scale):
        return (output[0] * scale, *output[1:]) if isinstance(output, tuple) else output * scale

    with avss.skipping(model, removed), ExitStack() as stack:
        left = blocks_of(model)
        for (first, _), scale in zip(runs(removed), scales, strict=True):
            behind = first - sum(layer < first for layer in removed)
            if behind < len(left):
                handle = left[behind].register_forward_pre_hook(
                    lambda m, a, k, scale=scale: entering(m, a, k, scale), with_kwargs=True
                )
            else:
                handle = left[-1].register_forward_hook(lambda m, a, o, scale=scale: leaving(m, a, o, scale))
            stack.callback(handle.remove)
        return logits(model, batch)


def exact(model):
    """The model in float64, with norms whose constant does not count."""
    for part in model.modules():
        for name in ("eps", "variance_epsilon"):
            if hasattr(part, name):
                setattr(part, name, 1e-18)
    return model.double()


def varied(family):
    """A tiny model with random gains and biases, as trained models have."""
    model = tiny(family)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(
                    torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(parameter))), alpha=0.3
                )
    return model


def unit_sized(family):
    """The same with embeddings of about 1 in size, as the stream of trained models is soon behind the first block."""
    model = varied(family)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, torch.nn.Embedding):
                part.weight.mul_(10)
    return model


def apart(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("removed", REMOVED)
def test_the_factor_is_that_of_the_formula_without_padding(family, removed):
    model = varied(family)
    cuts = compensate(copy.deepcopy(model), removed, iter(BATCHES))
    assert [(cut.first, cut.last) for cut in cuts] == runs(removed)
    assert [cut.scale for cut in cuts] == pytest.approx(slow_scales(model, removed, BATCHES), rel=1e-5)


@pytest.mark.parametrize("removed", REMOVED)
def test_plain_weights_equal_a_hook_at_each_cut(family, removed):
    batch = ragged(seed=5)
    for model, tolerance in ((exact(varied(family)), 1e-6), (unit_sized(family), 1e-5)):
        plain, scales = logits(copy.deepcopy(model), batch), slow_scales(model, removed, BATCHES)
        expected = hooked(model, removed, scales, batch)
        without = hooked(model, removed, [1] * len(scales), batch)
        assert apart(logits(avss.prune(model, removed, compensate=BATCHES), batch), expected) < tolerance
        assert apart(without, plain) > 1e-4, "the removed blocks mattered"
        # A norm that follows the last block takes the size of the stream away.
        assert apart(without, expected) > 1e-4 or removed == [3]


@pytest.mark.parametrize("removed", [[1, 2], [0, 2], [0, 1, 3]])
def test_skipping_with_scales_is_the_compensated_model_and_leaves_nothing(family, removed):
    model, batch = unit_sized(family), ragged(seed=5)
    weights, plain = copy.deepcopy(model.state_dict()), logits(model, batch)
    cuts = factors(model, runs_of(removed), BATCHES)
    scales = [cut.scale for cut in cuts]
    with avss.skipping(model, removed, scales=scales) as shorter:
        found = logits(shorter, batch)
    assert torch.equal(found, hooked(model, removed, scales, batch))
    with pytest.raises(ZeroDivisionError), avss.skipping(model, removed, scales):
        raise ZeroDivisionError
    assert torch.equal(logits(model, batch), plain)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert apart(logits(avss.prune(model, removed, compensate=BATCHES), batch), found) < 1e-5


def test_runs_that_overlap_are_measured_in_one_pass(family):
    model, asked = varied(family), [(0, 0), (0, 2), (1, 2), (3, 3)]
    found = factors(model, asked, iter(BATCHES))
    assert [(cut.first, cut.last) for cut in found] == asked
    for cut in found:
        alone = compensate(copy.deepcopy(model), range(cut.first, cut.last + 1), BATCHES)
        assert alone == [cut]


@pytest.mark.long
def test_a_compiled_model_is_scaled_too():
    # Of two blocks, because each set of blocks is compiled anew.
    model, batch = avss.prune(unit_sized("llama"), [2, 3]), ragged(seed=5)
    compiled = torch.compile(model, backend="eager")
    for scales in ([1.5], [2.5], None):
        with avss.skipping(model, [0], scales):
            expected = logits(model, batch)
        with avss.skipping(compiled, [0], scales):
            assert apart(logits(compiled, batch), expected) < 1e-6


def test_scales_that_do_not_belong_to_the_cuts_are_refused_before_anything_changes():
    model, batch = tiny("llama"), ragged()
    plain = logits(model, batch)
    for scales, reason in (
        ([1.0], "1 scales for 2 runs"),
        ([1.0, float("nan")], "scale nan"),
        ([0, 1.0], "scale 0"),
        ([-1.0, 2.0], "scale -1.0"),
    ):
        with pytest.raises(InputError, match=reason), avss.skipping(model, [0, 2], scales):
            pass
    with pytest.raises(InputError, match="1 scales for 0 runs"), avss.skipping(model, [], [2.0]):
        pass
    assert torch.equal(logits(model, batch), plain)


@given(
    family=st.sampled_from(sorted(FAMILIES)),
    factors=st.dictionaries(st.integers(0, 3), st.floats(0.25, 4), min_size=1, max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_blocks_that_only_scale_the_stream_are_made_up_for(family, factors):
    model, batch = exact(varied(family)), ragged(seed=7)

    def scaled(module, args, kwargs, output, factor):
        hidden = (args[0] if args else kwargs["hidden_states"]) * factor
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    for layer, factor in factors.items():
        blocks_of(model)[layer].register_forward_hook(
            lambda m, a, k, o, factor=factor: scaled(m, a, k, o, factor), with_kwargs=True
        )
    whole = logits(model, batch)
    assert apart(logits(avss.prune(model, list(factors), compensate=BATCHES), batch), whole) < 1e-6


def test_blocks_that_add_nothing_change_no_bit(planted):
    model = copy.deepcopy(planted.model)
    plain = avss.prune(copy.deepcopy(model), planted.layers).state_dict()
    cuts = compensate(model, planted.layers, planted.batches)
    assert {cut.scale for cut in cuts} == {1.0}
    found = avss.prune(model, planted.layers).state_dict()
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[key], plain[key]) for key in plain)


@pytest.mark.parametrize("tied", [False, True])
def test_a_compensated_model_is_saved_and_reloaded_by_the_plain_auto_class(family, tied, tmp_path):
    model, batch, removed = unit_sized(family), ragged(), [1]
    model.config.tie_word_embeddings = tied
    head = model.get_output_embeddings()
    if head is not None:
        weight = model.get_input_embeddings().weight
        head.weight = weight if tied else torch.nn.Parameter(weight.detach().flip(0))
    expected = hooked(model, removed, slow_scales(model, removed, BATCHES), batch)
    avss.prune(model, removed, compensate=BATCHES)
    found = logits(model, batch)
    assert apart(found, expected) < 1e-5
    model.save_pretrained(tmp_path)
    reloaded, info = AUTO[family].from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(logits(reloaded.eval(), batch), found)
    kept = tiny(family).config.to_dict().keys() | {"tie_word_embeddings", "architectures", "dtype"}
    assert set(reloaded.config.to_dict()) <= kept, "the checkpoint is a plain one"


@pytest.mark.parametrize("family", DECODERS)
def test_generation_with_cache_equals_without(family):
    model = avss.prune(tiny(family), [0, 2], compensate=BATCHES)
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    prompt = {"input_ids": ragged((6, 6))["input_ids"]}
    cached = model.generate(**prompt, use_cache=True, **settings)
    assert torch.equal(cached, model.generate(**prompt, use_cache=False, **settings))


def test_one_block_at_a_time_is_the_loop_of_the_paper(family):
    model, batch = exact(varied(family)), ragged(seed=5)
    first = slow_scales(model, [2], BATCHES)
    with avss.skipping(model, [2]):
        one = copy.deepcopy(model)
    blocks_of(one)[2].register_forward_pre_hook(
        lambda m, a, k: (
            ((a[0] * first[0], *a[1:]), k) if a else (a, k | {"hidden_states": k["hidden_states"] * first[0]})
        ),
        with_kwargs=True,
    )
    second = slow_scales(one, [1], BATCHES)
    expected = hooked(model, [1, 2], [first[0] * second[0]], batch)
    assert slow_scales(model, [1, 2], BATCHES)[0] != pytest.approx(first[0] * second[0], rel=1e-3)
    avss.prune(avss.prune(model, [2], compensate=BATCHES), [1], compensate=BATCHES)
    assert apart(logits(model, batch), expected) < 1e-6


def test_a_channel_that_is_zero_before_the_cut_is_left_out(planted):
    model = copy.deepcopy(planted.model)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 3] = 0
    cut = compensate(copy.deepcopy(model), [0], planted.batches)[0]
    assert cut.scale == pytest.approx(slow_scales(model, [0], planted.batches)[0], rel=1e-5)
    assert math.isfinite(cut.scale)


@pytest.mark.parametrize("left", [False, True])
def test_padding_and_batching_do_not_move_the_factor(left):
    model, together = tiny("llama"), ragged((9, 5, 7), left=left)
    with torch.no_grad():
        model.model.embed_tokens.weight[0] = 1e4
    pairs = zip(together["input_ids"], together["attention_mask"], strict=True)
    alone = [{"input_ids": ids[mask.bool()][None]} for ids, mask in pairs]
    scale = compensate(copy.deepcopy(model), [1, 2], alone)[0].scale
    assert compensate(model, [1, 2], [together])[0].scale == pytest.approx(scale, rel=1e-5)


def test_weights_keep_their_dtype_and_are_rounded_once():
    model = tiny("llama").bfloat16()
    found = copy.deepcopy(model)
    cut = compensate(found, [1], BATCHES)[0]
    assert {parameter.dtype for parameter in found.parameters()} == {torch.bfloat16}
    for layer, block in enumerate(blocks_of(model)):
        expected = block.mlp.down_proj.weight.double() / (cut.scale if layer > 1 else 1)
        assert torch.equal(blocks_of(found)[layer].mlp.down_proj.weight, expected.bfloat16())


def changed(family, **fields):
    config = tiny(family).config
    for name, value in fields.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    return type(tiny(family))(config).eval()


@pytest.mark.parametrize("removed", [[1], [3], [1, 3]])
def test_blocks_of_opt_that_end_with_a_norm_equal_a_hook(removed):
    model, batch = changed("opt", do_layer_norm_before=False), ragged(seed=5)
    with torch.no_grad():
        for layer, block in enumerate(blocks_of(model)):
            block.final_layer_norm.weight.fill_(1 + layer)
    expected = hooked(model, removed, slow_scales(model, removed, BATCHES), batch)
    assert apart(logits(avss.prune(model, removed, compensate=BATCHES), batch), expected) < 1e-5


@torch.no_grad()
def with_embeddings(number):
    model = tiny("llama")
    model.model.embed_tokens.weight.mul_(number)
    return model


class Packed(torch.nn.Linear):
    """A layer that stores whole numbers, as quantised ones do."""

    def forward(self, entering):
        return torch.nn.functional.linear(entering, self.weight.float())


def packed():
    model = tiny("llama")
    linear = Packed(16, 16, bias=False)
    linear.weight = torch.nn.Parameter(linear.weight.to(torch.int8), requires_grad=False)
    blocks_of(model)[2].self_attn.o_proj = linear
    return model


@torch.no_grad()
def full():
    """A block that halves the stream, and behind it a weight that has no room to double."""
    model = tiny("llama").half()
    blocks_of(model)[0].register_forward_hook(lambda module, args, output: args[0] / 2)
    blocks_of(model)[3].self_attn.o_proj.weight[0, 0] = 6e4
    return model


def projected():
    """A linear layer between the norm of the embedding and the first block, as where embeddings are narrower."""
    model = tiny("bert")
    model.bert.embeddings.dropout = torch.nn.Linear(16, 16)
    return model


REFUSED = {
    "no batches": (lambda: tiny("llama"), [], "no batches were given"),
    "a yes without text": (lambda: tiny("llama"), True, "of type bool; give an iterable of batches"),
    "one batch": (lambda: tiny("llama"), ragged(), "of type dict; give an iterable of batches"),
    "no last norm": (
        lambda: changed("opt", _remove_final_layer_norm=True),
        BATCHES,
        "this opt model cannot be compensated: no norm follows its last block; prune it without",
    ),
    "no first norm": (
        lambda: changed("opt", do_layer_norm_before=False),
        BATCHES,
        "no norm with a gain ends where layer 0 begins",
    ),
    "a norm that is followed by more": (
        projected,
        BATCHES,
        "this bert model cannot be compensated: no norm with a gain ends where layer 0 begins",
    ),
    "packed weights": (packed, BATCHES, "self_attn.o_proj of layer 2, a Packed, is no plain linear layer"),
    "weights elsewhere": (lambda: tiny("llama").to("meta"), BATCHES, "some of its weights are offloaded"),
    "infinite states": (lambda: with_embeddings(float("inf")), BATCHES, "the factor for removed layers 0 to 0 is nan"),
    "zero states": (lambda: with_embeddings(0), BATCHES, "the factor for removed layers 0 to 0 is nan"),
    "no room": (full, BATCHES, "a weight times 2 does not fit in torch.float16; load the model in a wider dtype"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_model_that_cannot_be_compensated_is_refused_and_left_alone(case):
    make, text, message = REFUSED[case]
    model = make()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match=message):
        avss.prune(model, [0], compensate=text)
    assert len(blocks_of(model)) == 4
    if case != "weights elsewhere":
        torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0, equal_nan=True)


def test_a_model_that_cannot_be_pruned_is_refused_before_any_batch_is_run():
    def never():
        raise AssertionError("a batch was asked for")
        yield

    with pytest.raises(InputError, match="all 4 layers"):
        avss.prune(tiny("llama"), range(4), compensate=never())
    with pytest.raises(InputError, match="scale_attn_by_inverse_layer_idx is True"):
        avss.prune(changed("gpt2", scale_attn_by_inverse_layer_idx=True), [0], compensate=never())


@pytest.fixture
def world(saved, tmp_path):
    """A model, its scores by which layer 1 goes, and text."""
    saved("llama")
    (tmp_path / "s.csv").write_text("layer,magnitude,rank\n0,4,1\n1,1,4\n2,2,3\n3,3,2\n")
    (tmp_path / "text.txt").write_text("\n".join(SENTENCES) + "\n")
    return tmp_path


def prune(world, *more):
    command = ["prune", world / "llama-model", "--scores", world / "s.csv", "--layers", 1, "--out", world / "p", *more]
    return main([str(word) for word in command])


def test_the_command_writes_a_plain_compensated_checkpoint_and_says_how(world):
    assert prune(world, "--compensate", "--data", world / "text.txt", "--samples", 3, "--context", 4, "--seed", 1) == 0
    made = json.loads((world / "p/pruning.json").read_text())["compensation"]
    documents = sample(load_data(str(world / "text.txt")), 3, 1)
    model, tokenizer = avss.load_model(str(world / "llama-model"), device="cpu")
    text = batches(documents["text"], tokenizer, context=4)
    cut = compensate(copy.deepcopy(model), [1], text)[0]
    assert made == {
        "cuts": [{"first": 1, "last": 1, "scale": pytest.approx(cut.scale, rel=1e-12)}],
        "data": str(world / "text.txt"),
        "fingerprint": fingerprint(documents, ["text"]),
        "column": "text",
        "samples": 3,
        "context": 4,
        "seed": 1,
    }
    expected = avss.prune(model, [1], compensate=text)
    found = hf.AutoModelForCausalLM.from_pretrained(world / "p")
    assert all(torch.equal(tensor, found.state_dict()[key]) for key, tensor in expected.state_dict().items())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--compensate"], "--compensate is given without --data"),
        (["--data", "text.txt"], "--data is given without --compensate"),
        (["--compensate", "--data", "none.txt"], "data none.txt does not exist"),
        (["--compensate", "--data", "text.txt", "--column", "words"], "has no column words"),
        (["--compensate", "--data", "text.txt", "--samples", "0"], "--samples is 0"),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_write_nothing(world, monkeypatch, capsys, more, message):
    monkeypatch.chdir(world)
    assert prune(world, *more) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (world / "p").exists()


def test_memory_that_runs_out_names_the_options_of_the_text(world, capsys, monkeypatch):
    def run_out(*_):
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr("avss.compensation.compensate", run_out)
    assert prune(world, "--compensate", "--data", world / "text.txt") == 2
    advice = "give a smaller --batch-size or a smaller --context or a narrower --dtype\n"
    assert capsys.readouterr().err.endswith(advice)


def test_trained_weights_equal_a_hook_at_each_cut_but_for_epsilon(stories, wikitext):
    whole, tokenizer = avss.load_model(str(stories), device="cpu")
    text = load_data(str(wikitext / "valid.txt.gz")).filter(lambda row: len(row["text"]) > 200)["text"][:8]
    made = batches(text, tokenizer, context=64)
    for removed in ([0], [2], [1, 3]):
        scales = [cut.scale for cut in compensate(copy.deepcopy(whole), removed, made)]
        for without_epsilon, tolerance in ((False, 1e-3), (True, 1e-5)):
            model = copy.deepcopy(whole)
            pruned = avss.prune(copy.deepcopy(model), removed, compensate=made)
            if without_epsilon:
                exact(model).float(), exact(pruned).float()
            assert apart(logits(pruned, made[0]), hooked(model, removed, scales, made[0])) < tolerance
