"""Train the embedded models on the microworld, each with one command.

    .venv/bin/python recipes/mini.py distilbert
    .venv/bin/python recipes/mini.py llama-1b

Needs only the installed package; on a CPU with one thread the classifier takes about fifteen minutes, a
language model about an hour. A killed run continues where it stopped, from its state in build/. Writes weights (bf16
safetensors), tokenizer, configuration, card.json and, from the same figures, the model card README.md; ends with the
evaluation on the validation split.
"""

import argparse
import json
import shutil
from functools import partial
from pathlib import Path

from avss.files import sha256
from training.decoders import MINIS, decoder
from training.encoder import distilbert

# Name: the recipe that trains into the folder given and returns the facts of the card.
MODELS = {"distilbert": distilbert} | {name: partial(decoder, name) for name in MINIS}


def _table(rows: dict[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _measured_classifier(card: dict) -> tuple[str, dict[str, str], str]:
    without = " | ".join(f"{value:.3f}" for value in card["accuracy_without_block"])
    blocks = " | ".join(map(str, range(card["blocks"])))
    about = "it tells whether a made-up review is positive or negative"
    rows = {
        "data": f"{card['data']}, {card['data_rows']:,} rows, seed {card['data_seed']}",
        "seen": f"{card['rows_seen']:,} rows, {card['tokens_seen']:,} tokens",
        "steps": f"{card['steps']:,} of {card['batch']} rows, AdamW, peak learning rate {card['peak_learning_rate']}",
        "accuracy": f"{card['accuracy']:.3f} on {card['evaluation']} (n = {card['accuracy_n']:,}, other entities)",
        "accuracy of a bag of words": (
            f"{card['accuracy_bag_of_words']:.3f} (logistic regression on token counts, same rows)"
        ),
    }
    more = f"""
Accuracy with one block removed:

| {blocks} |
|{"---|" * card["blocks"]}
| {without} |
"""
    return about, rows, more


def _mixture(shares: dict[str, float]) -> str:
    return ", ".join(f"{genre} {share:.0%}" for genre, share in shares.items())


def _measured_decoder(card: dict) -> tuple[str, dict[str, str], str]:
    about = f"a narrow likeness of {card['like']} that writes and reads the embedded world"
    stages = ", then ".join(f"{stage['steps']:,} with {stage['blocks']} blocks" for stage in card["stages"])
    rows = {
        "data": f"{card['data']}, seed {card['data_seed']}: {_mixture(card['shares'])} of the tokens",
        "seen": f"{card['tokens_seen']:,} tokens in windows of {card['context']}",
        "steps": f"{stages}; {card['batch']} windows a step; between stages each block was made two of half its update",
        "optimisers": "Muon (matrices of blocks, peak {}) and AdamW (the rest, peak {})".format(
            *card["peak_learning_rates"]
        )
        + (
            f", {card['peak_of_last_stage']} of them in the last stage" if card.get("peak_of_last_stage", 1) < 1 else ""
        ),
        "start": "two heads that copy, the rest random" if card["begins_with_copying_heads"] else "random weights",
    }
    for number, lesson in enumerate(card.get("lessons", []), 1):
        rows[f"lesson {number}"] = (
            f"{lesson['steps']:,} more steps with all blocks, on data of seed {lesson['seed']}: "
            f"{_mixture(lesson['shares'])} of the tokens; peaks {' and '.join(map(str, lesson['peaks']))}; "
            f"began from weights `{lesson['from_sha256'][:12]}`, rounded to bf16"
        )
    if "note" in card:
        rows["note"] = card["note"]
    for genre in ("posts", "articles"):
        value, floor = card[f"{genre}_perplexity"], card[f"{genre}_floor"]
        rows[f"perplexity, {genre}"] = f"{value:.3f} = {value / floor:.3f} x the floor of {floor:.3f} (held-out world)"
    rows["sentiment, accuracy"] = f"{card['accuracy']:.3f} (n = {card['accuracy_n']:,}, held-out world)"
    rows["question answering, F1"] = f"{card['f1']:.3f} (n = {card['f1_n']:,}, held-out world)"
    rows["the same on excerpts"] = (
        f"{card['excerpts_f1']:.3f} (n = {card['excerpts_n']:,}); all but who is meant cut away, "
        "so that a guess between two candidates gets half of the answers"
    )
    return about, rows, ""


def model_card(name: str, card: dict) -> str:
    """The facts of `card` as a README, in Markdown."""
    about, rows, more = (_measured_decoder if "stages" in card else _measured_classifier)(card)
    machines = [each["hardware"] for each in (card, *card.get("lessons", []))]
    named = [
        f"{machine.get('accelerator', machine['processor'])}, {machine['threads']} thread(s)" for machine in machines
    ]
    rows |= {
        "seed": str(card["training_seed"]),
        "final training loss": f"{card['loss']:.4f}",
        "weights": f"bf16 safetensors, {card['bytes']:,} bytes; evaluated in float32",
        "sha256": f"`{card['sha256']}`",
        "hardware": "; then ".join(dict.fromkeys(named)),
        "wall time": f"{card['seconds']:.0f} s",
        "torch": card["torch"],
    }
    return f"""---
license: mit
library_name: transformers
pipeline_tag: {"text-generation" if "stages" in card else "text-classification"}
---
# mini/{name}

{card["architecture"]}: {card["blocks"]} blocks of width {card["width"]}, {card["parameters"]:,} parameters.
For trying out layer pruning without a network: {about}, and is good
for nothing else. Made by `python recipes/mini.py {name}`, which also wrote this card.

{_table(rows)}
{more}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--out", type=Path, help="folder of the model (default: avss/mini/NAME)")
    arguments = parser.parse_args()
    out = arguments.out or Path("avss/mini") / arguments.name
    state = Path("build") / f"{arguments.name}.training"

    card = MODELS[arguments.name](out, state)
    weights = out / "model.safetensors"
    card |= {"bytes": weights.stat().st_size, "sha256": sha256(weights)}
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(model_card(arguments.name, card), encoding="utf-8")
    shutil.rmtree(state)
    print(json.dumps({key: value for key, value in card.items() if key != "losses"}, indent=1))


if __name__ == "__main__":
    main()
