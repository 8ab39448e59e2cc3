"""EAVSS and its yardsticks on a model and the five sets of questions; results go to results/eavss.

    .venv/bin/python recipes/hallucination.py models/smollm2-135m
    .venv/bin/python recipes/hallucination.py mini/llama-8b --sets microworld/answers --pairs 60

Needs AVSS_DATA for the five sets, which `recipes/fetch_data.py` does not fetch; `avss.hallucination.pairs.SETS` names
their files, and `load_pairs` their columns. What is stored is not computed
again, so a killed run continues with the stage that it was in. A set takes minutes on one core.
"""

import argparse
from pathlib import Path

import avss
from avss.hallucination.pairs import SETS
from avss.runs.hallucination import STAGES, Plan, run_set
from avss.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder, hub id or embedded name")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help=f"default: {' '.join(SETS)}")
    parser.add_argument("--pairs", type=int, default=Plan.pairs, help=f"questions of each set (default: {Plan.pairs})")
    parser.add_argument("--reading", default=Plan.reading, help=f"of Eqs. 1 and 4 (default: {Plan.reading})")
    parser.add_argument("--out", type=Path, default=Path("results/eavss"), help="default: results/eavss")
    arguments = parser.parse_args()
    plan = Plan(pairs=arguments.pairs, reading=arguments.reading)
    try:
        model, tokenizer = avss.load_model(arguments.model)
        # The scores of all sets first: they take the least time.
        for stage in STAGES:
            for name in arguments.sets:
                ran = run_set(model, tokenizer, name, Path(arguments.model).name, Store(arguments.out), plan, [stage])
                print(f"{name}: {stage} {'measured' if ran else 'was stored'}", flush=True)
    except avss.InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
