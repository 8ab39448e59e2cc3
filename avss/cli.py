"""The `avss` command: one model at a time. Rows of Table 1 go through the Snakefile.

Whatever the user can mend is one line on standard error and exit code 2; nothing is written before all inputs are
checked.
"""

import argparse
import json
import math
import sys
import warnings
from pathlib import Path

from avss import __version__, selection
from avss.errors import InputError, is_panic
from avss.files import checked_output, write_whole
from avss.runs.batch_sizes import is_out_of_memory

# What needs less memory, by the option that a command has for it.
LESS_MEMORY = {
    "batch_size": "a smaller --batch-size",
    "context": "a smaller --context",
    "dtype": "a narrower --dtype",
    "device_map": "--device-map auto",
}


def _model(arguments: argparse.Namespace) -> tuple:
    """The model to run, where and in the dtype that is asked for, and its tokenizer."""
    from avss.models import load_model

    where = {"device": arguments.device, "device_map": arguments.device_map}
    return load_model(arguments.model, dtype=arguments.dtype, **where)


def _score(arguments: argparse.Namespace) -> None:
    from avss.data import batched, batches, context_of, load_data, padding_id, sample, usable_rows
    from avss.engine.gold import is_classifier
    from avss.methods import method_named, score
    from avss.models import revision_of
    from avss.reading import Reading
    from avss.tasks import TASKS, task_named

    out = checked_output(arguments.out, arguments.force)
    # What scores rest on is written beside them.
    if checked_output(out.with_suffix(".json"), arguments.force) == out:
        raise InputError(f"--out {out} is where the facts of the scores go; give a name that ends in .csv")
    method, reading = method_named(arguments.method), Reading.parse(arguments.reading)
    task = task_named(arguments.task) if arguments.task else None
    _positive("--samples", arguments.samples)
    _positive("--batch-size", arguments.batch_size)
    dataset = load_data(arguments.data, arguments.split, purpose="calibration")
    tasks = [task] if task else TASKS.values()
    columns = tuple(dict.fromkeys(column for each in tasks for column in each.columns))
    dataset, column = usable_rows(dataset, columns, arguments.column, f"data {arguments.data}")
    dataset = sample(dataset, arguments.samples, arguments.seed)
    model, tokenizer = _model(arguments)
    context = context_of(model, tokenizer, arguments.context)
    filled = reading.padding == "included"
    if task is None and method.reads_labels and is_classifier(model):
        task = TASKS["sentiment"]
    if task:
        examples = task.examples(model, tokenizer, dataset, column, context)
        text = batched(examples, padding_id(tokenizer), arguments.batch_size, context if filled else None)
    else:
        text = batches(dataset[column], tokenizer, context=context, batch_size=arguments.batch_size, fill=filled)
    options = {"seed": arguments.seed} if "seed" in method.options else {}
    scores = score(model, text, arguments.method, reading=reading, **options)
    scores.save(
        out,
        model=arguments.model,
        revision=revision_of(model),
        data=arguments.data,
        task=task and task.name,
        samples=len(dataset),
        context=context,
        seed=arguments.seed,
    )
    order = " ".join(map(str, scores.lowest(len(scores.values) - 1)))
    print(f"{out}: {len(scores.values)} layers scored by {arguments.method}; least important first: {order}")


def _prune(arguments: argparse.Namespace) -> None:
    out = checked_output(arguments.out, arguments.force, folder=True)
    from avss.models import load_model
    from avss.pruning import parameter_share, prune, save_pruned
    from avss.scores import LayerScores

    scores = LayerScores.load(arguments.scores)
    if arguments.rule is None:
        wanted = arguments.layers if arguments.layers is not None else arguments.fraction
        removed = sorted(scores.lowest(wanted))
    else:
        removed = _by_rule(arguments.rule, scores)
    model, tokenizer = load_model(arguments.model, dtype=arguments.dtype, device="cpu")
    from avss.architectures import blocks_of

    total = len(blocks_of(model))
    if total != len(scores.values):
        raise InputError(
            f"{arguments.scores} scores {len(scores.values)} layers and model {arguments.model} has {total}; "
            f"score this model first"
        )
    share = parameter_share(model, removed)
    facts = {
        "pruned_from": arguments.model,
        "method": scores.method,
        "reading": scores.reading,
        "removed_layers": removed,
        "layers_before": total,
        "share_of_layers": round(len(removed) / total, 6),
        "share_of_parameters": round(share, 6),
        "avss": __version__,
    }
    save_pruned(prune(model, removed), tokenizer, out, facts, force=arguments.force)
    named = ", ".join(map(str, removed))
    print(f"{out}: removed {len(removed)} of {total} layers ({named}), {share:.1%} of the parameters")


def _by_rule(rule: str, scores) -> list[int]:
    _, mass = selection.parse(rule)
    if mass is None:
        raise InputError(f"--rule {rule} needs a number of layers; use --layers or --fraction for the lowest layers")
    removed = selection.select(rule, lambda _: scores.values, len(scores.values), 1)
    if not removed:
        raise InputError(f"--rule {rule} removes no layer: each alone holds more of the sum; give a larger mass")
    return sorted(removed)


def _evaluate(arguments: argparse.Namespace) -> None:
    from avss.tasks import evaluate, task_named

    task_named(arguments.task)
    if arguments.out:
        checked_output(arguments.out, arguments.force)
    if arguments.samples is not None:
        _positive("--samples", arguments.samples)
    _positive("--batch-size", arguments.batch_size)
    from avss.data import load_data, usable_rows

    dataset = load_data(arguments.data, arguments.split)
    usable_rows(dataset, task_named(arguments.task).columns, arguments.column, f"data {arguments.data}")
    model, tokenizer = _model(arguments)
    result = evaluate(
        model,
        tokenizer,
        arguments.task,
        dataset,
        column=arguments.column,
        samples=arguments.samples,
        context=arguments.context,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
    )
    result |= {"model": arguments.model, "data": arguments.data}
    # JSON has no nan, which the interval of a single document is.
    result |= {end: None for end in ("low", "high") if math.isnan(result[end])}
    text = json.dumps(result, indent=1) + "\n"
    if arguments.out:
        write_whole(Path(arguments.out), text)
    print(text, end="")


def _methods(arguments: argparse.Namespace) -> None:
    from avss.methods import METHODS

    width = max(map(len, METHODS))
    for method in METHODS.values():
        print(f"{method.name:<{width}}  {method.summary} ({method.source})")


def _models(arguments: argparse.Namespace) -> None:
    from avss import mini

    for name in mini.names():
        print(f"mini/{name}")


def _plan(arguments: argparse.Namespace) -> int:
    import torch

    from avss.runs import plan, preflight
    from avss.runs.experiment import load_profile

    for name, number in (("--flops", arguments.flops), ("--bandwidth", arguments.bandwidth)):
        if number is not None:
            _positive(name, number)
    path = Path(arguments.profile)
    profile = load_profile(path if path.suffix else Path("profiles") / f"{path}.yaml")
    rows = [profile.row(arguments.row)] if arguments.row else profile.rows
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.flops and arguments.bandwidth:
        found, source = plan.Rate(arguments.flops, arguments.bandwidth), "as given"
    else:
        measured = plan.measured(device, rows[0].dtype)
        found = plan.Rate(arguments.flops or measured.operations, arguments.bandwidth or measured.bytes)
        source = f"measured on {device} where not given"
    sizes = plan.sizes(rows)
    estimates = [plan.estimate(row, sizes[row.checkpoint], found) for row in rows]
    for line in plan.report(profile.name, estimates):
        print(line)
    print(f"rate: {plan.human(found.operations, 'FLOP/s')} and {plan.human(found.bytes, 'B/s')}, {source}")
    problems = [*preflight.problems(rows), *plan.too_large(estimates, plan.device_bytes(device))]
    for problem in problems:
        print(f"avss: error: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _positive(name: str, number: int) -> None:
    if number <= 0:
        raise InputError(f"{name} is {number}; give at least 1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="avss", description="Layer importance of transformers, and pruning by it.")
    parser.add_argument("--version", action="version", version=f"avss {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    anything = "hub id, folder, file or embedded name"

    def command(name: str, run, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(run=run)
        return added

    def with_model(added: argparse.ArgumentParser, device: bool = True) -> None:
        added.add_argument("model", metavar="MODEL", help="hub id, folder, or embedded name such as mini/distilbert")
        added.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 (default: %(default)s)")
        if device:
            where = added.add_mutually_exclusive_group()
            where.add_argument("--device", help="a torch device (default: a GPU where there is one)")
            where.add_argument("--device-map", help="auto, for instance: how accelerate spreads the blocks over GPUs")

    def with_data(added: argparse.ArgumentParser) -> None:
        added.add_argument("--data", required=True, help=f"{anything} such as microworld/reviews")
        added.add_argument("--split", help="default: the usual one for the purpose")
        added.add_argument("--column", help="the column that holds the text (default: the usual names)")
        added.add_argument("--seed", type=int, default=0, help="draws the documents (default: %(default)s)")
        added.add_argument("--batch-size", type=int, default=32, help="documents or windows at a time")

    def with_output(added: argparse.ArgumentParser, required: bool, what: str) -> None:
        added.add_argument("--out", required=required, help=what)
        added.add_argument("--force", action="store_true", help="replace an existing output")

    scoring = command("score", _score, "Score every layer of a model on calibration text.")
    with_model(scoring)
    with_data(scoring)
    scoring.add_argument("--method", default="avss", help="see `avss methods` (default: %(default)s)")
    scoring.add_argument(
        "--reading", default="paper", help="paper or released-code, with changes such as paper,epsilon=1e-3"
    )
    scoring.add_argument(
        "--task",
        help="show documents as this task does, with its labels: sentiment, question_answering or language_modeling "
        "(default: plain text; for methods that need a classifier's labels, sentiment)",
    )
    scoring.add_argument("--samples", type=int, default=512, help="documents (default: %(default)s)")
    scoring.add_argument("--context", type=int, default=128, help="tokens a document (default: %(default)s)")
    with_output(scoring, True, "CSV file of scores")

    pruning = command("prune", _prune, "Remove the lowest-scoring layers and save a plain checkpoint.")
    with_model(pruning, device=False)
    pruning.add_argument("--scores", required=True, help="CSV made by `avss score`")
    amount = pruning.add_mutually_exclusive_group(required=True)
    amount.add_argument("--layers", type=int, help="how many layers to remove")
    amount.add_argument("--fraction", type=float, help="share of layers to remove, rounded to whole layers")
    amount.add_argument("--rule", help="cumulative(MASS) or released_code(MASS), by the share of the summed scores")
    with_output(pruning, True, "folder of the pruned model")

    evaluating = command("evaluate", _evaluate, "Measure a model on a task.")
    with_model(evaluating)
    with_data(evaluating)
    evaluating.add_argument("--task", required=True, help="sentiment, question_answering or language_modeling")
    evaluating.add_argument("--samples", type=int, help="documents (default: all)")
    evaluating.add_argument("--context", type=int, help="tokens a document or window (default: the task's)")
    with_output(evaluating, False, "JSON file of the result; it is printed in any case")

    planning = command("plan", _plan, "Estimate time, memory and disk of a profile, and say what it lacks.")
    planning.add_argument("--profile", default="mini", help="a name in profiles/, or a file (default: %(default)s)")
    planning.add_argument("--row", help="one row of it (default: all)")
    planning.add_argument("--device", help="a torch device (default: a GPU where there is one)")
    planning.add_argument("--flops", type=float, help="its operations a second, such as 4e14 (default: measured)")
    planning.add_argument("--bandwidth", type=float, help="bytes it reads a second, such as 2e12 (default: measured)")

    command("methods", _methods, "List the methods and where they come from.")
    command("models", _models, "List the embedded models.")
    return parser


def _one_line(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"avss: warning: {message}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 on success, 2 on anything the user can mend, 130 when interrupted."""
    warnings.showwarning = _one_line
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed) or 0
    except InputError as error:
        print(f"avss: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        ways = [way for option, way in LESS_MEMORY.items() if hasattr(parsed, option)] or ["a larger device"]
        reason = " ".join(str(error).split()[:12])
        print(f"avss: error: memory ran out ({reason} ...); give {' or '.join(ways)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("avss: interrupted; nothing was written", file=sys.stderr)
        return 130
    except BaseException as error:
        if not is_panic(error):
            raise
        reason = " ".join(str(error).split())
        print(f"avss: error: the tokenizer gave up ({reason}); give a folder with another tokenizer", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
