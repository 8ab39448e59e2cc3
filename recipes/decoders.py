"""The four embedded language models: the classes, depths and shape ratios of the paper's models, narrow.

A model learns its skills while it is shallow and is then made deeper, twice as deep each time, as residual networks
may be: of every block two are made, each of half the update (Chang et al. 2018, arXiv 1710.10348), and training goes
on. A step of a shallow model is cheaper.
"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import corpus
import torch
from training import adamw, set_seed, train
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    StableLmConfig,
    StableLmForCausalLM,
)

from avss import microworld
from avss.architectures import architecture_of, blocks_of
from avss.data import load_data
from avss.microworld.floor import perplexity_floor
from avss.models import load_model
from avss.provenance import hardware
from avss.tasks import TASKS, evaluate

SEED = 0
# Tokens of a step, in windows of the model's context.
BATCH_TOKENS = 2048
WARMUP = 60
# A pair of rotary dimensions that turns by more radians a position tells places apart; so many others match content.
SLOW, MATCHED = 0.02, 20
# That of Llama 3: with more of the rotary dimensions slow, narrow heads can match what stands far apart.
ROPE_THETA = 500_000.0


@dataclass(frozen=True)
class Decoder:
    """One model: its class and shape, the share of each genre in its tokens, and (blocks, steps) of each stage.

    like: the model that it is a narrow likeness of, whose ratios of widths and heads it has. laid_out: the steps that
    the documents are laid out for, from short reviews to long ones; at least those of all stages. peaks: learning rates
    of the matrices of blocks and of all else. copies: whether it begins with `start_copying`. context: tokens of a
    window. interviewed: whether passages come with all their questions (`corpus.asked`). answer_weight: an answer's
    token weighs in the loss as much as this many others; of a review of thirty tokens one is the label.
    """

    model: type[PreTrainedModel]
    config: type[PreTrainedConfig]
    like: str
    shape: dict
    bos: bool
    shares: dict[str, float]
    stages: tuple[tuple[int, int], ...]
    laid_out: int
    peaks: tuple[float, float]
    copies: bool
    context: int
    interviewed: bool
    answer_weight: float


# Reviews weigh most where the paper measures sentiment, passages where it measures question answering.
SENTIMENT = {"reviews": 0.70, "posts": 0.08, "articles": 0.08, "passages": 0.11, "answers": 0.03}
ALL = {"reviews": 0.25, "posts": 0.15, "articles": 0.20, "passages": 0.37, "answers": 0.03}
TEXTS = {"reviews": 0.04, "posts": 0.22, "articles": 0.28, "passages": 0.43, "answers": 0.03}

DECODERS = {
    "llama-1b": Decoder(
        LlamaForCausalLM,
        LlamaConfig,
        "Llama-3.2-1B",
        {
            "hidden_size": 96,
            "intermediate_size": 384,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
        bos=True,
        shares=SENTIMENT,
        stages=((4, 2000), (8, 600), (16, 600)),
        laid_out=5200,
        peaks=(1.2e-2, 1.2e-2),
        copies=False,
        context=256,
        interviewed=False,
        answer_weight=20.0,
    ),
    "stablelm-3b": Decoder(
        StableLmForCausalLM,
        StableLmConfig,
        "StableLM-3B-4E1T",
        {
            "hidden_size": 64,
            "intermediate_size": 176,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "partial_rotary_factor": 0.25,
            "tie_word_embeddings": False,
        },
        bos=False,
        shares=ALL,
        stages=((4, 3500), (8, 3000), (16, 700), (32, 700)),
        laid_out=9000,
        peaks=(3e-3, 6e-3),
        copies=True,
        context=512,
        interviewed=True,
        answer_weight=8.0,
    ),
    "llama-7b": Decoder(
        LlamaForCausalLM,
        LlamaConfig,
        "Llama-2-7B",
        {
            "hidden_size": 64,
            "intermediate_size": 172,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_theta": ROPE_THETA,
            "tie_word_embeddings": False,
        },
        bos=True,
        shares=TEXTS,
        stages=((4, 3500), (8, 3000), (16, 700), (32, 700)),
        laid_out=9000,
        peaks=(3e-3, 6e-3),
        copies=True,
        context=512,
        interviewed=True,
        answer_weight=8.0,
    ),
    "llama-8b": Decoder(
        LlamaForCausalLM,
        LlamaConfig,
        "Llama-3.1-8B",
        {
            "hidden_size": 64,
            "intermediate_size": 224,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "rope_theta": ROPE_THETA,
            "tie_word_embeddings": False,
        },
        bos=True,
        shares=TEXTS,
        stages=((4, 3500), (8, 3000), (16, 700), (32, 700)),
        laid_out=9000,
        peaks=(3e-3, 6e-3),
        copies=True,
        context=512,
        interviewed=True,
        answer_weight=8.0,
    ),
}


def made(decoder: Decoder, blocks: int, tokenizer) -> PreTrainedModel:
    """A new model of so many blocks."""
    config = decoder.config(
        **decoder.shape,
        vocab_size=len(tokenizer),
        num_hidden_layers=blocks,
        max_position_embeddings=512,
        # Larger than the usual 0.02, made for far wider models.
        initializer_range=0.05,
        bos_token_id=tokenizer.bos_token_id if decoder.bos else None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return decoder.model(config)


def deepened(shallow: PreTrainedModel, deep: PreTrainedModel) -> None:
    """Give `deep`, of twice as many blocks, the weights of `shallow`: each block twice, with half its update."""
    names = architecture_of(shallow)
    with torch.no_grad():
        for place, block in enumerate(blocks_of(deep)):
            block.load_state_dict(blocks_of(shallow)[place // 2].state_dict())
            for branch in (names.attention, names.mlp):
                for parameter in block.get_submodule(branch).parameters():
                    parameter.mul_(0.5)
    rest = {name: tensor for name, tensor in shallow.state_dict().items() if f"{names.blocks}." not in name}
    deep.load_state_dict(rest, strict=False)


def start_copying(model: PreTrainedModel, vocabulary: dict[str, int]) -> None:
    """Give the first two blocks the two heads that copy what followed a token before.

    A head of block 0 attends to the token before and writes what it is into a subspace of its own; a head of block 1
    attends where that subspace holds the token that it stands on: the induction circuit of Olsson et al. 2022
    (arXiv 2209.11895), which trained models have and which models of this width did not find in our trials.
    The two heads stay as they are while the model is shallow; what is copied, and all that comes of it, is learnt. A
    word begins alike with a space before it and without. Content is matched in the dimensions of a head that rotary
    embedding leaves alone or turns slowly.
    """
    config, width = model.config, model.config.hidden_size
    size = getattr(config, "head_dim", None) or width // config.num_attention_heads
    turns = model.base_model.rotary_emb.inv_freq.tolist()
    # A head's dimensions from the slowest; those beyond the rotary ones do not turn at all.
    slowest = sorted(range(size), key=lambda place: (turns + turns)[place] if place < 2 * len(turns) else 0)
    content = slowest[:MATCHED]
    generator = torch.Generator().manual_seed(SEED)
    basis = torch.linalg.qr(torch.randn(width - 1, width - 1, generator=generator))[0]
    basis = torch.nn.functional.pad(basis, (1, 0))  # nothing in the first dimension, which is the same for all tokens
    read, written = basis[: len(content)], basis[len(content) : 2 * len(content)]
    first, second = (block.self_attn for block in list(blocks_of(model))[:2])
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        for piece, index in vocabulary.items():
            embeddings[index] = embeddings[vocabulary.get(f" {piece}", index)]
        if not config.tie_word_embeddings:
            model.get_output_embeddings().weight.copy_(embeddings)
        # Tokens stand out from what the random heads add to them.
        embeddings.mul_(4)
        spread = float(embeddings.std())
        embeddings[:, 0] = 3 * spread

        # Block 0: the query, turned back by one position, meets the key of the token before.
        query, key = torch.zeros(size), torch.zeros(size)
        for f, turn in enumerate(turns):
            if turn > SLOW:
                key[f], query[f], query[f + len(turns)] = 1, math.cos(turn), -math.sin(turn)
        sharp = (30 * size**0.5) ** 0.5 / 3
        first.q_proj.weight[:size] = 0
        first.q_proj.weight[:size, 0] = sharp * query
        first.k_proj.weight[:size] *= 0.3
        first.k_proj.weight[:size, 0] = sharp * key
        first.v_proj.weight[:size] = 0
        first.v_proj.weight[content] = read
        first.o_proj.weight[:, :size] = 0
        first.o_proj.weight[:, content] = 3 * spread * written.T

        # Block 1: what the token is, against what came before the other one.
        second.q_proj.weight[:size] = 0
        second.k_proj.weight[:size] = 0
        second.q_proj.weight[content] = 3 * read
        second.k_proj.weight[content] = 3 * written
        value = basis[-size:]
        second.v_proj.weight[:size] = value
        second.o_proj.weight[:, :size] = 3 * spread * value.T

    for attention, parts in ((first, "qkv"), (second, "qk")):
        for part in parts:
            attention.get_parameter(f"{part}_proj.weight").register_hook(partial(_without_rows, rows=size))
    for weight, rows in ((first.o_proj.weight, size), (model.get_input_embeddings().weight, 1)):
        weight.register_hook(lambda gradient, rows=rows: _without_rows(gradient.T, rows).T)


def _without_rows(gradient: torch.Tensor, rows: int) -> torch.Tensor:
    return torch.cat([torch.zeros_like(gradient[:rows]), gradient[rows:]])


def optimizers(model: PreTrainedModel, peaks: tuple[float, float]) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings, head and norms."""
    blocks = {id(p): p for p in blocks_of(model).parameters() if p.ndim == 2}
    rest = [p for p in model.parameters() if id(p) not in blocks]
    muon = torch.optim.Muon(blocks.values(), lr=peaks[0], weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [muon, adamw(rest, peaks[1])]


def weighted_loss(
    model: PreTrainedModel, ids: torch.Tensor, answers: torch.Tensor, answer_weight: float
) -> torch.Tensor:
    """Mean cross-entropy of ids (B, T) but the first; a token that answers a prompt counts `answer_weight` times."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = 1 + (answer_weight - 1) * answers[:, 1:].flatten().to(nll.dtype)
    return (nll * weights).sum() / weights.sum()


def language_modeling(model: PreTrainedModel, tokenizer, genre: str, context: int) -> dict:
    """Perplexity on the held-out documents of a genre, and the floor that its grammar sets."""
    task, data = TASKS["language_modeling"], load_data(f"microworld/{genre}", "validation")
    outcome = task.measure(model, tokenizer, data, "text", context=context, batch_size=16)
    floor = perplexity_floor(microworld.entropy(genre), float(outcome.denominator.mean()))
    measured = evaluate(model, tokenizer, task.name, data, context=context, batch_size=16)
    value = round(measured["value"], 4)
    return {f"{genre}_perplexity": value, f"{genre}_floor": round(floor, 4), f"{genre}_n": measured["n"]}


def measured(model: PreTrainedModel, tokenizer, context: int) -> dict:
    """What the card says of the model, on the validation splits of all genres that have a task."""
    facts = {}
    for genre in ("posts", "articles"):
        facts |= language_modeling(model, tokenizer, genre, context)
    sentiment = evaluate(model, tokenizer, "sentiment", "microworld/reviews", split="validation")
    answers = evaluate(model, tokenizer, "question_answering", "microworld/passages", split="validation")
    return facts | {
        "accuracy": round(sentiment["value"], 4),
        "accuracy_n": sentiment["n"],
        "f1": round(answers["value"], 4),
        "f1_n": answers["n"],
    }


def decoder(name: str, out: Path, state: Path) -> dict:
    """Train the model of this name into `out` and return the facts of its card."""
    chosen = DECODERS[name]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # All models read alike: the vocabulary depends on the world alone.
    texts = [
        prompt + answer
        for genre in microworld.GENRES
        for [(prompt, answer)] in islice(corpus.rows(genre, "train", SEED), corpus.VOCABULARY_ROWS)
    ]
    tokenizer = corpus.tokenizer(texts, bos=chosen.bos)
    body, batch = chosen.context - chosen.bos, BATCH_TOKENS // chosen.context
    steps = sum(count for _, count in chosen.stages)
    if chosen.interviewed:
        stream = corpus.asked(chosen.shares, chosen.laid_out * batch, body, tokenizer, seed=SEED)
    else:
        stream = corpus.mixed(chosen.shares, chosen.laid_out * batch * body, tokenizer, seed=SEED)

    def windows(array, step: int) -> torch.Tensor:
        part = array[step * batch * body : (step + 1) * batch * body].reshape(batch, body)
        return torch.from_numpy(part.astype("int64")).to(device)

    set_seed(SEED)
    model, first, reports = None, 0, []
    for blocks, count in chosen.stages:
        shallow, model = model, made(chosen, blocks, tokenizer).to(device)
        if shallow is not None:
            deepened(shallow, model)
        elif chosen.copies:
            start_copying(model, tokenizer.get_vocab())

        def loss_at(step: int, model=model, first=first) -> torch.Tensor:
            ids, answers = windows(stream.ids, first + step), windows(stream.answers, first + step)
            if chosen.bos:
                ids = torch.nn.functional.pad(ids, (1, 0), value=tokenizer.bos_token_id)
                answers = torch.nn.functional.pad(answers, (1, 0))
            return weighted_loss(model, ids, answers, chosen.answer_weight)

        last = blocks == chosen.stages[-1][0]
        report = train(
            model,
            loss_at,
            optimizers(model, chosen.peaks),
            steps=count,
            folder=state / f"{blocks}-blocks",
            seed=SEED,
            warmup=WARMUP,
            # A model that will go on learning keeps a rate at which it can.
            end=0.0 if last else 0.3,
            settings={
                "shares": chosen.shares,
                "shape": chosen.shape,
                "context": chosen.context,
                "laid_out": chosen.laid_out,
                "interviewed": chosen.interviewed,
                "answer_weight": chosen.answer_weight,
                "first": first,
            },
        )
        reports.append(report | {"blocks": blocks})
        first += count

    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    # What is shipped is what is evaluated: read back, rounded to bf16, computed in float32.
    model, tokenizer = load_model(str(out.resolve()), device=device)
    return {
        "architecture": type(model).__name__,
        "like": chosen.like,
        "blocks": chosen.stages[-1][0],
        "width": model.config.hidden_size,
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "data": "microworld, train, all genres",
        "shares": chosen.shares,
        "data_seed": SEED,
        "training_seed": SEED,
        "batch": batch,
        "context": chosen.context,
        "questions_a_passage": "all" if chosen.interviewed else "one",
        "answer_weight": chosen.answer_weight,
        "peak_learning_rates": chosen.peaks,
        "begins_with_copying_heads": chosen.copies,
        "tokens_seen": steps * BATCH_TOKENS,
        "stages": [
            {"blocks": report["blocks"], "steps": report["steps"], "loss": report["loss"]} for report in reports
        ],
        "steps": steps,
        "seconds": round(sum(report["seconds"] for report in reports), 1),
        "loss": reports[-1]["loss"],
        "losses": [loss for report in reports for loss in report["losses"]],
        **measured(model, tokenizer, chosen.context),
        "hardware": hardware(device),
        "torch": torch.__version__,
    }
