"""The embedded classifier of reviews: a DistilBERT with a narrow width, trained on the microworld."""

import re
import string
from collections import Counter
from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizer

from avss import microworld
from avss.microworld import names
from avss.models import load_model
from avss.pruning import skipping
from avss.runs.provenance import hardware
from avss.tasks import evaluate

from .loop import adamw, set_seed, train

SEED = 0
ROWS, STEPS, BATCH, PEAK, WARMUP = 160_000, 5000, 64, 5e-4, 200
# The first batches come from the shortest fifth of the rows; from this share of the steps on, from all of them.
SHORTEST, PACED = 0.2, 0.6
BASELINE_ROWS = 20_000
LABELS = {0: "negative", 1: "positive"}


def word_pieces(sentences: list[str]) -> DistilBertTokenizer:
    """A WordPiece vocabulary of whole words and the syllables of names.

    Whole words are those of `sentences` except names; a name is always cut into its syllables. The
    people of the evaluation world, never met in training, then look like those of training. Single letters keep any
    other word from being unknown.
    """
    own = {name.lower() for pool in (names.people, names.brands) for name in pool("train")}
    words = {word for sentence in sentences for word in re.findall(r"\w+|[^\w\s]", sentence.lower())} - own
    starts = words | set(string.ascii_lowercase) | {syllable.lower() for syllable in names.FIRST}
    ends = set(string.ascii_lowercase) | set(names.PERSON_LAST) | set(names.BRAND_LAST)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(starts), *sorted("##" + end for end in ends)]
    return DistilBertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, model_max_length=128)


def paced(lengths: list[int], generator: torch.Generator) -> list[list[int]]:
    """The rows of each step's batch: alike in length, drawn from the short ones first, little by little from all.

    The label is one bit on a whole composition. From short reviews the parts are learnt; with all lengths from the
    start the model stays at the accuracy of a bag of words for most of the run.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    order.sort(key=lengths.__getitem__)
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    shares = [min(1.0, SHORTEST + (1 - SHORTEST) * step / (PACED * STEPS)) for step in range(STEPS)]
    return [batches[int(torch.randint(int(share * len(batches)), (), generator=generator))] for share in shares]


def bag_of_words_accuracy(tokenizer: DistilBertTokenizer, training: list[dict], validation: list[dict]) -> float:
    """Accuracy on `validation` of a logistic regression on the token counts of `training`."""

    def counts(rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.zeros(len(rows), len(tokenizer))
        for row, ids in enumerate(tokenizer([r["sentence"] for r in rows])["input_ids"]):
            for token, count in Counter(ids).items():
                x[row, token] = count
        return x, torch.tensor([float(r["label"]) for r in rows])

    x, y = counts(training)
    weights = torch.zeros(len(tokenizer), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights, y) + 1e-4 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    x, y = counts(validation)
    return round(float(((x @ weights > 0) == y.bool()).float().mean()), 4)


def distilbert(out: Path, state: Path) -> dict:
    """DistilBERT, 6 blocks of width 128, as a classifier of reviews."""
    rows = list(microworld.load("reviews", "train", ROWS, SEED))
    validation = microworld.load("reviews", "validation")
    tokenizer = word_pieces([row["sentence"] for row in rows])
    encoded = tokenizer([row["sentence"] for row in rows])["input_ids"]
    lengths = [len(ids) for ids in encoded]
    plan = paced(lengths, torch.Generator().manual_seed(SEED))

    device = "cuda" if torch.cuda.is_available() else "cpu"
    set_seed(SEED)
    # Weights start larger than BERT's 0.02, made for six times the width. No dropout: hardly a row is seen twice.
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=128,
        n_heads=4,
        hidden_dim=512,
        n_layers=6,
        max_position_embeddings=128,
        initializer_range=0.03,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        id2label=LABELS,
        label2id={name: label for label, name in LABELS.items()},
    )
    model = DistilBertForSequenceClassification(config).to(device)

    def loss_at(step: int) -> torch.Tensor:
        chosen = plan[step]
        inputs = tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt").to(device)
        labels = torch.tensor([rows[i]["label"] for i in chosen], device=device)
        return model(**inputs, labels=labels).loss

    optimizer = adamw(model.parameters(), PEAK)
    report = train(model, loss_at, [optimizer], steps=STEPS, folder=state, seed=SEED, warmup=WARMUP)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)

    # The shipped weights are evaluated: read back, rounded to bf16, computed in float32.
    model, tokenizer = load_model(str(out.resolve()), device=device)

    def accuracy(removed: list[int]) -> float:
        with skipping(model, removed):
            return round(evaluate(model, tokenizer, "sentiment", validation)["value"], 4)

    return {
        "architecture": type(model).__name__,
        "blocks": config.n_layers,
        "width": config.dim,
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "data": "microworld/reviews, train",
        "data_rows": len(rows),
        "data_seed": SEED,
        "training_seed": SEED,
        "batch": BATCH,
        "peak_learning_rate": PEAK,
        "rows_seen": sum(map(len, plan)),
        "tokens_seen": sum(lengths[i] for batch in plan for i in batch),
        **report,
        "evaluation": "microworld/reviews, validation",
        "accuracy_n": len(validation),
        "accuracy": accuracy([]),
        "accuracy_without_block": [accuracy([block]) for block in range(config.n_layers)],
        "accuracy_bag_of_words": bag_of_words_accuracy(tokenizer, rows[:BASELINE_ROWS], list(validation)),
        "hardware": hardware(device),
        "torch": torch.__version__,
    }
