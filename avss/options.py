"""The options of the `avss` command, one parser a command."""

import argparse
import json
import math
import os
from collections.abc import Callable, Mapping

from avss import __version__
from avss.errors import InputError, look_up
from avss.methods.catalogue import Method
from avss.tasks.catalogue import PROMPTS, TASKS

# Tokens a document where no task shows it.
PLAIN_CONTEXT = 128
# Documents of calibration text.
CALIBRATING = 512
# The objectives of `avss heal`: one that needs no pruned model, and those that do. Each kind has options of its own.
CONTRASTIVE = "contrastive"
HEALING = (CONTRASTIVE, "next_token", "distillation")
OF_CONTRASTIVE = {"layers": None, "reading": "paper", "pairs": 8, "batch_size": 16}
OF_PRUNED = {"teacher": None, "temperature": 1.0, "windows": 4, "split": None, "column": None, "force": False}


def parser(run: Mapping[str, Callable]) -> argparse.ArgumentParser:
    """The parser of the whole command. Parsed arguments hold the chosen command's function of `run` as `run`."""
    whole = argparse.ArgumentParser(prog="avss", description="Layer importance of transformers, and pruning by it.")
    whole.add_argument("--version", action="version", version=f"avss {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    *first, last = TASKS
    tasks = f"{', '.join(first)} or {last}"
    anything = "hub id, folder, file or embedded name"

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.add_argument(
            "--debug",
            action="store_true",
            default=bool(os.environ.get("AVSS_DEBUG")),
            help="write the traceback of an internal error to a file (also by AVSS_DEBUG=1)",
        )
        added.set_defaults(run=run[name])
        return added

    def with_model(added: argparse.ArgumentParser, device: bool = True) -> None:
        added.add_argument("model", metavar="MODEL", help="hub id, folder, or embedded name such as mini/distilbert")
        usual = "float32" if device else "the checkpoint's own"
        added.add_argument("--revision", help="commit, branch or tag of a model of the hub (default: the newest)")
        added.add_argument(
            "--dtype",
            default="float32" if device else None,
            help=f"float32, bfloat16, float16, or auto for the checkpoint's own (default: {usual})",
        )
        if device:
            where = added.add_mutually_exclusive_group()
            where.add_argument("--device", help="a torch device (default: a GPU if there is one)")
            where.add_argument("--device-map", help="auto, for instance: how accelerate spreads the blocks over GPUs")

    def with_data(added: argparse.ArgumentParser, required: bool = True) -> None:
        added.add_argument("--data", required=required, help=f"{anything} such as microworld/reviews")
        added.add_argument("--split", help="default: the usual one for the purpose")
        added.add_argument("--column", help="the column, or column.field, that holds the text (default: usual names)")
        added.add_argument("--seed", type=int, default=0, help="draws the documents (default: %(default)s)")
        added.add_argument("--batch-size", type=int, default=32, help="documents or windows at a time")

    def with_labels(added: argparse.ArgumentParser) -> None:
        added.add_argument("--label-column", help="the column, or column.field, that holds the labels (default: label)")
        added.add_argument(
            "--label-words",
            type=lambda text: text.split(","),
            metavar="WORDS",
            help="what a causal model says for each class, in order, such as no,yes (default: negative,positive)",
        )

    def with_output(added: argparse.ArgumentParser, required: bool, what: str) -> None:
        added.add_argument("--out", required=required, help=what)
        added.add_argument("--force", action="store_true", help="replace an output that avss wrote before")

    scoring = command("score", "Score every layer of a model on calibration text.")
    with_model(scoring)
    with_data(scoring)
    scoring.add_argument("--method", default="avss", help="see `avss methods` (default: %(default)s)")
    scoring.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the method, such as players=sublayers for shapley; may be given again",
    )
    scoring.add_argument(
        "--reading", default="paper", help="paper or released-code, with changes such as paper,epsilon=1e-3"
    )
    scoring.add_argument(
        "--task",
        help=f"show documents as this task does, with its labels: {tasks} "
        "(default: plain text; for methods that need a classifier's labels, sentiment)",
    )
    scoring.add_argument("--samples", type=int, default=CALIBRATING, help="documents (default: %(default)s)")
    scoring.add_argument(
        "--context", type=int, help=f"tokens a document (default: the task's; without a task {PLAIN_CONTEXT})"
    )
    with_labels(scoring)
    with_output(scoring, True, "CSV file of scores")

    pruning = command("prune", "Remove the lowest-scoring layers and save a plain checkpoint.")
    with_model(pruning, device=False)
    pruning.add_argument("--scores", required=True, help="CSV made by `avss score`")
    amount = pruning.add_mutually_exclusive_group(required=True)
    amount.add_argument("--layers", type=int, help="how many layers to remove")
    amount.add_argument("--fraction", type=float, help="share of layers to remove, rounded to whole layers")
    amount.add_argument("--rule", help="cumulative(MASS) or released_code(MASS), by the share of the summed scores")
    pruning.add_argument(
        "--compensate",
        action="store_true",
        help="give the hidden state behind removed layers its size back, as measured on --data",
    )
    with_data(pruning, required=False)
    pruning.add_argument("--samples", type=int, default=CALIBRATING, help="documents (default: %(default)s)")
    pruning.add_argument("--context", type=int, help=f"tokens a document (default: {PLAIN_CONTEXT})")
    with_output(pruning, True, "folder of the pruned model")

    evaluating = command("evaluate", "Measure a model on a task.")
    with_model(evaluating)
    with_data(evaluating)
    evaluating.add_argument("--task", required=True, help=tasks)
    evaluating.add_argument("--samples", type=int, help="documents (default: all)")
    evaluating.add_argument("--context", type=int, help="tokens a document or window (default: the task's)")
    evaluating.add_argument(
        "--shots", type=int, default=0, help="solved examples before each question (default: %(default)s)"
    )
    evaluating.add_argument(
        "--prompt", default=PROMPTS[0], help="plain, or chat for the tokenizer's chat template (default: %(default)s)"
    )
    evaluating.add_argument("--shots-from", metavar="SPLIT", help="their split (default: the usual one)")
    evaluating.add_argument(
        "--by",
        help="of a task that generates: generation, or likelihood for the perplexity of the right answers "
        "(default: generation)",
    )
    with_labels(evaluating)
    with_output(evaluating, False, "JSON file of the result; it is printed in any case")

    healing = command("heal", "Train a model: adapters against hallucination (EAVSS), or what pruning has left of it.")
    with_model(healing)
    healing.add_argument(
        "--objective",
        default=CONTRASTIVE,
        help="contrastive (adapters in the layers of the highest EAVSS; ours), or, for a folder of `avss prune`, "
        "next_token or distillation from the whole model, merged into a plain checkpoint (default: %(default)s)",
    )
    healing.add_argument(
        "--data", help=f"{anything}; contrastive: questions with answers (default there: microworld/answers)"
    )
    healing.add_argument("--samples", type=int, help="documents, or questions of each split (default: all)")
    healing.add_argument("--steps", type=int, default=60, help="training steps (default: %(default)s)")
    healing.add_argument("--learning-rate", type=float, default=1e-3, help="of AdamW (default: %(default)s)")
    healing.add_argument(
        "--context", type=int, default=256, help="tokens of a window, or of question and answer (default: %(default)s)"
    )
    healing.add_argument("--seed", type=int, default=0, help="draws text and adapters (default: %(default)s)")
    healing.add_argument("--out", required=True, help="folder of the healed model, or of the adapters")
    contrastive = healing.add_argument_group("contrastive alone")
    contrastive.add_argument("--layers", type=int, help="how many layers to train")
    contrastive.add_argument("--reading", help="of EAVSS, as for `avss score` (default: paper)")
    contrastive.add_argument("--pairs", type=int, help="questions a step (default: 8)")
    contrastive.add_argument("--batch-size", type=int, help="answers at a time in evaluation (default: 16)")
    pruned = healing.add_argument_group("next_token and distillation alone")
    pruned.add_argument("--teacher", help="for distillation: the model that was pruned")
    pruned.add_argument("--temperature", type=float, help="of distillation (default: 1)")
    pruned.add_argument("--windows", type=int, help="windows of text a step (default: 4)")
    pruned.add_argument("--split", help="of the data (default: the usual one for calibration)")
    pruned.add_argument("--column", help="the column, or column.field, that holds the text (default: usual names)")
    pruned.add_argument("--force", action="store_true", default=None, help="replace an output that avss wrote before")

    checking = command("check", "Say which score to prune this model by, and why.")
    with_model(checking)
    with_data(checking)
    share = checking.add_mutually_exclusive_group()
    share.add_argument("--layers", type=int, help="how many layers would be removed")
    share.add_argument("--fraction", type=float, default=0.25, help="share of layers (default: %(default)s)")
    checking.add_argument(
        "--leave-one-out", action="store_true", help="also measure the loss without each layer, which takes far longer"
    )
    checking.add_argument("--task", help=f"show documents as this task does, with its labels: {tasks}")
    checking.add_argument("--samples", type=int, default=CALIBRATING, help="documents (default: %(default)s)")
    checking.add_argument(
        "--context", type=int, help=f"tokens a document (default: the task's; without a task {PLAIN_CONTEXT})"
    )
    with_labels(checking)
    with_output(checking, False, "JSON file of the facts, which are printed in any case")

    planning = command("plan", "Estimate time, memory and disk of a profile, and say what it lacks.")
    planning.add_argument("--profile", default="mini", help="a name in profiles/, or a file (default: %(default)s)")
    planning.add_argument("--row", help="one row of it (default: all)")
    planning.add_argument("--revision", help="commit, branch or tag of the model of --row (default: the profile's)")
    planning.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    planning.add_argument("--flops", type=float, help="its operations a second, such as 4e14 (default: measured)")
    planning.add_argument("--bandwidth", type=float, help="bytes it reads a second, such as 2e12 (default: measured)")

    command("methods", "List the methods and where they come from.")
    command("models", "List the embedded models.")
    return whole


def check_compensation(arguments: argparse.Namespace) -> None:
    """Raises `InputError` unless `avss prune` is given both `--compensate` and `--data`, or neither."""
    if arguments.compensate != bool(arguments.data):
        given, lacking = ("--compensate", "--data") if arguments.compensate else ("--data", "--compensate")
        raise InputError(f"{given} is given without {lacking}; compensation needs both, and other pruning neither")


def complete_healing(arguments: argparse.Namespace) -> None:
    """Give the options of `avss heal` that were left out their defaults.

    Raises `InputError` for an unknown objective, an option that it has no use for, and where `--data` is missing.
    """
    look_up("objective", arguments.objective, dict.fromkeys(HEALING))
    contrastive = arguments.objective == CONTRASTIVE
    own, others = (OF_CONTRASTIVE, OF_PRUNED) if contrastive else (OF_PRUNED, OF_CONTRASTIVE)
    for name in others:
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} is given with --objective {arguments.objective}, which has none; leave it out")
    for name, default in own.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    if contrastive and arguments.layers is None:
        raise InputError("--layers is missing; give how many layers of the highest EAVSS to train")
    if arguments.data is None:
        if not contrastive:
            raise InputError("--data is missing; give a hub id, folder or file of text to train on")
        arguments.data = "microworld/answers"


def method_options(texts: list[str], method: Method, seed: int) -> dict:
    """The options of a method from texts NAME=VALUE, and the seed where it has one.

    A value is a number, true, false or null as JSON spells it, and otherwise text. Raises `InputError` for a name that
    the method lacks.
    """
    known = [name for name in method.options if name not in ("reading", "seed")]
    given = {"seed": seed} if "seed" in method.options else {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"--option {text} does not fit method {method.name}; give NAME=VALUE, of these: {listed}")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    return given


def check_positive(name: str, number: float) -> None:
    """Raises `InputError` unless the number of this option is positive and finite."""
    if not (number > 0 and math.isfinite(number)):
        least = "at least 1" if isinstance(number, int) else "a number above 0"
        raise InputError(f"{name} is {number}; give {least}")


def check_numbers(arguments: argparse.Namespace) -> None:
    """Raises `InputError` for numbers that fit no data and no model."""
    for name in ("samples", "batch_size", "context"):
        if getattr(arguments, name) is not None:
            check_positive(f"--{name.replace('_', '-')}", getattr(arguments, name))
    if not 0 <= arguments.seed < 1 << 63:
        raise InputError(f"--seed is {arguments.seed}; give a number from 0 to {(1 << 63) - 1}")
