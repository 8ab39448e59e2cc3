"""Layer Shapley values of a decoder, and its scores without each block, on three tasks of real text.

    .venv/bin/python recipes/smollm2.py                         # models/smollm2-135m
    .venv/bin/python recipes/shapley.py                         # all three
    .venv/bin/python recipes/shapley.py sst2 --model FOLDER

AVSS_DATA is the folder of the data, as for the profile `reference`. For each task it writes three files to
results/shapley: NAME.csv (values, standard errors, other scores), NAME.json (facts, provenance) and
NAME.documents.csv.gz (outcomes by document). Coalitions are kept in build/coalitions, so a killed run continues where
it stopped.
"""

import argparse
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from datasets import Dataset

import avss
from avss.data import fingerprint, sample, usable_rows
from avss.errors import look_up
from avss.models import revision_of
from avss.report.cornerstones import write_documents
from avss.runs.provenance import now, provenance
from avss.runs.without_each import hits_without_each, likelihood_without_each
from avss.tasks.catalogue import task_named


class Part(NamedTuple):
    """A task and how much of its data is read.

    documents: for Shapley values; removed: for the scores without each block. characters: the longest text taken.
    others: the split that the unigram model counts, up to LEARNT documents.
    """

    task: str
    data: str
    split: str
    others: str
    documents: int
    removed: int
    context: int
    characters: int | None = None


PARTS = {
    "hackernews": Part("language_modeling", "hackernews", "comments_2021", "comments_no_commas", 24, 24, 24),
    "sst2": Part("sentiment", "sst2", "validation", "train", 16, 40, 96),
    "squad": Part("question_answering", "squad", "validation", "train_sample", 10, 10, 160, 300),
}
LEARNT = 2000
# Forward passes a document at most.
BUDGET = 80
# Scores of the same documents to compare with. The first finds its coalitions in the cache.
OTHERS = ("leave_one_out", "avss", "gbis", "lrp", "taylor", "block_influence", "angular", "update_norm", "magnitude")
CACHE = Path("build/coalitions")


def rows_of(part: Part, split: str, documents: int | None) -> Dataset:
    """Short enough rows, drawn by seed 0."""
    found = avss.load_data(str(Path(os.environ["AVSS_DATA"], part.data)), split)
    found, column = usable_rows(found, task_named(part.task).columns, None, part.data)
    if part.characters:
        found = found.filter(lambda text: len(text) <= part.characters, input_columns=column)
    return sample(found, documents, 0)


def run(name: str, model, tokenizer, checkpoint: str, out: Path) -> None:
    """Score one task and write its files."""
    part, started = PARTS[name], time.perf_counter()
    facts = provenance("cpu", "float32") | {"created": now()}
    cache = CACHE / name
    resumed = cache.is_dir()

    def batches(rows: Dataset, batch_size: int) -> list[dict]:
        return avss.task_batches(model, tokenizer, part.task, rows, context=part.context, batch_size=batch_size)

    # Each document draws coalitions of its own, so its value has the chance of the estimator in it.
    text = batches(rows_of(part, part.split, part.documents), 1)
    found = avss.score(model, text, "shapley", estimator="kernel", target=0.05, budget=BUDGET, cache=cache)
    seconds = time.perf_counter() - started
    tested = rows_of(part, part.split, part.removed)
    if part.task == "sentiment":
        removals = hits_without_each(model, tokenizer, tested, context=part.context, batch_size=8, cache=cache)
    else:
        others = batches(rows_of(part, part.others, LEARNT), 32)
        removals = likelihood_without_each(model, batches(tested, 8), others, cache)
    facts |= {
        "task": part.task,
        "data": part.data,
        "split": part.split,
        "fingerprint": fingerprint(tested, tested.column_names),
        "model": Path(checkpoint).name,
        "revision": revision_of(model, tokenizer),
        "context": part.context,
        "characters": part.characters,
        "budget": BUDGET,
        "metric": removals.metric,
        "removal_documents": len(removals.whole),
        "unigram": None if part.task == "sentiment" else f"{part.others}, up to {LEARNT} documents",
        "shapley_seconds": round(seconds, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "resumed": resumed,
    }
    out.mkdir(parents=True, exist_ok=True)
    digest = write_documents(out / f"{name}.documents.csv.gz", found.by_document, found.scored, **asdict(removals))
    for method in OTHERS:
        options = {"cache": cache} if method == "leave_one_out" else {}
        found.table.insert(len(found.table.columns) - 1, method, avss.score(model, text, method, **options).values)
    found.save(out / f"{name}.csv", **facts, sha256_of_documents=digest)
    error = found.table["standard_error"].max() / abs(found.values).max()
    print(f"{name}: largest standard error {error:.1%} of the largest value, {facts['seconds']} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--out", type=Path, default=Path("results/shapley"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        if "AVSS_DATA" not in os.environ:
            raise avss.InputError("AVSS_DATA is not set; set it to the folder of the data")
        for name in arguments.parts:
            look_up("part", name, PARTS)
        model, tokenizer = avss.load_model(arguments.model, device="cpu")
        for name in arguments.parts or PARTS:
            run(name, model, tokenizer, arguments.model, arguments.out)
    except avss.InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
