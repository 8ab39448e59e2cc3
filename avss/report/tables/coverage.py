"""The tables of coverage: every measured row, named after what ran, and every run."""

from datetime import datetime, timedelta

import pandas as pd

from avss.report.benchmarks import machine_of
from avss.report.cards import title_of
from avss.report.cases import row_name
from avss.report.comparisons import METHODS, PROFILES, label, sort_key
from avss.report.markdown import Text, markdown, revision
from avss.report.pages import DEFINED
from avss.report.snapshot import Results
from avss.report.table1 import printed_line, printed_table


def coverage_table(results: Results) -> Text:
    """Every measured row, named after what ran: methods, readings, selections, seeds, n, and what failed.

    Of the newest configuration, as elsewhere in the book. Rows that stand for no line of Table 1 come last. A note
    names the lines that no row stands for, and the profiles that have not run.
    """
    measured = _measured(results)
    printed, lines = printed_table(), []
    for (row, profile), (line, cells) in measured.items():
        stands_for = "" if line is None else row_name(line)
        number = len(printed) if line is None else line.name
        lines.append((number, sort_key(profile, PROFILES), {"ran": row, "profile": profile} | cells, stands_for))
    table = [cells | {"stands for": stands_for} for *_, cells, stands_for in sorted(lines, key=lambda line: line[:2])]
    stood_for = {stands_for for *_, stands_for in lines}
    lacking = [name for _, line in printed.iterrows() if (name := row_name(line)) not in stood_for]
    idle = sorted({path.stem for path in DEFINED.glob("*.yaml")} - {profile for _, profile in measured})
    notes = [
        f"Lines of the paper's table that no measured row stands for: {'; '.join(lacking)}." if lacking else "",
        f"Profiles that have not run: {', '.join(idle)}." if idle else "",
        _left_over(results),
    ]
    columns = ["ran", "profile", "methods", "readings", "selections", "seeds", "n", "failed", "stands for"]
    table = pd.DataFrame(table, columns=columns)
    table = table if (table["failed"] != "").any() else table.drop(columns="failed")
    return markdown(table, note="\n\n".join(filter(None, notes)))


def _left_over(results: Results) -> str:
    """The observations that take part in no number, and why; nothing where there are none."""
    parts = [
        f"`{row}` ({profile}): {len(part)} observations of {', '.join(map(label, part['method'].unique()))}, "
        f"{', '.join(f'`{selection}`' for selection in part['selection'].unique())}, "
        f"runs {', '.join(f'`{run}`' for run in part['run'].unique())}"
        for (profile, row), part in results.left_over.groupby(["profile", "row"], sort=False)
    ]
    return f"Left from an earlier configuration, and in no number of this book: {'; '.join(parts)}." if parts else ""


def _measured(results: Results) -> dict[tuple[str, str], tuple[pd.Series | None, dict[str, str]]]:
    """The line and the measured methods, readings, selections and seeds, by title of the row and profile."""
    cells = {}
    for (profile, row), part in results.in_use.groupby(["profile", "row"], sort=False):
        title = title_of(results.newest(profile, row)["configuration"])
        cells[title, profile] = printed_line(results, row), _cell(part)
    return cells


def _cell(part: pd.DataFrame) -> dict[str, str]:
    done = part[part["status"] == "ok"]
    pruned = done[done["method"] != "original"]
    methods = sorted(done["method"].unique(), key=lambda method: sort_key(method, METHODS))
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


def runs_table(*results: Results) -> Text:
    """Every run: when, how long, on what, with which code, and how many of the observations in use it made."""
    statuses = pd.concat([each.observations.set_index("run")["status"] for each in results])
    facts, lines = [fact for each in results for fact in each.provenances.values()], []
    for fact in facts:
        hardware, count = fact["hardware"], int((statuses.index == fact["run"]).sum())
        failed = int((statuses[statuses.index == fact["run"]] != "ok").sum())
        lines.append(
            {
                "run": f"`{fact['run']}`",
                "began (UTC)": f"{datetime.fromisoformat(fact['created']):%d %b %Y, %H:%M}",
                "took (h:mm:ss)": _took(fact),
                "machine": machine_of(fact),
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


def _took(fact: dict) -> str:
    if "seconds" in fact:
        return _duration(fact["seconds"])
    # A curve of sparsity is one pass, kept whole or not at all; it has no time of its own.
    return "not timed" if "curve" in fact else "did not finish"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def readings_runs_table(results: Results) -> Text:
    """The runs that vary the reading or the selection rule."""
    return runs_table(results.readings, results.selections)


TABLES = {function.__name__: function for function in (coverage_table, runs_table, readings_runs_table)}
