"""LayerScores: from moments to a table, to disk and back."""

import json

import numpy as np
import pandas as pd
import pytest

import avss
from avss import equations
from avss.errors import InputError
from avss.scores import LayerScores, from_values
from tests.conftest import ragged, tiny

COLUMNS = [
    "layer",
    "variance",
    "std",
    "normalized_variance",
    "sparsity",
    "sparsity_bound",
    "elements",
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
    assert table["elements"].tolist() == [33 * 16] * 4
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
    table, bound = scores.table, 1 / (33 * 16)
    assert table["sparsity"].tolist() == [0] * 4, "the measured share is shown, not its bound"
    assert table["sparsity_bound"].tolist() == [bound] * 4
    assert table["elements"].tolist() == [33 * 16] * 4
    assert table["avss"].tolist() == (table["variance"] / bound).tolist()
    assert table["normalized_sparsity"].tolist() == [0.25] * 4, "Eqs. 5 and 6 use the bound, as Eq. 7 does"
    assert table["sparsity_deviation"].tolist() == equations.sparsity_deviation([bound] * 4).tolist()
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


def test_scores_without_the_column_of_their_method_are_refused():
    with pytest.raises(InputError, match="no column magnitude"):
        LayerScores(pd.DataFrame({"layer": [0, 1], "other": [1.0, 2.0]}), "magnitude")
    with pytest.raises(InputError, match=r"layer 1 is not finite \(big\)"):
        LayerScores(pd.DataFrame({"layer": [0, 1], "magnitude": [1.0, "big"]}), "magnitude")
