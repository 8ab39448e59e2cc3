"""Tiny pairs of answers, and a model in which one block adds noise on false answers alone."""

import torch
import transformers as hf

from avss.architectures import blocks_of
from avss.engine.gold import UNSCORED
from tests.conftest import COMMON

# Tokens from here on are said in false answers alone.
FALSE = 40


def answers(lengths, *, false=False, seed=0, prompts=None, left=False) -> dict[str, torch.Tensor]:
    """One batch of prompts of 3 to 5 random tokens with answers of these lengths, padded, and labelled."""
    generator = torch.Generator().manual_seed(seed)
    prompts = prompts or [3 + row % 3 for row in range(len(lengths))]
    width = max(prompt + length for prompt, length in zip(prompts, lengths, strict=True))
    ids = torch.zeros(len(lengths), width, dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, UNSCORED)
    for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
        start = width - prompt - length if left else 0
        low, high = (FALSE, 64) if false else (3, FALSE)
        ids[row, start : start + prompt] = torch.randint(3, FALSE, (prompt,), generator=generator)
        ids[row, start + prompt : start + prompt + length] = torch.randint(low, high, (length,), generator=generator)
        mask[row, start : start + prompt + length] = 1
        answer = slice(start + prompt, start + prompt + length)
        labels[row, answer] = ids[row, answer]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def split_up(batch: dict[str, torch.Tensor], sizes) -> list[dict[str, torch.Tensor]]:
    """The same documents in batches of these sizes."""
    parts = {name: tensor.split(list(sizes)) for name, tensor in batch.items()}
    return [dict(zip(parts, each, strict=True)) for each in zip(*parts.values(), strict=True)]


def noisy_on_false(block: int) -> torch.nn.Module:
    """A Llama of 6 blocks. The MLP of one block answers to the mark of false tokens alone, with random numbers.

    The mark is the last feature of the embedding, 0 for all other tokens, and nothing else reads or writes it.
    """
    torch.manual_seed(0)
    config = COMMON | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 6}
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**config, num_key_value_heads=4, initializer_range=0.2)).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight[:, -1] = 0
        model.model.embed_tokens.weight[FALSE:, -1] = 0.1
        for layer, each in enumerate(blocks_of(model)):
            attention, mlp = each.self_attn, each.mlp
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
                linear.weight[:, -1] = 0
            if layer == block:
                # silu(0) is 0: where the mark is 0 this MLP adds nothing.
                mlp.gate_proj.weight.zero_()
                mlp.gate_proj.weight[:, -1] = 4
                mlp.down_proj.weight.mul_(10)
            attention.o_proj.weight[-1] = 0
            mlp.down_proj.weight[-1] = 0
    return model
