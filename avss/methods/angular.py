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
from avss.engine.passes import require_finite
from avss.engine.watching import watch
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
    seen = LastTokens(model, window)
    watch(model, batches, [seen])
    return scores_of(seen)


class LastTokens:
    """The angular distances at the last token of every document, across one block and across a window of blocks.

    A watcher of `avss.engine.watching.watch`; `scores_of` makes scores of it. Raises `InputError` for a window outside
    1 to M - 1.
    """

    def __init__(self, model, window: int = 1):
        layers = len(blocks_of(model))
        if not isinstance(window, Integral) or not 1 <= window < layers:
            raise InputError(f"window is {window!r}; give the number of blocks to remove, from 1 to {layers - 1}")
        self.model, self.window = model, int(window)
        self.alone: list[Tensor] = []
        self.across: list[Tensor] = []
        self.states: list[Tensor] = []
        self.last: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))
        self.number, self.numbers, self.tokens = 0, [], 0

    def begin(self, number: int, mask: Tensor) -> None:
        documents = mask.any(1).nonzero()[:, 0]
        last = documents, mask.shape[1] - 1 - mask.flip(1).int().argmax(1)[documents]
        # Once a batch: a block that lies there need not wait for them.
        self.last = tuple(index.to(self.model.device) for index in last)
        self.states.clear()
        self.number = number
        self.numbers += [number] * len(documents)
        self.tokens += mask.sum()

    def receive(self, block: int, entering: Tensor, leaving: Tensor) -> None:
        for state in (entering, leaving) if block == 0 else (leaving,):
            self.states.append(state[tuple(index.to(state.device) for index in self.last)].to(self.model.device))

    def end(self) -> None:
        stacked = torch.stack(self.states)
        self.alone.append(_angles(stacked, 1))
        self.across.append(_angles(stacked, self.window))
        # The check is free on a CPU. On an accelerator it would wait for the device.
        if self.alone[-1].device.type == "cpu":
            require_finite(self.alone[-1], "activations", self.number, self.model)

    def distances(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean angular distance across one block, (M,), and across the window, (M - window + 1,)."""
        alone, across = (torch.cat(parts, 1).cpu().numpy() for parts in (self.alone, self.across))
        require_finite(alone, "activations", self.numbers, self.model)
        return alone.mean(1), across.mean(1)


def scores_of(seen: LastTokens) -> LayerScores:
    """As `score`, once the pass has ended."""
    alone, across = seen.distances()
    values = alone
    if seen.window > 1:
        first = int(across.argmin())
        outside = np.ones(len(alone))
        outside[first : first + seen.window] = 0
        values = alone + outside
    return from_values("angular", values, documents=len(seen.numbers), tokens=int(seen.tokens))


def _angles(states: Tensor, apart: int) -> Tensor:
    """arccos(cos) / pi between hidden states `apart` blocks apart, (M + 1, B, F) to (M + 1 - apart, B)."""
    return cosines(states[:-apart], states[apart:]).clamp(-1, 1).arccos() / torch.pi
