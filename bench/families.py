"""Which causal families of transformers can be scored, pruned, saved, reloaded and run with a cache: one model each.

    python bench/families.py --out bench/results/families.csv
    python bench/families.py llama bloom jamba

Each model is random, of a few blocks and a few thousand weights, made from its family's own config with all sizes made
small. A row says which sites and methods work, and gives the first reason where something does not.
"""

import argparse
import csv
import io
import json
from pathlib import Path

import transformers

from avss.files import write_whole
from measuring.families import COLUMNS, FAMILIES, survey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    rows = []
    for family in arguments.families:
        rows.append(survey(family))
        print(json.dumps(rows[-1]), flush=True)
    if arguments.out:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(arguments.out, text.getvalue())


if __name__ == "__main__":
    main()
