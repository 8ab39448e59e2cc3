"""The figure about massive activations, from the stored facts of `avss.report.massive`."""

import pandas as pd
from matplotlib.figure import Figure

from avss.report.figures.style import WIDTH, colour, nothing_measured
from avss.report.massive import stored
from avss.report.snapshot import Results


def massive_activations(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The largest activation of each block against the spread of the others, and the first tokens' share of Eq. 1."""
    data = stored(results)
    if data.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    rows = list(dict.fromkeys(data["row"]))
    figure = Figure(figsize=(WIDTH, 0.4 + 2.4 * len(rows)))
    for (left, right), row in zip(figure.subplots(len(rows), 2, squeeze=False), rows, strict=True):
        part = data[data["row"] == row]
        ink = colour(part["profile"].iloc[0])
        left.plot(part["layer"], part["largest"], "o-", color=ink, markersize=3.5, label="largest of all tokens")
        left.plot(
            part["layer"], part["std_after_first"], "s--", color="C3", markersize=3, label="σ after the first token"
        )
        left.set(yscale="log", ylabel="activation", title="largest activation")
        left.legend(frameon=False, fontsize=7.5)
        right.bar(part["layer"], part["share_of_first"], color=ink, alpha=0.35, label="first tokens")
        right.bar(part["layer"], part["share_of_feature"], color=ink, label="one feature of them")
        peak, low = part["share_of_first"].max(), int(part["share_of_first"].idxmax())
        right.set(
            ylim=(0, 1.12), ylabel="share", title=f"share of Eq. 1: up to {peak:.1%}, at block {part['layer'][low]}"
        )
        right.legend(frameon=False, fontsize=7.5, loc="upper left")
        for panel in (left, right):
            panel.set_xlabel("block")
            panel.yaxis.grid(True, linewidth=0.5)
    return figure, data


FIGURES = (massive_activations,)
