"""Each method beside its slow oracle."""

import pytest

import avss
from avss.methods import METHODS
from tests.conftest import labelled, ragged, tiny
from tests.oracles import ORACLES


def without_an_oracle() -> list[str]:
    return [name for name in METHODS if name not in ORACLES]


def test_every_method_has_an_oracle():
    assert not without_an_oracle(), f"add to ORACLES in tests/oracles.py: {', '.join(without_an_oracle())}"


def test_a_method_without_an_oracle_is_named(monkeypatch):
    monkeypatch.setitem(METHODS, "divination", METHODS["last"])
    assert without_an_oracle() == ["divination"]


@pytest.mark.filterwarnings("ignore:no activation below epsilon")
@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("method", ORACLES)
def test_scores_equal_those_of_the_slow_oracle(method, family):
    model = tiny(family).double()
    batches = [labelled(family, ragged((3, 2))), labelled(family, ragged((2,), seed=1), seed=1)]
    expected = ORACLES[method](model, batches)
    assert avss.score(model, batches, method).values == pytest.approx(expected, rel=1e-6, abs=1e-9)
