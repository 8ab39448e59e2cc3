"""The rules of AttnLRP, written out element by element, against modified gradients; and that relevance stays."""

from dataclasses import replace

import pytest
import torch
import transformers as hf
from torch import nn
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

import avss
from avss.architectures import ARCHITECTURES, blocks_of
from avss.engine import relevance
from avss.engine.relevance import attnlrp, halved, identity_activation, identity_norm
from avss.errors import InputError
from tests.conftest import COMMON, FAMILIES, labelled, ragged, tiny
from tests.oracles import boundaries, branch_shares


def normal(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def propagated(function, arriving, *inputs):
    """The relevance of each input by value times modified gradient, when relevance `arriving` is at the output."""
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    output = function(*inputs)
    gradients = torch.autograd.grad(output, inputs, arriving / output.detach(), materialize_grads=True)
    return [(tensor * gradient).detach() for tensor, gradient in zip(inputs, gradients, strict=True)]


def test_linear_layers_follow_the_epsilon_rule():
    layer, x, arriving = nn.Linear(5, 3).double(), normal(5), normal(3, seed=1)
    z, w = layer(x).detach(), layer.weight.detach()
    expected = torch.zeros(5, dtype=torch.float64)
    for i in range(5):
        for j in range(3):
            expected[i] += w[j, i] * x[i] / (z[j] + 1e-12 * z[j].sign()) * arriving[j]
    assert torch.allclose(propagated(layer, arriving, x)[0], expected, rtol=1e-8)


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "tanh"])
def test_activations_pass_relevance_on_unchanged(name):
    function, x, arriving = hf.activations.ACT2FN[name], normal(7).abs(), normal(7, seed=1)
    found = propagated(lambda x: identity_activation(x, function(x)), arriving, x)[0]
    assert torch.allclose(found, arriving)
    everywhere = torch.cat([-x, torch.zeros(1), torch.full((1,), 1e-30)]).double().requires_grad_()
    leaving = identity_activation(everywhere, function(everywhere))
    assert torch.allclose(leaving, function(everywhere))
    assert torch.isfinite(torch.autograd.grad(leaving.sum(), everywhere)[0]).all()


def test_rms_norm_passes_relevance_on_unchanged():
    norm, x, arriving = LlamaRMSNorm(6).double(), normal(2, 6), normal(2, 6, seed=1)
    norm.weight.data = normal(6, seed=2)
    assert torch.allclose(identity_norm(norm, x), norm(x), atol=1e-6)
    assert torch.allclose(propagated(lambda x: identity_norm(norm, x), arriving, x)[0], arriving)


@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"elementwise_affine": False}])
def test_layer_norm_is_linear_but_for_what_it_divides_by(settings):
    norm, x, arriving = nn.LayerNorm(6, **settings).double(), normal(6), normal(6, seed=1)
    for parameter in norm.parameters():
        parameter.data = normal(6, seed=2)
    y = norm(x).detach()
    assert torch.allclose(identity_norm(norm, x), y)
    weight = torch.ones(6) if norm.weight is None else norm.weight.detach()
    scale = 1 / (x.var(correction=0) + norm.eps).sqrt()
    expected = torch.zeros(6, dtype=torch.float64)
    for i in range(6):
        for j in range(6):
            expected[i] += x[i] * weight[j] * scale * ((i == j) - 1 / 6) / y[j] * arriving[j]
    assert torch.allclose(propagated(lambda x: identity_norm(norm, x), arriving, x)[0], expected)


def test_products_split_relevance_evenly():
    a, v, arriving = normal(2, 3), normal(3, 4, seed=1), normal(2, 4, seed=2)
    o = a @ v
    to_a, to_v = torch.zeros_like(a), torch.zeros_like(v)
    for i in range(2):
        for j in range(3):
            for p in range(4):
                share = a[i, j] * v[j, p] / (2 * o[i, p]) * arriving[i, p]
                to_a[i, j] += share
                to_v[j, p] += share
    found = propagated(lambda a, v: halved(a @ v), arriving, a, v)
    assert torch.allclose(found[0], to_a)
    assert torch.allclose(found[1], to_v)
    assert found[0].sum() == pytest.approx(found[1].sum())
    assert sum(part.sum() for part in found) == pytest.approx(arriving.sum())


def softmax_rule(x, arriving):
    s = x.softmax(-1)
    return x * (arriving - s * arriving.sum(-1, keepdim=True))


def test_softmax_follows_the_papers_rule():
    x, arriving = normal(3, 5), normal(3, 5, seed=1)
    found = propagated(lambda x: relevance.attention_weights(x, None), arriving, x)[0]
    assert torch.allclose(found, softmax_rule(x, arriving))


@pytest.mark.parametrize("softmax", ["taylor", "constant"])
def test_attention_follows_the_rules_one_after_another(softmax):
    """One document, two heads that share keys and values, four tokens, the last of them masked."""
    q, k, v = normal(1, 2, 4, 3), normal(1, 1, 4, 3, seed=1), normal(1, 1, 4, 3, seed=2)
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    mask[..., 3] = torch.finfo(torch.float64).min
    arriving = normal(1, 4, 2, 3, seed=3)
    attention = hf.AttentionInterface()[f"avss_lrp_{softmax}"]
    found = propagated(lambda *qkv: attention(None, *qkv, mask, scaling=0.5)[0], arriving, q, k, v)

    expected = [torch.zeros_like(part) for part in (q, k, v)]
    for head in range(2):
        x = 0.5 * q[0, head] @ k[0, 0].T
        a = (x + mask[0, 0]).softmax(-1)
        o = a @ v[0, 0]
        at_product = a[:, :, None] * v[0, 0][None] / o[:, None] * arriving[0, :, head][:, None]
        if softmax == "constant":
            expected[2][0, 0] += at_product.sum(0)
            continue
        expected[2][0, 0] += at_product.sum(0) / 2
        at_weights = at_product.sum(-1) / 2
        at_scores = x * (at_weights - a * at_weights.sum(-1, keepdim=True))
        at_pair = 0.5 * q[0, head][:, None] * k[0, 0][None] / x[..., None] * at_scores[..., None]
        expected[0][0, head] += at_pair.sum(1) / 2
        expected[1][0, 0] += at_pair.sum(0) / 2
    for name, one, other in zip("qkv", found, expected, strict=True):
        assert torch.allclose(one, other), name


def test_gated_feed_forward_follows_the_rules_one_after_another():
    config = hf.LlamaConfig(hidden_size=3, intermediate_size=4, num_attention_heads=1)
    model = tiny("llama")
    mlp = blocks_of(model)[0].mlp = LlamaMLP(config).double()
    x, arriving = normal(3), normal(3, seed=1)
    gate, up, down = (layer.weight.detach() for layer in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
    z, w = gate @ x, up @ x
    product = nn.functional.silu(z) * w
    at_product = (down * product / (down @ product)[:, None] * arriving[:, None]).sum(0)
    at_x = gate * x / z[:, None] * at_product[:, None] / 2 + up * x / w[:, None] * at_product[:, None] / 2
    with attnlrp(model):
        assert torch.allclose(propagated(mlp, arriving, x)[0], at_x.sum(0))


def test_the_model_computes_what_it_always_does_and_is_restored(family):
    model, batch = tiny(family).double(), labelled(family, ragged())
    real = batch["attention_mask"].bool()
    pick = (lambda logits: logits) if "labels" in batch else (lambda logits: logits[real])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected, attention = pick(model(**inputs).logits), model.config._attn_implementation
        with attnlrp(model):
            assert torch.allclose(pick(model(**inputs).logits), expected, atol=1e-6)
            assert model.config._attn_implementation == "avss_lrp_taylor"
        with pytest.raises(RuntimeError, match="inside"), attnlrp(model):
            raise RuntimeError("inside")
        assert torch.equal(pick(model(**inputs).logits), expected)
    assert model.config._attn_implementation == attention
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("left", [False, True])
def test_relevance_is_conserved_at_every_block_boundary(family, left):
    """Freshly made models have no bias other than 0, so that nothing but the softmax keeps relevance back."""
    model, batch = tiny(family).double(), labelled(family, ragged(left=left))
    total, explained, _ = boundaries(model, batch, "constant")
    assert (total - explained).abs().max() <= 1e-6 * explained.abs().min()


def test_the_softmax_keeps_what_its_expansion_gives_to_no_input(family, monkeypatch):
    """With AttnLRP's own softmax, what each block loses is the constant term of that expansion, to the last digit."""
    model, batch, kept = tiny(family).double(), labelled(family, ragged()), []
    plain = relevance.attention_weights

    def watched(scores, mask):
        weights = plain(scores, mask)
        sums = {}

        def watch(name, tensor):
            value = tensor.detach()
            tensor.register_hook(lambda gradient: sums.update({name: (value * gradient).sum((1, 2, 3))}))

        watch("scores", scores)
        watch("weights", weights)
        kept.append(sums)
        return weights

    monkeypatch.setattr(relevance, "attention_weights", watched)
    total, explained, _ = boundaries(model, batch)
    constant = torch.stack([sums["weights"] - sums["scores"] for sums in kept])
    assert torch.allclose(total[-1], explained)
    assert (total[:-1] + constant - total[1:]).abs().max() <= 1e-6 * explained.abs().min()
    # It is no rounding error, and the documentation says so.
    assert constant.abs().max() > 0.01 * explained.abs().min()


@pytest.mark.parametrize("softmax", ["taylor", "constant"])
def test_branch_and_skip_shares_add_up(family, softmax):
    model, batch = tiny(family).double(), labelled(family, ragged())
    total, _, parts = boundaries(model, batch, softmax)
    for block, (h, u, g) in enumerate(parts):
        assert torch.allclose((h * g).sum((1, 2)) + (u * g).sum((1, 2)), total[block + 1])
    found = avss.score(model, [batch], "lrp", softmax=softmax).values
    assert found == pytest.approx(branch_shares(model, [batch], softmax), rel=1e-6)


def test_a_real_model_conserves_relevance(stories):
    model = avss.load_model(str(stories), device="cpu")[0].double()
    batch = {"input_ids": torch.arange(3, 43).view(2, 20), "attention_mask": torch.ones(2, 20, dtype=int)}
    total, explained, _ = boundaries(model, batch, "constant")
    assert (total - explained).abs().max() <= 1e-6 * explained.abs().min()


def test_every_family_of_the_table_has_rules():
    assert {family for family, facts in ARCHITECTURES.items() if facts.relevance} == set(FAMILIES)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: tiny("llama"), {"softmax": "none"}, "softmax is 'none'; choose one of taylor, constant"),
        (
            lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**COMMON, hidden_act="sigmoid")),
            {},
            "no rule for .*act_fn of class Sigmoid",
        ),
        (lambda: nn.Linear(2, 2), {}, "no rules for model family None"),
    ],
)
def test_what_has_no_rules_is_refused(model, options, message):
    with pytest.raises(InputError, match=message):
        avss.score(model(), [ragged()], "lrp", **options)


def test_a_family_without_rules_is_refused(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "llama", replace(ARCHITECTURES["llama"], relevance=False))
    with pytest.raises(InputError, match="no rules for model family 'llama'; it has for bert"):
        avss.score(tiny("llama"), [ragged()], "lrp")
