"""The committed files of `bench/results`, read and checked, and the numbers of cost in them.

A file is one run of a script in `bench/` on one machine, `<script>-<device>.json`, with its setting and provenance.
They lie beside the store's folder, as in this repository.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from avss.errors import InputError
from avss.methods import catalogue
from avss.report.comparisons import METHODS, sort_key
from avss.report.markdown import revision
from avss.report.snapshot import Results

# Costs that pruning reduces: display name -> (JSON key, unit).
SIZES = {"parameters": ("parameters", "million"), "cache": ("cache_mib", "MiB"), "memory": ("memory_mib", "MiB")}
TIMES = {
    "prefill": ("prefill", "tokens/s"),
    "decoding": ("decode", "tokens/s"),
    "time to first token": ("first_token", "ms"),
}
_SPEEDS = [f"{key}_{part}" for key, _ in TIMES.values() for part in ("seconds", "speedup", "speedup_quartiles")]
_RATES = [f"{key}_tokens_per_second" for key, unit in TIMES.values() if unit == "tokens/s"]
# Numbers that a row of a script's file needs, all above 0.
_NUMBERS = {
    "pruning": "removed blocks repeats parameters cache_mib process_mib peak_mib".split() + _SPEEDS + _RATES,
    "methods": ["repeats", "time_ratio", "time_ratio_quartiles", "memory_ratio"],
    "scoring": ["repeats", "seconds", "time_ratio"],
    "ablation": ["blocks", "repeats", "shared_seconds", "naive_seconds", "speedup", "counted_speedup"],
}
# Names that it needs, and what the file's setting needs.
_NAMES = {"pruning": [], "methods": ["method"], "scoring": ["sweep", "at", "way"], "ablation": ["method"]}
_SETTING = {"pruning": ["blocks", "width"], "methods": ["blocks", "width"], "scoring": [], "ablation": []}


def ideal(blocks: int, removed: int) -> float:
    """M / (M - k): how many times smaller or faster a model is without k of its M blocks, if it were blocks alone."""
    return blocks / (blocks - removed)


def rest_of(blocks: int, removed: int, factor: float) -> float:
    """The share r of the cost outside the blocks that would explain `factor` = 1 / (r + (1 - r) (M - k) / M).

    That is Amdahl's law. Below 0 where the factor is above the ideal, as a measured one may be. Needs k above 0.
    """
    return (1 / factor - 1 / ideal(blocks, removed)) * blocks / removed


def pruning(results: Results) -> pd.DataFrame:
    """One line for each file (`measured on`), quantity and number of removed blocks, the whole model's included.

    value: in `unit`. factor: how many times smaller or faster than the whole model; low, high: its quartiles over the
    rounds, nan for sizes. ideal: M / (M - k). Memory is the peak of a process less what it holds before there
    is a model. Empty where there is no file; raises `InputError` for a file that lacks something or cannot be true.
    """
    lines = []
    for path, content in files(results, "pruning"):
        rows = sorted(content["rows"], key=lambda row: row["removed"])
        blocks = content["setting"]["blocks"]
        if rows[0]["removed"] or any(row["removed"] + row["blocks"] != blocks for row in rows):
            raise InputError(
                f"{path}: rows do not begin with all {blocks} blocks or do not add up to them; run it again"
            )
        for row in rows:
            row["memory_mib"] = row["peak_mib"] - row["process_mib"]
            common = {"measured on": measured_on(content), "blocks": blocks, "removed": row["removed"]}
            common["ideal"] = ideal(blocks, row["removed"])
            lines += [common | quantity for quantity in (*_sizes(rows[0], row), *_times(row))]
    columns = "quantity blocks removed value unit factor low high ideal repeats"
    return pd.DataFrame(lines, columns=["measured on", *columns.split()])


def _sizes(whole: dict, row: dict) -> Iterator[dict]:
    for quantity, (key, unit) in SIZES.items():
        value = row[key] / 1e6 if unit == "million" else row[key]
        yield {"quantity": quantity, "value": value, "unit": unit, "factor": whole[key] / row[key]}


def _times(row: dict) -> Iterator[dict]:
    for quantity, (key, unit) in TIMES.items():
        value = 1000 * row[f"{key}_seconds"] if unit == "ms" else row[f"{key}_tokens_per_second"]
        low, high = row[f"{key}_speedup_quartiles"]
        speedup = {"quantity": quantity, "value": value, "unit": unit, "factor": row[f"{key}_speedup"]}
        yield speedup | {"low": low, "high": high, "repeats": row["repeats"]}


def methods(results: Results) -> pd.DataFrame:
    """One line for each file (`measured on`) and method that reads text.

    time, memory: in bare forward passes with head, measured side by side; low, high: quartiles of `time`. forwards,
    backwards: blocks run on a batch. counted: these in bare passes, a block backwards taken as one forwards. Empty and
    raises as `pruning`.
    """
    lines = []
    for path, content in files(results, "methods"):
        blocks = content["setting"]["blocks"]
        for row in sorted(content["rows"], key=lambda row: sort_key(row["method"], METHODS)):
            if row["method"] not in catalogue.METHODS:
                raise InputError(
                    f"{path}: method {row['method']!r} is not known; add an entry to avss/methods/catalogue.py"
                )
            # A method that removes blocks as it goes is measured until one block is left.
            forwards, backwards, *_ = catalogue.METHODS[row["method"]].work(blocks, blocks - 1)
            low, high = row["time_ratio_quartiles"]
            counts = {"forwards": forwards, "backwards": backwards, "counted": (forwards + backwards) / blocks}
            times = {"time": row["time_ratio"], "low": low, "high": high, "repeats": row["repeats"]}
            common = {"measured on": measured_on(content), "method": row["method"], "blocks": blocks}
            lines.append(common | times | {"memory": row["memory_ratio"]} | counts)
    columns = "method blocks time low high repeats memory forwards backwards counted"
    return pd.DataFrame(lines, columns=["measured on", *columns.split()])


def basis(results: Results, script: str) -> pd.DataFrame:
    """The machine, setting and revision of each file of a script in `bench/`, by `measured_on`; empty without files."""
    lines = {}
    for path, content in files(results, script):
        facts = content["provenance"]
        loads = " to ".join(f"{minute:g}" for minute, *_ in facts.get("load_average", []))
        lines[measured_on(content)] = {
            "cores": facts["hardware"]["cores"],
            "threads": facts["hardware"]["threads"],
            "load average": loads or "not recorded",
            "model and text": ", ".join(f"{name} {value}" for name, value in content["setting"].items()),
            "torch": facts["versions"]["torch"],
            "date": facts["created"][:10],
            "revision": revision(facts),
            "file": f"`bench/results/{path.name}`",
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def measured_on(content: dict) -> str:
    """The machine that a file is about, and the model's dtype and shape."""
    setting = content["setting"]
    shape = f"{setting['blocks']} blocks of width {setting['width']}"
    return f"{machine_of(content['provenance'])}, {content['provenance']['dtype']}, {shape}"


def machine_of(facts: dict) -> str:
    """The accelerator that a run used, or else the processor. facts: its provenance."""
    hardware = facts["hardware"]
    return hardware.get("accelerator", hardware["processor"])


def files(results: Results, script: str) -> Iterator[tuple[Path, dict]]:
    """The files of a script in `bench/`, each with its content. Raises `InputError` for a file that cannot be true."""
    for path in sorted(results.benchmarks.glob(f"{script}-*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = [{key: row[key] for key in _NUMBERS[script] + _NAMES[script]} for row in content["rows"]]
            facts = content["provenance"]
            machine_of(facts), facts["dtype"], [content["setting"][key] for key in _SETTING[script]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no result of bench/{script}.py ({error!r}); run it again") from error
        if not rows:
            raise InputError(f"{path} has no rows; run bench/{script}.py again")
        for row in rows:
            _check(path, {key: row[key] for key in _NUMBERS[script]})
        yield path, content


def _check(path: Path, numbers: dict) -> None:
    """Raise where a number cannot be a count, a size or a time."""
    for key, value in numbers.items():
        # No block may be gone, and an accelerator holds nothing before there is a model.
        if key in ("removed", "process_mib") and value == 0:
            continue
        parts = value if isinstance(value, list) else [value]
        real = parts and all(isinstance(number, int | float) and 0 < number < math.inf for number in parts)
        if not real or sorted(parts) != parts:
            raise InputError(f"{path}: {key} is {value!r} where positive numbers belong; run the benchmark again")
