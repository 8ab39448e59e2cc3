"""A number of the results, of the paper's Table 1 or of a benchmark's file, with its interval and where it comes from.

An address leads to it: `profile/row/method/quantity`, or `bench/file/key/...`. `avss.report.cited` describes all
addresses. From a number a reader can go to its run, and to the observations of that run. Nothing here needs torch.
"""

import json
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd

from avss import intervals
from avss.errors import InputError, look_up
from avss.methods.catalogue import CONTROLS, column_of
from avss.report.benchmarks import machine_of
from avss.report.block_scores import scores_of
from avss.report.comparisons import METHODS, differences, label, lowest_removals, summary
from avss.report.losses import TRUTH, beside_losses
from avss.report.markdown import runs_or_none
from avss.report.pages import DEFINED
from avss.report.snapshot import Results
from avss.report.table1 import PRINTED, printed_table
from avss.runs.profile import load_profile
from avss.store import layers_of

BENCH = "bench"
OVER_SEEDS = "lowest and highest seed"
# Of each quantity: its column in a summary, those of its interval, and how it is written.
QUANTITIES = {
    "value": ("value", "low", "high", ".3f"),
    "sd": ("sd", None, None, ".3f"),
    "retention": ("retention", "retention_low", "retention_high", ".3f"),
    "share_of_layers": ("share_of_layers", None, None, ".1%"),
    "share_of_parameters": ("share_of_parameters", None, None, ".1%"),
    "seeds": ("seeds", None, None, ".0f"),
    "n": ("n", None, None, ".0f"),
} | {f"less_{other}": ("lead", "low", "high", "+.3f") for other in (*CONTROLS, "avss")}


class NotMeasured(InputError):
    """The address is right, and no run has measured its number."""


@dataclass(frozen=True)
class Number:
    """A value, how it is written, its interval (nan: none) and what that is, and where it comes from, in words.

    words: what a page shows in place of the value, for sets of blocks. facts: `n`, `seeds`, `runs` and the keys of the
    `observations` behind it, where it comes from runs.
    """

    value: float
    form: str
    source: str
    low: float = np.nan
    high: float = np.nan
    interval: str = "95 % interval"
    words: str | None = None
    facts: dict | None = None

    def text(self, form: str | None = None, interval: bool = False) -> str:
        """The number for readers: `0.859`, or `0.859 [0.836, 0.881]`."""
        if self.words is not None:
            return self.words
        number, low, high = (_spell(part, form or self.form) for part in (self.value, self.low, self.high))
        return f"{number} [{low},\u00a0{high}]" if interval and not np.isnan(self.low) else number

    def basis(self, form: str | None = None) -> str:
        """Its interval, if it has one, and its source."""
        low, high = (_spell(part, form or self.form) for part in (self.low, self.high))
        return self.source if np.isnan(self.low) else f"{self.interval} {low} to {high}; {self.source}"


def _spell(value: float, form: str) -> str:
    return format(value, form).replace("-", "−").replace("%", "\u00a0%")


@cache
def of_row(address: str, results: Results) -> Number:
    """The number at profile/row/method/quantity. Raises `InputError`; `NotMeasured` where only the run is missing."""
    profile, *rest = address.split("/")
    if len(rest) not in (3, 4):
        raise InputError(f"{address!r} is no address; write profile/row/method/quantity, as avss.report.cited says")
    row, method, *reading, quantity = rest
    look_up("quantity", quantity, QUANTITIES | dict.fromkeys(OF_BLOCKS))
    _check_names(results, profile, row, method)
    if not (results.of(results.in_use, row)["status"] == "ok").any():
        raise NotMeasured(f"{address}: no run has measured row {row}")
    lines = _cell(summary(results, row), profile, method, reading)
    line = {} if lines.empty else lines.iloc[0].to_dict()
    if quantity in OF_BLOCKS:
        found = OF_BLOCKS[quantity](results, row, line) if line and profile != PRINTED else None
        if found is None or (found.words is None and np.isnan(found.value)):
            raise NotMeasured(f"{address}: no run has measured this")
        return found
    value, low, high, form = QUANTITIES[quantity]
    if value == "lead":
        compared = _cell(differences(results, row), profile, method, reading)
        compared = compared[compared["against"] == label(quantity.removeprefix("less_"), "paper")]
        line |= {} if compared.empty else compared.iloc[0].to_dict()
    if pd.isna(line.get(value)):
        raise NotMeasured(f"{address}: no run has measured this")
    # The paper's own numbers keep the digits that it prints.
    form = ".4g" if profile == PRINTED and value == "value" else form
    interval = "95 % interval over documents" if method == "original" else "95 % interval over documents and seeds"
    facts = None if profile == PRINTED else _facts(results, row, line)
    source = _source(line, value)
    return Number(line[value], form, source, line.get(low, np.nan), line.get(high, np.nan), interval, facts=facts)


def _check_names(results: Results, profile: str, row: str, method: str) -> None:
    """A name that nothing bears is an error even where a number may be missing."""
    profiles, rows, methods = _names(results)
    look_up("profile", profile, profiles)
    look_up("row", row, rows)
    look_up("method", method, methods)


@cache
def _names(results: Results) -> tuple[dict, dict, dict]:
    """All profiles, rows and methods that are defined or stored, as keys."""
    rows = {(path.stem, row.id) for path in DEFINED.glob("*.yaml") for row in load_profile(path).rows}
    stored = results.observations
    rows |= set(zip(stored["profile"], stored["row"], strict=True))
    rows |= {(PRINTED, line) for line in printed_table().get("id", [])}
    profiles, ids = (sorted(names) for names in zip(*rows, strict=True))
    return tuple(map(dict.fromkeys, ([PRINTED, *profiles], ids, [*METHODS, *stored["method"].unique()])))


def _cell(table: pd.DataFrame, profile: str, method: str, reading: list[str]) -> pd.DataFrame:
    mine = (table["source"] == profile) & (table["method"] == method)
    return table[mine & table["reading"].isin(reading or ["none", "paper"])]


def _source(line: dict, column: str) -> str:
    if line["source"] == PRINTED:
        return f"{'as printed in' if column == 'value' else 'from'} the paper's Table 1, without an interval"
    seeds = f"{line['seeds']:.0f} seed{'' if line['seeds'] == 1 else 's'}"
    return f"n = {line['n']:.0f}, {seeds}, run {line['run']}"


def observations(results: Results, row: str, profile: str, method: str, reading: str) -> pd.DataFrame:
    """The row's observations in use of one method and reading, one a seed."""
    table = lowest_removals(results, row)
    same = (table["profile"] == profile) & (table["method"] == method) & (table["reading"] == reading)
    return table[same]


def _facts(results: Results, row: str, line: dict) -> dict:
    table = observations(results, row, line["source"], line["method"], line["reading"])
    runs = list(table["run"].unique())
    return {"n": int(line["n"]), "seeds": int(line["seeds"]), "runs": runs, "observations": list(table["key"])}


def _blocks(results: Results, row: str, line: dict) -> Number:
    """The set of blocks that most seeds removed."""
    table = observations(results, row, line["source"], line["method"], line["reading"])
    sets = table["removed"].value_counts(sort=True)
    words = runs_or_none(layers_of(sets.index[0]))
    source = f"on {sets.iloc[0]} of {len(table)} seeds; {_source(line, 'removed')}"
    return Number(np.nan, "", source, words=words, facts=_facts(results, row, line))


def _seed(fold):
    def of_seeds(results: Results, row: str, line: dict) -> Number | None:
        """The share kept on the seed on which it is lowest, or highest; None for an original too weak to judge."""
        if line["too_weak"]:
            return None
        table = observations(results, row, line["source"], line["method"], line["reading"])
        shares = intervals.retention(line["metric"], table["value"].to_numpy(float), table["original"].to_numpy(float))
        return Number(fold(shares), ".3f", _source(line, "retention"), facts=_facts(results, row, line))

    return of_seeds


def _tau_depth(quantity: str | None = None):
    def of_seeds(results: Results, row: str, line: dict) -> Number:
        """Kendall's tau of the scores, or of another quantity, with the depth of the blocks, mean over the seeds."""
        scores = scores_of(results, row, line["source"], line["method"], line["reading"], quantity)
        taus = [intervals.kendall_tau(scores.columns, values) for values in scores.to_numpy()]
        return _over_seeds(results, row, line, taus)

    return of_seeds


def _over_seeds(results: Results, row: str, line: dict, taus: list[float]) -> Number:
    ends = (min(taus), max(taus)) if taus else (np.nan, np.nan)
    mean = float(np.mean(taus)) if taus else np.nan
    return Number(mean, ".2f", _source(line, "tau"), *ends, OVER_SEEDS, facts=_facts(results, row, line))


def _tau_leave_one_out(results: Results, row: str, line: dict) -> Number | None:
    """Kendall's tau of the scores with those of leave-one-out on the same seed, mean over the seeds.

    That of leave-one-out is among its seeds. One method alone: `losses.taus_of_each` compares them all.
    """
    cell = line["source"], line["method"], line["reading"]
    if line["method"] == TRUTH:
        pairs = list(combinations(scores_of(results, row, *cell).to_numpy(), 2))
    else:
        pairs = list(zip(*beside_losses(results, row).get((*cell, column_of(line["method"])), ()), strict=True))
    return _over_seeds(results, row, line, [intervals.kendall_tau(*pair) for pair in pairs]) if pairs else None


def _highest_block(results: Results, row: str, line: dict) -> Number:
    """The block with the highest mean score over the seeds."""
    scores = scores_of(results, row, line["source"], line["method"], line["reading"]).mean()
    highest = float(scores.idxmax()) if len(scores) else np.nan
    return Number(highest, ".0f", _source(line, "block"), facts=_facts(results, row, line))


# Quantities that come from the scores of blocks, or from single seeds.
OF_BLOCKS = {
    "blocks": _blocks,
    "retention_lowest_seed": _seed(np.min),
    "retention_highest_seed": _seed(np.max),
    "tau_depth": _tau_depth(),
    "variance_tau_depth": _tau_depth("variance"),
    "sparsity_tau_depth": _tau_depth("sparsity"),
    "tau_leave_one_out": _tau_leave_one_out,
    "highest_block": _highest_block,
}


def of_benchmark(address: str, results: Results) -> Number:
    """A number in a benchmark's file: a key, the place in a list, or `name=value` for the one entry that has it."""
    _, file, *keys = address.split("/")
    path = results.benchmarks / f"{file}.json"
    if not keys or not path.is_file():
        raise InputError(f"{address}: there is no {path.name} among the benchmarks' results")
    content = json.loads(path.read_text(encoding="utf-8"))
    node, above = content, {}
    for key in keys:
        above, node = node, _step(address, node, key)
    if isinstance(node, bool) or not isinstance(node, int | float):
        raise InputError(f"{address} is no number but {type(node).__name__}")
    facts, form = content["provenance"], ".0f" if isinstance(node, int) else ".3f"
    beside = above if isinstance(above, dict) else {}
    repeats = beside.get("repeats")
    # One measurement has no quartiles.
    ends = (np.nan, np.nan) if repeats == 1 else beside.get(f"{keys[-1]}_quartiles", (np.nan, np.nan))
    basis = [
        f"{BENCH}/results/{path.name}",
        "" if repeats is None else "measured once" if repeats == 1 else f"{repeats} repeats",
        machine_of(facts),
        f"{facts['hardware']['threads']} threads",
        facts["created"][:10],
    ]
    source = ", ".join(filter(None, basis))
    return Number(node, form, source, *ends, interval="quartiles", facts={"file": basis[0]})


def _step(address: str, node: dict | list, key: str):
    name, chooses, value = key.partition("=")
    if chooses and isinstance(node, list):
        entries = [entry for entry in node if str(entry.get(name)) == value]
    elif isinstance(node, list):
        entries = node[int(key) : int(key) + 1] if key.isdigit() else []
    else:
        entries = [node[key]] if isinstance(node, dict) and key in node else []
    if len(entries) != 1:
        raise InputError(f"{address}: {key!r} leads to {len(entries)} entries, not one")
    return entries[0]
