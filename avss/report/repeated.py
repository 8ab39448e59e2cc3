"""Rows computed anew against the stored ones: do the same blocks go, and do the same values come out?

`make book FRESH=1` runs it. Another processor rounds in another way, so two blocks with nearly equal scores may change
places. The tolerances are ours.
"""

import argparse
import sys
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from avss.errors import InputError
from avss.metrics import METRICS
from avss.report.snapshot import Results
from avss.store import Store

# The share of the measurements that must remove the same blocks.
SAME_BLOCKS = 0.95
# Where they do, values may differ by so much on the scale of the metric: nats a token for a perplexity ...
NATS = 1e-3
# ... and for a share of right answers by so many documents.
DOCUMENTS = 1
COLUMNS = ("row", "measurements", "stored", "same_blocks", "largest_difference", "allowed", "agrees")


def repeated(fresh: Results, stored: Results, rows: Collection[str] = ()) -> pd.DataFrame:
    """One line for each of these rows of `fresh` (default: all): how it agrees with the stored results.

    measurements: those that succeeded in `fresh`. stored: how many of them the stored results have too. same_blocks:
    the share of these that removes the same blocks. largest_difference: of their values, on the scale of the metric
    (of a perplexity in nats a token). agrees: whether all are stored, with shares and differences as the module allows.
    Raises `InputError` where `fresh` lacks one of the rows, or has no measurement at all.
    """
    own = fresh.observations[fresh.observations["status"] == "ok"]
    missing = [row for row in rows if row not in set(own["row"])]
    if missing or own.empty:
        raise InputError(
            f"{fresh.store.root} has no measurement of {missing[0] if missing else 'any row'}; run it first"
        )
    if rows:
        own = own[own["row"].isin(rows)]
    columns = ["key", "removed", "value"]
    known = stored.observations.loc[stored.observations["status"] == "ok", columns]
    lines = []
    for (row, metric), part in own.groupby(["row", "metric"], sort=False):
        pairs = part.merge(known, on="key", suffixes=("", "_stored"))
        same = pairs[pairs["removed"] == pairs["removed_stored"]]
        scale, most = METRICS[metric].scale, METRICS[metric].most
        difference = (scale(same["value"]) - scale(same["value_stored"])).abs().max() if len(same) else float("nan")
        share = len(same) / len(pairs) if len(pairs) else 0.0
        allowed = NATS if most is None else DOCUMENTS * most / part["n"].iloc[0] + 1e-9
        lines.append(
            {
                "row": row,
                "measurements": len(part),
                "stored": len(pairs),
                "same_blocks": share,
                "largest_difference": difference,
                "allowed": allowed,
                "agrees": bool(len(pairs) == len(part) and share >= SAME_BLOCKS and difference <= allowed),
            }
        )
    return pd.DataFrame(lines, columns=list(COLUMNS))


def main(arguments: list[str] | None = None) -> int:
    """Print the comparison; 0 where every row agrees, 1 where one does not, 2 where results are missing."""
    parser = argparse.ArgumentParser(prog="python -m avss.report.repeated", description=__doc__.splitlines()[0])
    parser.add_argument("fresh", type=Path, help="folder of the results computed anew")
    parser.add_argument("stored", type=Path, help="folder of the results to compare with")
    parser.add_argument("--rows", default="1", help="ids with spaces between them, or 1 for all (default)")
    parsed = parser.parse_args(arguments)
    rows = [] if parsed.rows == "1" else parsed.rows.split()
    try:
        found = repeated(Results(Store(parsed.fresh)), Results(Store(parsed.stored)), rows)
    except InputError as error:
        print(f"avss.report.repeated: error: {error}", file=sys.stderr)
        return 2
    for line in found.itertuples():
        verdict = "agrees" if line.agrees else "DIFFERS"
        print(
            f"{line.row}: {verdict}. {line.measurements} measured, {line.stored} of them stored; "
            f"{line.same_blocks:.1%} of these remove the same blocks; their values differ by "
            f"{line.largest_difference:.2g} at most ({line.allowed:.2g} allowed)"
        )
    print(f"{found['agrees'].sum()} of {len(found)} rows agree with the stored results")
    return 0 if found["agrees"].all() else 1


if __name__ == "__main__":
    sys.exit(main())
