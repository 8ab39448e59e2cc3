"""The statistics of every block of a row's model, for the explorer of the book: results/statistics/ROW.json.

    .venv/bin/python recipes/layer_statistics.py mini reviews-mini-distilbert reviews-mini-llama-1b
    .venv/bin/python recipes/layer_statistics.py reference hackernews-smollm2       # eight minutes on one core

The model reads the row's calibration sample of seed 0, once for every site and choice of tokens. A file holds numbers
and provenance, and no text. For rows of `reference`, AVSS_DATA is the folder of the data.
"""

import argparse
import time
from pathlib import Path

import torch

import avss
from avss.architectures import blocks_of
from avss.data import fingerprint, sample
from avss.engine.observe import observe
from avss.files import write_whole
from avss.models import revision_of
from avss.progress import progress
from avss.reading import Reading
from avss.report.layer_statistics import EPSILONS, SITES, TOKENS, packed, text_of
from avss.runs.context import usable_data
from avss.runs.profile import Row, load_profile
from avss.runs.provenance import now, provenance
from avss.tasks.catalogue import task_named


def statistics_of(row: Row, profile: str) -> str:
    """The text of the file of one row. Raises `InputError` where its model or data cannot be loaded."""
    started = time.monotonic()
    model, tokenizer = avss.load_model(row.checkpoint, dtype=row.dtype, revision=row.revision, device="cpu")
    rows, column = usable_data(row, "calibration")
    drawn = sample(rows, row.samples, seed=0)
    batches = avss.task_batches(model, tokenizer, row.task, drawn, context=row.context, batch_size=row.batch_size)
    statistics, layers = {site: {} for site in SITES}, []
    for site, tokens in progress([(site, tokens) for site in SITES for tokens in TOKENS], row.id):
        layers = observe(model, batches, Reading(site=site, tokens=tokens), epsilons=EPSILONS, histogram=True)
        statistics[site][tokens] = packed(layers)
    facts = {
        "row": row.id,
        "profile": profile,
        "title": row.title,
        "model": row.model,
        "dataset": row.dataset,
        "checkpoint": row.checkpoint,
        "revision": revision_of(model, tokenizer),
        "layers": len(blocks_of(model)),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": row.data,
        "calibrated": fingerprint(rows, [column, *task_named(row.task).extra]),
        "documents": len(layers[0].count),
        "seed": 0,
        "context": row.context,
        "created": now(),
        **provenance("cpu", row.dtype),
        "seconds": round(time.monotonic() - started, 1),
    }
    return text_of(facts, statistics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="name or file of a profile")
    parser.add_argument("rows", nargs="+", metavar="ROW")
    parser.add_argument("--out", type=Path, default=Path("results/statistics"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        profile = load_profile(arguments.profile)
        for row in [profile.row(name) for name in arguments.rows]:
            text = statistics_of(row, profile.name)
            arguments.out.mkdir(parents=True, exist_ok=True)
            write_whole(arguments.out / f"{row.id}.json", text)
            print(f"{row.id}: {len(text):,} bytes", flush=True)
    except avss.InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
