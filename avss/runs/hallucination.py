"""EAVSS and its yardsticks on one set of questions, kept in the store: one run a set, in stages that resume.

Observations and scores of layers are stored as those of any row. Beside them `<run>.sums.csv.gz` keeps the sums of each
question (`avss.hallucination.ratios.PairSums`), from which intervals, nulls and agreement follow without a model.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from avss import intervals
from avss.data import context_of
from avss.files import write_whole
from avss.hallucination.answers import calibration_error, read_answers
from avss.hallucination.encoding import WITHOUT_CONTEXT, context_for, pair_batches
from avss.hallucination.pairs import SETS, Pair, digest, load_pairs
from avss.hallucination.probe import probe
from avss.hallucination.ratios import QUANTITIES, SUM_COLUMNS, PairSums
from avss.hallucination.scores import eavss
from avss.identity import revision_of
from avss.records import gzipped, lines_of, sha256_of, table_text
from avss.runs.provenance import now, provenance
from avss.store import Run, Store, key_of
from avss.tasks.question_answering import PROMPT
from avss.tasks.question_answering import measure as generate

# Raised where the same inputs would give another number.
PROTOCOL = 1
ENDING = ".sums.csv.gz"
Statistic = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Plan:
    """What is run on a set: `pairs` questions of its scoring split, drawn by `seed`, under one reading.

    context: tokens that a question and an answer may have. most: answers of a kind that MC1 and MC2 count.
    """

    pairs: int = 150
    seed: int = 0
    reading: str = "paper"
    context: int = 256
    batch_size: int = 16
    most: int = 4


@dataclass(frozen=True)
class _Set:
    """A model and the questions it is asked."""

    model: object
    tokenizer: object
    name: str
    pairs: list[Pair]
    plan: Plan


def run_set(
    model, tokenizer, name: str, label: str, store: Store, plan: Plan = Plan(), stages: Sequence[str] | None = None
) -> list[str]:
    """Measure what is missing of a set and add it to the store; return the names of the stages that ran.

    name: as in `load_pairs`; a file or folder is stored under its name. label: the name of the model in the store.
    stages: those of `STAGES` to run (default: all). Raises `InputError` as the stages do.
    """
    given = _Set(model, tokenizer, name, load_pairs(name, "scoring", plan.pairs, plan.seed), plan)
    row, revision = _row(name), revision_of(model, tokenizer)
    facts = {"protocol": PROTOCOL, "revision": revision, "data": digest(given.pairs), **asdict(plan)}
    keys = {stage: key_of(stage=stage, **facts) for stage in STAGES}
    finished = store.finished(label, row)
    missing = [stage for stage in stages or STAGES if _key(keys[stage], FIRST[stage]) not in finished]
    if not missing:
        return []
    described = provenance(str(model.device), str(model.dtype).removeprefix("torch."))
    run = store.start(
        label, row, now(), described | {"configuration": asdict(plan) | {"set": name}, "protocol": _told()}
    )
    for stage in missing:
        began = time.monotonic()
        observed, layers = STAGES[stage](given, run)
        shared = {
            "profile": label,
            "row": row,
            "task": "hallucination",
            "dataset": SETS[name].title if name in SETS else name,
            "data": name,
            "data_fingerprint": facts["data"],
            "model": label,
            "revision": revision,
            "reading": plan.reading,
            "seed": plan.seed,
            "n": len(given.pairs),
            "seconds": f"{time.monotonic() - began:.1f}",
            "status": "ok",
        }
        run.add(
            [shared | {"key": _key(keys[stage], line["metric"])} | line for line in observed],
            [{"row": row, "seed": plan.seed, "reading": plan.reading} | line for line in layers],
        )
    run.describe(finished=now())
    return missing


def _row(name: str) -> str:
    return Path(name).name.split(".")[0] if name not in SETS else name


def _key(stage: str, metric: str) -> str:
    return key_of(stage=stage, metric=metric)


def _told() -> str:
    return f"prompt {PROMPT!r}; without a passage its place is taken by {WITHOUT_CONTEXT!r}; answer tokens alone count"


def _number(value: float) -> str:
    return f"{value:.9g}"


def _scored(given: _Set, run: Run) -> tuple[list[dict], list[dict]]:
    """EAVSS with intervals, against shuffled labels, and on the pairs whose answers have the same length."""
    plan = given.plan
    batches = pair_batches(given.model, given.tokenizer, given.pairs, context=plan.context, batch_size=plan.batch_size)
    scores = eavss(given.model, *batches, plan.reading)
    sums = scores.sums
    _keep(sums, run)
    table = scores.table.merge(sums.intervals()).merge(sums.null())
    alike = int(sums.tokens_alike.sum())
    if alike > 1:
        equal = dict(zip(QUANTITIES, sums.take(sums.tokens_alike).ratios(), strict=True))
        table = table.assign(**{f"{name}_equal_length": values for name, values in equal.items()})
    furthest = int(np.abs(np.log(scores.values)).argmax())
    observed = [
        {"metric": "least_p_any", "value": _number(table["p_any"].min())},
        {"metric": "layers_beyond_null", "value": int((table["p_any"] < 0.05).sum())},
        {"metric": "furthest_layer", "value": furthest},
        {"metric": "pairs_of_equal_length", "value": alike},
    ]
    return [{"method": "eavss"} | line for line in observed], lines_of(table, method="eavss")


def _keep(sums: PairSums, run: Run) -> None:
    content = gzipped(table_text(SUM_COLUMNS, sums.lines()))
    run.describe(sha256_of_sums=sha256_of(content))
    write_whole(run.folder / f"{run.name}{ENDING}", content)


def _answered(given: _Set, run: Run) -> tuple[list[dict], list[dict]]:
    """Margin, MC1, MC2, calibration, and a probe a layer."""
    plan = given.plan
    answers = read_answers(
        given.model, given.tokenizer, given.pairs, context=plan.context, batch_size=plan.batch_size, most=plan.most
    )
    confidence, correct = answers.confidence
    means = {"margin": answers.margin, "mc1": answers.mc1, "mc2": answers.mc2}
    measures = {name: _mean_of(values) for name, values in means.items()}
    measures["calibration_error"] = lambda chosen: calibration_error(confidence[chosen], correct[chosen])
    observed = [{"method": "answers"} | _with_interval(name, each, len(given.pairs)) for name, each in measures.items()]
    return observed, lines_of(probe(answers.states).intervals(), method="probe")


def _mean_of(values: np.ndarray) -> Statistic:
    return lambda chosen: values[chosen].mean()


def _with_interval(metric: str, statistic: Statistic, questions: int) -> dict:
    low, high = intervals.interval_of(statistic, questions)
    value = statistic(np.arange(questions))
    return {"metric": metric, "value": _number(value), "low": _number(low), "high": _number(high)}


def _generated(given: _Set, run: Run) -> tuple[list[dict], list[dict]]:
    """F1 of greedy answers, the best over the supported answers."""
    rows = [
        {"question": pair.question, "context": context_for(pair), "answers": {"text": list(pair.supported)}}
        for pair in given.pairs
    ]
    outcome = generate(
        given.model,
        given.tokenizer,
        Dataset.from_list(rows),
        "context",
        context=context_of(given.model, given.tokenizer, given.plan.context),
        batch_size=given.plan.batch_size,
    )
    run.describe(generation=outcome.protocol)
    return [{"method": "answers"} | _with_interval("f1", _mean_of(outcome.numerator), len(rows))], []


STAGES = {"scores": _scored, "answers": _answered, "generation": _generated}
# The metric that tells that a stage is done.
FIRST = {"scores": "least_p_any", "answers": "margin", "generation": "f1"}
