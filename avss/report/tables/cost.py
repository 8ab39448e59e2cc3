"""The tables of cost, from the committed benchmarks: what pruning gains, and what the methods take."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from avss.report.benchmarks import basis, methods, pruning, rest_of
from avss.report.comparisons import label
from avss.report.markdown import NOT_MEASURED, Text, markdown, spell
from avss.report.snapshot import Results


def pruning_table(results: Results) -> Text:
    """Each cost without k blocks, and how many times less it is, one table a file.

    Speed-ups with the quartiles over the rounds. Last the share of the cost, in %, that would lie outside the blocks.
    """
    return _by_file(pruning(results), _pruned)


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


def methods_table(results: Results) -> Text:
    """The cost of each method in bare forward passes, measured and counted, one table a file."""
    return _by_file(methods(results), _methods)


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


def benchmark_basis_table(results: Results, script: str) -> Text:
    """The basis of the numbers of a script in `bench/`, a column a file."""
    data = basis(results, script)
    return Text(f"{NOT_MEASURED}\n") if data.empty else markdown(data.T.rename_axis("measured on").reset_index())


# The tables that pages include, by the name of their file.
TABLES = {function.__name__: function for function in (pruning_table, methods_table)} | {
    f"{script}_basis": partial(benchmark_basis_table, script=script) for script in ("pruning", "methods")
}
