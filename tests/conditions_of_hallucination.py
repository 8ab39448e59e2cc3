"""Conditions on what the page of hallucination says, as `tests/conditions.py` has them."""

from itertools import combinations

import pandas as pd

from avss.hallucination.ratios import tau_of_sets
from avss.intervals import interval_of
from avss.report import hallucination
from avss.report.curves import iteration
from tests.stores import COMMITTED as RESULTS


def gains(control: str, metric: str = "mc1", against: str = "none") -> dict[str, tuple[float, float]]:
    """By set, the interval of what this training adds to another, or to the untrained model."""
    found, intervals = hallucination.healed(RESULTS).query("metric == @metric"), {}
    for name, part in found.groupby("set"):
        means = part.groupby(["control", "question"])["value"].mean()
        gain = (means[control] - means[against]).to_numpy()
        intervals[name] = interval_of(lambda chosen, gain=gain: float(gain[chosen].mean()), len(gain))
    return intervals


def healing_brings_no_gain() -> bool:
    """The third finding of hallucination, and what the page says above it."""
    found = {control: gains(control) for control in ("highest", "lowest", "all", "likelihood", "random")}
    sides = {
        (control, name, "gains" if low > 0 else "loses")
        for control, sets in found.items()
        for name, (low, high) in sets.items()
        if low > 0 or high < 0
    }
    of_random, margins = gains("highest", against="random"), gains("highest", "margin", "random")
    return (
        sum(len(sets) for sets in found.values()) == 25
        and sides
        == {
            ("lowest", "triviaqa", "gains"),
            ("lowest", "sciq", "loses"),
            ("all", "triviaqa", "gains"),
            ("all", "wikiqa", "loses"),
            ("likelihood", "sciq", "gains"),
        }
        and [name for name, (_, high) in of_random.items() if high < 0] == ["truthfulqa"]
        and max(low for low, _ in of_random.values()) <= 0
        and [name for name, (low, _) in margins.items() if low > 0] == ["sciq"]
        and [name for name, (_, high) in margins.items() if high < 0] == ["triviaqa"]
        and max(gains(control, "margin")["wikiqa"][1] for control in ("all", "lowest")) < -10
        and healing_costs_elsewhere()
        and scoring_again_is_no_rescue()
    )


def healing_costs_elsewhere() -> bool:
    found, lead = hallucination.elsewhere(RESULTS), hallucination.lead_of_training
    posts = found["smollm2-135m", "hackernews-smollm2", "perplexity"]
    reviews = found["smollm2-135m", "sst2-smollm2", "accuracy"]
    shown, trained = {name: own.estimate() for name, own in reviews.items()}, set(posts) - {"none"}
    return (
        [round(posts[name].mean()) for name in ("none", "highest", "random", "lowest", "all")] == [48, 63, 55, 693, 944]
        and all(lead(posts[name], posts["none"]).high < 0 for name in trained)
        and min(trained, key=lambda name: posts[name].mean()) == "likelihood"
        and lead(posts["highest"], posts["random"]).high < 0
        and [round(shown[name].value, 2) for name in ("none", "random", "lowest", "all")] == [0.83, 0.75, 0.56, 0.61]
        and all(lead(reviews[name], reviews["none"]).high < 0 for name in ("random", "lowest", "all"))
        and all(shown[name].low < shown["none"].value < shown[name].high for name in ("highest", "likelihood"))
    )


def scoring_again_is_no_rescue() -> bool:
    """What the page of hallucination says of iterative removal."""
    rows = ("sst2-smollm2", "posts-mini-llama-8b", "passages-mini-llama-7b")
    table = pd.concat([iteration(RESULTS, row) for row in rows], ignore_index=True)
    decoder = table["source"] == "reference"
    real, mini = table[decoder], table[~decoder].query("method == 'avss'")
    avss = real[real["method"] == "avss"]
    blind = avss[~avss["reading"].str.contains("block_update")]
    most = mini.loc[mini["gain"].idxmax()]
    update = avss[avss["reading"].str.contains("block_update")].set_index("removed")
    coin, influence = 0.5 / blind["original"], real[real["method"] == "block_influence"].set_index("removed")
    return (
        (len(avss), len(influence)) == (20, 4)
        and all((blind[f"{way}low"].le(coin) & blind[f"{way}high"].ge(coin)).all() for way in ("", "plain_"))
        and update.index[(update[["low", "plain_low"]] > coin.iloc[0]).all(axis=1)].tolist() == [4, 7]
        and (avss["gain_low"] > 0).sum() == 1
        and influence.loc[4, "gain_high"] < 0
        and (influence.drop(4)["gain_low"].lt(0) & influence.drop(4)["gain_high"].gt(0)).all()
        and (mini["gain_low"] < 0.001).all()
        and [round(float(value), 2) for value in most[["gain", "gain_low", "gain_high"]]] == [0.1, -0.01, 0.29]
    )


def no_layer_is_prone_on_all_sets() -> bool:
    layers = hallucination.layers(RESULTS)
    highest = {name: int(part.loc[part["eavss"].idxmax(), "layer"]) for name, part in layers.groupby("set")}
    sums = {name: found for (_, name), found in hallucination.sums(RESULTS).items()}
    spread = {name: found.spread()[1] for name, found in sums.items()}
    values = layers.set_index(["set", "layer"])["eavss"]
    beyond = {name: found.null().query("p_any <= 0.05")["layer"].tolist() for name, found in sums.items()}
    beyond = {name: chosen for name, chosen in beyond.items() if chosen}
    intervals = [tau_of_sets(sums[one], sums[other], 500)[1:] for one, other in combinations(sums, 2)]
    return (
        highest == {"nq_open": 28, "sciq": 21, "triviaqa": 18, "truthfulqa": 2, "wikiqa": 24}
        and round(spread.pop("truthfulqa"), 2) == 0.02
        and min(spread.values()) > 0.05
        and beyond == {"triviaqa": [18], "wikiqa": [11, 12]}
        and len(intervals) == 10
        and all(low < 0 < high for low, high in intervals)
        and values["triviaqa", 18] > 1 > max(values["wikiqa", 11], values["wikiqa", 12])
    )
