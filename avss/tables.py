"""The tables of the book as Markdown, from the results store alone. `TABLES` lists those that pages include."""

import numpy as np
import pandas as pd

from avss.reading import PRESETS
from avss.results import Store
from avss.summaries import (
    CLAIMED_RETENTION,
    FIRST_ROW,
    HEADINGS,
    METHODS,
    PRINTED,
    current,
    differences,
    label,
    place,
    printed,
    summary,
)

NOT_MEASURED = "not measured"


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
    return place(method[0], METHODS), method[1] not in ("none", "paper"), method[1]


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
        claim = f"{label(line.method, line.reading)} keeps more than {percent(CLAIMED_RETENTION)}"
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
    return percent(low, 2) if np.isclose(low, high) else f"{percent(low, 2)} to {percent(high, 2)}"


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}\u00a0%"


def reading_table(store: Store) -> Text:
    """The fields of a reading and what the presets set them to."""
    table = {f"`{name}`": {f"`{key}`": f"`{value}`" for key, value in vars(r).items()} for name, r in PRESETS.items()}
    return markdown(pd.DataFrame(table).rename_axis("field").reset_index())


# Those that pages include; the notebooks call the others too.
TABLES = {function.__name__: function for function in (score_table, claim_table, reading_table)}
