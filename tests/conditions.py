"""Conditions on the stored results, each written so that it fails where the words of a finding would be untrue.

`tests/test_findings.py` says which one holds which finding. An unmeasured number is an error.
"""

import json
import re

import pandas as pd

from avss.architectures import ARCHITECTURES
from avss.engine.games import Game
from avss.report.addresses import NotMeasured
from avss.report.cited import look_up_number
from avss.report.counted import measurements, verdict
from avss.report.curves import curve
from avss.report.table1 import printed_table
from avss.report.tables.families import survey
from tests.stores import COMMITTED as RESULTS

ENCODER = "reference/sst2-minilm"
MINI_ENCODER = "mini/reviews-mini-distilbert"
# Six blocks of which any one is enough.
REDUNDANT = Game(lambda coalitions: coalitions.any(1)[:, None].astype(float), 6)


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


def printed_shares_run_from(lowest: str, highest: str) -> bool:
    """Whether these lines have the lowest and the highest share that the paper prints of AVSS in language modelling."""
    table = printed_table()
    lines = table[table["task"] == "language_modeling"]["id"]
    shares = {line: n(f"printed/{line}/avss/retention") for line in lines}
    return len(shares) == 6 and (min(shares, key=shares.get), max(shares, key=shares.get)) == (lowest, highest)


def cost(method: str) -> float:
    return n(f"bench/methods-cpu/rows/method={method}/time_ratio")


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


def kept_of_mini(row: str, method: str, removed: int) -> pd.Series:
    """The point of the curve of a mini model at so many blocks; of AVSS, as the paper words it."""
    points = curve(RESULTS, row)
    points = points[(points["source"] == "mini") & (points["rule"] == "lowest") & (points["method"] == method)]
    return points[points["reading"].isin(["none", "paper"])].set_index("removed").loc[removed]


def percent_of_mini(row: str, blocks: int, **removed: int) -> list[int]:
    """Of each method, how many percent are kept without so many of the blocks of the model."""
    assert set(curve(RESULTS, row).query("source == 'mini'")["blocks"]) == {blocks}
    return [round(100 * kept_of_mini(row, method, gone)["retention"]) for method, gone in removed.items()]


def half_of_reviews_by_avss_is_a_coin() -> bool:
    avss = kept_of_mini("reviews-mini-llama-1b", "avss", 8)
    return percent_of_mini("reviews-mini-llama-1b", 16, avss=8, block_influence=8, greedy=8) == [52, 92, 97] and (
        avss["low"] < 0.5 / avss["original"] < avss["high"]
    )
