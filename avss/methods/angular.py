"""Angular distance: the window of consecutive blocks that turns the last token least, after Gromov et al. 2024.

"The Unreasonable Ineffectiveness of the Deeper Layers" measures the angle between the input and the output of n
consecutive blocks: arccos(cos) / pi at the last token of a document, as a mean over documents. It removes the n blocks
with the smallest angle. The paper gives one window and no scores; the scores made of it are ours, see `score`.
"""

from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from avss.architectures import blocks_of
from avss.engine.modes import evaluating
from avss.engine.observe import hooked
from avss.engine.passes import passes, require_finite, uncached
from avss.errors import InputError
from avss.methods.block_influence import cosines
from avss.scores import LayerScores, from_values


def score(model, batches, window=1) -> LayerScores:
    """The angular distance across each block alone, in [0, 1]; 1 is added outside the best window of `window` blocks.

    So `lowest(window)` removes exactly the best window, and the other blocks follow by their own distance. With a
    window of 1 the scores are the distances, and no 1 is added. The last token is the last real one, on either side
    of padding. One pass without the head keeps the hidden states of one token a document. Raises `InputError` for a
    window outside 1 to M - 1, batches that cannot be used, and activations that are not finite.
    """
    layers = len(blocks_of(model))
    if not isinstance(window, Integral) or not 1 <= window < layers:
        raise InputError(f"window is {window!r}; give the number of blocks to remove, from 1 to {layers - 1}")
    alone, across, documents, tokens = _distances(model, batches, int(window))
    values = alone
    if window > 1:
        first = int(across.argmin())
        outside = np.ones(layers)
        outside[first : first + window] = 0
        values = alone + outside
    return from_values("angular", values, documents=documents, tokens=tokens)


def _distances(model, batches, window: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Mean angular distance across one block (M,) and across `window` blocks (M - window + 1,); documents, tokens."""
    alone, across, numbers, tokens = [], [], [], 0
    states: list[Tensor] = []
    last: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))

    def receive(block: int, leaving: Tensor, entering: Tensor) -> None:
        for state in (entering, leaving) if block == 0 else (leaving,):
            states.append(state[tuple(index.to(state.device) for index in last)].to(model.device))

    with evaluating(model), hooked(model, "block_update", receive):
        for number, inputs, mask, _ in passes(model, batches, "comparing"):
            documents = mask.any(1).nonzero()[:, 0]
            last = documents, mask.shape[1] - 1 - mask.flip(1).int().argmax(1)[documents]
            # Once a batch: a block that lies there need not wait for them.
            last = tuple(index.to(model.device) for index in last)
            states.clear()
            model.base_model(**inputs, **uncached(model))
            stacked = torch.stack(states)
            alone.append(_angles(stacked, 1))
            across.append(_angles(stacked, window))
            numbers += [number] * len(documents)
            tokens += mask.sum()
            # The check is free on a CPU. On an accelerator it would wait for the device.
            if alone[-1].device.type == "cpu":
                require_finite(alone[-1], "activations", number, model)
    found = [torch.cat(parts, 1).cpu().numpy() for parts in (alone, across)]
    require_finite(found[0], "activations", numbers, model)
    return found[0].mean(1), found[1].mean(1), found[0].shape[1], int(tokens)


def _angles(states: Tensor, apart: int) -> Tensor:
    """arccos(cos) / pi between hidden states `apart` blocks apart, (M + 1, B, F) to (M + 1 - apart, B)."""
    return cosines(states[:-apart], states[apart:]).clamp(-1, 1).arccos() / torch.pi
