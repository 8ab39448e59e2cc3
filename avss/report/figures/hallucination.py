"""Figures about layers prone to hallucination, from the stored results alone (`avss.report.hallucination`)."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from avss.report.figures.style import WIDTH, entitled, nothing_measured
from avss.report.hallucination import layers, title_of
from avss.report.snapshot import Results

_SHOWN = ["eavss", "eavss_low", "eavss_high", "auroc", "auroc_low", "auroc_high"]


def eavss_by_layer(results: Results) -> tuple[Figure, pd.DataFrame]:
    """EAVSS and the AUROC of a linear probe by layer, one row of panels a set; 95 % intervals over questions."""
    data = layers(results)
    if data.empty:
        return nothing_measured(data)
    data = data[["model", "set", "layer", *(name for name in _SHOWN if name in data), "run"]]
    groups = list(data.groupby(["model", "set"], sort=False))
    figure = Figure(figsize=(WIDTH, 0.85 + 1.45 * len(groups)))
    panels = figure.subplots(len(groups), 2, squeeze=False)
    for ((model, name), part), (scores, probes) in zip(groups, panels, strict=True):
        for panel, quantity, nothing, colour in ((scores, "eavss", 1, "C1"), (probes, "auroc", 0.5, "C2")):
            panel.axhline(nothing, color=mpl.rcParams["ytick.color"], linewidth=0.9, linestyle="--", zorder=0)
            if quantity in part:
                ends = part[f"{quantity}_low"], part[f"{quantity}_high"]
                panel.fill_between(part["layer"], *ends, color=colour, alpha=0.25, linewidth=0)
                panel.plot(part["layer"], part[quantity], color=colour)
        scores.set(title=f"{title_of(name)}, {model}", ylabel="EAVSS")
        probes.set(ylabel="probe's AUROC", ylim=(0.3, 1.02))
    for panel in panels[-1]:
        panel.set_xlabel("layer")
    entitled(figure, finding(data))
    return figure, data


def finding(data: pd.DataFrame) -> str:
    """In how many layers of all sets the interval of EAVSS leaves out no difference, and that of the probe.

    Nothing is corrected for the number of layers, so the title says what share of intervals misses by chance.
    """
    told = []
    # What the first of them says need not be said again.
    verb, over = " differs", " layers of all sets"
    for quantity, nothing, name in (("eavss", 1, "EAVSS"), ("auroc", 0.5, "a probe's AUROC")):
        if quantity in data:
            known = data.dropna(subset=[quantity])
            apart = (known[f"{quantity}_low"] > nothing) | (known[f"{quantity}_high"] < nothing)
            told.append(f"{name}{verb} from {nothing} in {apart.sum()} of {len(known)}{over}")
            verb = over = ""
    if not told:
        return "EAVSS and the AUROC of a probe by layer"
    return f"By 95\u00a0% intervals (5\u00a0% leave out the truth), {', '.join(told)}"


FIGURES = (eavss_by_layer,)
