r"""Contrastive healing against its controls on a model; results go to results/healing.

    .venv/bin/python recipes/healing.py mini/llama-7b --sets microworld/answers --layers 4
    .venv/bin/python recipes/healing.py models/smollm2-135m --layers 4 \
        --elsewhere hackernews-smollm2 sst2-smollm2 --documents 100

The five sets need AVSS_DATA. Controls: the layers of the lowest EAVSS, random ones, all, plain likelihood, none. What
is stored is not trained again, and a killed training continues from its state in build/healing. `--elsewhere` measures
each training on the tasks of rows of profiles/reference.yaml, too.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import avss
from avss.hallucination.healing import Recipe
from avss.hallucination.pairs import SETS
from avss.runs.healing import Study, run_study
from avss.runs.profile import load_profile
from avss.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder, hub id or embedded name")
    parser.add_argument("--layers", type=int, required=True, help="how many layers are trained")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help=f"default: {' '.join(SETS)}")
    parser.add_argument("--pairs", type=int, default=Study.pairs, help="questions of each set and split")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="training steps (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=Study.draws, help="of random layers (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=Study.seeds, help="of the training (default: %(default)s)")
    parser.add_argument("--reading", default=Study.reading, help="of EAVSS (default: %(default)s)")
    parser.add_argument(
        "--elsewhere", nargs="*", default=[], metavar="ROW", help="rows of the same model to measure on"
    )
    parser.add_argument("--documents", type=int, help="evaluated documents of each of them (default: all of the row)")
    parser.add_argument("--out", type=Path, default=Path("results/healing"), help="default: results/healing")
    arguments = parser.parse_args()
    label = Path(arguments.model).name
    try:
        rows = [load_profile("reference").row(name) for name in arguments.elsewhere]
        study = Study(
            tuple(arguments.sets),
            arguments.layers,
            arguments.pairs,
            arguments.draws,
            arguments.seeds,
            arguments.reading,
            tuple(replace(row, documents=arguments.documents or row.documents) for row in rows),
        )
        made = run_study(
            lambda: avss.load_model(arguments.model),
            label,
            Store(arguments.out),
            study,
            Recipe(steps=arguments.steps),
            Path("build/healing") / label,
        )
    except avss.InputError as error:
        parser.error(str(error))
    print(f"{made} trainings")


if __name__ == "__main__":
    main()
