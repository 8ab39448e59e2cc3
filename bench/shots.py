"""What solved examples cost: questions with three of them, against the same questions alone, end to end.

    python bench/shots.py --model models/smollm2-135m --data $AVSS_DATA/squad --calibration train_sample \\
        --context 1536 --out bench/results/shots-cpu.json
    python bench/shots.py --anew

The keys and values of the examples are computed once. The third way computes them anew with every question; without
`--anew` it is not run. All ways run in the same process, in rounds of changing order, and the two with examples have to
give the same answers.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

from torch import nn

from avss import load_data, load_model
from avss.data import sample
from avss.tasks import question_answering, task_named
from avss.tasks.base import Outcome
from avss.tasks.shared_prefix import SharedPrefix
from avss.tasks.shots import prompting_for
from measuring import rounds, spread
from measuring.command import Record, add_rounds, begin, command, setting_of

TASK = task_named("question_answering")


def anew(run: Callable[[], Outcome]) -> Outcome:
    """As the package runs it, but that no prompt shares its beginning with another."""
    none = partial(SharedPrefix, most=0)
    with mock.patch.object(question_answering, "SharedPrefix", lambda model, prompts, most: none(model, prompts)):
        return run()


def counted(model: nn.Module, run: Callable[[], Outcome]) -> tuple[Outcome, int]:
    """What a run gives, and how many tokens, padding among them, the model reads for it."""
    read: list[int] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, given: read.append(given[0].numel()))
    try:
        return run(), sum(read)
    finally:
        hook.remove()


def measure(arguments: argparse.Namespace) -> dict:
    model, tokenizer = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype)
    asked = sample(load_data(arguments.data, arguments.split), arguments.documents, seed=0)
    pool = (load_data(arguments.data, arguments.calibration, purpose="calibration"), TASK.columns[0])

    def run(shots: int) -> Outcome:
        avoid = TASK.questions(asked, TASK.columns[0])
        prompting = prompting_for(TASK, model, tokenizer, shots, "plain", pool, avoid)
        options = {"context": arguments.context, "batch_size": arguments.batch, "prompting": prompting}
        return TASK.measure(model, tokenizer, asked, TASK.columns[0], **options)

    shared = partial(run, arguments.shots)
    ways = {"without": partial(run, 0), "shared": shared}
    if arguments.anew:
        ways["anew"] = partial(anew, shared)
    answers, tokens = {}, {}
    for name, way in ways.items():
        outcome, tokens[name] = counted(model, way)
        answers[name] = outcome.predictions
    if answers["shared"] != answers.get("anew", answers["shared"]):
        raise SystemExit("answers with the examples shared and anew differ")
    taken = rounds(ways, arguments.repeats, arguments.device, arguments.patience)
    row = {"documents": len(asked), "shots": arguments.shots, "repeats": len(taken["shared"])}
    for name in ways:
        row |= spread(f"{name}_seconds", taken[name]) | {f"{name}_tokens": tokens[name]}
    for name in list(ways)[1:]:
        row |= spread(f"{name}_over_without", [a / b for a, b in zip(taken[name], taken["without"], strict=True)])
    return row


def main() -> None:
    parser = command(__doc__)
    add_rounds(parser, repeats=5, patience=600, limited="the rounds")
    parser.add_argument("--model", default="mini/llama-7b")
    parser.add_argument("--data", default="microworld/passages")
    parser.add_argument("--split")
    parser.add_argument("--calibration")
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--shots", type=int, default=3)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--anew", action="store_true", help="also read the examples anew with every question")
    arguments = begin(parser)
    # Of a folder the name alone.
    names = {name: Path(getattr(arguments, name)) for name in ("model", "data")}
    setting = {name: path.name if path.exists() else str(path) for name, path in names.items()}
    Record(arguments, setting | setting_of(arguments, "context", "batch")).add(measure(arguments))


if __name__ == "__main__":
    main()
