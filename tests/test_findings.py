"""What the pages say was found: every page has findings, every one is pinned to the store, and prose has live numbers.

A pin is a condition on the numbers of one finding, written so that it fails where the words would no longer be true. It
is asked of the committed results, and a number that is not measured fails it.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from avss.engine.games import exact, window
from avss.report.cited import spoken
from avss.report.counted import measurements, verdict
from avss.report.curves import compensation
from avss.report.tables.families import survey
from avss.report.tables.speed import target_table
from avss.report.training import training_of
from tests.conditions import (
    ENCODER,
    MINI_ENCODER,
    REDUNDANT,
    a_few_methods_take_the_time,
    baselines_change_places_with_avss,
    below_random,
    block_influence_is_better,
    block_influence_is_beyond_chance,
    block_influence_is_not_told_from_random,
    by_definition,
    circuits_differ,
    cost,
    damage_is_told_where_it_can_be,
    depth,
    evidence_lies_there,
    half_of_reviews_by_avss_is_a_coin,
    last_is_beaten,
    limits_of_families,
    most,
    n,
    one_model_can_be_judged_on_squad,
    percent_of_mini,
    printed_shares_run_from,
    smollm2_loses_what_the_others_keep,
    update_is_another_order,
)
from tests.conditions_of_hallucination import healing_brings_no_gain, no_layer_is_prone_on_all_sets
from tests.conditions_of_smollm2 import (
    SMOLLM2_SST2,
    at_chance_on_sst2,
    avss_collapses_on_hackernews,
    avss_collapses_on_squad,
    avss_removes_cornerstones,
    no_few_blocks_hold_the_total,
    one_feature_of_the_first_token,
    others_follow_the_loss_and_avss_does_not,
    quarter_of_the_score,
    scoring_again_saves_nothing_on_the_pile,
    scoring_again_saves_the_update_alone,
    training_repairs_no_choice,
    written_once_and_no_cure,
)
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


def test_compensation_helps_some_scores_of_smollm2_and_not_avss():
    """The paragraph on SST-2 of the page of real models."""
    gains = compensation(RESULTS, "sst2-smollm2")
    gains = gains[gains["source"] == "reference"]
    assert (len(gains), (gains["gain_low"] > 0).sum(), (gains["gain_high"] < 0).sum()) == (100, 14, 1)
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
        lambda: (
            printed_shares_run_from("hackernews-llama-7b", "hackernews-stablelm-3b")
            and n("geomean/language_modeling/avss/retention") < n("geomean/language_modeling/random/retention")
        ),
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
    "book/mistakes": [
        below_random,
        circuits_differ,
        lambda: 0 < n("count/decoders/avss/verdict_random=not-told-apart") < n("count/decoders/avss/retention") / 2,
    ],
    "book/predictions": [
        lambda: n("count/paper/measurements") == 0,
        each_held_in_all_measurements_here,
        lambda: (
            n("count/*-smollm2/avss/retention<random") == n("count/*-smollm2/avss/retention")
            and n("count/*-smollm2/avss/verdict_random=worse") < n("count/*-smollm2/avss/retention") / 2
        ),
    ],
    "book/notation": [
        depth,
        lambda: n(f"{ENCODER}/avss/retention") > 0.9 > 0.85 > n(f"{ENCODER}/avss/released-code/retention"),
        update_is_another_order,
    ],
    "book/executed/variance": [
        lambda: (
            n("mean/decoders/avss/variance_tau_depth") > 0.8
            and n("lowest/decoders/avss/variance_tau_depth") == n("lowest/*-smollm2/avss/variance_tau_depth")
            and abs(n(f"{ENCODER}/avss/variance_tau_depth")) < 0.5
        ),
        lambda: cost("avss") < 1.2,
        lambda: (
            spoken(f"{ENCODER}/avss/blocks", RESULTS)[0] != spoken(f"{ENCODER}/avss/released-code/blocks", RESULTS)[0]
        ),
    ],
    "book/executed/sparsity": [
        lambda: n("mean/decoders/avss/sparsity_tau_depth") < -0.6,
        lambda: (
            n(f"{ENCODER}/avss/sparsity_tau_depth") < -0.5
            and abs(n(f"{ENCODER}/avss/variance_tau_depth")) < 0.5
            and n(f"{MINI_ENCODER}/avss/sparsity_tau_depth") > 0
        ),
    ],
    "book/executed/avss": [
        depth,
        lambda: (
            most("tau_leave_one_out<block_influence", "all")
            and n(f"{ENCODER}/avss/tau_leave_one_out") < n(f"{ENCODER}/block_influence/tau_leave_one_out")
            and n("count/all/avss/tau_leave_one_out<block_influence") == n("count/all/avss/tau_leave_one_out") - 1
            and n(f"{MINI_ENCODER}/avss/tau_leave_one_out") > n(f"{MINI_ENCODER}/block_influence/tau_leave_one_out")
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
        lambda: (
            at_chance_on_sst2()
            and training_repairs_no_choice()
            and avss_collapses_on_hackernews()
            and avss_collapses_on_squad()
            and scoring_again_saves_the_update_alone()
            and scoring_again_saves_nothing_on_the_pile()
        ),
    ],
    "book/executed/shapley": [
        lambda: np.allclose(exact(REDUNDANT).values, 1 / 6) and not window(REDUNDANT, 1).values.any(),
        avss_removes_cornerstones,
        no_few_blocks_hold_the_total,
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
        lambda: block_influence_is_better("sentiment") and half_of_reviews_by_avss_is_a_coin(),
    ],
    "book/executed/language-modeling": [
        lambda: most("retention<random", "language_modeling") and most("retention<last", "language_modeling"),
        lambda: (
            n("geomean/language_modeling/avss/retention")
            < n("geomean/language_modeling/random/retention")
            < n("geomean/language_modeling/block_influence/retention")
            and percent_of_mini("posts-mini-llama-8b", 32, avss=3, lrp=16) == [1, 83]
        ),
        lambda: (
            n("count/language_modeling/leave_one_out/highest_block=0")
            >= 0.8 * n("count/language_modeling/leave_one_out/highest_block")
        ),
    ],
    "book/executed/question-answering": [
        lambda: most("retention<random", "question_answering"),
        lambda: (
            block_influence_is_better("question_answering")
            and percent_of_mini("passages-mini-llama-8b", 32, avss=2, lrp=16) == [27, 98]
        ),
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
