"""What only an accelerator can show. Skipped where there is none."""

import numpy as np
import pytest
import torch

import avss
from avss.architectures import blocks_of
from tests.conftest import DECODERS, ragged, tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator on this machine"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_statistics_on_the_device_equal_stored_activations(dtype):
    model, batch, kept = tiny("llama").to("cuda", dtype), ragged(), {}
    handles = [
        block.register_forward_hook(lambda m, a, out, i=i: kept.update({i: out.double().cpu().numpy()}))
        for i, block in enumerate(blocks_of(model))
    ]
    table = avss.score(model, [batch]).table
    for handle in handles:
        handle.remove()
    for layer, values in kept.items():
        real = values[batch["attention_mask"].bool().numpy()]
        assert table["variance"][layer] == pytest.approx(real.var(), rel=1e-6)
        assert table["sparsity"][layer] == max((np.abs(real) < 0.01).mean(), 1 / real.size)


@pytest.mark.parametrize("family", DECODERS)
def test_pruned_models_generate_with_their_cache(family):
    model = avss.prune(tiny(family).to("cuda"), [1, 2])
    prompt = {"input_ids": ragged((6, 6))["input_ids"].to("cuda")}
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    cached = model.generate(**prompt, use_cache=True, **settings)
    assert torch.equal(cached, model.generate(**prompt, use_cache=False, **settings))
