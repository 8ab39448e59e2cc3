"""The beginning that all prompts of an evaluation share, such as solved examples: its keys and values, computed once.

A batch of whole prompts then runs without the columns of the beginning, and attends to the stored keys and values as it
would to its own. A model whose cache holds anything but the keys and values of every token (a sliding window, a
recurrent state) computes the beginning anew with every prompt.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from avss.data import pad
from avss.tasks.prompts import common_prefix


class SharedPrefix:
    """What all of some sequences start with.

    tokens: how many tokens are left out of every batch; 0 where nothing is shared. layers: keys and values of each
    layer, (1, H, tokens, D).
    """

    def __init__(self, model: nn.Module, sequences: Sequence[list[int]], most: int):
        """most: tokens that may be left out of each sequence; below 1 nothing is shared and nothing is run."""
        self.model, self.device, self.layers = model, model.device, []
        self.tokens = min(most, common_prefix(list(sequences))) if most > 0 else 0
        if self.tokens:
            ids = torch.tensor([sequences[0][: self.tokens]], device=self.device)
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, logits_to_keep=1)
            self.layers = _keys_and_values(getattr(output, "past_key_values", None), self.tokens)
        if not self.layers:
            self.tokens = 0

    def inputs(self, sequences: list[list[int]], filler: int, *, left: bool = False, new: int = 0) -> dict:
        """The batch of these sequences, padded as `avss.data.pad` does, without the columns that are stored.

        `input_ids` (B, T - tokens) and `attention_mask` (B, T), int64 on the model's device, and where something is
        shared `past_key_values`, which the forward pass extends; each call makes new ones, with room for `new` further
        tokens of each sequence.
        """
        batch = {key: tensor.to(self.device) for key, tensor in pad(sequences, filler, left=left).items()}
        if not self.tokens:
            return batch
        padding = (batch["attention_mask"] == 0).sum(1) if left else torch.zeros(len(sequences), dtype=torch.int64)
        cached = DynamicCache()
        room = batch["input_ids"].shape[1] + new
        cached.layers = [_Roomy(*stored, padding, room) for stored in self.layers]
        return batch | {"input_ids": batch["input_ids"][:, self.tokens :], "past_key_values": cached}

    def each(self, inputs: dict, measure: Callable[[Tensor], object], scored: object = None, **options) -> Iterator:
        """What `measure` gives for the logits of such a batch, as `avss.removals.Removals.each` of the whole model."""
        yield 0, measure(self.model(**inputs, use_cache=True, **options).logits)


def _keys_and_values(cache, tokens: int) -> list[tuple[Tensor, Tensor]]:
    """Of every layer, or none where a layer holds something else."""
    layers = cache.layers if isinstance(cache, Cache) else []
    plain = all(type(layer) is DynamicLayer and layer.get_seq_length() == tokens for layer in layers)
    return [(layer.keys, layer.values) for layer in layers] if plain else []


class _Roomy(DynamicLayer):
    """The keys and values of one layer in tensors of their final size: growing them would copy all at every token."""

    def __init__(self, keys: Tensor, values: Tensor, padding: Tensor, room: int):
        """The stored keys and values, (1, H, tokens, D), in each row behind so many columns of padding.

        padding: (B,) int64. Columns of padding are masked; 0 there keeps the sums finite. room: columns of a row.
        """
        super().__init__()
        self.lazy_initialization(keys, values)
        length = keys.shape[-2]
        self.held = []
        for stored in (keys, values):
            held = stored.new_empty(len(padding), stored.shape[1], room, stored.shape[-1])
            for row, columns in enumerate(padding.clamp(max=length).tolist()):
                held[row, :, :columns] = 0
                held[row, :, columns:length] = stored[0, :, : length - columns]
            self.held.append(held)
        self._show(length)

    def _show(self, length: int) -> None:
        self.keys, self.values = (held[:, :, :length] for held in self.held)

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        start, new = self.get_seq_length(), key_states.shape[-2]
        for held, states in zip(self.held, (key_states, value_states), strict=True):
            held[:, :, start : start + new] = states
        self._show(start + new)
        return self.keys, self.values
