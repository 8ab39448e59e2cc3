"""What a row's model writes whole, and without the blocks that each method removes: results/generations/ROW.json.

    .venv/bin/python recipes/generations.py reference hackernews-smollm2         # minutes on one core
    .venv/bin/python recipes/generations.py mini posts-mini-llama-8b passages-mini-llama-8b

The blocks are those of seed 0 of the stored results, so the row runs first. The prompt is the first of its
evaluation split. What is stored is not generated again, and a killed run continues. A file holds what the models wrote;
of a prompt it holds the digest, and the text only where the data are embedded. For rows of `reference`, AVSS_DATA is
the folder of the data.
"""

import argparse
from pathlib import Path

import torch

import avss
from avss.report.generations import FOLDER, chosen_sets
from avss.report.snapshot import Results
from avss.runs.generations import write_generations
from avss.runs.profile import load_profile
from avss.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="name or file of a profile")
    parser.add_argument("rows", nargs="+", metavar="ROW")
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        profile, results = load_profile(arguments.profile), Results(Store(arguments.results))
        for row in [profile.row(name) for name in arguments.rows]:
            sets = chosen_sets(results, profile.name, row.id)
            made = write_generations(row, profile.name, sets, arguments.results / FOLDER / f"{row.id}.json")
            print(f"{row.id}: {made} texts generated", flush=True)
    except avss.InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
