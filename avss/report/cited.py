"""Numbers for prose, looked up by address in the results or in a benchmark's file, each with its basis.

    reference/sst2-distilbert/avss/retention            profile, row, method, quantity; for AVSS the reading `paper`
    reference/sst2-distilbert/avss/released-code/value  the same of another reading
    mini/sst2-llama-1b/avss/less_random                 its lead over `random`; also `less_last`, `less_avss`
    printed/sst2-distilbert/gbis/value                  the paper's Table 1
    bench/methods-cpu/rows/method=lrp/time_ratio        in bench/results/methods-cpu.json

After the address may follow a format of Python (`.2f`, `.1%`), ` with interval` and ` or not measured`, in this order.
Add ` or not measured` if the run may be missing; otherwise a missing run is an error. Nothing here needs torch.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from avss.errors import InputError, look_up
from avss.files import ROOT
from avss.methods.catalogue import CONTROLS
from avss.report.comparisons import METHODS, differences, label, summary
from avss.report.markdown import NOT_MEASURED
from avss.report.snapshot import Results
from avss.report.table1 import PRINTED, printed_table
from avss.runs.profile import load_profile

BENCH = "bench"
PROFILES = ROOT / "profiles"
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
_REQUEST = re.compile(
    r"(?P<address>\S+)(?: (?P<form>\+?,?(?:\.\d+)?[efg%]))?(?P<interval> with interval)?(?P<open> or not measured)?"
)


class NotMeasured(InputError):
    """The address is right, and no run has measured its number."""


@dataclass(frozen=True)
class Number:
    """A value, how it is written, its interval (nan: none) and what that is, and where it comes from, in words."""

    value: float
    form: str
    source: str
    low: float = np.nan
    high: float = np.nan
    interval: str = "95 % interval"

    def text(self, form: str | None = None, interval: bool = False) -> str:
        """The number for readers: `0.859`, or `0.859 [0.836, 0.881]`."""
        number, low, high = (_spell(part, form or self.form) for part in (self.value, self.low, self.high))
        return f"{number} [{low},\u00a0{high}]" if interval and not np.isnan(self.low) else number

    def basis(self, form: str | None = None) -> str:
        """Its interval, if it has one, and its source."""
        low, high = (_spell(part, form or self.form) for part in (self.low, self.high))
        return self.source if np.isnan(self.low) else f"{self.interval} {low} to {high}; {self.source}"


def _spell(value: float, form: str) -> str:
    return format(value, form).replace("-", "−").replace("%", "\u00a0%")


def spoken(request: str, results: Results) -> tuple[str, str]:
    """The text that a page shows for a request, and the basis of the number.

    Raises `InputError` for a request that cannot be read, an address that leads nowhere, and a number that no run has
    measured, unless the request allows for that.
    """
    match = _REQUEST.fullmatch(" ".join(request.split()))
    if not match:
        raise InputError(f"{request!r} is no number; write an address, then for instance .2f; see avss.report.cited")
    try:
        number = look_up_number(match["address"], results)
    except NotMeasured as error:
        if not match["open"]:
            raise
        return NOT_MEASURED, str(error)
    return number.text(match["form"], bool(match["interval"])), number.basis(match["form"])


def look_up_number(address: str, results: Results) -> Number:
    """The number at an address. Raises `InputError`, and `NotMeasured` where only the run is missing."""
    profile, *rest = address.split("/")
    if profile == BENCH and len(rest) > 1:
        return _benchmark(address, results.benchmarks / f"{rest[0]}.json", rest[1:])
    if len(rest) not in (3, 4):
        raise InputError(f"{address!r} is no address; write profile/row/method/quantity, as avss.report.cited says")
    row, method, *reading, quantity = rest
    value, low, high, form = look_up("quantity", quantity, QUANTITIES)
    _check_names(results, profile, row, method)
    if not (results.of(results.in_use, row)["status"] == "ok").any():
        raise NotMeasured(f"{address}: no run has measured row {row}")
    lines = _cell(summary(results, row), profile, method, reading)
    line = {} if lines.empty else lines.iloc[0].to_dict()
    if value == "lead":
        compared = _cell(differences(results, row), profile, method, reading)
        compared = compared[compared["against"] == label(quantity.removeprefix("less_"), "paper")]
        line |= {} if compared.empty else compared.iloc[0].to_dict()
    if pd.isna(line.get(value)):
        raise NotMeasured(f"{address}: no run has measured this")
    # The paper's own numbers keep the digits that it prints.
    form = ".4g" if profile == PRINTED and value == "value" else form
    interval = "95 % interval over documents" if method == "original" else "95 % interval over documents and seeds"
    return Number(line[value], form, _source(line, value), line.get(low, np.nan), line.get(high, np.nan), interval)


def _check_names(results: Results, profile: str, row: str, method: str) -> None:
    """A name that nothing bears is an error even where a number may be missing."""
    profiles, rows, methods = _names(results)
    look_up("profile", profile, dict.fromkeys(profiles))
    look_up("row", row, dict.fromkeys(rows))
    look_up("method", method, dict.fromkeys(methods))


@cache
def _names(results: Results) -> tuple[list[str], list[str], list[str]]:
    """All profiles, rows and methods that are defined or stored."""
    rows = {(path.stem, row.id) for path in PROFILES.glob("*.yaml") for row in load_profile(path).rows}
    stored = results.observations
    rows |= set(zip(stored["profile"], stored["row"], strict=True))
    rows |= {(PRINTED, line) for line in printed_table().get("id", [])}
    profiles, ids = (sorted(names) for names in zip(*rows, strict=True))
    return [PRINTED, *profiles], ids, [*METHODS, *stored["method"]]


def _cell(table: pd.DataFrame, profile: str, method: str, reading: list[str]) -> pd.DataFrame:
    mine = (table["source"] == profile) & (table["method"] == method)
    return table[mine & table["reading"].isin(reading or ["none", "paper"])]


def _source(line: dict, column: str) -> str:
    if line["source"] == PRINTED:
        return f"{'as printed in' if column == 'value' else 'from'} the paper's Table 1, without an interval"
    seeds = f"{line['seeds']:.0f} seed{'' if line['seeds'] == 1 else 's'}"
    return f"n = {line['n']:.0f}, {seeds}, run {line['run']}"


def _benchmark(address: str, path: Path, keys: list[str]) -> Number:
    """A number in a benchmark's file: a key, the place in a list, or `name=value` for the one entry that has it."""
    if not path.is_file():
        raise InputError(f"{address}: there is no {path.name} among the benchmarks' results")
    content = json.loads(path.read_text(encoding="utf-8"))
    node, above = content, {}
    for key in keys:
        above, node = node, _step(address, node, key)
    if isinstance(node, bool) or not isinstance(node, int | float):
        raise InputError(f"{address} is no number but {type(node).__name__}")
    machine, form = content["provenance"], ".0f" if isinstance(node, int) else ".3f"
    ends = above.get(f"{keys[-1]}_quartiles", (np.nan, np.nan)) if isinstance(above, dict) else (np.nan, np.nan)
    hardware = machine["hardware"]
    facts = [
        f"{BENCH}/results/{path.name}",
        f"{above['repeats']} repeats" if isinstance(above, dict) and "repeats" in above else "",
        hardware.get("accelerator", hardware["processor"]),
        f"{hardware['threads']} threads",
        machine["created"][:10],
    ]
    return Number(node, form, ", ".join(filter(None, facts)), *ends, interval="quartiles")


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
