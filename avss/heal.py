"""`avss heal --objective contrastive`: train adapters in the layers of the highest EAVSS.

It tells what that changes on questions held out.
"""

import argparse
import json
import shutil

import numpy as np

from avss import __version__
from avss.errors import InputError
from avss.files import whole_folder
from avss.hallucination.answers import Answers, read_answers
from avss.hallucination.encoding import pair_batches
from avss.hallucination.healing import Recipe, chosen_layers, heal
from avss.hallucination.pairs import load_pairs
from avss.hallucination.scores import eavss
from avss.intervals import interval_of
from avss.models import revision_of
from avss.options import check_positive
from avss.outputs import check_space, checked_output

FACTS = "healing.json"


def run(arguments: argparse.Namespace, load) -> None:
    """The contrastive objective. load: gives the model of the arguments and its tokenizer, after all other checks.

    Layers are chosen on the questions of the scoring split, adapters are trained on those of the training split, and
    margin and MC1 are compared on those of the test split. Raises `InputError` for wrong numbers, pairs or outputs.
    """
    out = checked_output(arguments.out, folder=True, inputs=[arguments.model, arguments.data])
    check_space(out)
    for name in ("layers", "steps", "pairs", "batch_size", "context", "learning_rate"):
        check_positive(f"--{name.replace('_', '-')}", getattr(arguments, name))
    parts = {
        split: load_pairs(arguments.data, split, arguments.samples, arguments.seed)
        for split in ("scoring", "training", "test")
    }
    model, tokenizer = load(arguments)
    revision = revision_of(model, tokenizer)
    shape = {"context": arguments.context, "batch_size": arguments.batch_size}
    scores = eavss(model, *pair_batches(model, tokenizer, parts["scoring"], **shape), arguments.reading)
    layers = chosen_layers(scores.values, arguments.layers)["highest"]
    before = read_answers(model, tokenizer, parts["test"], states=False, **shape)
    recipe = Recipe(
        steps=arguments.steps,
        pairs=arguments.pairs,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        context=arguments.context,
    )
    kept = out.with_name(f"{out.name}.training")
    healed, losses = heal(model, tokenizer, parts["training"], layers, recipe, state=kept)
    after = read_answers(healed.get_base_model(), tokenizer, parts["test"], states=False, **shape)
    facts = {
        "model": arguments.model,
        "revision": revision,
        "data": arguments.data,
        "questions": {split: len(pairs) for split, pairs in parts.items()},
        "reading": scores.reading,
        "layers": layers,
        "recipe": vars(recipe),
        "losses": losses,
        "gain": gains(before, after),
        "avss": __version__,
    }
    with whole_folder(out) as folder:
        healed.save_pretrained(folder)
        (folder / FACTS).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    shutil.rmtree(kept)
    gained = facts["gain"].items()
    told = "; ".join(f"{name} {value:+.3f} [{low:+.3f}, {high:+.3f}]" for name, (value, low, high) in gained)
    print(
        f"{out}: adapters in layers {', '.join(map(str, layers))}; on {len(parts['test'])} held-out questions: {told}"
    )


def gains(before: Answers, after: Answers) -> dict[str, list[float]]:
    """For margin, MC1 and MC2 on the same questions: after less before, and its paired 95 % interval over questions.

    Raises `InputError` for a single question, which has no interval.
    """
    if len(before.margin) < 2:
        raise InputError("gains on 1 question have no interval; give more questions")
    found = {}
    for name in ("margin", "mc1", "mc2"):
        paired = getattr(after, name) - getattr(before, name)
        ends = interval_of(lambda chosen, paired=paired: float(paired[chosen].mean()), len(paired))
        found[name] = [float(np.mean(paired)), *ends]
    return found
