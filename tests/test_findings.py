"""What the pages say was found: every page has findings, every one is pinned to the store, and prose has live numbers.

A pin is a condition on the numbers of one finding, written so that it fails where the words would no longer be true. It
is asked of the committed results; where a number is not measured yet, it is skipped.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from avss.report.cited import NotMeasured, look_up_number, spoken
from avss.report.snapshot import Results
from avss.store import Store

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
RESULTS = Results(Store(ROOT / "results"))


def findings(text: str) -> list[str]:
    """The numbered findings at the end of a page."""
    _, _, section = text.partition("\n## Findings\n")
    return re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]


def n(address: str) -> float:
    try:
        return look_up_number(address, RESULTS).value
    except NotMeasured as error:
        pytest.skip(f"not measured yet: {error}")


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


ENCODER = "reference/sst2-minilm"
PINS = {
    "book/index": [
        lambda: below_random() and n("count/decoders/avss/verdict_random=better") == 0,
        depth,
        block_influence_is_better,
    ],
    "book/rows": [
        lambda: most("retention<random", "all") and block_influence_is_better(),
        lambda: (
            n("reference/hackernews-decoder-stablelm/random/retention_highest_seed")
            > 5 * n("reference/hackernews-decoder-stablelm/random/retention_lowest_seed")
        ),
    ],
    "book/audit": [
        lambda: n("count/decoders/avss/verdict_random=worse") > 0 == n("count/decoders/avss/verdict_random=better"),
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
            and abs(n(f"{ENCODER}/random/retention") - n(f"{ENCODER}/avss/retention")) < 0.05
        ),
    ],
    "book/related-work": [below_random, lambda: n("count/all/measurements") > 0],
    "book/checklist": [
        lambda: below_random() and depth(),
        lambda: (
            n(f"{ENCODER}/avss/retention") - n(f"{ENCODER}/avss/released-code/retention")
            > abs(n(f"{ENCODER}/avss/retention") - n(f"{ENCODER}/random/retention"))
        ),
    ],
    "book/mistakes": [below_random],
    "book/notation": [
        depth,
        lambda: n(f"{ENCODER}/avss/retention") > 0.9 > 0.85 > n(f"{ENCODER}/avss/released-code/retention"),
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
        depth,
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
    # Their numbers are computed on the page; `tests/test_massive.py` and `tests/test_shapley.py` test how.
    "book/executed/real-models": [lambda: True] * 3,
    "book/executed/shapley": [lambda: True] * 3,
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
        lambda: most("retention<random", "language_modeling") and n("count/language_modeling/avss/retention<last") > 0,
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
    ],
    "book/models": [
        lambda: n("count/all/models") < n("count/all/measurements"),
        lambda: 0 < n("count/pretrained/models") < n("count/all/models"),
    ],
    "book/cost": [
        lambda: abs(n("bench/pruning-cpu/rows/removed=4/decode_speedup") - 4 / 3) < 0.1,
        lambda: cost("avss") < 1.2 and cost("block_influence") < 1.2 and cost("leave_one_out") > 5,
        block_influence_is_better,
    ],
    "book/speed": [
        lambda: cost("avss") < 1.2,
        lambda: 1.5 < n("bench/ablation-cpu/rows/method=leave_one_out/speedup") < 2.1,
        lambda: True,
    ],
    "book/reproducing": [lambda: n("count/reference/measurements") > 0, lambda: cost("avss") < 1.2],
    "book/families": [lambda: True, lambda: True],
    "book/tested": [
        lambda: n("bench/faults/rows/fault=all/losses") == 0,
        lambda: n("bench/faults/rows/fault=kill-all/losses") == 0,
    ],
}


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT])
def test_a_page_ends_in_findings(page):
    found = findings(PAGES[page])
    assert 1 <= len(found) <= 3, "one to three numbered findings in a last section `## Findings`"
    assert len(found) == len(PINS.get(page, found)), "one pin in PINS for each finding"


@pytest.mark.parametrize(("page", "place"), [(page, place) for page in PINS for place in range(len(PINS[page]))])
def test_a_finding_is_what_the_store_says(page, place):
    assert PINS[page][place](), f"{page}, finding {place + 1}: the numbers no longer say this"


@pytest.mark.parametrize("page", PAGES)
def test_every_number_of_a_page_is_found(page):
    """Every address leads somewhere; a number that no run has measured is left to the build."""
    for request in REQUEST.findall(PAGES[page]):
        if request.startswith("bench/"):
            continue
        spoken(f"{request} or not measured" if "or not measured" not in request else request, RESULTS)


def test_the_book_tells_numbers_in_its_prose():
    told = [
        request
        for text in PAGES.values()
        for line in text.splitlines()
        if "|" not in line
        for request in REQUEST.findall(line)
    ]
    assert len(told) >= LIVE, "numbers in tables of links do not count"
