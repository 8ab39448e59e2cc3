"""The page "How this is tested": it shows every count of injected faults, and none of them was a loss."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
COUNTS = json.loads((ROOT / "bench/results/faults.json").read_text())["rows"]


def test_every_count_of_faults_is_on_the_page():
    named = set(re.findall(r"fault=([\w-]+)/", (ROOT / "book/tested.md").read_text()))
    assert named == {row["fault"] for row in COUNTS}


def test_no_fault_lost_anything_and_two_hundred_were_kills():
    counts = {row["fault"]: row for row in COUNTS}
    assert [name for name, row in counts.items() if row["losses"]] == []
    assert counts["kill-all"]["injected"] >= 200
