"""Losses under masks by a whole forward pass for every mask, without the shared prefixes of the engine."""

from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from avss import skipping
from avss.architectures import blocks_of
from avss.engine.ablation import Ablation
from avss.engine.gold import gold, labels_of


def whole_passes(model: nn.Module, batches: list[dict], masks: ArrayLike, **cache: None) -> Ablation:
    """The result of `avss.engine.ablation.ablate`, from one whole forward pass for every mask and batch."""
    found = [np.concatenate([whole_pass(model, batch, mask) for batch in batches], axis=1) for mask in masks]
    loss, probability, count = np.stack(found, axis=1)
    tokens = int(sum(batch["attention_mask"].sum() for batch in batches))
    return Ablation(loss, probability, count[0].astype(np.int64), tokens, 0)


@torch.inference_mode()
def whole_pass(model: nn.Module, batch: dict, mask: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loss, mean gold probability and count of every document, (3, B)."""

    def gated(module, args, output, gate: float) -> torch.Tensor:
        return torch.lerp(args[0], output, gate)

    with ExitStack() as stack:
        stack.enter_context(skipping(model, np.flatnonzero(mask == 0).tolist()))
        for block, gate in zip(blocks_of(model), mask[mask > 0], strict=True):
            if gate < 1:
                stack.callback(block.register_forward_hook(partial(gated, gate=float(gate))).remove)
        logits = model(**{key: value.to(model.device) for key, value in batch.items()}, use_cache=False).logits
        outcome = gold(model, logits, labels_of(model, batch).to(logits.device))
    probability = outcome.log_probability.double().exp().masked_fill(~outcome.scored, 0).sum(1) / outcome.count
    return torch.stack([outcome.loss.double(), probability, outcome.count.double()]).cpu().numpy()
