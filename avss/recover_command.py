"""`avss heal --objective next_token|distillation`: heal a folder of `avss prune` into a plain checkpoint."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from avss import __version__
from avss.data import fingerprint, load_data, sample, usable_rows
from avss.errors import InputError
from avss.files import expanded
from avss.models import revision_of
from avss.options import check_positive
from avss.outputs import FACTS, check_own_folder, check_space, checked_output
from avss.pruning import save_pruned
from avss.recovery.recovering import DISTILLATION, Recipe, check_recipe, recover
from avss.tasks.catalogue import TASKS, columns_of


def run(arguments: argparse.Namespace, load) -> None:
    """The command. load: gives the model that arguments name and its tokenizer, after all other checks.

    The state of a training that was killed lies in `<out>.training`, from which the same command goes on. Raises
    `InputError` for wrong numbers, data or outputs, a folder that `avss prune` did not write, a teacher that is missing
    or has another tokenizer, and as `avss.recover`.
    """
    names = ("objective", "steps", "windows", "context", "learning_rate", "temperature", "seed")
    recipe = Recipe(**{name: getattr(arguments, name) for name in names})
    for name in ("steps", "windows", "context", "learning_rate", "temperature"):
        check_positive(f"--{name.replace('_', '-')}", getattr(arguments, name))
    check_recipe(recipe)
    facts = _facts_of(arguments.model)
    if (recipe.objective == DISTILLATION) != (arguments.teacher is not None):
        raise InputError(
            f"--objective {recipe.objective} with{'out' if arguments.teacher is None else ''} --teacher; distillation "
            f"needs the whole model ({facts.get('pruned_from', 'that was pruned')}), and next_token none"
        )
    inputs = [expanded(name) for name in (arguments.model, arguments.data, arguments.teacher) if name]
    out = checked_output(arguments.out, arguments.force, folder=True, inputs=inputs, own=check_own_folder)
    check_space(out)
    dataset = load_data(arguments.data, arguments.split, purpose="calibration")
    dataset, column = usable_rows(dataset, columns_of(TASKS.values()), arguments.column, f"data {arguments.data}")
    dataset = sample(dataset, arguments.samples, arguments.seed)
    model, tokenizer = load(arguments)
    revision, teacher = revision_of(model, tokenizer), None
    if arguments.teacher:
        whole = vars(arguments) | {"model": arguments.teacher, "revision": None}
        teacher, words = load(argparse.Namespace(**whole))
        if words.get_vocab() != tokenizer.get_vocab():
            raise InputError(
                f"teacher {arguments.teacher} has another vocabulary than {arguments.model}; give the model that was "
                f"pruned"
            )
    kept = out.with_name(f"{out.name}.training")
    texts = list(dataset[column])
    healed, losses = recover(model, tokenizer, texts, recipe, teacher=teacher, state=kept)
    facts["healing"] = {
        "model": arguments.model,
        "revision": revision,
        "teacher": arguments.teacher,
        "data": arguments.data,
        "fingerprint": fingerprint(dataset, [column]),
        "column": column,
        "documents": len(texts),
        "recipe": vars(recipe),
        "tokens": recipe.tokens(),
        "losses": losses,
        "avss": __version__,
    }
    save_pruned(healed, tokenizer, out, facts, force=arguments.force)
    shutil.rmtree(kept)
    part = max(1, len(losses) // 10)
    first, last = float(np.mean(losses[:part])), float(np.mean(losses[-part:]))
    print(f"{out}: healed on {recipe.tokens():,} tokens by {recipe.objective}; training loss {first:.3f} to {last:.3f}")


def _facts_of(folder: str) -> dict:
    """What `avss prune` wrote about a folder, without the list of its files."""
    path = Path(expanded(folder)) / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        removed = facts["removed_layers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} has no {FACTS} of `avss prune`, so it is not known to be pruned; give a folder that it wrote"
        ) from error
    if not removed:
        raise InputError(f"{folder} lacks no layer by its {FACTS}, so there is nothing to heal; prune it first")
    return {name: value for name, value in facts.items() if name != "files"}
