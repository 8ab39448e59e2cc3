"""The tables about layers prone to hallucination, from the stored results alone (`avss.report.hallucination`)."""

from itertools import combinations

import numpy as np
import pandas as pd

from avss.hallucination.ratios import tau_of_sets
from avss.intervals import bounds, interval_of, kendall_tau
from avss.report.hallucination import elsewhere, healed, layers, lead_of_training, measures, sums, title_of
from avss.report.markdown import Text, runs_or_none, spell, table_or_note
from avss.report.snapshot import Results

COLUMNS = {
    "margin": "margin (nats)",
    "mc1": "MC1",
    "mc2": "MC2",
    "calibration_error": "calibration error",
    "f1": "F1 on generation",
}


def answers_table(results: Results) -> Text:
    """The yardsticks on answers of each set, with 95 % intervals over questions."""
    table, lines = measures(results), []
    for (model, name), part in table.groupby(["model", "set"], sort=False):
        known = part.set_index("metric")
        line = {"model": model, "set": title_of(name), "questions": int(part["n"].iloc[0])}
        for metric, title in COLUMNS.items():
            there = metric in known.index
            line[title] = spell(*(known.loc[metric, ["value", "low", "high"]] if there else [np.nan] * 3), digits=2)
        lines.append(line)
    return table_or_note(lines, below=["model"])


def prone_layers_table(results: Results) -> Text:
    """Where EAVSS and the probe are highest in each set, and what is left of EAVSS against shuffled labels."""
    lines, table = [], layers(results)
    for (model, name), of_set in sums(results).items():
        part = table[(table["model"] == model) & (table["set"] == name)]
        first = part.loc[part["eavss"].idxmax()]
        line = {
            "model": model,
            "set": title_of(name),
            "layer of the highest EAVSS": f"{first['layer']:.0f}: "
            f"{spell(first['eavss'], first['eavss_low'], first['eavss_high'], digits=2)}",
            "interval without 1": runs_or_none(
                part.loc[(part["eavss_low"] > 1) | (part["eavss_high"] < 1), "layer"].astype(int)
            ),
            "beyond shuffled labels": runs_or_none(part.loc[part["p_any"] < 0.05, "layer"].astype(int)),
            "p of the spread over layers": f"{of_set.spread()[1]:.3f}",
        }
        if part.get("auroc", pd.Series(dtype=float)).notna().any():
            best = part.loc[part["auroc"].idxmax()]
            area = spell(best["auroc"], best["auroc_low"], best["auroc_high"], digits=2)
            line["layer of the best probe, AUROC"] = f"{best['layer']:.0f}: {area}"
            drawn = [kendall_tau(each, part["auroc"]) for each in of_set.resampled(0, 500)[2]]
            line["τ of EAVSS with AUROC"] = spell(
                kendall_tau(part["eavss"], part["auroc"]), *bounds(np.array(drawn)), digits=2
            )
        lines.append(line)
    return table_or_note(lines, below=["model"])


def set_agreement_table(results: Results) -> Text:
    """Kendall's tau between the orders of layers that two sets give, with 95 % intervals over the questions of both."""
    known, lines = sums(results), []
    for one, other in combinations(known, 2):
        if one[0] == other[0] and known[one].sums.shape[3] == known[other].sums.shape[3]:
            tau = spell(*tau_of_sets(known[one], known[other], 500), digits=2)
            lines.append({"model": one[0], "sets": f"{title_of(one[1])}, {title_of(other[1])}", "τ": tau})
    return table_or_note(lines, below=["model"])


def healing_table(results: Results) -> Text:
    """What each training changes on held-out questions, less the untrained model and less random layers.

    Paired by question, each question's value averaged over the seeds (random layers: over the draws). 95 % intervals
    over questions.
    """
    lines = []
    for (model, name), part in healed(results).groupby(["model", "set"], sort=False):
        means = part.groupby(["control", "metric", "question"], sort=False)["value"].mean()
        controls = [control for control in part["control"].unique() if control != "none"]
        for control in controls:
            seeds = part.loc[part["control"] == control, "seed"].nunique()
            line = {"model": model, "set": title_of(name), "trained": control, "seeds": seeds}
            for metric, title in (("margin", "margin"), ("mc1", "MC1")):
                line[f"{title} less untrained"] = _paired(means, control, "none", metric)
                line[f"{title} less random layers"] = _paired(means, control, "random", metric)
            lines.append(line)
    return table_or_note(lines, below=["model"])


def elsewhere_table(results: Results) -> Text:
    """What each training costs on other tasks: the metric, and the lead over the untrained model and random layers.

    Mean over the seeds (random layers: over the draws). 95 % intervals over documents and seeds. A lead below 0 is a
    loss: in accuracy, or in nats a token where the metric is perplexity.
    """
    lines = []
    for (model, row, metric), controls in elsewhere(results).items():
        for control, own in controls.items():
            line = {"model": model, "row": row, "trained": control, "seeds": len(own.whole)}
            line |= {"metric": metric, "value": spell(*own.estimate(), digits=3)}
            for other, title in (("none", "lead over untrained"), ("random", "lead over random layers")):
                lead = lead_of_training(own, controls[other]) if other in controls else (np.nan,)
                line[title] = "–" if control in ("none", other) else spell(*lead, digits=3, sign="+")
            lines.append(line)
    return table_or_note(lines, below=["model"])


def _paired(means: pd.Series, one: str, other: str, metric: str) -> str:
    """The mean difference of two controls with its interval; nothing of a control with itself."""
    known = means.index.droplevel("question")
    if one == other or (other, metric) not in known:
        return "–" if one == other else spell(np.nan)
    paired = (means[one, metric] - means[other, metric]).to_numpy()
    ends = interval_of(lambda chosen: float(paired[chosen].mean()), len(paired))
    return spell(float(paired.mean()), *ends, digits=2, sign="+")
