"""Healing against its controls, kept in the store: which layers, which loss, what it changes on questions held out.

Every control has the same recipe, the same training questions and the same number of steps. Of the controls with other
layers all use the contrastive loss; `likelihood` trains the layers of the highest EAVSS on supported answers alone. The
per-question margin and MC1 of each training are stored, so that paired differences need no model.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from avss.hallucination.answers import Answers, read_answers
from avss.hallucination.encoding import pair_batches
from avss.hallucination.healing import Recipe, chosen_layers, heal
from avss.hallucination.pairs import Pair, digest, load_pairs
from avss.hallucination.scores import eavss
from avss.identity import revision_of
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

    seeds: those of the training; random layers have one training a draw. reading: that of EAVSS.
    """

    sets: tuple[str, ...]
    k: int
    pairs: int = 100
    draws: int = 5
    seeds: int = 3
    reading: str = "paper"


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
    a folder for trainings that were killed. Raises `InputError` as `load_pairs`, `chosen_layers` and `heal`.
    """
    parts = {
        split: {name: load_pairs(name, split, study.pairs) for name in study.sets}
        for split in ("scoring", "training", "test")
    }
    model, tokenizer = load()
    revision, union = revision_of(model, tokenizer), _union(parts["scoring"])
    batches = pair_batches(model, tokenizer, union, context=recipe.context)
    scores = eavss(model, *batches, study.reading)
    data = digest([pair for split in parts.values() for pair in _union(split)])
    facts = {"protocol": PROTOCOL, "revision": revision, "sets": study.sets, "data": data}
    trainings = trainings_of(scores.values, study, recipe)
    keys = [key_of(**facts, **asdict(each)) for each in trainings]
    finished = store.finished(label, ROW)
    missing = [pair for pair in zip(keys, trainings, strict=True) if _key(pair[0], study.sets[-1]) not in finished]
    if not missing:
        return 0
    described = provenance(str(model.device), str(model.dtype).removeprefix("torch."))
    told = {"configuration": asdict(study), "recipe": asdict(recipe), "protocol": TOLD}
    asked = [_key(key, name) for key in keys for name in study.sets]
    run = store.start(label, ROW, now(), described | told | {"asked": asked})
    for key, training in missing:
        losses = []
        if training.layers:
            model, tokenizer = load()
            state = states / key if states else None
            healed, losses = heal(
                model, tokenizer, _union(parts["training"]), training.layers, training.recipe, state=state
            )
            model = healed.get_base_model()
        run.describe_training(_name(training), losses)
        for name, pairs in parts["test"].items():
            answers = read_answers(model, tokenizer, pairs, context=recipe.context, states=False)
            _keep(run, key, training, name, answers, {"profile": label, "revision": revision})
    run.describe(finished=now())
    return len(missing)


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
        told = json.dumps([key, name, training.control, training.recipe.seed, metric])
        run.add_outcome(told, values, [1] * len(values))
    run.add(
        [
            known
            | {
                "key": key,
                "row": ROW,
                "task": "hallucination",
                "dataset": name,
                "data": name,
                "model": known["profile"],
                "method": training.control,
                "selection": training.recipe.objective,
                "removed": layers_text(training.layers),
                "seed": training.recipe.seed,
                "metric": "margin",
                "value": f"{answers.margin.mean():.9g}",
                "n": len(answers.margin),
                "status": "ok",
            }
        ]
    )
