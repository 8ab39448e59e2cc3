"""Language models that learn their skills while they are shallow and are then made deeper, twice as deep each time.

Residual networks allow this: every block becomes two blocks of half the update (Chang et al. 2018, arXiv 1710.10348),
and training continues. A step of a shallow model is cheaper.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from avss.architectures import blocks_of, place_of
from avss.engine.branches import branches_of
from avss.files import sha256, write_whole
from avss.models import load_model
from avss.runs.provenance import hardware

from .corpus import Stream
from .loop import adamw, set_seed, train

SEED = 0
# Tokens of a step, in windows of the model's context.
BATCH_TOKENS = 2048
WARMUP = 60
# A pair of rotary dimensions that turns by more radians a position tells places apart; so many others match content.
SLOW, MATCHED = 0.02, 20


@dataclass(frozen=True)
class Decoder:
    """A language model to train: its class and shape, and (blocks, steps) of each stage.

    bos: whether a text begins with BOS. peaks: learning rates of the matrices of blocks and of all else. last_peak: the
    share of them that the last stage begins with. copies: whether it begins with `start_copying`. context: tokens of a
    window. answer_weight: an answer's token weighs in the loss as much as this many others; of a review of thirty
    tokens one is the label.
    """

    model: type[PreTrainedModel]
    config: type[PreTrainedConfig]
    shape: dict
    bos: bool
    stages: tuple[tuple[int, int], ...]
    peaks: tuple[float, float]
    last_peak: float
    copies: bool
    context: int
    answer_weight: float

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(count for _, count in self.stages)

    @property
    def batch(self) -> int:
        """Windows a step."""
        return BATCH_TOKENS // self.context

    @property
    def body(self) -> int:
        """Tokens of a window that come from the stream."""
        return self.context - self.bos


@dataclass(frozen=True)
class Lesson:
    """More steps for a model that has its depth: shares of each genre, or source, in the tokens, drawn by its own seed.

    peaks: as of `Decoder`, decaying to nothing. answer_weight: as of `Decoder`.
    """

    steps: int
    shares: dict[str, float]
    seed: int
    peaks: tuple[float, float]
    answer_weight: float


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
    names = branches_of(shallow)[0]
    with torch.no_grad():
        for place, block in enumerate(blocks_of(deep)):
            block.load_state_dict(blocks_of(shallow)[place // 2].state_dict())
            for branch in (names.attention, names.mlp):
                for parameter in block.get_submodule(branch).parameters():
                    parameter.mul_(0.5)
    rest = {name: tensor for name, tensor in shallow.state_dict().items() if f"{place_of(shallow).path}." not in name}
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


def losses_on(
    decoder: Decoder, model: PreTrainedModel, tokenizer, stream: Stream, answer_weight: float, first: int = 0
) -> Callable[[int], torch.Tensor]:
    """The loss of `model` at a step, on the windows of `stream` from step `first` on."""
    batch, body = decoder.batch, decoder.body

    def windows(array, step: int) -> torch.Tensor:
        part = array[step * batch * body : (step + 1) * batch * body].reshape(batch, body)
        return torch.from_numpy(part.astype("int64")).to(model.device)

    def loss_at(step: int) -> torch.Tensor:
        ids, answers = windows(stream.ids, first + step), windows(stream.answers, first + step)
        if decoder.bos:
            ids = torch.nn.functional.pad(ids, (1, 0), value=tokenizer.bos_token_id)
            answers = torch.nn.functional.pad(answers, (1, 0))
        return weighted_loss(model, ids, answers, answer_weight)

    return loss_at


def grown(decoder: Decoder, tokenizer, stream: Stream, state: Path, settings: dict) -> tuple[PreTrainedModel, list]:
    """Train through all stages on `stream`; return the model and a report of each stage.

    stream: at least steps x batch x body tokens. state: folder of checkpoints. settings: all else that determines the
    run.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    set_seed(SEED)
    model, first, reports = None, 0, []
    for blocks, count in decoder.stages:
        shallow, model = model, made(decoder, blocks, tokenizer).to(device)
        if shallow is not None:
            deepened(shallow, model)
        elif decoder.copies:
            start_copying(model, tokenizer.get_vocab())

        last = blocks == decoder.stages[-1][0]
        share = decoder.last_peak if last else 1.0
        report = train(
            model,
            losses_on(decoder, model, tokenizer, stream, decoder.answer_weight, first),
            optimizers(model, tuple(share * peak for peak in decoder.peaks)),
            steps=count,
            folder=state / f"{blocks}-blocks",
            seed=SEED,
            warmup=WARMUP,
            # A model that will go on learning keeps a rate at which it can.
            end=0.0 if last else 0.3,
            settings={
                "shape": decoder.shape,
                "context": decoder.context,
                "answer_weight": decoder.answer_weight,
                "first": first,
            }
            | settings,
        )
        reports.append(report | {"blocks": blocks})
        first += count
    return model, reports


def taught(decoder: Decoder, lesson: Lesson, model: PreTrainedModel, tokenizer, stream: Stream, folder: Path) -> dict:
    """Train `model` in place through `lesson`, on its `stream`; return the report. folder: of checkpoints."""
    return train(
        model,
        losses_on(decoder, model, tokenizer, stream, lesson.answer_weight),
        optimizers(model, lesson.peaks),
        steps=lesson.steps,
        folder=folder,
        seed=lesson.seed,
        warmup=WARMUP,
        end=0.0,
        settings={"context": decoder.context, "answer_weight": lesson.answer_weight, "shares": lesson.shares},
    )


def card_of(decoder: Decoder, model: PreTrainedModel, reports: list[dict]) -> dict:
    """The facts of shape and training on a card."""
    return {
        "architecture": type(model).__name__,
        "blocks": decoder.stages[-1][0],
        "width": model.config.hidden_size,
        "parameters": model.num_parameters(),
        "vocabulary": model.config.vocab_size,
        "training_seed": SEED,
        "batch": decoder.batch,
        "context": decoder.context,
        "answer_weight": decoder.answer_weight,
        "peak_learning_rates": decoder.peaks,
        "peak_of_last_stage": decoder.last_peak,
        "begins_with_copying_heads": decoder.copies,
        "tokens_seen": decoder.steps * BATCH_TOKENS,
        "stages": [
            {"blocks": report["blocks"], "steps": report["steps"], "loss": report["loss"]} for report in reports
        ],
        "steps": decoder.steps,
        "seconds": round(sum(report["seconds"] for report in reports), 1),
        "loss": reports[-1]["loss"],
        "losses": [loss for report in reports for loss in report["losses"]],
        "torch": torch.__version__,
    }


def saved(model: PreTrainedModel, tokenizer, card: dict, out: Path) -> None:
    """Write a model in bf16, its tokenizer and its card; the card last, so a folder with a card is complete."""
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_whole(out / "card.json", json.dumps(card, indent=1) + "\n")


def through_lessons(
    decoder: Decoder, lessons: Sequence[Lesson], stream_of: Callable[[Lesson], Stream], tokenizer, state: Path
) -> Path:
    """Teach the model in `state/lesson-0` each lesson in turn; return the folder of the last.

    The result of each lesson is rounded to bf16 in a folder of its own. An existing folder is taken as it is. The card
    describes each lesson and names the weights that it started from.
    """
    folder = state / "lesson-0"
    for number, lesson in enumerate(lessons, 1):
        before, folder = folder, state / f"lesson-{number}"
        if (folder / "card.json").exists():
            continue
        card, (model, _) = json.loads((before / "card.json").read_text()), load_model(str(before.resolve()))
        report = taught(decoder, lesson, model, tokenizer, stream_of(lesson), state / f"lesson-{number}.training")
        card["lessons"] = [
            *card.get("lessons", []),
            asdict(lesson)
            | report
            | {"from_sha256": sha256(before / "model.safetensors"), "hardware": hardware(str(model.device))},
        ]
        card["tokens_seen"] += lesson.steps * BATCH_TOKENS
        card["steps"] += lesson.steps
        card["seconds"] = round(card["seconds"] + report["seconds"], 1)
        card["loss"] = report["loss"]
        saved(model, tokenizer, card, folder)
    return folder
