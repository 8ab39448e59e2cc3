"""Conditions on what the pages say of SmolLM2 in depth, as `tests/conditions.py` has them."""

import re

from avss.intervals import kendall_tau
from avss.report import cornerstones, massive, recovery
from avss.report.cited import look_up_number, spoken
from avss.report.curves import curve, iteration
from tests.conditions import n
from tests.stores import COMMITTED as RESULTS

SMOLLM2 = "reference/hackernews-smollm2"
SMOLLM2_SST2 = "reference/sst2-smollm2"


def activations(row: str):
    table = massive.stored(RESULTS)
    return table[table["row"] == row].set_index("layer")


def standing():
    """The blocks after which one feature of the first token makes up over nine tenths of Eq. 1."""
    table = activations("hackernews-smollm2")
    return table[table["share_of_feature"] > 0.9]


def one_feature_of_the_first_token() -> bool:
    there = standing()
    return (
        there.index.tolist() == list(range(11, 28))
        and there["feature"].nunique() == 1
        and (there["at_first"] == 1).all()
        and activations("posts-mini-llama-7b")["share_of_first"].max() < 0.05
    )


def written_once_and_no_cure() -> bool:
    there, table = standing()["variance"], activations("hackernews-smollm2")["variance"]
    blocks = [spoken(f"{SMOLLM2}/avss/{each}/blocks", RESULTS)[0] for each in ("paper", "paper,tokens=after_first")]
    written = there.iloc[0] > 100 * table[there.index[0] - 1]
    return written and there.max() < 1.1 * there.min() and blocks[0] == blocks[1]


def others_follow_the_loss_and_avss_does_not() -> bool:
    """In tau with leave-one-out, over the seeds, on both rows of SmolLM2."""
    own = [look_up_number(f"{row}/avss/tau_leave_one_out", RESULTS) for row in (SMOLLM2, SMOLLM2_SST2)]
    others = [
        n(f"{row}/{method}/tau_leave_one_out")
        for row in (SMOLLM2, SMOLLM2_SST2)
        for method in ("block_influence", "lrp")
    ]
    return max(tau.high for tau in own) < 0.1 and min(others) > 0.2


def training_repairs_no_choice() -> bool:
    """The last sentence of the third finding, and the section on training.

    The page of another row for the same line of Table 1 shows the figure.
    """
    table = recovery.recovered(RESULTS, "posts-mini-llama-7b").query("source == 'reference'")
    tokens = table["tokens"].max()
    before, after = (table[table["tokens"] == seen].set_index("method") for seen in (0, tokens))
    shown = {name: (round(before["value"][name]), round(after["value"][name])) for name in ("avss", "block_influence")}
    share = {name: round(100 * after["kept"][name]) for name in ("block_influence", "last", "avss", "random")}
    trained = {name: round(100 * after["value"]["original"] / after["value"][name]) for name in list(share)[:3]}
    return (
        tokens == 40_960
        and trained == {"block_influence": 58, "last": 11, "avss": 2}
        and set(after["n"]) == {300}
        and shown == {"avss": (53_053, 1_734), "block_influence": (134, 65)}
        and share == {"block_influence": 80, "last": 15, "avss": 3, "random": 3}
        and before["value"].idxmax() == "last"
        and set(before["blocks"]) == {30}
        and "0" in before["removed"]["random"].split("+")
    )


def at_chance_on_sst2() -> bool:
    """The third finding, and the sentences about the table of the curve."""
    points = curve(RESULTS, "sst2-smollm2").query("source == 'reference'")
    coin = 0.5 / points["original"].iloc[0]
    holds = points["low"].le(coin) & points["high"].ge(coin)
    best = points[points["retention"] > 0.9]
    if not (
        set(points["removed"]) == {4, 7, 10, 15}
        and holds[points["name"] == "AVSS"].all()
        and set(points.loc[~holds & (points["removed"] == 15), "name"]) == {"leave one out (KL)"}
        and points.loc[~holds & (points["removed"] == 15), "low"].gt(coin).all()
        and set(zip(best["name"], best["removed"], strict=True))
        == {("LRP", 4), ("block influence", 4), ("leave one out (KL)", 4)}
    ):
        return False
    kept = points[points["rule"] == "lowest"].set_index(["method", "removed"])
    greedy, relevance = (kept.loc[method].loc[[4, 7]] for method in ("greedy", "lrp"))
    if not (
        [round(100 * share) for share in (*greedy["retention"], *relevance["retention"])] == [77, 73, 96, 89]
        and greedy["high"].lt(relevance["low"]).all()
        and all(kept.loc[("greedy", k), "high"] > kept.loc[("lrp", k), "low"] for k in (10, 15))
        and all(kept.loc[("greedy", k), "low"] < kept.loc[("lrp", k), "high"] for k in (10, 15))
        and set(RESULTS.of(RESULTS.in_use, "sst2-smollm2").query("method == 'greedy'")["samples"].astype(int)) == {32}
    ):
        return False
    after = look_up_number(f"{SMOLLM2_SST2}/avss/value", RESULTS)
    update, influence, relevance = (
        look_up_number(f"{SMOLLM2_SST2}/{method}/value", RESULTS).low
        for method in ("avss/paper,site=block_update", "block_influence", "lrp")
    )
    return after.low < 0.5 < after.high < min(update, influence, relevance)


def cornerstones_of(name: str) -> set[int]:
    (found,) = (each for each in cornerstones.stored(RESULTS.store.root / "shapley") if each.name == name)
    return set(cornerstones.stones_of(found))


def avss_removes_cornerstones() -> bool:
    posts, answers, reviews = (
        set(map(int, re.findall(r"\d+", RESULTS.in_use.query(rule)["removed"].iloc[0])))
        for rule in (
            f"row == '{row}' and method == 'avss' and reading == 'paper' and selection.str.startswith('lowest')"
            for row in ("hackernews-smollm2", "squad-smollm2", "sst2-smollm2")
        )
    )
    late = cornerstones_of("sst2") - {0, 1, 2}
    return (
        cornerstones_of("hackernews") == {0, 1} <= posts
        and cornerstones_of("squad") == {0} <= answers
        and {0, 1, 2} <= cornerstones_of("sst2") & reviews
        and len(late) == 4
        and not late & reviews
    )


def no_few_blocks_hold_the_total() -> bool:
    found = {each.name: each for each in cornerstones.stored(RESULTS.store.root / "shapley")}
    posts = found["hackernews"].scores
    shares = {name: cornerstones.top_share(each.by_document)[1:] for name, each in found.items()}
    return (
        {name: each.facts["context"] for name, each in found.items()} == {"hackernews": 24, "sst2": 96, "squad": 160}
        and (round(posts.values.min(), 1), round(posts.values.max(), 1)) == (2.1, 6.2)
        and [round(bound, 3) for bound in shares["hackernews"]] == [0.147, 0.140, 0.154]
        and all(high < 0.25 for *_, high in shares.values())
        and all(
            0.02 < each.scores.table["standard_error"].max() / abs(each.scores.values).max() < 0.05
            and 80.5 <= each.facts["block_forwards"] / len(each.without) / len(each.scored) < 81.5
            and -0.145 < kendall_tau(each.scores.table["avss"], each.scores.values) < -0.045
            for each in found.values()
        )
    )


def quarter_of_the_score() -> bool:
    """Whether Eq. 9 with a bound of a quarter removes at least 18 blocks on every seed of both rows."""
    rule = "reading == 'paper' and selection == 'released_code(0.25)' and row.str.endswith('-smollm2')"
    found = RESULTS.in_use.query(rule)
    seeds = found.groupby("row")["seed"].nunique().to_dict()
    blocks = found["removed"].str.split("+").str.len()
    return seeds == {"hackernews-smollm2": 5, "pile-smollm2": 5} and blocks.min() >= 18


def avss_collapses_on_hackernews() -> bool:
    """At once, where three scores lead at every number of blocks and none keeps nine tenths of the whole."""
    points = curve(RESULTS, "hackernews-smollm2")
    points = points[(points["source"] == "reference") & (points["rule"] == "lowest")]
    leading = {"leave_one_out", "kl_leave_one_out", "lrp"}
    for removed, part in points.groupby("removed"):
        ordered = part.sort_values("retention", ascending=False)
        avss = part[part["reading"] == "paper"].iloc[0]
        random = part[part["method"] == "random"].iloc[0]
        if not (
            set(ordered["method"][:3]) == leading
            and ordered["method"].iloc[3] in ("block_influence", "update_norm")
            and ordered["retention"].iloc[0] < 0.9
            and 0.0005 < avss["retention"] < 0.0015
            and (avss["high"] < random["low"]) == (removed in (4, 7))
            and not avss["low"] > random["high"]
        ):
            return False
    return points["removed"].unique().tolist() == [4, 7, 10, 15]


def scoring_again_saves_the_update_alone() -> bool:
    """On Hacker News, and without seven blocks alone; block influence gains without ten and loses without fifteen."""
    table = iteration(RESULTS, "hackernews-smollm2")
    table = table[table["source"] == "reference"].set_index(["name", "removed"])
    update, influence = (table.loc[name] for name in ("AVSS (site block update)", "block influence"))
    others = table.drop(["AVSS (site block update)", "block influence"], level="name")
    shares = ("plain", "retention")
    return (
        table.index.get_level_values("name").nunique() == 6
        and set(table.index.get_level_values("removed")) == {4, 7, 10, 15}
        and others["retention"].max() < 0.001
        and [round(100 * update.loc[7, share]) for share in shares] == [1, 34]
        and update["gain_low"].gt(0).tolist() == [False, True, False, False]
        and update.loc[[10, 15], "retention"].max() < 0.001
        and [round(100 * influence.loc[10, share]) for share in shares] == [18, 25]
        and [round(100 * influence.loc[15, share]) for share in shares] == [7, 0]
        and influence.loc[10, "gain_low"] > 0
        and influence.loc[15, "gain_high"] < 0
    )


def scoring_again_saves_nothing_on_the_pile() -> bool:
    """No reading of AVSS; block influence may gain."""
    table = iteration(RESULTS, "pile-smollm2")
    table = table[table["source"] == "reference"].set_index("name")
    avss, influence = table.drop("block influence"), table.loc["block influence"]
    update = avss.loc["AVSS (site block update)"]
    return (
        len(avss) == 5
        and set(table["removed"]) == {7}
        and avss[["plain_high", "high"]].max().max() < 0.01
        and update["gain_low"] > 0
        and [round(100 * influence[share]) for share in ("plain", "retention")] == [12, 18]
        and influence["gain_low"] < 0 < influence["gain_high"]
    )


def avss_collapses_on_squad() -> bool:
    """At once. On the block's update it keeps the most without two and four blocks, and collapses without seven."""
    points = curve(RESULTS, "squad-smollm2")
    points = points[points["source"] == "reference"].set_index(["removed", "name"])
    update, kept = "AVSS (site block update)", {}
    for removed, part in points.groupby("removed"):
        shares = part.droplevel("removed")["retention"]
        kept[removed] = {name: round(100 * shares[name]) for name in ("AVSS", "random", update)}
        best = "leave one out" if removed == 7 else update
        if shares.idxmax() != best:
            return False
    lead = points.loc[7, "retention"].max()
    ordered = [part.sort_values("retention", ascending=False).iloc[:2] for _, part in points.groupby("removed")]
    return (
        list(kept) == [2, 4, 7]
        and [each["AVSS"] for each in kept.values()] == [1, 2, 1]
        and [each[update] for each in kept.values()] == [85, 46, 3]
        and kept[2]["random"] == 33
        and round(100 * lead) == 26
        and all(second["high"] > best["low"] for best, second in (part.to_dict("records") for part in ordered))
    )
