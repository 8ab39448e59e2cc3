"""The four embedded language models: the classes, depths and shape ratios of the paper's models, narrow."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, StableLmConfig, StableLmForCausalLM

from avss import microworld
from avss.data import load_data
from avss.microworld import passages
from avss.microworld.floor import perplexity_floor
from avss.models import load_model
from avss.runs.provenance import hardware
from avss.tasks import TASKS, evaluate

from . import corpus
from .growing import SEED, Decoder, Lesson, card_of, grown, saved, through_lessons

# Of the held-out world, for the card.
EXCERPTS = 1000
# That of Llama 3: with more slow rotary dimensions, narrow heads can match tokens that are far apart.
ROPE_THETA = 500_000.0


@dataclass(frozen=True)
class Mini(Decoder):
    """An embedded model.

    like: the model that it is a narrow likeness of, whose ratios of widths and heads it has. shares: of each genre in
    its tokens. laid_out: the steps that the documents are laid out for, from short reviews to long ones; at least those
    of all stages. interviewed: whether passages come with all their questions (`corpus.asked`). lessons: what follows
    the last stage, in turn.
    """

    like: str
    shares: dict[str, float]
    laid_out: int
    interviewed: bool
    lessons: tuple[Lesson, ...]


# Reviews weigh most where the paper measures sentiment, passages where it measures question answering.
SENTIMENT = {"reviews": 0.70, "posts": 0.08, "articles": 0.08, "passages": 0.11, "answers": 0.03}
ALL = {"reviews": 0.25, "posts": 0.15, "articles": 0.20, "passages": 0.37, "answers": 0.03}
TEXTS = {"reviews": 0.04, "posts": 0.22, "articles": 0.28, "passages": 0.43, "answers": 0.03}

# On passages of one subject, which the world did not have before.
ONE_SUBJECT = Lesson(
    steps=800,
    shares={"posts": 0.22, "articles": 0.28, "passages": 0.48, "answers": 0.02},
    seed=2,
    peaks=(1.5e-3, 3e-3),
    answer_weight=8.0,
)
LESSONS = (
    Lesson(
        steps=1800,
        shares={"posts": 0.16, "articles": 0.19, "passages": 0.62, "answers": 0.03},
        seed=1,
        peaks=(2e-3, 4e-3),
        answer_weight=20.0,
    ),
    replace(ONE_SUBJECT, steps=900, answer_weight=16.0),
)
LESSONS_WITH_REVIEWS = (
    Lesson(
        steps=2200,
        shares={"reviews": 0.14, "posts": 0.16, "articles": 0.22, "passages": 0.46, "answers": 0.02},
        seed=1,
        peaks=(2e-3, 4e-3),
        answer_weight=16.0,
    ),
    replace(
        ONE_SUBJECT,
        steps=1000,
        shares={"reviews": 0.10, "posts": 0.16, "articles": 0.34, "passages": 0.38, "answers": 0.02},
    ),
    # Posts lost in the lesson before, and articles in the first of these two.
    replace(
        ONE_SUBJECT,
        steps=900,
        shares={"reviews": 0.10, "posts": 0.36, "articles": 0.34, "passages": 0.18, "answers": 0.02},
        seed=3,
        answer_weight=4.0,
    ),
    replace(
        ONE_SUBJECT,
        steps=500,
        shares={"reviews": 0.10, "posts": 0.24, "articles": 0.52, "passages": 0.12, "answers": 0.02},
        seed=4,
        answer_weight=4.0,
    ),
)

# The settings that the models of 32 blocks share.
OF_32_BLOCKS = {
    "laid_out": 9000,
    "peaks": (3e-3, 6e-3),
    "last_peak": 0.4,
    "copies": True,
    "context": 512,
    "interviewed": True,
    "answer_weight": 8.0,
}
MINIS = {
    "llama-1b": Mini(
        model=LlamaForCausalLM,
        config=LlamaConfig,
        like="Llama-3.2-1B",
        shape={
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
        last_peak=1.0,
        copies=False,
        context=256,
        interviewed=False,
        answer_weight=20.0,
        lessons=(),
    ),
    "stablelm-3b": Mini(
        model=StableLmForCausalLM,
        config=StableLmConfig,
        like="StableLM-3B-4E1T",
        shape={
            "hidden_size": 64,
            "intermediate_size": 176,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "partial_rotary_factor": 0.25,
            "tie_word_embeddings": False,
        },
        bos=False,
        shares=ALL,
        stages=((4, 3500), (8, 3000), (16, 1400), (32, 600)),
        **OF_32_BLOCKS,
        lessons=LESSONS_WITH_REVIEWS,
    ),
    "llama-7b": Mini(
        model=LlamaForCausalLM,
        config=LlamaConfig,
        like="Llama-2-7B",
        shape={
            "hidden_size": 64,
            "intermediate_size": 172,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_theta": ROPE_THETA,
            "tie_word_embeddings": False,
        },
        bos=True,
        shares=TEXTS,
        stages=((4, 3500), (8, 3000), (16, 100), (32, 500)),
        **OF_32_BLOCKS,
        lessons=(ONE_SUBJECT,),
    ),
    "llama-8b": Mini(
        model=LlamaForCausalLM,
        config=LlamaConfig,
        like="Llama-3.1-8B",
        shape={
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
        stages=((4, 3500), (8, 3000), (16, 400), (32, 600)),
        **OF_32_BLOCKS,
        lessons=LESSONS,
    ),
}


def language_modeling(model: PreTrainedModel, tokenizer, genre: str, context: int) -> dict:
    """Perplexity on the held-out documents of a genre, and the floor that its grammar sets."""
    task, data = TASKS["language_modeling"], load_data(f"microworld/{genre}", "validation")
    outcome = task.measure(model, tokenizer, data, "text", context=context, batch_size=16)
    floor = perplexity_floor(microworld.entropy(genre), float(outcome.denominator.mean()))
    measured = evaluate(model, tokenizer, task.name, data, context=context, batch_size=16)
    value = round(measured["value"], 4)
    return {f"{genre}_perplexity": value, f"{genre}_floor": round(floor, 4), f"{genre}_n": measured["n"]}


def asked_excerpts() -> Iterator[dict]:
    """Excerpts of passages of the held-out world, each with one of its two questions, in SQuAD's columns."""
    for context, [(question, answer), _] in passages.excerpts("validation", SEED):
        yield {"context": context, "question": question, "answers": {"text": [answer]}}


def measured(model: PreTrainedModel, tokenizer, context: int) -> dict:
    """The results on the model's card, on the validation splits of all genres that have a task."""
    facts = {}
    for genre in ("posts", "articles"):
        facts |= language_modeling(model, tokenizer, genre, context)
    excerpts = Dataset.from_list(list(islice(asked_excerpts(), EXCERPTS)))
    facts |= {"excerpts_f1": round(evaluate(model, tokenizer, "question_answering", excerpts)["value"], 4)}
    facts |= {"excerpts_n": len(excerpts)}
    sentiment = evaluate(model, tokenizer, "sentiment", "microworld/reviews", split="validation")
    answers = evaluate(model, tokenizer, "question_answering", "microworld/passages", split="validation")
    return facts | {
        "accuracy": round(sentiment["value"], 4),
        "accuracy_n": sentiment["n"],
        "f1": round(answers["value"], 4),
        "f1_n": answers["n"],
    }


def begun(chosen: Mini, tokenizer, out: Path, state: Path) -> None:
    """Train the model through its stages into `out`, in bf16, with the facts of its card so far."""
    windows = chosen.laid_out * chosen.batch
    if chosen.interviewed:
        stream = corpus.asked(chosen.shares, windows, chosen.body, tokenizer, seed=SEED)
    else:
        stream = corpus.mixed(chosen.shares, windows * chosen.body, tokenizer, seed=SEED)
    settings = {"shares": chosen.shares, "laid_out": chosen.laid_out, "interviewed": chosen.interviewed}
    model, reports = grown(chosen, tokenizer, stream, state, settings)
    card = card_of(chosen, model, reports) | {
        "like": chosen.like,
        "data": "microworld, train, all genres",
        "shares": chosen.shares,
        "data_seed": SEED,
        "questions_a_passage": "all" if chosen.interviewed else "one",
        "hardware": hardware(str(model.device)),
    }
    saved(model, tokenizer, card, out)


def decoder(name: str, out: Path, state: Path) -> dict:
    """Train the model of this name into `out` and return the facts of its card.

    The result of its stages is rounded to bf16 in the folder `state/lesson-0`, where its lessons start. A folder that
    is there is taken as it is: weights that were shipped before a lesson was added are continued when put there.
    """
    chosen = MINIS[name]
    # All models read alike: the vocabulary depends on the world alone.
    texts = [
        prompt + answer
        for genre in microworld.GENRES
        for [(prompt, answer)] in islice(corpus.rows(genre, "train", SEED), corpus.VOCABULARY_ROWS)
    ]
    tokenizer = corpus.tokenizer(texts, bos=chosen.bos)
    if not (state / "lesson-0" / "card.json").exists():
        begun(chosen, tokenizer, state / "lesson-0", state)

    def stream_of(lesson: Lesson) -> corpus.Stream:
        windows = lesson.steps * chosen.batch
        return corpus.asked(lesson.shares, windows, chosen.body, tokenizer, seed=lesson.seed, paces=False)

    folder = through_lessons(chosen, chosen.lessons, stream_of, tokenizer, state)

    # The shipped weights are evaluated: read back, rounded to bf16, computed in float32.
    model, read = load_model(str(folder.resolve()))
    card = json.loads((folder / "card.json").read_text()) | measured(model, read, chosen.context)
    saved(model, tokenizer, card, out)
    return card
