"""The repository itself: pins that agree, notebooks without outputs, committed results that can be traced."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from avss.report.tables import TABLES
from avss.runs.experiment import cells, load_profile
from avss.store import Store

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


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nolock", *arguments]
    variables = os.environ | {"PATH": path, "AVSS_DATA": "somewhere"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("profile", ["mini", "reference"])
def test_every_row_runs_its_tasks_notebook_and_has_a_page_in_the_book(profile):
    """A profile with fewer rows than Table 1 has the others from mini."""
    planned = snakemake(ROOT, "--dry-run", "--forceall", "--printshellcmds", "--config", f"profile={profile}")
    assert planned.returncode == 0, planned.stderr
    report = planned.stdout + planned.stderr
    profiles = {name: load_profile(ROOT / f"profiles/{name}.yaml") for name in ("mini", profile)}
    rows = {row.id: (name, row.task) for name, each in profiles.items() for row in each.rows}
    runs = re.findall(r"-p profile (\S+) -p dataset '(.+?)' -p model '(.+?)' notebooks/(\S+).ipynb ", report)
    chosen = {profiles[used].row_of(*names).id: (used, task.replace("-", "_")) for used, *names, task in runs}
    assert chosen == rows
    listed = re.findall(r"book/executed/\S+", (ROOT / "_toc.yml").read_text())
    assert set(re.findall(r"output: (book/executed/(?!runs/)\S+)[.]ipynb", report)) == set(listed)
    included = set(re.findall(r"book/executed/figures/(\S+)[.]md", report))
    assert included == set(TABLES) | {f"cards-{task.replace('_', '-')}" for _, task in rows.values()}


def test_a_row_that_fails_stops_no_other_and_leaves_a_page_that_says_why(tmp_path):
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("profiles", "notebooks"):
        (tmp_path / folder).mkdir()
    rows = [
        {"id": name, "task": "sentiment", "dataset": "D", "model": name, "checkpoint": "mini/none", "data": "none"}
        for name in ("first", "bad", "good")
    ]
    (tmp_path / "profiles/mini.yaml").write_text(yaml.safe_dump({"rows": rows}))
    stub = {
        "cells": [
            {"id": "a", "cell_type": "markdown", "metadata": {}, "source": ["# Sentiment\n", "\n", "Text."]},
            {
                **{"id": "b", "cell_type": "code", "execution_count": None, "outputs": []},
                **{"metadata": {"tags": ["parameters"]}, "source": ["profile = dataset = model = ''"]},
            },
            {
                **{"id": "c", "cell_type": "code", "execution_count": None, "outputs": [], "metadata": {}},
                "source": ["assert model != 'bad', 'no room'"],
            },
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        **{"nbformat": 4, "nbformat_minor": 5},
    }
    (tmp_path / "notebooks/sentiment.ipynb").write_text(json.dumps(stub))
    pages = [f"book/executed/{page}.ipynb" for page in ("sentiment", "rows/bad", "rows/good")]
    first = snakemake(tmp_path, "--keep-going", *pages)
    assert first.returncode != 0
    assert re.search(
        r"runs/mini/bad.ipynb: AssertionError: no room \(all of it in build/logs/mini-bad.log\)", first.stderr
    )
    written = [path for path in pages if (tmp_path / path).is_file()]
    assert written == [pages[0], pages[2]]
    titles = [json.loads((tmp_path / path).read_text())["cells"][0]["source"][0] for path in written]
    assert titles == ["# Sentiment\n", "# D, good\n"]

    second = snakemake(tmp_path, *pages, "--config", "failed=shown")
    assert second.returncode == 0, second.stderr
    page = json.loads((tmp_path / pages[1]).read_text())["cells"][0]["source"]
    assert page.startswith("# D, bad\n")
    assert "AssertionError: no room" in page
