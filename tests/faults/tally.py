"""The counts of injected faults and of losses, which the page "How this is tested" shows."""

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avss.files import write_whole
from avss.runs.provenance import now, provenance

QUICK = os.environ.get("AVSS_FAULTS") == "quick"


def size(whole: int, quick: int) -> int:
    """How many faults to inject: all, or those of the short part."""
    return quick if QUICK else whole


class Row:
    """One line of the table: so many faults of a kind, each in a `trial`, and how many of them lost anything."""

    def __init__(self, name: str):
        self.name, self.injected, self.failures = name, 0, []
        self.facts: dict[str, object] = {}
        # Text as a seed gives the same numbers in every process.
        self.random = random.Random(name)

    def count(self, outcome: str) -> None:
        """One more trial that ended this way."""
        self.facts[outcome] = self.facts.get(outcome, 0) + 1

    @contextmanager
    def trial(self, fault: object) -> Iterator[None]:
        """One injected fault. A failure is a loss, and the other trials go on."""
        self.injected += 1
        try:
            yield
        except Exception as error:
            self.failures.append(f"{fault}: {type(error).__name__}: {error}")


class Tally:
    """The rows of one session."""

    def __init__(self):
        self.rows: dict[str, dict] = {}

    @contextmanager
    def row(self, name: str) -> Iterator[Row]:
        """A row to fill. Raises `AssertionError` at the end where any trial of it failed."""
        row, began = Row(name), time.monotonic()
        yield row
        known = self.rows.setdefault(name, {"fault": name, "injected": 0, "losses": 0, "seconds": 0.0})
        known |= row.facts
        known["injected"] += row.injected
        known["losses"] += len(row.failures)
        known["seconds"] = round(known["seconds"] + time.monotonic() - began, 1)
        assert row.injected, "no fault was injected"
        assert not row.failures, f"{len(row.failures)} of {row.injected} failed:\n" + "\n".join(row.failures[:10])

    def write(self, path: Path) -> None:
        """All rows as JSON, with the sums, the machine, the versions and the date."""
        rows = [self.rows[name] for name in sorted(self.rows)]
        kills = [row for row in rows if row["fault"].startswith("kill-")]
        content = {"part": "short" if QUICK else "whole", "rows": [_sum("all", rows), _sum("kill-all", kills), *rows]}
        content["provenance"] = provenance("cpu", "float32") | {"created": now()}
        write_whole(path, json.dumps(content, indent=1) + "\n")


def _sum(name: str, rows: list[dict]) -> dict:
    injected, losses, seconds = (sum(row[part] for row in rows) for part in ("injected", "losses", "seconds"))
    return {"fault": name, "injected": injected, "losses": losses, "minutes": round(seconds / 60)}
