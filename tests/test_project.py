"""The repository itself: pins that agree, notebooks without outputs, committed results that can be traced."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from avss.experiment import cells, load_profile
from avss.results import Store

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.lower().split("==")
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and line[0] != "#"
)


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", pattern], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_lock_satisfies_every_range():
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *extras["book"], *extras["test"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(PINS[requirement.name]), text


def test_the_conda_environment_uses_the_lock():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert "--requirement requirements.lock" in next(entry for entry in listed if isinstance(entry, dict))["pip"]


def test_versions_agree():
    import avss

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert avss.__version__ == PROJECT["version"] == citation["version"]


def test_every_dependency_earns_its_place():
    decisions = (ROOT / "docs/decisions.md").read_text()
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(line for part in extras.values() for line in part)]:
        assert re.search(rf"\b{re.escape(Requirement(text).name)}\b", decisions), text


def test_notebooks_hold_no_outputs_and_no_helpers():
    for path in tracked("notebooks/*.ipynb"):
        cells_of = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells_of if cell["cell_type"] == "code"]
        assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code), path.name
        lines = [line for cell in code for line in "".join(cell["source"]).splitlines()]
        assert len(lines) <= 200, f"{path.name} has {len(lines)} lines of code"
        assert not [line for line in lines if line.startswith(("def ", "class "))], path.name


def test_no_path_of_a_machine_and_no_large_file():
    for path in tracked("*"):
        assert path.stat().st_size < 5_000_000, path
        if path.suffix in (".py", ".md", ".yml", ".yaml", ".ipynb", ".json", ".csv", ".toml", ".lock", ""):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.$}])/(home|root|Users)/\w", text), path


@pytest.mark.parametrize("profile", ["reference"])
def test_committed_results_are_complete_and_traceable(profile):
    store = Store(ROOT / "results")
    for row in load_profile(ROOT / "profiles" / f"{profile}.yaml").rows:
        table = store.observations(profile, row.id)
        assert len(table) == len(cells(row))
        assert (table["status"] == "ok").all()
        assert table["key"].is_unique
        for run in table["run"].unique():
            facts = store.provenance(run)
            assert facts["git_revision"]
            assert {"lock_sha256", "versions", "hardware", "created", "protocol"} <= set(facts)


def test_the_reference_model_meets_its_bar():
    table = Store(ROOT / "results").observations("reference", "sst2-distilbert")
    original = table[table["method"] == "original"].iloc[0]
    assert original["n"] == 872
    assert original["value"] >= 0.88
