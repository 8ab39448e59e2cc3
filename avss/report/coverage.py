"""What was measured, and what was not: every row of the paper's Table 1 by profile, and every run.

From the store and the provenance beside it, without torch.
"""

from datetime import datetime, timedelta

import pandas as pd

from avss.files import ROOT
from avss.report.comparisons import METHODS, PROFILES, label, place, table_1
from avss.report.readings import readings_store
from avss.report.tables import NOT_MEASURED, Text, markdown, revision
from avss.store import Store

DEFINED = ROOT / "profiles"


def coverage_table(store: Store) -> Text:
    """Every row of Table 1 by profile: methods, readings, selections, seeds, n, and what failed; of the newest model
    and data, as elsewhere in the book. Rows that are not in Table 1 follow.
    """
    cells = _measured(store)
    profiles = sorted(
        {path.stem for path in DEFINED.glob("*.yaml")} | {profile for _, profile in cells},
        key=lambda profile: place(profile, PROFILES),
    )
    printed = [f"{line.dataset}, {line.model}" for line in table_1().itertuples()]
    lines = []
    for row in dict.fromkeys([*printed, *(row for row, _ in cells)]):
        lines += [
            {"row": row, "profile": profile} | cells[row, profile] for profile in profiles if (row, profile) in cells
        ]
        missing = [profile for profile in profiles if (row, profile) not in cells]
        if missing:
            lines.append({"row": row, "profile": ", ".join(missing), "methods": NOT_MEASURED})
    columns = ["row", "profile", "methods", "readings", "selections", "seeds", "n", "failed"]
    return markdown(pd.DataFrame(lines, columns=columns).fillna(""))


def _measured(store: Store) -> dict[tuple[str, str], dict[str, str]]:
    """What was measured, by row (as in Table 1) and profile."""
    table, cells = store.observations(), {}
    for (profile, _), part in table.groupby(["profile", "row"], sort=False):
        last = part.iloc[-1]
        names = store.provenance(last["run"])["configuration"]
        newest = part[(part["revision"] == last["revision"]) & (part["data_fingerprint"] == last["data_fingerprint"])]
        cells[f"{names['dataset']}, {names['model']}", profile] = _cell(newest)
    return cells


def _cell(part: pd.DataFrame) -> dict[str, str]:
    done = part[part["status"] == "ok"]
    pruned = done[done["method"] != "original"]
    methods = sorted(done["method"].unique(), key=lambda method: place(method, METHODS))
    seeds = pruned.groupby(["method", "reading", "selection"])["seed"].nunique()
    failed = part.loc[part["status"] != "ok", "status"].value_counts(sort=False)
    return {
        "methods": ", ".join(label(method, "none") for method in methods) or "none",
        "readings": ", ".join(f"`{reading}`" for reading in pruned["reading"].unique() if reading != "none"),
        "selections": ", ".join(f"`{selection}`" for selection in pruned["selection"].unique()),
        "seeds": "–".join(dict.fromkeys(map(str, (seeds.min(), seeds.max())))) if len(seeds) else "",
        "n": str(int(part["n"].iloc[-1])),
        "failed": "; ".join(
            f"{times} of {len(part)}: {reason.removeprefix('failed: ')}" for reason, times in failed.items()
        ),
    }


def runs_table(store: Store) -> Text:
    """Every run: when, how long, on what, with which code, and how many of the observations in use it made."""
    observations = store.observations().groupby("run")["status"]
    made, ok = observations.size(), observations.agg(lambda status: (status == "ok").sum())
    facts, lines = store.provenances("*", "*"), []
    for fact in facts:
        hardware, count = fact["hardware"], int(made.get(fact["run"], 0))
        failed = count - int(ok.get(fact["run"], 0))
        lines.append(
            {
                "run": f"`{fact['run']}`",
                "began (UTC)": f"{datetime.fromisoformat(fact['created']):%d %b %Y, %H:%M}",
                "took (h:mm:ss)": _duration(fact["seconds"]) if "seconds" in fact else "did not finish",
                "machine": hardware.get("accelerator", hardware["processor"]),
                "threads": str(hardware.get("threads", "not recorded")),
                "code": revision(fact),
                "observations": f"{count}, {failed} of them failed" if failed else str(count),
            }
        )
    total = _duration(sum(fact.get("seconds", 0) for fact in facts))
    columns = ["run", "began (UTC)", "took (h:mm:ss)", "machine", "threads", "code", "observations"]
    return markdown(
        pd.DataFrame(lines, columns=columns), note=f"Runs: {len(facts)}. Those that finished took {total} together."
    )


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def readings_runs_table(store: Store) -> Text:
    """The runs of `avss.report.readings`, which have a store of their own."""
    return runs_table(readings_store(store))


TABLES = {function.__name__: function for function in (coverage_table, runs_table, readings_runs_table)}
