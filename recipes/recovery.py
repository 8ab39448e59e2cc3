r"""Healing of what each score left of a row's model, at one budget; results go to results/recovery.

    .venv/bin/python recipes/recovery.py mini posts-mini-llama-8b --steps 20
    .venv/bin/python recipes/recovery.py reference hackernews-smollm2 --training comments_2021 --objectives next_token \
        --scores avss block_influence random last original --steps 80 --windows 2

The first takes minutes. The second needs AVSS_DATA, and six minutes of one core for each training (40,960 tokens) and
one for each measurement. It trains on other comments of the evaluated file, as those for calibration lack commas.

The row's own results must be stored, because they say which blocks each score removed. Documents that share 13 words in
a row with evaluated text are left out. What is stored is not trained again, and a killed training continues from its
state in build/recovery.
"""

import argparse
from pathlib import Path

import avss
from avss.recovery.recovering import OBJECTIVES, Recipe
from avss.runs.profile import load_profile
from avss.runs.recovery import Study, run_study
from avss.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="a name in profiles/, or a file")
    parser.add_argument("row", help="a row of it, of a decoder")
    parser.add_argument("--scores", nargs="+", default=list(Study.scores), help=f"default: {' '.join(Study.scores)}")
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), help=f"default: {' '.join(OBJECTIVES)}")
    parser.add_argument("--training", help="split to train on (default: the row's calibration)")
    parser.add_argument("--documents", type=int, help="evaluated documents (default: all of the row)")
    parser.add_argument("--points", type=int, default=Study.points, help="measurements (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="of the training (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=Recipe.windows, help="in a step (default: %(default)s)")
    parser.add_argument("--context", type=int, default=Recipe.context, help="tokens a window (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate, help="default: %(default)s")
    parser.add_argument("--rank", type=int, default=Recipe.rank, help="of LoRA (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=Recipe.temperature, help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: %(default)s")
    arguments = parser.parse_args()
    study = Study(
        tuple(arguments.scores),
        tuple(arguments.objectives),
        arguments.training,
        arguments.documents,
        arguments.points,
    )
    numbers = ("steps", "windows", "context", "learning_rate", "rank", "temperature")
    recipe = Recipe(**{name: getattr(arguments, name) for name in numbers})
    try:
        profile = load_profile(arguments.profile)
        made = run_study(
            profile.row(arguments.row),
            profile.name,
            Store(arguments.results),
            Store(arguments.results / "recovery"),
            study,
            recipe,
            Path("build/recovery"),
        )
    except avss.InputError as error:
        parser.error(str(error))
    print(f"{made} trainings")


if __name__ == "__main__":
    main()
