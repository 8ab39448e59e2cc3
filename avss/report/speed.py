"""The numbers of speed in the files of `bench/scoring.py` and `bench/ablation.py`, and the targets of speed.

Each file is one run on one machine, which the data names in `measured on`. A number that no file holds is not measured.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from avss.report.benchmarks import files, machine_of
from avss.report.snapshot import Results

WAYS = {"bare": "bare pass", "avss": "AVSS", "kept": "hidden states kept", "released": "released scripts' way"}
SWEEPS = {
    "width": "features of a hidden state",
    "blocks": "blocks",
    "samples": "documents",
    "length": "tokens of a document",
}
# The paper's largest model, by its name there.
LARGEST = "LLama-8B"
AT_MOST, AT_LEAST = "at most", "at least"


def scoring(results: Results, *sweeps: str) -> pd.DataFrame:
    """One line for each machine, sweep, point of it (`at`) and way, of these sweeps or of all.

    time_ratio: in bare passes of the same round; low, high: its quartiles. extra_mib: what tensors held at most, above
    a bare pass; extra_share: the same as a share of the weights. Empty where nothing is measured.
    """
    columns = "name sweep at way width blocks documents tokens repeats seconds time_ratio extra_mib extra_share"
    shares = "tokens_per_second matrix_share bandwidth_share beside_ratio beside_bandwidth_share waits_per_batch"
    rows = _rows(results, "scoring", "time_ratio", f"{columns} {shares}")
    return rows[rows["sweep"].isin(sweeps)].reset_index(drop=True) if sweeps else rows


def sharing(results: Results) -> pd.DataFrame:
    """One line for each machine and method: how many times faster shared prefixes are; low, high: quartiles."""
    seconds = "shared_seconds naive_seconds shared_block_forwards naive_block_forwards"
    return _rows(results, "ablation", "speedup", f"method blocks repeats {seconds} speedup counted_speedup")


def _rows(results: Results, script: str, measured: str, columns: str) -> pd.DataFrame:
    """These columns of all files of a script, and the quartiles of what is measured; nan where there was one round."""
    lines = []
    for _, content in files(results, script):
        machine = machine_of(content["provenance"])
        for row in content["rows"]:
            # A single round has no quartiles.
            low, high = row[f"{measured}_quartiles"] if row["repeats"] > 1 else (np.nan, np.nan)
            lines.append(row | {"measured on": machine, "low": low, "high": high})
    return pd.DataFrame(lines, columns=["measured on", *columns.split(), "low", "high"])


class Measured(NamedTuple):
    """The measurements of one machine: lines of `scoring` and of `sharing`."""

    scored: pd.DataFrame
    shared: pd.DataFrame

    @property
    def wide(self) -> pd.DataFrame:
        """AVSS in models of width 512 and more."""
        avss = self.scored[self.scored["way"] == "avss"]
        return avss[avss["sweep"].eq("width") & avss["width"].ge(512)]

    @property
    def many(self) -> pd.DataFrame:
        """Every way on 1,024 documents, by way; nan where it is not measured."""
        lines = self.scored[self.scored["sweep"].eq("samples") & self.scored["at"].eq(1024)]
        return lines.set_index("way").reindex(list(WAYS))

    @property
    def largest(self) -> pd.DataFrame:
        """Every way at the shape of the paper's largest model, by way; nan where it is not measured."""
        return self.scored[self.scored["at"].eq(LARGEST)].set_index("way").reindex(list(WAYS))

    @property
    def deep(self) -> pd.DataFrame:
        """Leave-one-out at 32 blocks."""
        return self.shared[self.shared["method"].eq("leave_one_out") & self.shared["blocks"].eq(32)]

    @property
    def rounds(self) -> str:
        return " in a single round" if self.many["repeats"].eq(1).any() else ""


class Target(NamedTuple):
    """A target of speed: the question, on which side of the limit an answer holds, and the measured answer.

    asks: `{rounds}` in it is filled with `Measured.rounds`. answer: value, and where it is a ratio in rounds, its
    quartiles; nan where nothing is measured. Of several settings, the worst one counts.
    """

    asks: str
    side: str
    limit: float
    answer: Callable[[Measured], tuple[float, ...]]


def _worst(lines: pd.DataFrame, column: str, side: str) -> tuple[float, ...]:
    worst = lines.sort_values(column, ascending=side == AT_LEAST)[[column, "low", "high"]].head(1).to_numpy()
    return tuple(worst[0]) if len(worst) else (np.nan,)


def _times_as_fast(measured: Measured, way: str) -> tuple[float]:
    seconds = measured.many["seconds"]
    return (seconds[way] / seconds["avss"],)


def _times_less_memory(measured: Measured, way: str) -> tuple[float]:
    # Recorded to a thousandth of a MiB; scoring may need no more than the bare pass.
    memory = measured.many["extra_mib"].clip(lower=0.001)
    return (memory[way] / memory["avss"],)


def _waits(measured: Measured) -> tuple[float]:
    waits = measured.largest["waits_per_batch"]
    return (waits["avss"] - waits["bare"],)


_MANY = "1,024 documents of 512 tokens{rounds}, AVSS beside"
TARGETS = (
    Target(
        "scoring, in bare passes, width 512 and more",
        AT_MOST,
        1.05,
        lambda measured: _worst(measured.wide, "time_ratio", AT_MOST),
    ),
    Target(
        "memory above a bare pass, in shares of the weights, width 512 and more",
        AT_MOST,
        0.01,
        lambda measured: (measured.wide["extra_share"].max(),),
    ),
    Target(
        f"{_MANY} hidden states kept: times as fast",
        AT_LEAST,
        1,
        lambda measured: _times_as_fast(measured, "kept"),
    ),
    Target(
        f"{_MANY} hidden states kept: times less extra memory",
        AT_LEAST,
        10,
        lambda measured: _times_less_memory(measured, "kept"),
    ),
    Target(
        f"{_MANY} the released scripts' way: times as fast",
        AT_LEAST,
        3,
        lambda measured: _times_as_fast(measured, "released"),
    ),
    Target(
        f"scoring, in bare passes, shape of {LARGEST}",
        AT_MOST,
        1.03,
        lambda measured: _worst(measured.largest.loc[["avss"]], "time_ratio", AT_MOST),
    ),
    Target(
        f"waits for the accelerator in a batch beyond a bare pass's, shape of {LARGEST}",
        AT_MOST,
        0,
        _waits,
    ),
    Target(
        "leave-one-out at 32 blocks: times faster by shared prefixes",
        AT_LEAST,
        1.8,
        lambda measured: _worst(measured.deep, "speedup", AT_LEAST),
    ),
)
