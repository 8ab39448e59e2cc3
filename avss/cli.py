"""The `avss` command: one model at a time. Rows of Table 1 go through the Snakefile.

An error that the user can mend is one line on standard error and exit code 2. All inputs are checked before anything is
written.
"""

import argparse
import os
import sys
import tempfile
import traceback
import warnings

from avss import __version__, selection
from avss.errors import InputError, is_out_of_memory, is_panic
from avss.files import expanded
from avss.options import (
    CONTRASTIVE,
    PLAIN_CONTEXT,
    check_compensation,
    check_numbers,
    complete_healing,
    method_options,
    parser,
)
from avss.outputs import check_own_folder, check_space, checked_output

# Advice against memory errors, by the option that a command has for it.
LESS_MEMORY = {
    "batch_size": "a smaller --batch-size",
    "context": "a smaller --context",
    "dtype": "a narrower --dtype",
    "device_map": "--device-map auto",
}


def _model(arguments: argparse.Namespace) -> tuple:
    """The model on the chosen device and in the chosen dtype, and its tokenizer."""
    from avss.models import load_model

    where = {"device": arguments.device, "device_map": arguments.device_map, "revision": arguments.revision}
    return load_model(arguments.model, dtype=arguments.dtype, **where)


def _inputs(arguments: argparse.Namespace) -> list[str]:
    """The files and folders that a command reads, as the user names them."""
    named = (getattr(arguments, name, None) for name in ("model", "data", "scores"))
    return [expanded(name) for name in named if name]


def _score(arguments: argparse.Namespace) -> None:
    from avss import calibration
    from avss.data import batches, context_of
    from avss.engine.gold import is_classifier
    from avss.methods import method_named, score
    from avss.methods.scoring import reading_for
    from avss.models import revision_of
    from avss.scores import checked_scores_output
    from avss.tasks import TASKS, task_batches, task_named
    from avss.tasks.labelled import check_labels

    out = checked_scores_output(arguments.out, arguments.force, _inputs(arguments))
    method, reading = method_named(arguments.method), reading_for(arguments.method, arguments.reading)
    task = task_named(arguments.task) if arguments.task else None
    check_numbers(arguments)
    options = method_options(arguments.option, method, arguments.seed)
    words = arguments.label_words
    # For such a method a classifier has a task of its own.
    if task or not method.reads_labels:
        check_labels(task, arguments.label_column, words)
    dataset, column = calibration.rows(arguments, [task] if task else TASKS.values())
    model, tokenizer = _model(arguments)
    if task is None and method.reads_labels and is_classifier(model):
        task = TASKS["sentiment"]
    check_labels(task, arguments.label_column, words)
    context = context_of(model, tokenizer, arguments.context or (task.context if task else PLAIN_CONTEXT))
    shape = {"context": context, "batch_size": arguments.batch_size, "fill": reading.padding == "included"}
    if task:
        text = task_batches(model, tokenizer, task.name, dataset, column=column, label_words=words, **shape)
    else:
        text = batches(dataset[column], tokenizer, **shape)
    scores = score(model, text, arguments.method, reading=reading, **options)
    facts = {
        "model": arguments.model,
        "revision": revision_of(model, tokenizer),
        "data": arguments.data,
        "task": task and task.name,
        "samples": len(dataset),
        "context": context,
        "seed": arguments.seed,
    }
    try:
        scores.save(out, **facts)
    except OSError:
        # The work is done, and a table is short.
        print(scores.table.to_csv(index=False), end="")
        raise
    order = " ".join(map(str, scores.lowest(len(scores.values) - 1)))
    print(f"{out}: {len(scores.values)} layers scored by {arguments.method}; least important first: {order}")


def _prune(arguments: argparse.Namespace) -> None:
    out = checked_output(arguments.out, arguments.force, folder=True, inputs=_inputs(arguments), own=check_own_folder)
    check_space(out)
    check_numbers(arguments)
    check_compensation(arguments)
    from avss import calibration
    from avss.architectures import blocks_of
    from avss.compensation import compensate
    from avss.identity import COMMIT
    from avss.models import load_model, stored_dtype
    from avss.pruning import kept_layers, parameter_share, prune, save_pruned
    from avss.scores import LayerScores

    scores = LayerScores.load(arguments.scores)
    if arguments.rule is None:
        wanted = arguments.layers if arguments.layers is not None else arguments.fraction
        removed = sorted(scores.lowest(wanted))
    else:
        removed = _by_rule(arguments.rule, scores)
    rows = calibration.rows(arguments) if arguments.compensate else None
    dtype, revision = arguments.dtype or stored_dtype(arguments.model, arguments.revision), arguments.revision
    model, tokenizer = load_model(arguments.model, dtype=dtype, device="cpu", revision=revision)
    named = model.config.architectures
    if named and type(model).__name__ not in named:
        raise InputError(
            f"model {arguments.model} is a {named[0]}, which loads as {type(model).__name__} and would lose its head; "
            f"save it as a class that an Auto class of transformers loads"
        )
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
    commit = getattr(model, COMMIT, None)
    facts |= {"commit": commit} if commit else {}
    if rows:
        kept_layers(model, removed)
        text, used = calibration.plain_text(arguments, model, tokenizer, *rows)
        facts["compensation"] = {"cuts": [cut._asdict() for cut in compensate(model, removed, text)]} | used
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
    from avss.evaluate_command import run

    run(arguments, _inputs(arguments), _model)


def _heal(arguments: argparse.Namespace) -> None:
    complete_healing(arguments)
    if arguments.objective == CONTRASTIVE:
        from avss.heal import run
    else:
        from avss.recover_command import run
    run(arguments, _model)


def _check(arguments: argparse.Namespace) -> None:
    from avss.check_command import run

    run(arguments, _inputs(arguments), _model)


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
    from avss.plan_command import run

    return run(arguments)


COMMANDS = {
    "score": _score,
    "prune": _prune,
    "evaluate": _evaluate,
    "heal": _heal,
    "check": _check,
    "plan": _plan,
    "methods": _methods,
    "models": _models,
}


def _one_line(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"avss: warning: {message}", file=sys.stderr)


def _flush() -> None:
    # Python has no standard output where the caller closed it.
    if sys.stdout is not None:
        sys.stdout.flush()


def _failed(message: str, code: int = 2) -> int:
    print(f"avss: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _internal(error: Exception, debug: bool) -> int:
    said, advice = f"{type(error).__name__}: {error}"[:200], "run it with --debug for the traceback"
    if debug:
        with tempfile.NamedTemporaryFile("w", prefix="avss-", suffix=".txt", delete=False, encoding="utf-8") as file:
            traceback.print_exception(error, file=file)
        advice = f"the traceback is in {file.name}"
    return _failed(f"internal error ({said}); please report it: {advice}", 1)


def _silence_output() -> None:
    """Drop unwritten output, because a standard output that failed would fail once more when Python ends."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns 0 on success, 1 after an internal error, 2 after an error that the user can mend, 130 when interrupted, and
    141 if the reader of the output closed it.
    """
    warnings.showwarning = _one_line
    if hasattr(sys.stdout, "reconfigure"):
        # The name of a file may hold characters that cannot be printed.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        parsed = parser(COMMANDS).parse_args(arguments)
    except SystemExit:
        _silence_output()
        raise
    try:
        code = parsed.run(parsed) or 0
        _flush()
        return code
    except InputError as error:
        return _failed(str(error))
    except BrokenPipeError:
        _silence_output()
        return 141
    except OSError as error:
        _silence_output()
        reason = error.strerror or str(error) or type(error).__name__
        return _failed(f"{error.filename}: {reason}" if error.filename else reason)
    except UnicodeError as error:
        return _failed(f"a file or a name is not UTF-8 ({error}); convert it")
    except KeyboardInterrupt:
        print("avss: interrupted; an output is there whole, or as it was before", file=sys.stderr)
        return 130
    except Exception as error:
        if not (isinstance(error, MemoryError) or is_out_of_memory(error)):
            return _internal(error, parsed.debug)
        # Pruning reads text only to compensate.
        given = {"dtype": parsed.dtype} if getattr(parsed, "compensate", True) is False else vars(parsed)
        ways = [way for option, way in LESS_MEMORY.items() if option in given] or ["a larger device"]
        reason = " ".join(str(error).split()[:12])
        return _failed(f"memory ran out ({reason} ...); give {' or '.join(ways)}")
    except BaseException as error:
        if not is_panic(error):
            raise
        return _failed(f"the tokenizer gave up ({error}); give a folder with another tokenizer")


if __name__ == "__main__":
    sys.exit(main())
