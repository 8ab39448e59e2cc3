"""Summaries of a row of results beside the paper's printed numbers, for figures and tables.

Pure functions of the results, without torch. Means, intervals and leads come from `avss.intervals.Seeds`: perplexities
are averaged as logarithms, and every interval of a method draws documents and seeds anew.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from avss import intervals
from avss.errors import InputError
from avss.methods import catalogue
from avss.metrics import METRICS
from avss.report.cards import title_of
from avss.report.markdown import spell
from avss.report.snapshot import CELL, Results
from avss.report.table1 import PRINTED, printed_line
from avss.store import layers_of

FIRST_ROW = "sst2-distilbert"
# Profiles and methods in the order in which they are shown; others follow.
PROFILES = ("reference", "mini")
METHODS = ("original", *catalogue.METHODS)
# The names of metrics and methods for readers.
NAMES = {entry.name: entry.label for entry in (*METRICS.values(), *catalogue.METHODS.values())}
ALPHA = 0.05
# The selections of the original and of the lowest scores; all others are rules beside it.
LOWEST = ("none", "lowest")
TOO_WEAK = "too weak to judge"


def label(method: str, reading: str = "none") -> str:
    """A method's name for readers; a reading other than `paper` is part of it."""
    name = NAMES.get(method, method)
    return name if reading in ("none", "paper") else f"{name} ({reading_label(reading)})"


def reading_label(reading: str) -> str:
    """A reading as readers see it; the rule by which the authors' scripts select is no part of a reading."""
    if reading == "released-code":
        return "scripts' statistics"
    return reading.removeprefix("paper,").replace("=", " ").replace("_", " ").replace(",", ", ")


def weak_text(metric: str, original: float) -> str:
    """The words in place of a share of an original that is too weak to judge, with its score."""
    return f"{TOO_WEAK} ({NAMES.get(metric, metric)} {spell(original, digits=2)})"


def share_text(line: NamedTuple) -> str:
    """The retention of a line of `summary` with its interval, or why there is none."""
    if line.too_weak:
        return weak_text(line.metric, line.original)
    return spell(line.retention, line.retention_low, line.retention_high)


def sort_key(value: str, order: tuple[str, ...]) -> tuple[int, str]:
    """Values of the order come first, then others by name."""
    return (order.index(value), "") if value in order else (len(order), value)


def by_profile(sources: pd.Series) -> pd.Series:
    """The key by which a column of profiles is sorted."""
    return sources.map(lambda source: sort_key(source, PROFILES))


def data_name(data: str, split: str | None) -> str:
    """The name of data for readers: the last part of its path, and its split where the split has a name of its own.

    Of `$AVSS_DATA/hackernews` and `comments_2021` it is `hackernews/comments_2021`.
    """
    name = data.rsplit("/", 1)[-1]
    return name if split in (None, "validation", "test") else f"{name}/{split}"


@cache
def successes(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """The row's observations in use that succeeded, one for each profile, method, reading, selection and seed.

    Raises `InputError` where the row has no result yet.
    """
    table = results.of(results.in_use, row)
    table = table[table["status"] == "ok"]
    if table.empty:
        raise InputError(f"results of row {row} are missing under {results.store.root}; run `make book` first")
    table = table.drop_duplicates(["profile", *CELL], keep="last")
    order = [
        (
            sort_key(line.profile, PROFILES),
            sort_key(line.method, METHODS),
            line.reading != "paper",
            line.reading,
            not line.selection.startswith("lowest"),
            line.selection,
            line.seed,
        )
        for line in table.itertuples()
    ]
    return table.iloc[sorted(range(len(order)), key=order.__getitem__)].reset_index(drop=True)


def lowest_removals(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """Those of the `successes` that are original models or removals of the lowest layers."""
    table = successes(results, row)
    return table[table["selection"].str.startswith(LOWEST)].reset_index(drop=True)


def failures(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """The row's observations in use that failed."""
    table = results.of(results.in_use, row)
    return table[table["status"] != "ok"]


class ProfileLines:
    """One profile's observations of a row that succeeded, with the per-document outcomes of all pruned models."""

    def __init__(self, results: Results, name: str, lines: pd.DataFrame):
        self.name, self.metric, self.documents = name, lines["metric"].iloc[0], int(lines["n"].iloc[0])
        names = results.provenances[lines["run"].iloc[-1]]["configuration"]
        self.data = data_name(lines["data"].iloc[-1], names.get("evaluation"))
        self.ran, self.model = title_of(names), names["model"]
        self.checkpoint = f"{lines['model'].iloc[-1]}@{lines['revision'].iloc[-1]}"
        lowest = lines["selection"].str.startswith(LOWEST)
        self.cells = dict(iter(lines[lowest].groupby(["method", "reading"], sort=False)))
        self.rules = dict(iter(lines[~lowest].groupby(["method", "reading", "selection"], sort=False)))
        stored = results.store.outcomes(name, lines["row"].iloc[0])
        outcomes = {}
        for line in lines.drop_duplicates("coalition").itertuples():
            if line.coalition not in stored:
                raise InputError(f"run {line.run} has no outcomes for removed={line.removed}; delete it and run again")
            outcomes[line.coalition] = stored[line.coalition]
        numerators, denominators = zip(*outcomes.values(), strict=True)
        self.places = {coalition: place for place, coalition in enumerate(outcomes)}
        self.outcomes = intervals.Seeds.of(self.metric, list(numerators), np.stack(denominators, 1))
        # Without the original model there is nothing to keep a share of.
        whole = lines[lines["removed"] == "none"]
        self.original = None if whole.empty else self.of(whole[:1])
        self.too_weak = self.original is not None and METRICS[self.metric].too_weak(*self.original.estimate()[:2])

    def seeds(self, cell: tuple[str, str]) -> intervals.Seeds:
        """The outcomes of a method and reading, one a seed."""
        return self.of(self.cells[cell])

    def of(self, lines: pd.DataFrame) -> intervals.Seeds:
        """The outcomes of these observations, one a seed."""
        return self.outcomes.chosen([self.places[coalition] for coalition in lines["coalition"]])

    def runs_of(self, *cells: tuple[str, str]) -> list[str]:
        """The runs behind these methods and readings."""
        return list(dict.fromkeys(run for cell in cells for run in self.cells[cell]["run"]))

    def line(self, method: str, reading: str, lines: pd.DataFrame) -> dict:
        """The line of `summary` of these observations, one a seed."""
        seeds, removed = self.of(lines), Counter(lines["removed"])
        value, kept = seeds.estimate(), intervals.Estimate(np.nan)
        if self.original is not None and not self.too_weak:
            kept = seeds.kept_of(self.original)
        return {
            "source": self.name,
            "ran": self.ran,
            "model": self.model,
            "checkpoint": self.checkpoint,
            "data": self.data,
            "method": method,
            "reading": reading,
            "metric": self.metric,
            "value": value.value,
            "sd": seeds.whole.std(ddof=1) if len(lines) > 1 else np.nan,
            "singles": " ".join(f"{single:.4g}" for single in METRICS[self.metric].ratio(seeds.whole)),
            "low": value.low,
            "high": value.high,
            "retention": kept.value,
            "retention_low": kept.low,
            "retention_high": kept.high,
            "original": self.original.mean() if self.original else np.nan,
            "too_weak": self.too_weak,
            "seeds": len(lines),
            "removed": ", ".join(f"{sets} ({times} of {len(lines)})" for sets, times in removed.most_common()),
            "share_of_layers": lines["share_of_layers"].mean(),
            "share_of_parameters": lines["share_of_parameters"].mean(),
            "n": self.documents,
            "run": ", ".join(lines["run"].unique()),
        }


@cache
def _profiles(results: Results, row: str) -> list[ProfileLines]:
    by_profile = successes(results, row).groupby("profile", sort=False)
    return [ProfileLines(results, name, lines) for name, lines in by_profile]


def rows_named(results: Results, row: str, profiles: Iterable[str]) -> str:
    """The ids of the rows of these profiles that stand for the same line as this one, behind the word for them."""
    ids = results.of(results.in_use, row).drop_duplicates("profile").set_index("profile")["row"]
    named = [f"`{ids[profile]}` ({profile})" for profile in dict.fromkeys(profiles) if profile in ids]
    return f"Row{'s' if len(named) > 1 else ''} {' and '.join(named) or f'`{row}`'}"


@cache
def summary(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each source (`printed`, then the profiles) and method.

    ran, model, checkpoint: title of the row, name and revision of the model. data: as in `data_name`. value: mean over
    the seeds, of perplexity the geometric one. sd: their standard deviation, of perplexity that of the logarithms.
    singles: the values of all seeds. low, high and retention_low, retention_high: 95 % bootstrap intervals over
    documents and seeds, of the original over documents; the paper prints none. original: its value. too_weak: it is too
    weak to judge (`avss.metrics`), so that nothing has a retention.
    """
    paper = printed_line(results, row)
    lines = (
        []
        if paper is None
        else [
            {
                "source": PRINTED,
                "ran": f"{paper['dataset']}, {paper['model']}",
                "model": paper["model"],
                "method": method,
                "reading": "none",
                "metric": paper["metric"],
                "value": paper[method],
                "original": paper["original"],
                "retention": intervals.retention(paper["metric"], paper[method], paper["original"]),
                "too_weak": False,
            }
            for method in METHODS
            if method in paper
        ]
    )
    for profile in _profiles(results, row):
        lines += [profile.line(*cell, part) for cell, part in profile.cells.items()]
    return pd.DataFrame(lines)


def rules(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """The lines of `summary` for other rules of selection than `lowest`, each with its `selection`."""
    lines = [
        profile.line(*cell, part) | {"selection": rule}
        for profile in _profiles(results, row)
        for (*cell, rule), part in profile.rules.items()
    ]
    return pd.DataFrame(lines)


@cache
def differences(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """By how much each method is better than the controls and than AVSS, one line for each pair and profile.

    lead, low, high: as in `Seeds.lead_over`, so positive where the method is better; of perplexity in nats a token.
    p_holm: by Holm's correction for the methods that a profile compares with the same one. verdict: `better` or `worse`
    where p_holm is at most 0.05, else `not told apart`; `same outcomes` where the interval is 0 alone; `too weak to
    judge` where the original is.
    """
    lines = []
    for profile in _profiles(results, row):
        for against in (*((control, "none") for control in catalogue.CONTROLS), ("avss", "paper")):
            for cell in profile.cells:
                if against not in profile.cells or cell in (against, ("original", "none")):
                    continue
                lead = profile.seeds(cell).lead_over(profile.seeds(against))
                names = (profile.name, *cell, label(*against), profile.metric)
                lines.append((*names, *lead, profile.too_weak, profile.documents))
    columns = "source method reading against metric lead low high p_holm too_weak n"
    table = pd.DataFrame(lines, columns=columns.split())
    table["p_holm"] = table.groupby(["source", "against"])["p_holm"].transform(intervals.holm)
    table["verdict"] = [_verdict(line) for line in table.itertuples()]
    return table


def _verdict(line: NamedTuple) -> str:
    if line.too_weak:
        return TOO_WEAK
    if line.low == line.high == 0:
        return "same outcomes"
    if not line.p_holm <= ALPHA:
        return "not told apart"
    return "better" if line.lead > 0 else "worse"


@cache
def over_random(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """The share that AVSS (reading `paper`) keeps less the share that random removal keeps, a line a profile.

    difference, low, high: in shares of the original, paired over documents and seeds; nan for an original that is too
    weak to judge. singles: the difference of each seed. p_holm, verdict: as in `differences`. run: those of the two and
    of the original. No line without both.
    """
    lines = []
    compared = differences(results, row).query("method == 'avss' and reading == 'paper' and against == 'random'")
    profiles = {profile.name: profile for profile in _profiles(results, row)}
    for pair in compared.itertuples():
        profile = profiles[pair.source]
        if profile.original is None:
            continue
        own, other = (profile.seeds(cell) for cell in (("avss", "paper"), ("random", "none")))
        whole = profile.original.mean()
        kept, singles = intervals.Estimate(np.nan), []
        if not profile.too_weak:
            kept, ratio = own.kept_beside(other, profile.original), METRICS[profile.metric].ratio
            seeds = (intervals.retention(profile.metric, ratio(each.whole), whole) for each in (own, other))
            singles = [float(one - two) for one, two in zip(*seeds, strict=False)]
        names = (profile.name, row, profile.ran, profile.model, profile.checkpoint, profile.metric)
        runs = ", ".join(profile.runs_of(("avss", "paper"), ("random", "none"), ("original", "none")))
        judged = profile.too_weak, pair.p_holm, pair.verdict, profile.documents, runs
        lines.append((*names, *kept, singles, whole, *judged))
    columns = "source row ran model checkpoint metric difference low high singles original too_weak p_holm verdict n"
    return pd.DataFrame(lines, columns=[*columns.split(), "run"])


def removals(results: Results, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, seed and removed layer; `layers` is the model's depth."""
    table = lowest_removals(results, row)
    table = table.loc[table["removed"] != "none", ["profile", "method", "reading", "seed", "removed", "layers", "run"]]
    table = table.assign(layer=table["removed"].map(layers_of)).explode("layer")
    return table.astype({"layer": int}).drop(columns="removed").reset_index(drop=True)
