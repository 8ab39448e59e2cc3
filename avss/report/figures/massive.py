"""The figure about massive activations, from the stored facts of `avss.report.massive`."""

import pandas as pd
from matplotlib.figure import Figure

from avss.report.figures.style import WIDTH, colour, entitled, nothing_measured
from avss.report.massive import stored
from avss.report.snapshot import Results


def massive_activations(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The largest activation of each block against the spread of the others, and the first tokens' share of Eq. 1."""
    data = stored(results)
    if data.empty:
        return nothing_measured(pd.DataFrame(columns=["row"]))
    rows = list(dict.fromkeys(data["row"]))
    figure = Figure(figsize=(WIDTH, 1.05 + 2.3 * len(rows)))
    for (left, right), row in zip(figure.subplots(len(rows), 2, squeeze=False), rows, strict=True):
        part = data[data["row"] == row]
        ink = colour(part["profile"].iloc[0])
        left.plot(part["layer"], part["largest"], "o-", color=ink, markersize=3.5, label="largest activation")
        spread = part["std_after_first"]
        left.plot(part["layer"], spread, "s:", color=ink, markersize=2.5, label="σ after the first token")
        left.set(yscale="log", ylabel="activation", title=part["model"].iloc[0])
        right.bar(part["layer"], part["share_of_first"], color=ink, alpha=0.35, label="first tokens")
        right.bar(part["layer"], part["share_of_feature"], color=ink, label="one feature of them")
        top = part.loc[part["share_of_first"].idxmax()]
        title = f"first tokens: up to {top['share_of_first']:.1%} of Eq. 1"
        right.set(ylim=(0, 1.02), ylabel="share of Eq. 1", title=title)
        for panel in (left, right):
            panel.set_xlabel("block")
            panel.yaxis.grid(True, linewidth=0.5)
    parts = [panel.get_legend_handles_labels() for panel in (left, right)]
    handles, labels = ([each for part in parts for each in part[index]] for index in (0, 1))
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)
    entitled(figure, finding(data))
    return figure, data


def finding(data: pd.DataFrame) -> str:
    """In how many blocks of each model the first tokens make up more than half of Eq. 1."""
    parts = data.groupby("row", sort=False)
    told = [
        f"{(part['share_of_first'] > 0.5).sum()} of {len(part)} blocks of {part['model'].iloc[0]}" for _, part in parts
    ]
    return f"The first tokens make up more than half of Eq. 1 in {', '.join(told)}"


FIGURES = (massive_activations,)
