"""The page of the models: what a reader learns of each model that ran."""

from pathlib import Path

from avss.report.snapshot import Results
from avss.report.tables.models import models_table
from avss.store import Store
from tests.stores import fill

ROOT = Path(__file__).parent.parent


def test_each_model_that_ran_has_its_size_training_and_scores():
    text = models_table(Results(Store(ROOT / "results")))
    # Nine rows of three models.
    assert text.count("\n## ") + text.startswith("## ") == 3
    for fact in (
        "LlamaForCausalLM",
        "4,214,912",
        "planted in blocks 0 and 1 of 4",
        "37 % sst2",
        "Apache-2.0",
    ):
        assert fact in text
    decoder = text.split("\n## ")[1]
    assert decoder.count("\n- ") == 4


def test_a_model_without_a_card_is_listed_with_what_is_known(tmp_path):
    store = Store(tmp_path)
    fill(store, "mini", row="mine", dataset="my text", model="my model")
    text = models_table(Results(store))
    assert "## my model" in text
    assert "not recorded" in text
    assert "my text: accuracy 0.900" in text


def test_without_results_nothing_is_measured(tmp_path):
    assert models_table(Results(Store(tmp_path))) == "Not measured.\n"
