"""Every figure and table of the book, from the results store alone, without torch.

`FIGURES` and `TABLES` are the registries; `python -m avss.figures RESULTS OUT` renders all of them. A figure comes with
the data that it plots. The same results give the same bytes.
"""

import argparse
import io
import sys
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avss import statistics
from avss.errors import InputError
from avss.files import write_whole
from avss.reading import PRESETS
from avss.results import Store

FIRST_ROW = "sst2-distilbert"
# The paper's Table 1, as printed.
PRINTED_TABLE = Path(__file__).parent.parent / "book" / "table1.csv"
PRINTED = "printed"
HEADINGS = {PRINTED: "paper, as printed"}
# Profiles and methods in the order in which they are shown; others follow.
PROFILES = ("reference", "mini")
METHODS = ("original", "gbis", "lrp", "cim", "avss", "random", "last", "magnitude")
NOT_MEASURED = "not measured"
CLAIMED_RETENTION = 0.9


def label(method: str, reading: str = "none") -> str:
    """A method's name for readers; a reading other than `paper` is part of it."""
    name = method.upper() if method in ("gbis", "lrp", "cim", "avss") else method
    return name if reading in ("none", "paper") else f"{name} ({reading})"


# Data: what the figures plot and the tables show.


def _place(value: str, known: tuple[str, ...]) -> tuple[int, str]:
    return (known.index(value), "") if value in known else (len(known), value)


def current(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """The row's observations, one for each profile, method, reading and seed, of the newest model and data alone.

    Raises `InputError` where the row has no result yet.
    """
    table = store.observations(row=row)
    table = table[table["status"] == "ok"]
    if table.empty:
        raise InputError(f"results of row {row} are missing under {store.root}; run `make book` first")
    newest = table.groupby("profile")[["revision", "data_fingerprint"]].transform("last")
    table = table[(table[["revision", "data_fingerprint"]] == newest).all(axis=1)]
    table = table.drop_duplicates(["profile", "method", "reading", "seed"], keep="last")
    order = [
        (_place(line.profile, PROFILES), _place(line.method, METHODS), line.reading != "paper", line.reading, line.seed)
        for line in table.itertuples()
    ]
    return table.iloc[sorted(range(len(order)), key=order.__getitem__)].reset_index(drop=True)


def printed(store: Store, row: str = FIRST_ROW) -> pd.Series:
    """The line of the paper's Table 1 that this row of results belongs to."""
    names = store.provenance(current(store, row)["run"].iloc[0])["configuration"]
    table = pd.read_csv(PRINTED_TABLE)
    found = table[(table["dataset"] == names["dataset"]) & (table["model"] == names["model"])]
    if found.empty:
        raise InputError(f"{PRINTED_TABLE.name} has no row {names['dataset']}, {names['model']}; see profiles/*.yaml")
    return found.iloc[0]


class _Profile:
    """One profile's lines of a row, and the per-document outcomes of what was removed."""

    def __init__(self, store: Store, name: str, row: str, lines: pd.DataFrame):
        self.name, self.metric, self.documents = name, lines["metric"].iloc[0], int(lines["n"].iloc[0])
        self.cells = dict(iter(lines.groupby(["method", "reading"], sort=False)))
        known = store.outcomes(name, row)
        self.outcomes = {}
        for line in lines.drop_duplicates("removed").itertuples():
            # A coalition's name starts with what pins model and data; the value tells which of several is meant.
            same = [
                pair
                for coalition, pair in known.items()
                if coalition.partition("-")[2] == line.removed
                and len(pair[0]) == line.n
                and np.isclose(statistics.value(self.metric, *pair), line.value, rtol=1e-6)
            ]
            if not same:
                raise InputError(f"run {line.run} has no outcomes for removed={line.removed}; delete it and run again")
            self.outcomes[line.removed] = same[0]

    def mean(self, removed: Counter, documents=slice(None)) -> float:
        """The metric, averaged over seeds that removed these sets of layers so many times."""
        values = [statistics.value(self.metric, *(part[documents] for part in self.outcomes[key])) for key in removed]
        return float(np.average(values, weights=list(removed.values())))

    def retention(self, removed: Counter, documents=slice(None)) -> float:
        original = statistics.value(self.metric, *(part[documents] for part in self.outcomes["none"]))
        return statistics.retention(self.metric, self.mean(removed, documents), original)

    def numerators(self, cell: tuple[str, str]) -> list[np.ndarray]:
        """One array a seed."""
        return [self.outcomes[removed][0] for removed in self.cells[cell]["removed"]]


def _profiles(store: Store, row: str) -> list[_Profile]:
    by_profile = current(store, row).groupby("profile", sort=False)
    return [_Profile(store, name, row, lines) for name, lines in by_profile]


def _state(store: Store, row: str) -> tuple:
    """Changes when the row's files do."""
    return tuple((path.name, path.stat().st_mtime_ns) for path in sorted(store.root.glob(f"*/{row}/*")))


def summary(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each source (`printed`, then the profiles) and method.

    value, sd: mean and standard deviation over the seeds. low, high and retention_low, retention_high: 95 % bootstrap
    intervals over documents, for these seeds; the paper prints none.
    """
    return _summary(store, row, _state(store, row)).copy()


@lru_cache(maxsize=4)
def _summary(store: Store, row: str, state: tuple) -> pd.DataFrame:
    paper = printed(store, row)
    lines = [
        {
            "source": PRINTED,
            "method": method,
            "reading": "none",
            "metric": paper["metric"],
            "value": paper[method],
            "retention": statistics.retention(paper["metric"], paper[method], paper["original"]),
        }
        for method in METHODS
        if method in paper
    ]
    for profile in _profiles(store, row):
        intervals: dict[tuple, tuple] = {}
        for (method, reading), part in profile.cells.items():
            removed, seeds = Counter(part["removed"]), len(part)
            made = tuple(sorted(removed.items()))
            if made not in intervals:
                intervals[made] = tuple(
                    statistics.interval_of(lambda documents, of=of, r=removed: of(r, documents), profile.documents)
                    for of in (profile.mean, profile.retention)
                )
            (low, high), (retention_low, retention_high) = intervals[made]
            lines.append(
                {
                    "source": profile.name,
                    "method": method,
                    "reading": reading,
                    "metric": profile.metric,
                    "value": profile.mean(removed),
                    "sd": part["value"].std(ddof=1) if seeds > 1 else np.nan,
                    "low": low,
                    "high": high,
                    "retention": profile.retention(removed),
                    "retention_low": retention_low,
                    "retention_high": retention_high,
                    "seeds": seeds,
                    "removed": ", ".join(f"{layers} ({times} of {seeds})" for layers, times in removed.most_common()),
                    "share_of_layers": part["share_of_layers"].mean(),
                    "share_of_parameters": part["share_of_parameters"].mean(),
                    "n": profile.documents,
                    "run": ", ".join(part["run"].unique()),
                }
            )
    return pd.DataFrame(lines)


def differences(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """Each method's metric less that of the controls `random` and `last` and of AVSS, with 95 % paired intervals.

    low, high: over documents, for these seeds. wide_low, wide_high: over documents and seeds. verdict: `better` or
    `worse` where the wide interval leaves out 0, else `not told apart`; `same outcomes` where it is 0 alone.
    """
    return _differences(store, row, _state(store, row)).copy()


@lru_cache(maxsize=4)
def _differences(store: Store, row: str, state: tuple) -> pd.DataFrame:
    lines = []
    for profile in _profiles(store, row):
        denominator = profile.outcomes["none"][1]
        for against in (("random", "none"), ("last", "none"), ("avss", "paper")):
            for cell in profile.cells:
                if against not in profile.cells or cell in (against, ("original", "none")):
                    continue
                pair = profile.numerators(cell), profile.numerators(against)
                difference, low, high = statistics.paired_difference(profile.metric, *pair, denominator)
                wide = statistics.difference_over_seeds(profile.metric, *pair, denominator)
                line = (profile.name, *cell, label(*against), profile.metric, difference, low, high, *wide)
                lines.append((*line, profile.documents, _verdict(profile.metric, *wide)))
    columns = "source method reading against metric difference low high wide_low wide_high n verdict"
    return pd.DataFrame(lines, columns=columns.split())


def _verdict(metric: str, low: float, high: float) -> str:
    if not (low > 0 or high < 0):
        return "same outcomes" if low == high == 0 else "not told apart"
    return "better" if (low > 0) == statistics.HIGHER_IS_BETTER[metric] else "worse"


def layer_values(store: Store, quantity: str, row: str = FIRST_ROW, method: str = "avss") -> pd.DataFrame:
    """One line for each profile, reading and layer: mean, lowest and highest value of the quantity over the seeds."""
    cells = current(store, row)[["profile", "run", "method", "reading", "seed"]]
    # From the runs in use alone: an older model's layers may lie beside them.
    runs = cells[["profile", "run"]].drop_duplicates().itertuples(index=False)
    files = [store.folder(profile, row) / f"{run}.layers.csv" for profile, run in runs]
    layers = pd.concat([pd.read_csv(file, keep_default_na=False) for file in files if file.is_file()])
    table = cells.merge(layers[(layers["method"] == method) & (layers["quantity"] == quantity)])
    grouped = table.groupby(["profile", "reading", "layer"], sort=False)
    made = grouped["value"].agg(mean="mean", low="min", high="max", seeds="count")
    return made.assign(run=grouped["run"].agg(lambda runs: ", ".join(runs.unique()))).reset_index()


def removals(store: Store, row: str = FIRST_ROW) -> pd.DataFrame:
    """One line for each profile, method, reading, seed and removed layer; `layers` is the model's depth."""
    table = current(store, row)
    table = table.loc[table["removed"] != "none", ["profile", "method", "reading", "seed", "removed", "layers", "run"]]
    table = table.assign(layer=table["removed"].str.split("+")).explode("layer")
    return table.astype({"layer": int}).drop(columns="removed").reset_index(drop=True)


# Figures. Colours are those of Okabe and Ito, which stay apart for colour-blind readers; C0 is the paper's, C1 the
# reference's, C2 the mini's.

WIDTH = 6.3
_COLOURS = {PRINTED: "C0", "reference": "C1", "mini": "C2"}
_STYLE = {
    "axes.axisbelow": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 5.5,
    "pdf.fonttype": 42,
    "savefig.transparent": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "avss",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}
_INKS = {
    "light": ("#1f2328", "#8c959f", "#d0d7de", ["#57606a", "#0072b2", "#d55e00", "#009e73"]),
    "dark": ("#e6e6e6", "#8b949e", "#444c56", ["#b1bac4", "#56b4e9", "#e69f00", "#2fc79a"]),
}


def _style(theme: str) -> dict:
    ink, muted, faint, cycle = _INKS[theme]
    inks = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), ink)
    inks |= dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), muted)
    return _STYLE | inks | {"grid.color": faint, "axes.prop_cycle": mpl.cycler(color=cycle)}


def _colour(source: str) -> str:
    return _COLOURS.get(source, "C3")


def _spread(heights: list[float], gap: float) -> list[float]:
    """The heights, moved apart upwards where two are nearer than `gap`."""
    order, placed = np.argsort(heights, kind="stable"), list(heights)
    for lower, upper in pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    return placed


def variance_by_block(store: Store) -> tuple[Figure, pd.DataFrame]:
    """Eq. 1 of every block by reading, one panel a profile: mean over the seeds, bars from the lowest to highest."""
    data = layer_values(store, "variance")
    profiles = data["profile"].unique()
    figure = Figure(figsize=(WIDTH, 2.5))
    panels = figure.subplots(1, len(profiles), squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        part = data[data["profile"] == profile]
        top, depth = part["high"].max() * 1.12, part["layer"].max() + 1
        ends = part[part["layer"] == depth - 1]
        heights = _spread(list(ends["mean"]), 0.085 * top)
        for (reading, lines), height in zip(part.groupby("reading", sort=False), heights, strict=True):
            first = reading == ends["reading"].iloc[0]
            panel.errorbar(
                lines["layer"],
                lines["mean"],
                [lines["mean"] - lines["low"], lines["high"] - lines["mean"]],
                color=_colour(profile),
                marker="o" if first else "s",
                markerfacecolor=_colour(profile) if first else "none",
                linestyle="-" if first else (0, (3, 2)),
                elinewidth=1,
            )
            panel.text(depth - 0.75, height, reading, va="center")
        panel.set(title=profile, xlabel="block", ylim=(0, top), xlim=(-0.35, depth - 1 + 0.22 * depth * len(profiles)))
        panel.set_xticks(range(0, depth, max(1, depth // 8)))
        panel.spines["bottom"].set_bounds(0, depth - 1)
        panel.yaxis.grid(True, linewidth=0.6)
    panels[0].set_ylabel("variance (Eq. 1)")
    return figure, data


def first_row(store: Store) -> tuple[Figure, pd.DataFrame]:
    """Share of the original score that is left after removal, by method: the paper's numbers, then each profile's."""
    data = summary(store).query("method != 'original'").reset_index(drop=True)
    observed = current(store)
    sources = data["source"].unique()
    counts = [int((data["source"] == source).sum()) for source in sources]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * len(sources) + 0.235 * sum(counts)))
    panels = figure.subplots(len(sources), 1, sharex=True, squeeze=False, height_ratios=counts)[:, 0]
    for panel, source in zip(panels, sources, strict=True):
        part, colour = data[data["source"] == source], _colour(source)
        for place, line in enumerate(part.itertuples()):
            panel.plot([line.retention_low, line.retention_high], [place] * 2, color=colour, linewidth=1.6)
            panel.plot(line.retention, place, "o", color=colour)
            same = observed[["profile", "method", "reading"]].eq([source, line.method, line.reading]).all(axis=1)
            kept = {statistics.retention(s.metric, s.value, s.original) for s in observed[same].itertuples()}
            if len(kept) > 1:
                panel.plot(sorted(kept), [place] * len(kept), "|", color=colour, markersize=8)
            beside = panel.get_yaxis_transform()
            panel.text(1.015, place, f"{line.retention:.3f}", transform=beside, va="center_baseline")
        panel.set_yticks(range(len(part)), [label(line.method, line.reading) for line in part.itertuples()])
        panel.set(title=HEADINGS.get(source, source), ylim=(len(part) - 0.5, -0.5))
        panel.tick_params(axis="y", length=0)
        for share, dashes in ((1, "-"), (CLAIMED_RETENTION, (0, (4, 3)))):
            panel.axvline(share, color=mpl.rcParams["ytick.color"], linewidth=0.9, linestyle=dashes, zorder=0)
        panel.spines["left"].set_visible(False)
        if panel is not panels[-1]:
            panel.spines["bottom"].set_visible(False)
            panel.tick_params(axis="x", length=0)
    above = panels[0].get_xaxis_transform()
    for share, text in ((1, "original"), (CLAIMED_RETENTION, _percent(CLAIMED_RETENTION))):
        panels[0].text(share, 1.03, text, transform=above, ha="center")
    panels[-1].set_xlabel(f"share of the original {data['metric'].iloc[0]} that is kept")
    return figure, data


def removed_layers(store: Store) -> tuple[Figure, pd.DataFrame]:
    """Which blocks each method removed, one square a seed."""
    data = removals(store)
    data.insert(1, "name", [label(line.method, line.reading) for line in data.itertuples()])
    profiles, names, seeds = data["profile"].unique(), list(data["name"].unique()), data["seed"].max() + 1
    figure = Figure(figsize=(WIDTH, 0.85 + 0.42 * len(names)))
    panels = figure.subplots(1, len(profiles), sharey=True, squeeze=False)[0]
    for panel, profile in zip(panels, profiles, strict=True):
        part = data[data["profile"] == profile]
        depth = int(part["layers"].max())
        heights = part["name"].map(names.index) + (part["seed"] - (seeds - 1) / 2) * (0.72 / seeds)
        panel.barh(range(len(names)), depth, left=-0.5, height=0.84, color=mpl.rcParams["grid.color"], alpha=0.35)
        size = 20 * (6 / max(6, depth)) ** 0.5
        panel.scatter(part["layer"], heights, marker="s", s=size, color=_colour(profile), linewidths=0)
        panel.set(title=profile, xlabel="block", xlim=(-0.5, depth - 0.5), ylim=(len(names) - 0.5, -0.5))
        panel.set_xticks(range(0, depth, max(1, depth // 8)))
        panel.set_yticks(range(len(names)), names)
        panel.tick_params(axis="y", length=0)
        panel.spines[["left", "bottom"]].set_visible(False)
    return figure, data


# Tables, as Markdown.


class Text(str):
    """Markdown that a notebook shows as such."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return self


def markdown(table: pd.DataFrame, digits: int = 3, note: str = "") -> Text:
    """The table without its index, and a note below it; floats get this many decimals, columns of numbers go right."""
    right = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    lines = [list(map(str, table.columns)), ["---:" if number else "---" for number in right]]
    for line in table.itertuples(index=False):
        cells = [f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell) for cell in line]
        lines.append([cell.replace("|", "\\|") for cell in cells])
    return Text("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + (f"\n{note}\n" if note else ""))


def spell(value: float, low: float = np.nan, high: float = np.nan, *, digits: int = 3, sign: str = "") -> str:
    """A number with its interval, which does not break over lines: `0.859 [0.836, 0.881]`. sign: "+" shows it always.

    nan is not measured.
    """
    if np.isnan(value):
        return NOT_MEASURED
    number, *ends = (f"{part:{sign}.{digits}f}".replace("-", "−") for part in (value, low, high))
    return number if np.isnan(low) else f"{number} [{ends[0]},\u00a0{ends[1]}]"


def _wide(lines: pd.DataFrame, cells: list[str], corner: str) -> Text:
    """Methods down, sources across; what is missing is not measured."""
    methods = sorted(dict.fromkeys(zip(lines["method"], lines["reading"], strict=True)), key=_by_method)
    names = dict.fromkeys(label(*method) for method in methods)
    table = pd.DataFrame(NOT_MEASURED, index=list(names), columns=list(lines["source"].unique()))
    for line, cell in zip(lines.itertuples(), cells, strict=True):
        table.loc[label(line.method, line.reading), line.source] = cell
    return markdown(table.rename(columns=HEADINGS).rename_axis(corner).reset_index())


def _by_method(method: tuple[str, str]) -> tuple:
    return _place(method[0], METHODS), method[1] not in ("none", "paper"), method[1]


def score_table(store: Store, row: str = FIRST_ROW) -> Text:
    """Score by method and source: mean ± standard deviation over the seeds, and the 95 % interval over documents."""
    data, cells = summary(store, row), []
    for line in data.itertuples():
        spread = "" if np.isnan(line.sd) else f"\u00a0±\u00a0{line.sd:.3f}"
        number, _, interval = spell(line.value, line.low, line.high).partition(" ")
        cells.append(f"{line.value:.4g}" if line.source == PRINTED else f"{number}{spread} {interval}")
    return _wide(data, cells, data["metric"].iloc[0])


def retention_table(store: Store, row: str = FIRST_ROW) -> Text:
    """Share of the original score that is kept, with its 95 % interval over documents, by method and source."""
    data = summary(store, row).query("method != 'original'")
    cells = [spell(line.retention, line.retention_low, line.retention_high) for line in data.itertuples()]
    return _wide(data, cells, "retention")


def removal_table(store: Store, row: str = FIRST_ROW) -> Text:
    """Which blocks each method removed, and on how many seeds, by profile."""
    data = summary(store, row).query("method != 'original' and source != @PRINTED")
    return _wide(data, list(data["removed"]), "blocks removed")


def difference_table(store: Store, against: str, row: str = FIRST_ROW) -> Text:
    """Paired differences of every method from `against` ("random" or "AVSS"), by profile."""
    data = differences(store, row).query("against == @against")
    cells = [
        f"{line.verdict}: {spell(line.difference, line.low, line.high, sign='+')}, "
        f"with seeds {spell(line.difference, line.wide_low, line.wide_high, sign='+').partition(' ')[2]}"
        for line in data.itertuples()
    ]
    return _wide(data, cells, f"less {against}")


def claim_table(store: Store, row: str = FIRST_ROW) -> Text:
    """What the paper claims or implies of this row, and what each source says: holds, does not hold, or open."""
    controls = {"random": "beats random removal", "last": "beats removing the deepest"}
    verdicts = {"better": "holds", "worse": "does not hold", "same outcomes": "does not hold, same outcomes"}
    compared = differences(store, row).query("method == 'avss' and against in @controls")
    table: dict[str, dict[str, str]] = {}
    for line in summary(store, row).query("method == 'avss'").itertuples():
        low, high = line.retention_low, line.retention_high
        verdict = "holds" if low > CLAIMED_RETENTION else "does not hold" if high < CLAIMED_RETENTION else "open"
        cell = f"{verdict}: {spell(line.retention, low, high)}"
        if line.source == PRINTED:
            cell = f"{spell(line.retention)}, no interval"
        claim = f"{label(line.method, line.reading)} keeps more than {_percent(CLAIMED_RETENTION)}"
        table.setdefault(claim, {})[HEADINGS.get(line.source, line.source)] = cell
        for other in compared.query("source == @line.source and reading == @line.reading").itertuples():
            margin = spell(other.difference, other.wide_low, other.wide_high, sign="+")
            claim = f"{label(other.method, other.reading)} {controls[other.against]}"
            table.setdefault(claim, {})[other.source] = f"{verdicts.get(other.verdict, 'open')}: {margin}"
    return markdown(pd.DataFrame(table).T.fillna(NOT_MEASURED).rename_axis("claim").reset_index())


def basis_table(store: Store, row: str = FIRST_ROW) -> Text:
    """What each source's numbers rest on: model, data, shares removed, sizes, protocol, runs."""
    paper = printed(store, row)
    # The paper's "parameter reduction" of this kind is a share of layers.
    known = {"model": paper["model"], "data": paper["dataset"], "layers removed": paper["parameter_reduction"]}
    table = {HEADINGS[PRINTED]: known}
    for profile, lines in current(store, row).groupby("profile", sort=False):
        facts = [store.provenance(run) for run in lines["run"].unique()]
        removed, first = lines[lines["method"] != "original"], lines.iloc[0]
        table[profile] = {
            "model": f"`{first['model']}`, revision `{first['revision']}`",
            "data": f"`{first['data']}`, fingerprint `{first['data_fingerprint']}`",
            "layers removed": _span(removed["share_of_layers"]),
            "parameters removed": _span(removed["share_of_parameters"]),
            "calibration documents a seed": str(removed["samples"].max()),
            "seeds": str(removed["seed"].nunique()),
            "evaluation documents (n)": str(first["n"]),
            "protocol": next((fact["protocol"] for fact in facts if "protocol" in fact), "not recorded"),
            "processor": ", ".join(dict.fromkeys(fact["hardware"]["processor"] for fact in facts)),
            "runs": ", ".join(f"`{run}`" for run in lines["run"].unique()),
        }
    return markdown(pd.DataFrame(table).fillna("not in the table").rename_axis("what").reset_index())


def _span(shares: pd.Series) -> str:
    low, high = shares.min(), shares.max()
    return _percent(low, 2) if np.isclose(low, high) else f"{_percent(low, 2)} to {_percent(high, 2)}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}\u00a0%"


def reading_table(store: Store) -> Text:
    """The fields of a reading and what the presets set them to."""
    table = {f"`{name}`": {f"`{key}`": f"`{value}`" for key, value in vars(r).items()} for name, r in PRESETS.items()}
    return markdown(pd.DataFrame(table).rename_axis("field").reset_index())


FIGURES = {function.__name__: function for function in (variance_by_block, first_row, removed_layers)}
# Those that pages include; the notebooks call these and the others.
TABLES = {function.__name__: function for function in (score_table, claim_table, reading_table)}


def _bytes(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None})
    return file.getvalue()


def svg(name: str, store: Store, theme: str = "light") -> bytes:
    """The figure of this name as an SVG file, `light` or `dark`."""
    with mpl.rc_context(_style(theme)):
        return _bytes(FIGURES[name](store)[0], "svg")


def render(store: Store, out: Path) -> list[Path]:
    """Write every figure (light and dark SVG, PDF, CSV of its data) and every table (Markdown) to `out`."""
    files: dict[str, str | bytes] = {}
    for name, draw in FIGURES.items():
        with mpl.rc_context(_style("light")):
            figure, data = draw(store)
            files[f"{name}.light.svg"], files[f"{name}.pdf"] = _bytes(figure, "svg"), _bytes(figure, "pdf")
        files[f"{name}.dark.svg"] = svg(name, store, "dark")
        files[f"{name}.csv"] = data.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    files |= {f"{name}.md": table(store) for name, table in TABLES.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(out / name, content)
    return [out / name for name in files]


def main(arguments: list[str] | None = None) -> int:
    """Render everything; 0 on success, 2 where results are missing."""
    parser = argparse.ArgumentParser(prog="python -m avss.figures", description="Figures and tables from results.")
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("out", type=Path, help="folder for the figures, created where it is missing")
    parsed = parser.parse_args(arguments)
    try:
        files = render(Store(parsed.results), parsed.out)
    except InputError as error:
        print(f"avss.figures: error: {error}", file=sys.stderr)
        return 2
    print(f"{parsed.out}: {len(files)} files of {len(FIGURES)} figures and {len(TABLES)} tables")
    return 0


if __name__ == "__main__":
    sys.exit(main())
