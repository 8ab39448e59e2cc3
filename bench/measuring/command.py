"""The command of a benchmark: the options that all share, and the file of its rows, which is whole after each row."""

import argparse
import json
import os
from pathlib import Path

import torch

from avss.files import write_whole
from avss.models import DTYPES
from avss.runs.provenance import now, provenance

from . import dimensions, shapes


def command(description: str, threads: int = 2) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share: `--out`, `--device`, `--dtype` and `--threads`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--threads", type=int, default=threads)
    return parser


def add_rounds(parser: argparse.ArgumentParser, repeats: int, patience: float, limited: str) -> None:
    """Options for the number of rounds and for the seconds that `limited` may take."""
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds")
    parser.add_argument("--patience", type=float, default=patience, help=f"seconds for {limited}")


def add_random_model(parser: argparse.ArgumentParser, width: int, blocks: int, vocabulary: int) -> None:
    """Options for a random model: a shape of the paper's, or width, blocks and vocabulary."""
    parser.add_argument("--shape", choices=shapes(), help="of the paper's models (default: width, blocks, vocabulary)")
    parser.add_argument("--width", type=int, default=width)
    parser.add_argument("--blocks", type=int, default=blocks)
    parser.add_argument("--vocabulary", type=int, default=vocabulary)


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with the sizes of a shape filled in. The process then has its threads and sees its device."""
    arguments = parser.parse_args()
    if getattr(arguments, "shape", None):
        arguments.width, arguments.blocks, arguments.vocabulary = dimensions(arguments.shape)
    torch.set_num_threads(arguments.threads)
    if arguments.device == "cpu":
        # Otherwise the peak of an unused accelerator would be reported.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return arguments


class Record:
    """The rows of a run, printed as they come, and with setting, provenance and load average in the file `--out`."""

    def __init__(self, arguments: argparse.Namespace, setting: dict, **more):
        """more: further entries of the file, beside `setting`, `rows` and `provenance`."""
        if getattr(arguments, "shape", None):
            setting = setting | {"shape": arguments.shape}
        self.out, self.rows, self.content = arguments.out, [], {"setting": setting} | more
        # Before the first row: writing it changes a tree that has the file already.
        self.facts, self.load = provenance(arguments.device, arguments.dtype), os.getloadavg()

    def add(self, row: dict) -> None:
        """Print a row and write the file, if there is one, with all rows so far: a kill loses no row."""
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        if not self.out:
            return
        # Over one, five and fifteen minutes, before the first measurement and after the last.
        loads = [[round(load, 2) for load in then] for then in (self.load, os.getloadavg())]
        facts = self.facts | {"created": now(), "load_average": loads}
        write_whole(self.out, json.dumps(self.content | {"rows": self.rows, "provenance": facts}, indent=1) + "\n")


def setting_of(arguments: argparse.Namespace, *names: str) -> dict:
    """The named options, as the file's setting holds them."""
    return {name: getattr(arguments, name) for name in names}
