"""What the pages say was found: every page has findings, every one is pinned to the store, and prose has live numbers.

A pin is a condition on the numbers of one finding, written so that it fails where the words would no longer be true. It
is asked of the committed results, and a number that is not measured fails it.
"""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from avss.architectures import ARCHITECTURES
from avss.engine.games import Game, exact, window
from avss.hallucination.ratios import tau_of_sets
from avss.intervals import interval_of, kendall_tau
from avss.report import cornerstones, hallucination, massive, recovery
from avss.report.addresses import NotMeasured
from avss.report.cited import look_up_number, spoken
from avss.report.counted import measurements, verdict
from avss.report.curves import compensation, curve, iteration
from avss.report.table1 import printed_table
from avss.report.tables.families import survey
from avss.report.tables.speed import target_table
from avss.report.training import training_of
from tests.stores import COMMITTED as RESULTS

ROOT = Path(__file__).parent.parent
# Lists and descriptions, which find nothing; and pages of rows, which are the notebook of their task.
WITHOUT = {"book/api", "book/coverage", "book/gallery", "book/glossary", "book/references", "book/runs"}
REQUEST = re.compile(r"\{number\}`([^`]+)`")
LIVE = 60


def pages() -> dict[str, str]:
    """The text of every page of the book, without code and without pages of single rows."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [contents["root"], *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"])]
    return {name: _text(name) for name in names}


def _text(name: str) -> str:
    if not name.startswith("book/executed/"):
        return (ROOT / f"{name}.md").read_text(encoding="utf-8")
    cells = json.loads((ROOT / "notebooks" / f"{Path(name).name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


PAGES = pages()


def findings(text: str) -> list[str]:
    """The numbered findings at the end of a page."""
    _, _, section = text.partition("\n## Findings\n")
    return re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]


def n(address: str) -> float:
    return look_up_number(address, RESULTS).value


def most(condition: str, group: str = "decoders") -> bool:
    """Whether a condition on AVSS holds in nearly all measurements of a group."""
    measured = n(f"count/{group}/avss/{re.split('[<>=]', condition)[0]}")
    return n(f"count/{group}/avss/{condition}") >= 0.8 * measured


def below_random() -> bool:
    return most("retention<random")


def depth() -> bool:
    return n("mean/decoders/avss/tau_depth") > 0.7


def block_influence_is_better(group: str = "all") -> bool:
    return most("retention<block_influence", group)


def cost(method: str) -> float:
    return n(f"bench/methods-cpu/rows/method={method}/time_ratio")


# Six blocks of which any one is enough.
REDUNDANT = Game(lambda coalitions: coalitions.any(1)[:, None].astype(float), 6)
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
    """The last sentence of the third finding, and the section on training."""
    table = recovery.recovered(RESULTS, "hackernews-smollm2").query("source == 'reference'")
    tokens = table["tokens"].max()
    before, after = (table[table["tokens"] == seen].set_index("method") for seen in (0, tokens))
    shown = {name: (round(before["value"][name]), round(after["value"][name])) for name in ("avss", "block_influence")}
    share = {name: round(100 * after["kept"][name]) for name in ("block_influence", "last", "avss", "random")}
    return (
        tokens == 40_960
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


def values_are_nearly_alike() -> bool:
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
        and (update.loc[7, ["low", "plain_low"]] > coin.iloc[0]).all()
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


def quarter_of_the_score() -> bool:
    """Whether Eq. 9 with a bound of a quarter removes at least 15 blocks of SmolLM2 on every seed."""
    rule = "row == 'hackernews-smollm2' and reading == 'paper' and selection == 'released_code(0.25)'"
    return RESULTS.in_use.query(rule)["removed"].str.split("+").str.len().min() >= 15


def by_definition() -> bool:
    """The pin of a finding that follows from a definition, which other tests hold to."""
    return True


def evidence_lies_there() -> bool:
    """What the front page says of the differences from a random choice and from block influence."""
    worse = [n(f"count/decoders+{kind}/avss/verdict_random=worse") for kind in ("planted", "pretrained")]
    shown = ("hackernews", "sst2")
    return (
        sum(worse) == n("count/decoders/avss/verdict_random=worse")
        and worse[1] == 1
        and verdict("reference/pile-smollm2/avss", "random", RESULTS) == "worse"
        and {verdict(f"reference/{data}-smollm2/avss", "random", RESULTS) for data in shown} == {"not told apart"}
        and {verdict(f"reference/{data}-smollm2/block_influence", "avss", RESULTS) for data in shown} == {"better"}
    )


def block_influence_is_beyond_chance() -> bool:
    return (
        n("count/decoders/block_influence/verdict_avss=better") == n("count/decoders/avss/retention")
        and n("count/encoders/block_influence/verdict_avss=better") == 0
    )


def smollm2_loses_what_the_others_keep() -> bool:
    """By their intervals, for block influence."""
    kept = {}
    for profile, row in measurements(RESULTS):
        try:
            kept[profile, row] = look_up_number(f"{profile}/{row}/block_influence/retention", RESULTS)
        except NotMeasured:
            continue
    others = [kept[pair] for pair in kept if not pair[1].endswith("-smollm2")]
    smollm2 = [kept[pair] for pair in kept if pair[1].endswith("-smollm2")]
    return (
        len(smollm2) == 4
        and max(share.high for share in smollm2) < min(share.low for share in others)
        and n("lowest/mini/block_influence/retention") == min(share.value for share in others)
    )


def baselines_change_places_with_avss() -> bool:
    lines = printed_table()["id"].unique()
    ahead = [n(f"printed/{line}/avss/retention") > n(f"printed/{line}/lrp/retention") for line in lines]
    methods = ("gbis", "lrp", "cim")
    better, measured = (
        [n(f"count/decoders/{method}/{condition}") for method in methods]
        for condition in ("verdict_avss=better", "retention")
    )
    worse = [n(f"count/decoders/{method}/verdict_avss=worse") for method in methods]
    return (
        (sum(ahead), len(ahead)) == (10, 12)
        and better[1] == measured[1]
        and all(2 * some > every for some, every in zip(better, measured, strict=True))
        and worse == [2, 0, 0]
        and n("count/*-smollm2/gbis/verdict_avss=worse") == 2
    )


def last_is_beaten() -> bool:
    leads = [n(f"count/decoders/block_influence/verdict_last={verdict}") for verdict in ("better", "worse")]
    return 2 * leads[0] > n("count/decoders/block_influence/retention") and leads[1] == 0


def circuits_differ() -> bool:
    planted, others = (
        n(f"count/{group}/avss/verdict_random=worse") / n(f"count/{group}/avss/retention")
        for group in ("planted", "decoders+pretrained")
    )
    return planted > 2 * others and n("count/decoders+pretrained/models") == 1


def update_is_another_order() -> bool:
    group, update = "count/*-smollm2/avss/paper,site=block_update", "avss/paper,site=block_update/tau_depth"
    verdicts = [n(f"{group}/verdict_random={verdict}") for verdict in ("better", "worse")]
    return (
        all(
            look_up_number(f"reference/{data}-smollm2/{update}", RESULTS).high
            < look_up_number(f"reference/{data}-smollm2/avss/tau_depth", RESULTS).low
            for data in ("hackernews", "pile", "squad", "sst2")
        )
        and 2 * n(f"{group}/verdict_avss=better") > n(f"{group}/retention")
        and 2 * verdicts[0] < n(f"{group}/retention")
        and verdicts[1] > 0
    )


def block_influence_is_not_told_from_random() -> bool:
    influence, random = (
        look_up_number(f"reference/squad-smollm2/{method}/retention", RESULTS)
        for method in ("block_influence", "random")
    )
    return (
        n("count/question_answering/block_influence/verdict_random=not-told-apart")
        == n("count/question_answering/block_influence/retention")
        and n("lowest/mini+question_answering/random/retention") > 0.9
        and max(influence.high, random.high) < 0.5
    )


def one_model_can_be_judged_on_squad() -> bool:
    judged = []
    for profile, row in measurements(RESULTS, "reference+question_answering"):
        try:
            judged.append((row, n(f"{profile}/{row}/avss/retention")))
        except NotMeasured:
            continue
    weak, other = (
        look_up_number(f"reference/squad-{model}/original/value", RESULTS) for model in ("decoder-stablelm", "smollm2")
    )
    return [row for row, _ in judged] == ["squad-smollm2"] and weak.high < other.low


def a_few_methods_take_the_time() -> bool:
    rows = {each["method"]: each["time_ratio"] for each in benchmark("methods-cpu")["rows"]}
    leave = [rows.pop("leave_one_out"), rows.pop("kl_leave_one_out")]
    ordered = rows.pop("shapley") > rows.pop("greedy") > rows.pop("cim") > 2 * max(leave)
    return ordered and min(leave) > 3 * rows["lrp"] and max(rows, key=rows.get) == "lrp"


def benchmark(name: str) -> dict:
    return json.loads((RESULTS.benchmarks / f"{name}.json").read_text(encoding="utf-8"))


def limits_of_families() -> bool:
    """The third finding on families: which methods do not run on a family that passes."""
    passed = survey(RESULTS).query("passes == 'yes'")
    every = set(max(passed["methods"], key=len).split())
    missing = [every - set(methods.split()) for methods in passed["methods"]]
    return (
        sum(line.relevance for line in ARCHITECTURES.values()) == 10
        and [lost for lost in missing if lost] == [{"leave_one_out", "cim", "greedy"}] * 3
        and passed["methods"].str.startswith("avss block_influence").all()
    )


def damage_is_told_where_it_can_be() -> bool:
    """The third finding on faults."""
    damaged = pd.DataFrame([row for row in benchmark("faults")["rows"] if "protection" in row])
    bare = damaged[damaged["protection"] == "none"]
    sums = damaged.drop(bare.index)[["injected", "refused", "same", "told_by_identity", "other_content"]].sum()
    return (
        sums.tolist() == [2310, 1886, 209, 215, 0]
        and (bare["injected"].sum(), bare["other_content"].sum()) == (598, 60)
        and set(bare["fault"]) == {f"damaged-{file}" for file in ("claims", "profile", "provenance", "table-1")}
    )


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


def test_compensation_helps_some_scores_of_smollm2_and_not_avss():
    """The paragraph on SST-2 of the page of real models."""
    gains = compensation(RESULTS, "sst2-smollm2")
    gains = gains[gains["source"] == "reference"]
    assert (len(gains), (gains["gain_low"] > 0).sum(), (gains["gain_high"] < 0).sum()) == (96, 14, 1)
    seven = gains[(gains["removed"] == 7) & (gains["rule"] == "lowest")].set_index("name")
    for name, plain, compensated in (
        ("angular distance", 69, 82),
        ("update norm", 78, 84),
        ("block influence", 78, 81),
        ("AVSS", 63, 68),
    ):
        assert (round(100 * seven["plain"][name]), round(100 * seven["retention"][name])) == (plain, compensated)
        assert (seven["gain_low"][name] > 0) == (name != "AVSS")
    coin = 0.5 / n(f"{SMOLLM2_SST2}/original/value")
    assert seven["low"]["AVSS"] < coin < seven["high"]["AVSS"]


def predictions() -> list[list[str]]:
    """The requests of each prediction: how often it held here, of how many, and how often on the paper's models."""
    lines = [line for line in PAGES["book/predictions"].splitlines() if re.match(r"\| [A-Z] \|", line)]
    return [REQUEST.findall(line)[-3:] for line in lines]


def each_held_in_all_measurements_here() -> bool:
    return len(predictions()) == 6 and all(n(held) == n(judged) > 0 for held, judged, _ in predictions())


ENCODER = "reference/sst2-minilm"
PINS = {
    "book/index": [
        lambda: below_random() and n("count/decoders/avss/verdict_random=better") == 0 and evidence_lies_there(),
        depth,
        block_influence_is_beyond_chance,
    ],
    "book/rows": [
        lambda: (
            most("retention<random", "all")
            and 2 * n("count/all/avss/verdict_random=worse") > n("count/all/avss/retention")
            and block_influence_is_better()
            and n("count/all/block_influence/verdict_avss=better") >= 0.8 * n("count/all/avss/retention")
        ),
        lambda: (
            n("reference/hackernews-decoder-stablelm/random/retention_highest_seed")
            > 5 * n("reference/hackernews-decoder-stablelm/random/retention_lowest_seed")
        ),
        smollm2_loses_what_the_others_keep,
    ],
    "book/audit": [
        lambda: (
            n("count/decoders/avss/verdict_random=worse") > n("count/decoders/avss/retention") / 2
            and n("count/decoders/avss/verdict_random=better") == 0
        ),
        lambda: (
            n("count/decoders/avss/retention>=0.9") < n("count/decoders/avss/retention") / 2
            and n("count/encoders/avss/retention>=0.9") > 0
        ),
        lambda: n("printed/hackernews-llama-7b/avss/retention") < 0.9,
    ],
    "book/table-1": [
        lambda: n("geomean/language_modeling/avss/retention") < n("geomean/language_modeling/random/retention"),
        lambda: (
            abs(n("printed/sst2-distilbert/avss/retention") - n(f"{ENCODER}/avss/retention")) < 0.05
            and verdict(f"{ENCODER}/avss", "random", RESULTS) == "not told apart"
        ),
        baselines_change_places_with_avss,
    ],
    "book/related-work": [below_random, lambda: n("count/all/measurements") > 0, last_is_beaten],
    "book/checklist": [
        lambda: below_random() and depth(),
        lambda: (
            verdict(f"{ENCODER}/avss/released-code", "avss", RESULTS) == "worse"
            and verdict(f"{ENCODER}/avss", "random", RESULTS) == "not told apart"
        ),
        lambda: (
            most("tau_leave_one_out<block_influence")
            and n("mean/decoders/avss/tau_leave_one_out") < n("mean/decoders/block_influence/tau_leave_one_out") / 2
            and abs(cost("block_influence") - cost("avss")) < 0.3
        ),
    ],
    "book/mistakes": [below_random, circuits_differ],
    "book/predictions": [lambda: n("count/paper/measurements") == 0, each_held_in_all_measurements_here],
    "book/notation": [
        depth,
        lambda: n(f"{ENCODER}/avss/retention") > 0.9 > 0.85 > n(f"{ENCODER}/avss/released-code/retention"),
        update_is_another_order,
    ],
    "book/executed/variance": [
        lambda: n("mean/decoders/avss/variance_tau_depth") > 0.8 and abs(n(f"{ENCODER}/avss/variance_tau_depth")) < 0.5,
        lambda: cost("avss") < 1.2,
        lambda: (
            spoken(f"{ENCODER}/avss/blocks", RESULTS)[0] != spoken(f"{ENCODER}/avss/released-code/blocks", RESULTS)[0]
        ),
    ],
    "book/executed/sparsity": [
        lambda: n("mean/decoders/avss/sparsity_tau_depth") < -0.6,
        lambda: n(f"{ENCODER}/avss/sparsity_tau_depth") < -0.5 and abs(n(f"{ENCODER}/avss/variance_tau_depth")) < 0.5,
    ],
    "book/executed/avss": [
        depth,
        lambda: (
            most("tau_leave_one_out<block_influence", "all")
            and n(f"{ENCODER}/avss/tau_leave_one_out") < n(f"{ENCODER}/block_influence/tau_leave_one_out")
        ),
        lambda: depth() and quarter_of_the_score(),
    ],
    "book/executed/readings": [
        lambda: n(f"{ENCODER}/avss/retention") - n(f"{ENCODER}/avss/released-code/retention") > 0.1,
        lambda: (
            below_random()
            and n("count/decoders/avss/released-code/retention<random")
            >= 0.8 * n("count/decoders/avss/released-code/retention")
        ),
        lambda: n("mean/decoders/avss/released-code/tau_depth") > 0.5,
    ],
    "book/executed/real-models": [
        lambda: one_feature_of_the_first_token() and written_once_and_no_cure(),
        others_follow_the_loss_and_avss_does_not,
        lambda: at_chance_on_sst2() and training_repairs_no_choice() and avss_collapses_on_hackernews(),
    ],
    "book/executed/shapley": [
        lambda: np.allclose(exact(REDUNDANT).values, 1 / 6) and not window(REDUNDANT, 1).values.any(),
        avss_removes_cornerstones,
        values_are_nearly_alike,
    ],
    "book/executed/hallucination": [
        by_definition,
        no_layer_is_prone_on_all_sets,
        healing_brings_no_gain,
    ],
    # `tests/test_explorer.py` tests its findings.
    "book/explorer": [by_definition] * 3,
    "book/executed/baselines": [
        lambda: block_influence_is_better() and abs(cost("block_influence") - cost("avss")) < 0.3,
        lambda: n("count/decoders/gbis/tau_depth<=-0.9") >= 0.8 * n("count/decoders/gbis/tau_depth"),
        lambda: cost("leave_one_out") > 5,
    ],
    "book/executed/sentiment": [
        lambda: n("count/sentiment/avss/retention<random") > n("count/sentiment/avss/retention") / 2,
        lambda: n(f"{ENCODER}/random/retention_lowest_seed") < 0.85 < 0.95 < n(f"{ENCODER}/avss/retention"),
        lambda: block_influence_is_better("sentiment"),
    ],
    "book/executed/language-modeling": [
        lambda: most("retention<random", "language_modeling") and most("retention<last", "language_modeling"),
        lambda: (
            n("geomean/language_modeling/avss/retention")
            < n("geomean/language_modeling/random/retention")
            < n("geomean/language_modeling/block_influence/retention")
        ),
        lambda: (
            n("count/language_modeling/leave_one_out/highest_block=0")
            >= 0.8 * n("count/language_modeling/leave_one_out/highest_block")
        ),
    ],
    "book/executed/question-answering": [
        lambda: most("retention<random", "question_answering"),
        lambda: block_influence_is_better("question_answering"),
        block_influence_is_not_told_from_random,
    ],
    "book/models": [
        lambda: n("count/all/models") < n("count/all/measurements"),
        lambda: (
            n("count/pretrained/models") == 2
            and {row for _, row in measurements(RESULTS, "pretrained")}
            == {"sst2-minilm", *(f"{data}-smollm2" for data in ("hackernews", "pile", "squad", "sst2"))}
        ),
        one_model_can_be_judged_on_squad,
    ],
    "book/cost": [
        lambda: abs(n("bench/pruning-cpu/rows/removed=4/decode_speedup") - 4 / 3) < 0.1,
        lambda: cost("avss") < 1.2 and cost("block_influence") < 1.2 and cost("leave_one_out") > 5,
        block_influence_is_better,
    ],
    "book/speed": [
        lambda: 1.05 < cost("avss") < 1.2 and "at most 1.05" in target_table(RESULTS).splitlines()[2],
        lambda: 1.5 < n("bench/ablation-cpu/rows/method=leave_one_out/speedup") < 2.1,
        lambda: any("scripts' way" in line and "does not hold" in line for line in target_table(RESULTS).splitlines()),
    ],
    "book/reproducing": [
        lambda: {facts["hardware"]["device"] for facts in RESULTS.provenances.values()} == {"cpu"},
        lambda: cost("avss") < 1.2 and cost("block_influence") < 1.2,
        a_few_methods_take_the_time,
    ],
    "book/families": [
        lambda: [(survey(RESULTS)[step] == "yes").sum() for step in ("runs", "passes")] == [171, 155],
        lambda: (
            survey(RESULTS).query("passes == 'yes'")["sites"].value_counts().to_dict()
            == {"block_output block_update attention_output mlp_output mlp_hidden": 80, "block_output block_update": 75}
        ),
        limits_of_families,
    ],
    "book/tested": [
        lambda: n("bench/faults/rows/fault=all/losses") == 0 < n("bench/faults/rows/fault=all/injected"),
        lambda: (
            n("bench/faults/rows/fault=kill-all/losses") == 0
            and (1 - 1 / 70) ** n("bench/faults/rows/fault=kill-all/injected") > 0.05
        ),
        damage_is_told_where_it_can_be,
    ],
}


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT])
def test_a_page_ends_in_findings(page):
    found = findings(PAGES[page])
    assert 1 <= len(found) <= 3, "one to three numbered findings in a last section `## Findings`"
    assert len(found) == len(PINS[page]), "one pin in PINS for each finding"


@pytest.mark.parametrize(("page", "place"), [(page, place) for page in PINS for place in range(len(PINS[page]))])
def test_a_finding_is_what_the_store_says(page, place):
    assert PINS[page][place](), f"{page}, finding {place + 1}: the numbers no longer say this"


@pytest.mark.parametrize("page", PAGES)
def test_every_number_of_a_page_is_found(page):
    for request in REQUEST.findall(PAGES[page]):
        spoken(request, RESULTS)


def test_the_book_tells_numbers_in_its_prose():
    told = [
        request
        for text in PAGES.values()
        for line in text.splitlines()
        if "|" not in line
        for request in REQUEST.findall(line)
    ]
    assert len(told) >= LIVE, "numbers in tables of links do not count"


def test_a_prediction_is_counted_on_the_paper_s_models_as_it_was_here():
    for held, _, paper in predictions():
        assert paper == f"{held.replace('count/', 'count/paper+', 1)} or not measured"


def test_the_shared_text_on_decoders_says_how_the_small_one_was_trained():
    training = training_of(RESULTS.newest("reference", "sst2-decoder-stablelm"))
    (lesson,) = training["lessons"]
    assert (training["steps"], lesson["steps"]) == (4800, 2000)
    assert (lesson["shares"]["sst2"], lesson["shares"]["squad"]) == (0.37, 0.25)
    assert round(training["tokens_seen"], -6) == 10_000_000


@pytest.mark.parametrize("name", PAGES)
def test_no_page_leads_to_the_page_of_a_row_by_its_name(name):
    """Which rows have pages depends on the profile that the book is built for; `book/rows` leads to those there are."""
    assert "executed/rows/" not in PAGES[name]
