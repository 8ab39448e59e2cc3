"""The figure of the front page: shades, outlines and points are those of the store."""

import matplotlib as mpl
import pytest

from avss.report.figures import drawn
from avss.report.figures.front import front
from avss.report.figures.style import style
from avss.report.snapshot import Results
from avss.store import Store
from tests.stores import CORRECT, REMOVED, SEEDS, fill

LEFT_OUT = REMOVED | {("leave_one_out", "none"): ["2"] * SEEDS, ("block_influence", "none"): ["2"] * SEEDS}


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "results")


def test_it_tells_the_losses_the_removed_blocks_and_the_shares_of_a_measurement(store):
    removed = LEFT_OUT | {("avss", "paper"): ["1", "1", "5"]}
    fill(store, "mini", removed=removed)
    with mpl.rc_context(style("light")):
        figure, data = front(Results(store))
    # In this store a method scores blocks by depth.
    losses = data[data["quantity"] == "loss without the block"]
    assert losses["value"].tolist() == [1, 2, 3, 4, 5, 6]
    gone = data[data["quantity"] == "removed"].set_index("block")["value"]
    assert gone[gone > 0].to_dict() == pytest.approx({1: 2 / 3, 5: 1 / 3})
    shares = data[(data["quantity"] == "share kept") & (data["seed"] != "all")]
    expected = [CORRECT[blocks] / CORRECT["none"] for blocks in removed["random", "none"]]
    assert shares[shares["method"] == "random"]["value"].tolist() == pytest.approx(expected)
    outlined = [patch for patch in figure.axes[0].patches if patch.get_facecolor()[3] == 0]
    assert [round(patch.get_x() * 6) for patch in outlined] == [1], "on most seeds AVSS removes block 1"
    shades = [patch for patch in figure.axes[0].patches if patch not in outlined][1::2]
    assert [patch.get_alpha() for patch in shades] == pytest.approx([block / 6 for block in range(1, 7)])


def test_models_that_others_trained_come_first_and_real_text_goes_before_made_up_text(store):
    for row in ("one", "two"):
        fill(store, "reference", row=row, dataset=f"data of {row}", model=f"model of {row}", removed=LEFT_OUT)
    fill(store, "mini", removed=LEFT_OUT)
    _, data = front(Results(store))
    assert list(dict.fromkeys(data["row"])) == ["one", "two"]


def test_a_measurement_without_losses_of_blocks_has_no_shades(store):
    fill(store, "mini", removed={cell: sets for cell, sets in LEFT_OUT.items() if cell[0] != "leave_one_out"})
    with mpl.rc_context(style("light")):
        figure, data = front(Results(store))
    assert set(data["quantity"]) == {"removed", "share kept"}
    strip = [patch for patch in figure.axes[0].patches if patch.get_facecolor()[3] not in (0, 0.55)]
    assert strip == []


def test_a_measurement_without_the_shares_that_are_compared_is_left_out(store):
    fill(store, "mini")
    figure, data = drawn("front", Results(store), "", "light")
    assert data.empty
    assert [text.get_text() for text in figure.texts] == ["not measured"]
