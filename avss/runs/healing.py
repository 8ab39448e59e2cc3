"""Healing against its controls, kept in the store: which layers, which loss, what it changes on questions held out.

Every control has the same recipe, the same training questions and the same number of steps. Of the controls with other
layers all use the contrastive loss; `likelihood` trains the layers of the highest EAVSS on supported answers alone. The
per-question margin and MC1 of each training are stored, so that paired differences need no model. So are the outcomes
of each document of other tasks, which say what healing costs elsewhere.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import nn

from avss import intervals
from avss.errors import InputError
from avss.hallucination.answers import Answers, read_answers
from avss.hallucination.encoding import pair_batches
from avss.hallucination.healing import Recipe, chosen_layers, heal
from avss.hallucination.pairs import Pair, digest, load_pairs
from avss.hallucination.scores import eavss
from avss.identity import revision_of
from avss.runs.context import Context, loaded
from avss.runs.profile import Row
from avss.runs.provenance import now, provenance
from avss.store import Run, Store, key_of, layers_text
from avss.tasks.question_answering import PROMPT

PROTOCOL = 1
ROW = "healing"
UNTRAINED = "none"
METRICS = ("margin", "mc1")
TOLD = f"prompt {PROMPT!r}; LoRA in all linear maps of the layers, InfoNCE on mean states; questions of the test split"


@dataclass(frozen=True)
class Study:
    """What is compared: `k` layers, on `pairs` questions of each set and split, with `draws` of random layers.

    seeds: those of the training; random layers have one training a draw. reading: that of EAVSS. elsewhere: rows of the
    same model, whose tasks each training is measured on, too.
    """

    sets: tuple[str, ...]
    k: int
    pairs: int = 100
    draws: int = 5
    seeds: int = 3
    reading: str = "paper"
    elsewhere: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Training:
    """One training: its control, the layers, and the recipe with its seed."""

    control: str
    layers: list[int]
    recipe: Recipe


def run_study(
    load: Callable[[], tuple], label: str, store: Store, study: Study, recipe: Recipe, states: Path | None = None
) -> int:
    """Train what is missing and add its outcomes to the store; return how many trainings were made.

    load: gives the model and its tokenizer, untouched, at each call. label: the name of the model in the store. states:
    a folder for trainings that were killed. Raises `InputError` as `load_pairs`, `chosen_layers`, `heal` and
    `avss.runs.experiment.run_row`, and for a row of another model.
    """
    contexts = [loaded(row, None) for row in study.elsewhere]
    parts = {
        split: {name: load_pairs(name, split, study.pairs) for name in study.sets}
        for split in ("scoring", "training", "test")
    }
    model, tokenizer = load()
    revision, union = revision_of(model, tokenizer), _union(parts["scoring"])
    for context in contexts:
        if context.revision != revision:
            raise InputError(f"row {context.row.id} is of another model than {label}; take a row of {label}")
    batches = pair_batches(model, tokenizer, union, context=recipe.context)
    scores = eavss(model, *batches, study.reading)
    data = digest([pair for split in parts.values() for pair in _union(split)])
    facts = {"protocol": PROTOCOL, "revision": revision, "sets": study.sets, "data": data}
    trainings = trainings_of(scores.values, study, recipe)
    tests = [*study.sets, *(context.pinned for context in contexts)]
    asked = {key_of(**facts, **asdict(each)): each for each in trainings}
    finished = store.finished(label, ROW)
    missing = {key: {test for test in tests if _key(key, test) not in finished} for key in asked}
    made = sum(map(bool, missing.values()))
    if not made:
        return 0
    described = provenance(str(model.device), str(model.dtype).removeprefix("torch."))
    told = {"configuration": asdict(study), "recipe": asdict(recipe), "protocol": TOLD}
    told["asked"] = [_key(key, test) for key in asked for test in tests]
    run = store.start(label, ROW, now(), described | told)
    known = {"profile": label, "model": label, "revision": revision}
    for key, training in asked.items():
        if not missing[key]:
            continue
        model, tokenizer = load()
        losses = []
        if training.layers:
            state = states / key if states else None
            healed, losses = heal(
                model, tokenizer, _union(parts["training"]), training.layers, training.recipe, state=state
            )
            model = healed.get_base_model()
        run.describe_training(_name(training), losses)
        for name, pairs in parts["test"].items():
            if name in missing[key]:
                answers = read_answers(model, tokenizer, pairs, context=recipe.context, states=False)
                _keep(run, key, training, name, answers, known)
        for context in contexts:
            if context.pinned in missing[key]:
                _keep_elsewhere(run, key, training, context, model, known)
    run.describe(finished=now())
    return made


def trainings_of(scores: Sequence[float], study: Study, recipe: Recipe) -> list[Training]:
    """All trainings of a study in order: none first. Raises `InputError` as `chosen_layers`."""
    chosen = chosen_layers(scores, study.k, study.draws)
    made = [Training(UNTRAINED, [], recipe)]
    for seed in range(study.seeds):
        own = replace(recipe, seed=seed)
        fixed = [Training(name, layers, own) for name, layers in chosen.items() if not name.startswith("random")]
        made += [*fixed, Training("likelihood", chosen["highest"], replace(own, objective="likelihood"))]
    return made + [
        Training(name, layers, replace(recipe, seed=draw))
        for draw, (name, layers) in enumerate(each for each in chosen.items() if each[0].startswith("random"))
    ]


def _union(pairs: dict[str, list[Pair]]) -> list[Pair]:
    return [pair for own in pairs.values() for pair in own]


def _key(training: str, name: str) -> str:
    return key_of(training=training, test=name)


def _name(training: Training) -> str:
    return f"{training.control}/{training.recipe.seed}"


def _keep(run: Run, key: str, training: Training, name: str, answers: Answers, known: dict) -> None:
    """One observation of the mean margin, and the margin and MC1 of every question, under the key of all of them."""
    key = _key(key, name)
    for metric in METRICS:
        values = getattr(answers, metric)
        run.add_outcomes({_told(key, name, training, metric): (values, [1] * len(values))})
    found = {"task": "hallucination", "dataset": name, "data": name, "n": len(answers.margin)}
    found |= {"metric": "margin", "value": f"{answers.margin.mean():.9g}"}
    run.add([_described(key, training) | known | found])


def _keep_elsewhere(run: Run, key: str, training: Training, context: Context, model: nn.Module, known: dict) -> None:
    """One observation of the metric of another task, and the outcome of each of its documents."""
    key, row, metric = _key(key, context.pinned), context.row, context.task.metric
    context = replace(context, model=model)
    outcome = context.batches.run("evaluation", context.measured_by(context.task.measure))
    name = _told(key, row.id, training, metric)
    run.add_outcomes({name: (outcome.numerator, outcome.denominator)})
    found = {"task": row.task, "dataset": row.dataset, "data": row.data, "n": len(context.evaluation)}
    found |= {"metric": metric, "data_fingerprint": context.evaluated_on, "coalition": name}
    low, high = intervals.interval(metric, outcome.numerator, outcome.denominator)
    value = intervals.value(metric, outcome.numerator, outcome.denominator)
    found |= {"value": f"{value:.9g}", "low": f"{low:.9g}", "high": f"{high:.9g}"}
    run.add([_described(key, training) | known | found])


def _told(key: str, name: str, training: Training, metric: str) -> str:
    """The name of outcomes in the store."""
    return json.dumps([key, name, training.control, training.recipe.seed, metric])


def _described(key: str, training: Training) -> dict:
    """The columns that all observations of a training have in common."""
    return {
        "key": key,
        "row": ROW,
        "method": training.control,
        "selection": training.recipe.objective,
        "removed": layers_text(training.layers),
        "seed": training.recipe.seed,
        "status": "ok",
    }
