"""What is kept beside the time that is saved: each point of a decoder's curve, with the cost of choosing the blocks.

Retention comes from the rows, times from the benchmarks of another model (`bench/pruning.py`, `bench/methods.py`). Of
time only shares are taken over: the time of a token without a share of the blocks, of that with all of them.
"""

import numpy as np
import pandas as pd

from avss.methods.catalogue import METHODS
from avss.report import benchmarks
from avss.report.cards import title_of
from avss.report.comparisons import by_profile
from avss.report.curves import curve
from avss.report.snapshot import Results

# Of a benchmark: the time of one token after the prompt.
QUANTITY = "decoding"
COLUMNS = (
    *("source", "row", "ran", "method", "reading", "rule", "name", "blocks", "removed", "share_of_layers", "metric"),
    *("retention", "low", "high", "saved", "scoring", "best", "seeds", "n", "run", "measured on"),
)


def pareto(results: Results) -> pd.DataFrame:
    """One line for each point of a decoder's curve, those of a model that is too weak to judge left out.

    saved: the share of the time of a token that is saved, between the measured shares of removed blocks by a straight
    line, as Amdahl's law has it; points beyond them are left out. scoring: the cost of the method in bare forward
    passes, 0 where it reads no text, nan where it was not measured. best: whether no other choice keeps more of this
    row's score with as many blocks. Empty where no benchmark or no curve is stored; errors as
    `avss.report.benchmarks.pruning`.
    """
    times, costs = benchmarks.pruning(results), benchmarks.methods(results)
    times = times[times["quantity"] == QUANTITY]
    rows = results.curves[["profile", "row"]].drop_duplicates().itertuples(index=False)
    curves = [found for row in rows if len(found := _curve_of_decoder(results, *row))]
    if times.empty or not curves:
        return pd.DataFrame(columns=list(COLUMNS))
    # Of several machines the first.
    times = times[times["measured on"] == times["measured on"].iloc[0]].sort_values("removed")
    costs = costs.drop_duplicates("method").set_index("method")["time"]
    data = pd.concat(curves, ignore_index=True)
    share, saved = times["removed"] / times["blocks"], 1 - 1 / times["factor"]
    data = data[(data["share_of_layers"] <= share.max()) & ~data["too_weak"].astype(bool)].reset_index(drop=True)
    data["saved"] = np.interp(data["share_of_layers"].astype(float), share, saved)
    reads = data["method"].map(lambda name: METHODS[name].reads_text)
    data["scoring"] = data["method"].map(costs).where(reads, 0.0)
    data["measured on"] = times["measured on"].iloc[0]
    data["best"] = data["retention"] == data.groupby(["source", "row", "removed"])["retention"].transform("max")
    return data.sort_values("source", key=by_profile, kind="stable", ignore_index=True)[list(COLUMNS)]


def _curve_of_decoder(results: Results, profile: str, row: str) -> pd.DataFrame:
    """The curve of a row of a profile; empty where its model does not continue text."""
    facts, found = results.newest(profile, row), curve(results, row)
    found = found[(found["source"] == profile) & facts.get("class", "").endswith("ForCausalLM")]
    return found.assign(row=row, ran=title_of(facts["configuration"]))
