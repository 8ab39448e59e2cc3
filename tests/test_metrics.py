"""The metrics against values worked out by hand from the official scripts, and without a network."""

import os
import subprocess
import sys

import evaluate
import numpy as np
import pytest

from avss import intervals, metrics
from avss.errors import InputError
from avss.metrics.answers import best, exact_match, f1, normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Norman Conquest, of 1066!", "norman conquest of 1066"),
        ("  a   cat\tand\nAN owl ", "cat and owl"),
        ("theory another ant", "theory another ant"),
        ("rock-'n'-roll", "rocknroll"),
        # Punctuation goes before articles do, so what is left of these is a word and an article.
        ("the-cat", "thecat"),
        ("a.", ""),
        ("(the) U.S.A.", "usa"),
        # Only ASCII punctuation goes, and an apostrophe of print keeps words apart from articles by \\b.
        ("“Łódź” – 20 €", "“łódź” – 20 €"),
        ("l’a", "l’"),
        ("ÉCOLE", "école"),
        ("", ""),
    ],
)
def test_answers_are_normalised_as_the_official_script_does(text, expected):
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("prediction", "reference", "expected_f1", "expected_match"),
    [
        ("The Eiffel Tower", "eiffel tower", 1, 1),
        ("in the 10th century", "10th century", 0.8, 0),
        ("Denver Broncos", "Carolina Panthers", 0, 0),
        # A word counts as often as both have it: 2 shared of 3 and 2.
        ("very very very", "very very", 0.8, 0),
        ("new york new york", "York, New", 2 / 3, 0),
        ("50 percent", "50%", 2 / 3, 0),
        ("Łódź", "łódź", 1, 1),
        ("", "Paris", 0, 0),
        ("Paris", "", 0, 0),
        ("", "", 1, 1),
        # Articles alone are an empty answer.
        ("the", "", 1, 1),
        ("the", "a", 1, 1),
    ],
)
def test_f1_and_exact_match_are_the_official_ones(prediction, reference, expected_f1, expected_match):
    assert f1(prediction, reference) == pytest.approx(expected_f1)
    assert f1(reference, prediction) == pytest.approx(expected_f1)
    assert exact_match(prediction, reference) == expected_match


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        ("10th century", ["in the 10th century", "the 10th century", "10th"], 1),
        ("10th", ["in the 10th century", "11th"], 0.5),
        ("", [], 1),
        ("Paris", [], 0),
        ("Paris", [""], 0),
        ("", ["Paris", ""], 0),
        ("", ["the", "!"], 1),
    ],
)
def test_the_best_reference_counts_and_an_empty_one_does_not(prediction, references, expected):
    assert best(f1, prediction, references) == pytest.approx(expected)


PREDICTIONS = ["The Eiffel Tower", "in the 10th century", "", "Paris"]
REFERENCES = [["eiffel tower"], ["10th century", "the tenth"], [], []]


def test_modules_load_by_path():
    module = evaluate.load(str(metrics.path_of("f1")))
    assert module.compute(predictions=PREDICTIONS, references=REFERENCES) == {
        "f1": pytest.approx((1 + 0.8 + 1 + 0) / 4),
        "exact_match": 0.5,
    }
    accuracy = evaluate.load(str(metrics.path_of("accuracy")))
    assert accuracy.compute(predictions=[1, 0, 1], references=[1, 1, 1]) == {"accuracy": pytest.approx(2 / 3)}
    perplexity = evaluate.load(str(metrics.path_of("perplexity")))
    found = perplexity.compute(predictions=[2.0, 6.0], references=[3, 1])
    assert found == {"perplexity": pytest.approx(np.exp(8 / 4))}


@pytest.mark.parametrize("metric", [entry.name for entry in metrics.METRICS.values() if entry.module != "squad"])
def test_modules_and_statistics_agree(metric):
    generator = np.random.default_rng(0)
    if metric == "accuracy":
        predictions, references = generator.integers(0, 2, (2, 100))
        top, bottom = (predictions == references).astype(float), np.ones(100)
    else:
        predictions, references = top, bottom = generator.random(100) * 50, generator.integers(1, 40, 100).astype(float)
    found = metrics.compute(metric, predictions, references)[metric]
    assert found == pytest.approx(intervals.value(metric, top, bottom), rel=1e-12)


def test_every_metric_has_a_module_that_computes_it():
    assert all(metrics.path_of(metric).is_file() for metric in metrics.METRICS)
    with pytest.raises(InputError, match="metric 'bleu' is not known; choose one of accuracy"):
        metrics.path_of("bleu")


@pytest.mark.long
def test_modules_need_no_network(tmp_path):
    """A bare cache, no offline switch, and a process in which every look-up and connection fails."""
    code = (
        "import socket\n"
        "def refuse(*given, **named):\n"
        "    raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
        "from avss import metrics\n"
        "print(metrics.compute('f1', ['Rome'], [['rome', 'Ada']]), metrics.compute('accuracy', [1], [1]))\n"
    )
    environment = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment | {"HF_HOME": str(tmp_path)}
    )
    assert done.stdout == "{'f1': 1.0, 'exact_match': 1.0} {'accuracy': 1.0}\n", done.stderr


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "file" / "cache")
    with pytest.raises(InputError, match=r"metric f1: the cache of evaluate cannot be used .* set HF_HOME"):
        metrics.compute("f1", ["Rome"], [["Rome"]])


def test_the_package_ships_the_modules():
    import tomllib
    from pathlib import Path

    packaged = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = packaged["package-data"]["avss.metrics"]
    shipped = {path for pattern in patterns for path in metrics.FOLDER.glob(pattern)}
    assert {metrics.path_of(metric) for metric in metrics.METRICS} <= shipped
