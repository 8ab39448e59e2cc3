"""The page of the models: what a reader learns of each model that ran."""

from avss.files import ROOT
from avss.report.snapshot import Results
from avss.report.tables.models import models_table
from avss.runs.profile import load_profile
from avss.store import Store
from tests.stores import COMMITTED, fill


def test_each_model_that_ran_has_its_size_training_and_scores():
    text = models_table(COMMITTED)
    for fact in (
        "LlamaForCausalLM",
        "4,219,136",
        "planted in blocks 0 and 1 of 4",
        "37 % sst2",
        "Apache-2.0",
    ):
        assert fact in text
    sections = {section.split("\n")[0].removeprefix("## "): section for section in text.split("\n## ")}
    assert {"SmolLM2-135M-Instruct", "StableLM-class decoder (4.2 M)", "MiniLM fine-tuned on SST-2"} <= set(sections)
    profile = load_profile(ROOT / "profiles" / "reference.yaml")
    rows = [row for row in profile.rows if row.checkpoint == "models/smollm2-135m"]
    assert sections["SmolLM2-135M-Instruct"].count("\n- ") == len(rows) > 0
    assert "not recorded" not in text


def test_a_model_without_a_card_is_listed_with_what_is_known(tmp_path):
    store = Store(tmp_path)
    fill(store, "mini", row="mine", dataset="my text", model="my model")
    text = models_table(Results(store))
    assert "## my model" in text
    assert "not recorded" in text
    assert "my text: accuracy 0.900" in text


def test_without_results_nothing_is_measured(tmp_path):
    assert models_table(Results(Store(tmp_path))) == "Not measured.\n"
