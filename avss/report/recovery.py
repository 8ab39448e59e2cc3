"""The stored results on healing of pruned models (`avss.runs.recovery`), by score and tokens seen.

They have a store of their own inside the main one. Shares are of the whole, untrained model; intervals draw documents
anew, those of both models together. There is one seed, so no interval covers another choice or another training.
"""

from functools import cache

import numpy as np
import pandas as pd

from avss import intervals
from avss.report.comparisons import FIRST_ROW, METHODS, NAMES, PROFILES, sort_key
from avss.report.markdown import percent, thousands
from avss.report.snapshot import Results
from avss.store import Store

FOLDER = "recovery"
WHOLE, CHANCE = "original", "random"
OBJECTIVES = {"next_token": "next token", "distillation": "distillation"}
_SHAPE = r"^(?P<objective>\w+)\((?P<tokens>\d+)\)$"
COLUMNS = (
    *("source", "ran", "objective", "method", "name", "blocks", "removed", "tokens", "metric", "value", "low", "high"),
    *("kept", "kept_low", "kept_high", "coalition", "n", "run"),
)


@cache
def store_of(results: Results) -> Results:
    """The results on healing."""
    return Results(Store(results.store.root / FOLDER))


@cache
def recovered(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, objective, score and number of tokens seen, where the row was healed.

    value: of the row's metric, with its interval over documents. kept: the share of the whole model's score before any
    training (nan where that was not measured), with its paired interval. The line of the whole model is `original`.
    """
    inner = store_of(results)
    if inner.observations.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    # The inner store may lack a row that stands for the same line, so the main one says which rows do.
    table = results.of(inner.in_use, row)
    table = table[table["status"] == "ok"]
    table = table.join(table["selection"].str.extract(_SHAPE)).astype({"tokens": "int64"})
    lines = []
    for (profile, name), part in table.groupby(["profile", "row"], sort=False):
        stored = inner.store.outcomes(profile, name)
        whole = part[(part["method"] == WHOLE) & (part["tokens"] == 0)]
        original = None if whole.empty else _seeds(whole["metric"].iloc[0], stored[whole["coalition"].iloc[0]])
        for line in part.itertuples():
            kept = intervals.Estimate(np.nan)
            if original is not None:
                kept = _seeds(line.metric, stored[line.coalition]).kept_of(original)
            lines.append(
                {
                    "source": profile,
                    "ran": name,
                    "objective": line.objective,
                    "method": line.method,
                    "name": "whole model" if line.method == WHOLE else NAMES.get(line.method, line.method),
                    "blocks": int(line.layers),
                    "removed": line.removed,
                    "tokens": line.tokens,
                    "metric": line.metric,
                    **{name: getattr(line, name) for name in ("value", "low", "high")},
                    **dict(zip(("kept", "kept_low", "kept_high"), kept, strict=True)),
                    "coalition": line.coalition,
                    "n": int(line.n),
                    "run": line.run,
                }
            )
    return pd.DataFrame(sorted(lines, key=_place), columns=list(COLUMNS))


def _place(line: dict) -> tuple:
    objective = list(OBJECTIVES).index(line["objective"])
    return sort_key(line["source"], PROFILES), objective, sort_key(line["method"], METHODS), line["tokens"]


def last_less_random(results: Results, part: pd.DataFrame) -> dict[str, intervals.Estimate]:
    """By score: the share of the whole model's score that it keeps after all tokens, less that of a random choice.

    part: the lines of `recovered` of one profile and objective. Intervals draw documents, of all three models together.
    Empty where no random choice or no whole model was measured.
    """
    stored = store_of(results).store.outcomes(part["source"].iloc[0], part["ran"].iloc[0])
    last = part[part["tokens"] == part["tokens"].max()].set_index("method")
    if CHANCE not in last.index or last["kept"].isna().all():
        return {}
    every = recovered(results, part["ran"].iloc[0])
    whole = every[(every["source"] == part["source"].iloc[0]) & (every["method"] == WHOLE) & (every["tokens"] == 0)]
    metric = part["metric"].iloc[0]
    original = _seeds(metric, stored[whole["coalition"].iloc[0]])
    healed = {name: _seeds(metric, stored[coalition]) for name, coalition in last["coalition"].items()}
    return {
        name: own.kept_beside(healed[CHANCE], original) for name, own in healed.items() if name not in (CHANCE, WHOLE)
    }


def _seeds(metric: str, outcome: tuple) -> intervals.Seeds:
    """The outcome of the one seed that there is."""
    return intervals.Seeds.of(metric, [outcome[0]], outcome[1])


def finding(part: pd.DataFrame) -> str:
    """What the healing of one profile by one objective shows, in a sentence: AVSS before and after, and the best."""
    last = part[(part["tokens"] == part["tokens"].max()) & (part["method"] != WHOLE)]
    known = last.set_index("method")["kept"].dropna()
    tokens = f"{thousands(part['tokens'].max())} tokens"
    where = f"({part['source'].iloc[0]}, {OBJECTIVES[part['objective'].iloc[0]]})"
    if "avss" not in known:
        return f"Healing on {tokens} {where}"
    before = part.loc[(part["method"] == "avss") & (part["tokens"] == 0), "kept"].item()
    told = f"Healing on {tokens} brings AVSS from {percent(before, 1)} to {percent(known['avss'], 1)} of the whole"
    best = known.idxmax()
    beside = "the most of all" if best == "avss" else f"{NAMES.get(best, best)} is at {percent(known[best], 1)}"
    return f"{told}; {beside} {where}"
