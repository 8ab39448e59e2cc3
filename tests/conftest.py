"""Tiny models of the real classes, one a family, and the real data and weights where they are at hand."""

import functools
import gc
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tokenizers
import torch
import transformers as hf

from avss.architectures import blocks_of

# The hundreds of thousands of objects of the libraries stay until the end: no collection looks at them again.
gc.freeze()

COMMON = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GPT2 = {"n_embd": 16, "n_layer": 4, "n_head": 4, "vocab_size": 64, "n_positions": 64, "bos_token_id": 1}
DISTILBERT = {"dim": 16, "hidden_dim": 32, "n_layers": 4, "n_heads": 4, "vocab_size": 64, "max_position_embeddings": 64}

FAMILIES = {
    "bert": lambda: hf.BertForSequenceClassification(hf.BertConfig(**COMMON)),
    "distilbert": lambda: hf.DistilBertForSequenceClassification(hf.DistilBertConfig(**DISTILBERT)),
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**GPT2, eos_token_id=2)),
    "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**COMMON)),
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**COMMON, num_key_value_heads=2)),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**COMMON, num_key_value_heads=2)),
    "opt": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            **{k: v for k, v in COMMON.items() if k != "intermediate_size"}, ffn_dim=32, word_embed_proj_dim=16
        )
    ),
    "qwen2": lambda: hf.Qwen2ForCausalLM(
        hf.Qwen2Config(**COMMON, num_key_value_heads=2, use_sliding_window=True, max_window_layers=2, sliding_window=4)
    ),
    "qwen3": lambda: hf.Qwen3ForCausalLM(
        hf.Qwen3Config(
            **COMMON, num_key_value_heads=2, head_dim=4, use_sliding_window=True, max_window_layers=2, sliding_window=4
        )
    ),
    "stablelm": lambda: hf.StableLmForCausalLM(
        hf.StableLmConfig(**COMMON, num_key_value_heads=4, partial_rotary_factor=0.5)
    ),
}
# Those on which `make test` runs the tests of all families: one with norms last, one with heads and projections in one
# matrix, one of the plain class, one with windows a layer, and one with biases in its norms.
FEW = ("bert", "gpt2", "llama", "qwen3", "stablelm")
ENCODERS = ("bert", "distilbert")
DECODERS = tuple(name for name in FAMILIES if name not in ENCODERS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests of families are long but for a few families."""
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if any(value in FAMILIES and value not in FEW for value in parameters if isinstance(value, str)):
            item.add_marker(pytest.mark.long)


def tiny(family: str, seed: int = 0) -> torch.nn.Module:
    """A randomly initialised model of 4 blocks; weights larger than usual, so that every block matters."""
    torch.manual_seed(seed)
    model = FAMILIES[family]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    return model


def ragged(lengths=(9, 5, 7), seed: int = 0, left: bool = False) -> dict[str, torch.Tensor]:
    """Random token ids with padding on the right (or left) and their mask."""
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths)
    ids = torch.randint(3, 64, (len(lengths), width), generator=generator)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, width - length :] = 1 if left else 0
        if not left:
            mask[row, :length] = 1
    return {"input_ids": ids * mask, "attention_mask": mask}


def padded_right(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same documents with their padding moved to the right, one by one."""
    if "attention_mask" not in batch:
        return batch
    moved = {name: torch.zeros_like(tensor) for name, tensor in batch.items() if tensor.ndim == 2}
    for row, real in enumerate(batch["attention_mask"].bool()):
        for name, tensor in moved.items():
            tensor[row, : int(real.sum())] = batch[name][row, real]
    return batch | moved


def labelled(family: str, batch: dict[str, torch.Tensor], seed: int = 0) -> dict[str, torch.Tensor]:
    """The batch with random labels where the family is a classifier; language models teach themselves."""
    if family not in ENCODERS:
        return batch
    generator = torch.Generator().manual_seed(seed)
    return batch | {"labels": torch.randint(2, (len(batch["input_ids"]),), generator=generator)}


@pytest.fixture
def young():
    """Garbage collections in the test look at what it makes, and not for seconds at all that others made before."""
    gc.freeze()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Planted(NamedTuple):
    """A trained model some of whose blocks (`layers`, ascending) pass the residual stream through, and text for it."""

    model: torch.nn.Module
    layers: list[int]
    batches: list[dict[str, torch.Tensor]]


@pytest.fixture(scope="session")
def planted() -> Planted:
    """A Llama of 8 blocks, 3 of which, at random depths, add nothing, trained to continue random words that repeat."""
    torch.manual_seed(0)
    config = COMMON | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 8, "vocab_size": 20}
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**config, num_key_value_heads=2, initializer_range=0.1))
    layers = sorted(np.random.Generator(np.random.PCG64(0)).choice(8, 3, replace=False).tolist())
    for layer in layers:
        block = blocks_of(model)[layer]
        for linear in (block.self_attn.o_proj, block.mlp.down_proj):
            torch.nn.init.zeros_(linear.weight)
            linear.weight.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)

    def repeating(documents: int) -> dict[str, torch.Tensor]:
        words = torch.randint(3, 20, (documents, 6), generator=generator).repeat(1, 4)
        return {"input_ids": words, "attention_mask": torch.ones_like(words)}

    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=3e-3)
    for _ in range(200):
        words = repeating(16)
        loss = model(**words, labels=words["input_ids"]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Without it the blocks could matter to a model that is no good anyway. Guessing every word costs log(17) = 2.8.
    assert loss.item() < 1
    return Planted(model.eval().requires_grad_(True), layers, [repeating(8) for _ in range(2)])


@pytest.fixture(params=sorted(FAMILIES))
def family(request) -> str:
    return request.param


def _folder(variable: str, part: str) -> Path:
    root = os.environ.get(variable)
    if not root or not (Path(root) / part).is_dir():
        pytest.skip(f"{variable} does not name a folder with {part}")
    return Path(root) / part


@pytest.fixture
def sst2() -> Path:
    return _folder("AVSS_DATA", "sst2")


@pytest.fixture
def wikitext() -> Path:
    return _folder("AVSS_DATA", "wikitext2")


@pytest.fixture
def stories() -> Path:
    return _folder("AVSS_MODELS", "stories260K-hf")


SENTENCES = ["good film", "a poor film and it was not fine", "very bad", "the row", "fine fine fine fine fine"]
WORDS = "good bad fine poor a the film was not very row and it this".split()


@functools.cache
def word_tokenizer(bos: bool = False) -> hf.PreTrainedTokenizerFast:
    """A tokenizer of whole words: 0 pads, 1 begins (added where `bos`), 2 ends, 3 is unknown."""
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if bos:
        backend.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def save(folder: Path, family: str, seed: int = 0, bos: bool = False) -> Path:
    """Save a tiny model of a family with its tokenizer in a folder of its own inside this one, and return that."""
    folder = folder / f"{family}-model"
    tiny(family, seed).save_pretrained(folder)
    word_tokenizer(bos).save_pretrained(folder)
    return folder


@pytest.fixture
def saved(tmp_path):
    """A function that saves a tiny model of a family with its tokenizer and returns the folder."""
    return functools.partial(save, tmp_path)
