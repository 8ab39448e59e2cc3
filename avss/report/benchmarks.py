"""What was measured of cost: the committed files of `bench/results`, read, checked and told in tables, without torch.

A file is one run of a script in `bench/` on one machine, `<script>-<device>.json`, with its setting and provenance.
They lie beside the store's folder, as in this repository.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from avss.errors import InputError
from avss.methods import catalogue
from avss.report.comparisons import METHODS, label, place
from avss.report.tables import NOT_MEASURED, Text, markdown, revision, spell
from avss.store import Store

# What pruning makes less of, by its name for readers: key in the file and unit.
SIZES = {"parameters": ("parameters", "million"), "cache": ("cache_mib", "MiB"), "memory": ("memory_mib", "MiB")}
TIMES = {
    "prefill": ("prefill", "tokens/s"),
    "decoding": ("decode", "tokens/s"),
    "time to first token": ("first_token", "ms"),
}
_SPEEDS = [f"{key}_{part}" for key, _ in TIMES.values() for part in ("seconds", "speedup", "speedup_quartiles")]
_RATES = [f"{key}_tokens_per_second" for key, unit in TIMES.values() if unit == "tokens/s"]
_NEEDED = {
    "pruning": [
        "removed",
        "blocks",
        "repeats",
        "parameters",
        "cache_mib",
        "process_mib",
        "peak_mib",
        *_SPEEDS,
        *_RATES,
    ],
    "methods": ["method", "repeats", "time_ratio", "time_ratio_quartiles", "memory_ratio"],
}


def ideal(blocks: int, removed: int) -> float:
    """M / (M - k): how many times smaller or faster a model is without k of its M blocks, if it were blocks alone."""
    return blocks / (blocks - removed)


def rest_of(blocks: int, removed: int, factor: float) -> float:
    """The share r of the cost outside the blocks that would explain `factor` = 1 / (r + (1 - r) (M - k) / M).

    That is Amdahl's law. Below 0 where the factor is above the ideal, as a measured one may be. Needs k above 0.
    """
    return (1 / factor - 1 / ideal(blocks, removed)) * blocks / removed


def pruning(store: Store) -> pd.DataFrame:
    """One line for each file (`measured on`), quantity and number of removed blocks, the whole model's included.

    value: in `unit`. factor: how many times smaller or faster than the whole model; low, high: its quartiles over the
    rounds, nan for what is no time. ideal: M / (M - k). Memory is the peak of a process less what it holds before there
    is a model. Empty where there is no file; raises `InputError` for a file that lacks something or cannot be true.
    """
    lines = []
    for path, content in _files(store, "pruning"):
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
        found = {"quantity": quantity, "value": value, "unit": unit, "factor": row[f"{key}_speedup"]}
        yield found | {"low": low, "high": high, "repeats": row["repeats"]}


def methods(store: Store) -> pd.DataFrame:
    """One line for each file (`measured on`) and method that reads text.

    time, memory: in bare forward passes with head, measured side by side; low, high: quartiles of `time`. forwards,
    backwards: blocks run on a batch. counted: these in bare passes, a block backwards taken as one forwards. Empty and
    raises as `pruning`.
    """
    lines = []
    for path, content in _files(store, "methods"):
        blocks = content["setting"]["blocks"]
        for row in sorted(content["rows"], key=lambda row: place(row["method"], METHODS)):
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


def basis(store: Store, script: str) -> pd.DataFrame:
    """What the files of a script in `bench/` rest on, one line each by what they measured; empty without files."""
    lines = {}
    for path, content in _files(store, script):
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
    """The accelerator that a file is about, or else the processor, and the model's dtype and shape."""
    facts, setting = content["provenance"], content["setting"]
    machine = facts["hardware"].get("accelerator", facts["hardware"]["processor"])
    return f"{machine}, {facts['dtype']}, {setting['blocks']} blocks of width {setting['width']}"


def _files(store: Store, script: str) -> Iterator[tuple[Path, dict]]:
    """The files of a script, each with its content, which has been checked."""
    for path in sorted((store.root.parent / "bench" / "results").glob(f"{script}-*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = [{key: row[key] for key in _NEEDED[script]} for row in content["rows"]]
            measured_on(content)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no result of bench/{script}.py ({error!r}); run it again") from error
        if not rows:
            raise InputError(f"{path} has no rows; run bench/{script}.py again")
        for row in rows:
            _check(path, row)
        yield path, content


def _check(path: Path, row: dict) -> None:
    """Raise where a number cannot be a count, a size or a time."""
    for key, value in row.items():
        # No block may be gone, and an accelerator holds nothing before there is a model.
        if key == "method" or (key in ("removed", "process_mib") and value == 0):
            continue
        numbers = value if isinstance(value, list) else [value]
        real = numbers and all(isinstance(number, int | float) and 0 < number < math.inf for number in numbers)
        if not real or sorted(numbers) != numbers:
            raise InputError(f"{path}: {key} is {value!r} where positive numbers belong; run the benchmark again")


def pruning_table(store: Store) -> Text:
    """What is left of each cost without k blocks and how many times less that is, one table a file.

    Speed-ups with the quartiles over the rounds. Last the share of the cost, in %, that would lie outside the blocks.
    """
    return _by_file(pruning(store), _pruned)


def _pruned(part: pd.DataFrame) -> pd.DataFrame:
    table: dict[str, dict[str, str]] = {"M / (M − k)": {}}
    for line in part.itertuples():
        column = f"without {line.removed}" if line.removed else f"all {line.blocks}"
        table["M / (M − k)"][column] = spell(line.ideal, digits=2)
        cells = table.setdefault(line.quantity, {})
        cells[column] = f"{line.value:.4g} {line.unit}"
        if line.removed:
            cells[column] += f": {spell(line.factor, line.low, line.high, digits=2)}"
        if line.removed == part["removed"].max():
            shares = [100 * rest_of(line.blocks, line.removed, end) for end in (line.factor, line.high, line.low)]
            cells["outside the blocks, %"] = spell(*shares, digits=1)
    return pd.DataFrame(table).T.fillna("").rename_axis("blocks").reset_index()


def methods_table(store: Store) -> Text:
    """What each method takes in bare forward passes, measured and counted, one table a file."""
    return _by_file(methods(store), _methods)


def _methods(part: pd.DataFrame) -> pd.DataFrame:
    # Of a single measurement there are no quartiles.
    ends = [part[end].mask(part["repeats"] == 1) for end in ("low", "high")]
    return pd.DataFrame(
        {
            "method": part["method"].map(label),
            "time": [spell(*line, digits=2) for line in zip(part["time"], *ends, strict=True)],
            "measured times": part["repeats"],
            "counted": part["counted"].map("{:.1f}".format),
            "blocks forwards": part["forwards"],
            "backwards": part["backwards"],
            "memory": part["memory"].map("{:.2f}".format),
        }
    )


def _by_file(data: pd.DataFrame, made: Callable[[pd.DataFrame], pd.DataFrame]) -> Text:
    parts = data.groupby("measured on", sort=False)
    return Text("\n".join(f"{name}:\n\n{markdown(made(part))}" for name, part in parts) or f"{NOT_MEASURED}\n")


def basis_table(store: Store, script: str) -> Text:
    """What the files of a script in `bench/` rest on, a column a file."""
    data = basis(store, script)
    return Text(f"{NOT_MEASURED}\n") if data.empty else markdown(data.T.rename_axis("measured on").reset_index())


# Those that pages include, by the name of their file.
TABLES = {function.__name__: function for function in (pruning_table, methods_table)} | {
    f"{script}_basis": partial(basis_table, script=script) for script in ("pruning", "methods")
}
