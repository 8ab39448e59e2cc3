"""Cards of rows and pages of notebooks that failed: what readers see where a row did not run."""

import json

import nbformat
import pytest

from avss.report import cards

ROW = {"id": "mine", "dataset": "my data", "model": "my model"}


def test_a_row_is_named_by_its_title_and_else_by_its_data_and_model():
    assert cards.title_of(ROW) == "my data, my model"
    assert cards.title_of(ROW | {"title": "Mine"}) == "Mine"


def test_a_card_links_to_the_page_and_shows_a_drawing_for_light_and_dark_pages():
    text = cards.card("mine", "Mine")
    assert "{doc}`Mine <executed/rows/mine>`" in text
    assert [text.count(f"figures/mine/card-mine.{theme}.svg") for theme in ("light", "dark")] == [1, 1]
    assert text.count(":alt: The blocks") == 2


@pytest.mark.parametrize("name", ["a row's", "50 % {of} `it`"])
def test_a_title_with_odd_characters_is_shown_as_it_is(name):
    assert f"**{name}**" in cards.card_of_failure(name, "box")
    assert json.loads(cards.page_of_failure(name, "box"))["cells"][0]["source"] == f"# {name}\n\nbox"


def test_the_box_of_a_failure_has_the_end_of_the_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {number}" for number in range(100)) + "\n")
    box = cards.not_executed(log, tmp_path / "none")
    assert "line 99\n```\n:::" in box
    assert "line 79" not in box


def test_a_log_with_a_fence_of_its_own_stays_inside_the_box(tmp_path):
    (tmp_path / "log").write_text("before\n````python\nraise\n````\nafter")
    lines = cards.not_executed(tmp_path / "log", tmp_path / "none").splitlines()
    assert lines[2] == "`````text"
    assert lines[-2] == "`````"


@pytest.mark.parametrize("ran", [True, False])
def test_a_notebook_that_never_started_says_so(tmp_path, ran):
    (tmp_path / "executed").write_text("a notebook")
    if ran:
        (tmp_path / "log").write_text("all well")
    assert "It was not started" in cards.not_executed(tmp_path / "log", tmp_path / "executed")


def test_the_page_of_a_failure_is_a_valid_notebook():
    nbformat.validate(nbformat.reads(cards.page_of_failure("Mine", "box"), 4))


def test_a_grid_holds_all_cards():
    assert cards.grid(["one", "two"]) == ":::::{grid} 1 1 2 2\n:gutter: 3\n\none\ntwo\n:::::\n"
