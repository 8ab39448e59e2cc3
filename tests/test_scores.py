"""LayerScores and selection: from moments to a table, to disk and back, to the layers that go."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import avss
from avss import equations, selection
from avss.errors import InputError
from avss.scores import LayerScores, from_values
from tests.conftest import ragged, tiny

COLUMNS = [
    "layer",
    "variance",
    "std",
    "normalized_variance",
    "sparsity",
    "normalized_sparsity",
    "sparsity_deviation",
    "avss",
    "normalized_avss",
    "cumulative_avss",
    "rank",
]
BATCHES = [ragged(seed=1), ragged((4, 8), seed=2)]


def test_the_table_holds_equations_1_to_9():
    scores = avss.score(tiny("llama"), BATCHES, reading="paper,epsilon=0.05")
    table = scores.table
    assert list(table.columns) == COLUMNS
    assert scores.values.dtype == np.float64
    assert scores.values.shape == (4,)
    assert (scores.values == table["normalized_avss"]).all()
    assert (table["std"] ** 2).to_numpy() == pytest.approx(table["variance"].to_numpy())
    assert table["avss"].tolist() == (table["variance"] / table["sparsity"]).tolist()
    assert table["sparsity_deviation"].tolist() == equations.sparsity_deviation(table["sparsity"]).tolist()
    assert table["cumulative_avss"].iloc[-1] == pytest.approx(1)
    assert sorted(table["rank"]) == [1, 2, 3, 4]
    assert table["rank"].iloc[scores.lowest(1)[0]] == 4
    assert (scores.documents, scores.tokens) == (5, 33)


def test_batches_split_or_ordered_otherwise_score_the_same():
    model, halves = tiny("stablelm"), [ragged((7,), seed=1), ragged((5, 3), seed=2)]
    forward, backward = (avss.score(model, part) for part in (halves, halves[::-1]))
    assert forward.values == pytest.approx(backward.values, rel=1e-12)


def test_zero_sparsity_becomes_the_resolution_with_a_warning_or_an_error():
    model, tiny_epsilon = tiny("llama"), "epsilon=1e-30"
    with pytest.warns(UserWarning, match=r"layers 0, 1, 2, 3: S set to 1/N"):
        scores = avss.score(model, BATCHES, reading=f"paper,{tiny_epsilon}")
    assert scores.table["sparsity"].tolist() == [1 / (33 * 16)] * 4
    with pytest.raises(InputError, match="sparsity is 0 in layers 0, 1, 2, 3"):
        avss.score(model, BATCHES, reading=f"paper,{tiny_epsilon},zero_sparsity=error")


def test_a_quantile_reading_gives_every_layer_the_same_epsilon():
    scores = avss.score(tiny("llama"), BATCHES, reading="paper,epsilon=quantile:0.2")
    shares = scores.table["sparsity"].to_numpy()
    assert 0.2 <= shares.mean() <= 0.25
    assert scores.reading == "paper,epsilon=quantile:0.2"


def test_saved_scores_come_back(tmp_path):
    scores = avss.score(tiny("llama"), BATCHES)
    scores.save(tmp_path / "scores.csv", model="a model")
    loaded = LayerScores.load(tmp_path / "scores.csv")
    assert loaded.table.equals(scores.table)
    assert (loaded.method, loaded.reading, loaded.documents, loaded.tokens) == ("avss", "paper", 5, 33)
    assert json.loads((tmp_path / "scores.json").read_text())["model"] == "a model"
    (tmp_path / "scores.json").unlink()
    assert LayerScores.load(tmp_path / "scores.csv").lowest(2) == scores.lowest(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv"]

    other = from_values("magnitude", np.array([3.0, 1.0, 2.0]))
    other.save(tmp_path / "other.csv")
    assert LayerScores.load(tmp_path / "other.csv").values.tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("", "not a table of layer scores"),
        ("a,b\n1,2\n", "not a table of layer scores"),
        ("layer,avss\n0,1\n2,1\n", "not a table of layer scores"),
        ("layer,magnitude\n0,1\n1,\n", "not finite"),
        ("layer,magnitude\n0,1\n1,big\n", "not finite"),
    ],
)
def test_a_file_that_holds_no_scores_is_named(tmp_path, content, message):
    path = tmp_path / "scores.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        LayerScores.load(path)


def test_saving_into_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        from_values("last", np.array([2.0, 1.0])).save(tmp_path / "nowhere" / "scores.csv")


distinct = npst.arrays(np.float64, st.integers(2, 40), elements=st.floats(0.01, 100), unique=True)


@given(distinct, st.data())
def test_lowest_removes_the_k_smallest_in_ascending_order(values, data):
    k = data.draw(st.integers(1, len(values) - 1))
    assert selection.lowest(values, k) == sorted(range(len(values)), key=values.__getitem__)[:k]


def test_of_equal_layers_the_deeper_goes_first_and_ranks_lower():
    scores = from_values("last", np.array([1.0, 1.0, 1.0]))
    assert scores.lowest(2) == [2, 1]
    assert scores.table["rank"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("fraction", "layers", "count"),
    [(0.1667, 6, 1), (0.25, 16, 4), (0.25, 32, 8), (0.125, 32, 4), (0.1562, 32, 5), (0.2, 32, 6), (0.225, 32, 7)],
)
def test_shares_of_table_1_become_whole_layers(fraction, layers, count):
    assert selection.count_of(fraction, layers) == count


@pytest.mark.parametrize("wanted", [0, 4, -1, 0.0, 1.0, 1.5, 0.05, 0.95, float("nan")])
def test_amounts_that_leave_nothing_to_do_or_nothing_over_are_refused(wanted):
    with pytest.raises(InputError, match=str(wanted)):
        selection.count_of(wanted, 4)


@given(distinct, st.floats(0.01, 0.99))
def test_cumulative_takes_the_lowest_up_to_the_mass(values, mass):
    taken = selection.cumulative(values, mass)
    assert taken == sorted(range(len(values)), key=values.__getitem__)[: len(taken)]
    assert values[taken].sum() / values.sum() <= mass + 1e-12


def test_iterative_scores_what_is_left_again():
    # Layer 2 is the lowest; without it layer 0 is, although layer 1 was lower before.
    scores = {(): [3, 2, 1, 9], (2,): [1, 5, 9], (0, 2): [7, 6]}
    asked = []

    def score(removed):
        asked.append(tuple(removed))
        return scores[tuple(removed)]

    assert selection.iterative(score, 4, 3) == [2, 0, 3]
    assert asked == [(), (2,), (0, 2)]


def test_rules_are_chosen_by_name():
    values = [0.2, 0.01, 0.4, 0.39]
    assert selection.select("lowest", lambda removed: values, 4, 2) == [1, 0]
    assert selection.select(
        "iterative", lambda removed: [v for i, v in enumerate(values) if i not in removed], 4, 2
    ) == [
        1,
        0,
    ]
    assert selection.select("cumulative(0.25)", lambda removed: values, 4, 1) == [1, 0]
    assert selection.select("released_code(0.25)", lambda removed: values, 4, 1) == [0, 1]


@pytest.mark.parametrize("rule", ["highest", "lowest(0.5)", "cumulative", "cumulative(half)", "cumulative(0.2", ""])
def test_an_unknown_rule_is_one_clear_line(rule):
    with pytest.raises(InputError, match="selection"):
        selection.parse(rule)


def test_a_mass_needs_scores_that_have_shares():
    for values in ([-1, 2, 3], [0, 0, 0]):
        with pytest.raises(InputError, match="have no shares"):
            selection.cumulative(values, 0.5)


def test_released_code_takes_the_first_layers_whatever_they_score():
    assert selection.released_code([0.2, 0.01, 0.4, 0.39], 0.25) == [0, 1]
    assert selection.cumulative([0.2, 0.01, 0.4, 0.39], 0.25) == [1, 0]
    with pytest.raises(InputError, match=r"mass is 1\.5"):
        selection.cumulative([1.0, 2.0], 1.5)
