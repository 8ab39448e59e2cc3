"""The titles of the figures about one row: what they show of the model that the row belongs to, in a sentence."""

from collections.abc import Callable, Iterable

import pandas as pd
from matplotlib.figure import Figure

from avss.report.comparisons import TOO_WEAK, summary, weak_text
from avss.report.figures.style import entitled
from avss.report.markdown import runs_of, spell
from avss.report.snapshot import Results
from avss.report.table1 import PRINTED

# By the verdict of `over_random`, how much AVSS keeps beside random removal; of any other verdict, chance may be why.
_BESIDE_RANDOM = {"worse": "less than", "better": "more than", "same outcomes": "as much as"}


def entitled_on(
    figure: Figure, results: Results, row: str, sources: Iterable[str], finding: Callable[[str], str]
) -> None:
    """Give a figure as title what was found on the model of the row. finding: of a source, as the end of a sentence."""
    source = own_source(results, row, sources)
    if source is None:
        entitled(figure, "The paper's numbers; here nothing was removed yet")
        return
    lines = summary(results, row)
    entitled(figure, f"On {lines.loc[lines['source'] == source, 'model'].iloc[0]}, {finding(source)}")


def own_source(results: Results, row: str, sources: Iterable[str]) -> str | None:
    """Of these sources the profile that the row belongs to, and else the first that measured its line, if one did."""
    own = set(results.in_use.loc[results.in_use["row"] == row, "profile"])
    measured = [source for source in sources if source != PRINTED]
    return next((source for source in measured if source in own), next(iter(measured), None))


def of_variance(part: pd.DataFrame) -> str:
    """From where to where Eq. 1 goes over the blocks of a profile, by its reading `paper`; means over the seeds."""
    means = part[part["reading"] == "paper"].sort_values("layer")
    if means.empty:
        return "the variance is not measured in the reading paper"
    first, last = means.iloc[0], means.iloc[-1]
    one, other = spell(first["mean"]), spell(last["mean"])
    steps = f"from block to block the mean rises {(means['mean'].diff() > 0).sum()} of {len(means) - 1} times"
    if last["low"] > first["high"]:
        return f"the variance rises from {one} in the first block to {other} in the last; {steps}"
    if last["high"] < first["low"]:
        return f"the variance falls from {one} in the first block to {other} in the last; {steps}"
    return f"the variance is {one} in the first block and {other} in the last, where the seeds overlap; {steps}"


def beside_random(part: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """What AVSS keeps in one source, and whether beyond chance it is less or more than random removal keeps.

    part: its lines of `summary`. pairs: that of `over_random`, if there is one.
    """
    if part["too_weak"].any():
        return f"the original is {weak_text(part['metric'].iloc[0], part['original'].iloc[0])}"
    kept = part[part["reading"].isin(["none", "paper"])].set_index("method")["retention"].dropna()
    if "avss" not in kept:
        return "it is not measured what AVSS keeps"
    own = f"AVSS keeps {share_of_score(kept['avss'])} of the original score"
    if pairs.empty:
        return f"{own}; random removal is not measured"
    verdict, chance = pairs["verdict"].iloc[0], share_of_score(kept["random"])
    if verdict in _BESIDE_RANDOM:
        return f"{own}, {_BESIDE_RANDOM[verdict]} random removal ({chance})"
    return f"{own}, random removal {chance}; the difference may be chance"


def share_of_score(kept: float, below: str = "less than") -> str:
    """A retention without its interval; one that is not zero does not read as zero."""
    return f"{below} 0.001" if 0 < kept < 0.0005 else spell(kept)


def at_a_glance(part: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """`beside_random` in a few words."""
    if part["too_weak"].any():
        return f"The original is {TOO_WEAK}"
    if pairs.empty:
        return "AVSS beside random: not measured"
    verdict = pairs["verdict"].iloc[0]
    if verdict in _BESIDE_RANDOM:
        return f"AVSS keeps {_BESIDE_RANDOM[verdict]} random"
    return "AVSS and random are not told apart"


def of_removals(part: pd.DataFrame) -> str:
    """Which blocks AVSS removes in one source on all seeds, and which on some. part: its lines of `removals`."""
    own = part[(part["method"] == "avss") & (part["reading"] == "paper")]
    if own.empty:
        return "it is not measured which blocks AVSS removes"
    seeds, depth, times = own["seed"].nunique(), int(own["layers"].max()), own.groupby("layer").size()
    every, some = ([*times.index[chosen]] for chosen in (times == seeds, times < seeds))
    on_all, count = (f"on all {seeds} seeds" if seeds > 1 else "on the one seed"), len(every)
    for end, blocks in (("first", range(count)), ("last", range(depth - count, depth))):
        if not some and every == [*blocks]:
            return f"AVSS removes the {f'{end} {count}' if count > 1 else end} of {depth} blocks {on_all}"
    if not every:
        return f"AVSS removes {_blocks(some, depth)}, none of them {on_all}"
    return f"AVSS removes {_blocks(every, depth)} {on_all}{f', and {runs_of(some)} on some' if some else ''}"


def _blocks(layers: list[int], depth: int) -> str:
    return f"block{'s' if len(layers) > 1 else ''} {runs_of(layers)} (of 0–{depth - 1})"


def of_taus(part: pd.DataFrame) -> str:
    """The taus of AVSS with depth and with the loss in one source, and which is higher on every seed."""
    own = part[(part["method"] == "avss") & (part["reading"] == "paper")].set_index("other")
    if "with depth" not in own.index:
        return "the order of the blocks by AVSS is not measured"
    depth = own.loc["with depth"]
    told = f"AVSS has τ {spell(depth['tau'], digits=2)} with depth"
    if "with the loss" not in own.index:
        return f"{told}; with the loss it is not measured"
    loss = own.loc["with the loss"]
    other = spell(loss["tau"], digits=2)
    if depth["low"] > loss["high"]:
        return f"{told}, higher on every seed than with the loss ({other})"
    if depth["high"] < loss["low"]:
        return f"{told}, lower on every seed than with the loss ({other})"
    return f"{told} and {other} with the loss; the seeds overlap"
