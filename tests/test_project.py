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

from avss.errors import InputError
from avss.printed import lines_of_table_1
from avss.report.pages import contents, pages_of, rows_of_book
from avss.report.tables import TABLES
from avss.runs.cells import cells
from avss.runs.profile import load_profile
from avss.store import Store
from tests.checkout import checkout
from tests.conftest import WORDS

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
    newest = re.search("^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert newest == f"{citation['version']} ({citation['date-released']})"


def test_the_book_has_one_title():
    """CITATION.cff has it; where another file must repeat it, it is the same."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    archive = json.loads((ROOT / ".zenodo.json").read_text())
    assert archive["title"] == citation["title"]
    assert archive["version"] == citation["version"]
    assert archive["publication_date"] == str(citation["date-released"])
    assert "doi" not in archive
    assert not re.search(r"^@software", (ROOT / "book/index.md").read_text(), re.MULTILINE), (
        "the page takes it from there"
    )


def test_every_dependency_earns_its_place():
    decisions = (ROOT / "docs/decisions.md").read_text()
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(line for part in extras.values() for line in part)]:
        assert re.search(rf"\b{re.escape(Requirement(text).name)}\b", decisions), text


def test_no_path_of_a_machine_and_no_large_file():
    files = tracked("*")
    assert ROOT / "README.md" in files
    for path in files:
        assert path.stat().st_size < 5_000_000, path
        if path.suffix in (".py", ".md", ".yml", ".yaml", ".ipynb", ".json", ".csv", ".toml", ".lock", ""):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.$}])/(home|root|Users)/\w", text), path


def stored_profiles() -> list[str]:
    """Those of this repository that have results; one that somebody adds is one of them."""
    return [path.stem for path in sorted((ROOT / "profiles").glob("*.yaml")) if (ROOT / "results" / path.stem).is_dir()]


@pytest.mark.parametrize("profile", stored_profiles())
def test_committed_results_are_complete_and_traceable(profile):
    store = Store(ROOT / "results")
    for row in load_profile(ROOT / "profiles" / f"{profile}.yaml").rows:
        table, asked = store.observations(profile, row.id), store.asked_for(profile, row.id)
        assert len(asked) == len(cells(row))
        assert asked <= set(table["key"]), row.id
        assert (table["status"] == "ok").all()
        assert table["key"].is_unique
        for run in table["run"].unique():
            facts = store.provenance(run)
            assert facts["git_revision"]
            assert {"lock_sha256", "versions", "hardware", "created", "protocol"} <= set(facts)


def test_the_rows_of_the_book_are_among_the_committed_results():
    assert {"mini", "reference"} <= set(stored_profiles())


def test_the_reference_model_meets_its_bar():
    table = Store(ROOT / "results").observations("reference", "sst2-minilm")
    original = table[table["method"] == "original"].iloc[0]
    assert original["n"] == 872
    assert original["value"] >= 0.88


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nolock", *arguments]
    variables = os.environ | {"PATH": path, "AVSS_DATA": "somewhere"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def make(folder: Path, target: str, *variables: str) -> subprocess.CompletedProcess:
    """As if the environment were ready: a test does not install one."""
    command = ["make", "-o", ".venv/.ready", target, f"BIN={Path(sys.executable).parent}", *variables]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("profile", ["mini", "reference"])
def test_every_row_has_a_run_and_a_page_in_the_book(profile, monkeypatch):
    """A profile with fewer rows than Table 1 has the others from mini."""
    monkeypatch.setenv("AVSS_DATA", os.environ.get("AVSS_DATA", "somewhere"))
    plan = f"SNAKEMAKE={sys.executable} -m snakemake --cores 2 --nolock --dry-run --forceall"
    planned = make(ROOT, "book", f"PROFILE={profile}", plan)
    assert planned.returncode == 0, planned.stderr
    report, rows = planned.stdout + planned.stderr, rows_of_book(profile)
    assert len(rows) == 12
    assert {entry.row.stands_for for entry in rows.values()} == {line["id"] for line in lines_of_table_1()}
    runs = re.findall(r"output: book/executed/runs/(\w+)/(\S+)[.]ipynb", report)
    assert sorted(runs) == sorted((entry.profile, row) for row, entry in rows.items())
    listed = re.findall(r"book/executed/\S+", contents(ROOT / "_toc.yml", rows))
    assert set(re.findall(r"output: (book/executed/(?!runs/)\S+)[.]ipynb", report)) == set(listed)
    included = set(re.findall(r"book/executed/figures/(\S+)[.]md", report))
    assert included == set(TABLES) | {f"cards-{entry.task}" for entry in rows.values()}


def test_the_committed_contents_are_those_of_mini():
    committed = yaml.safe_load((ROOT / "_toc.yml").read_text())
    assert yaml.safe_load(contents(ROOT / "_toc.yml", rows_of_book("mini"))) == committed


def test_a_row_in_no_table_has_a_page_beside_those_of_table_1(tmp_path):
    own = {"id": "own", "task": "sentiment", "checkpoint": "owner/model", "data": "owner/data", "remove": 1}
    stands = own | {"id": "other", "stands_for": "sst2-llama-1b"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"rows": [own, stands]}))
    rows = rows_of_book(str(tmp_path / "mine.yaml"))
    assert list(rows)[:2] == ["reviews-mini-distilbert", "other"]
    assert list(rows)[-1] == "own"
    assert len(rows) == 13
    pages = pages_of(rows)
    assert pages["sentiment"] == "reviews-mini-distilbert"
    assert pages["rows/own"] == "own"
    assert "book/executed/rows/own" in contents(ROOT / "_toc.yml", rows)
    assert "book/executed/rows/reviews-mini-llama-1b" not in contents(ROOT / "_toc.yml", rows)


def test_a_variable_that_is_not_set_is_named_before_anything_runs(monkeypatch):
    monkeypatch.delenv("AVSS_DATA", raising=False)
    with pytest.raises(InputError, match=r"row sst2-minilm: \$AVSS_DATA/sst2 names a variable that is not set"):
        rows_of_book("reference")


@pytest.mark.long
def test_a_row_that_fails_stops_no_other_and_leaves_a_page_that_says_why(tmp_path):
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("profiles", "notebooks"):
        (tmp_path / folder).mkdir()
    rows = [
        {
            "id": name,
            "task": "sentiment",
            "dataset": "D'$(touch x)",
            "checkpoint": f"owner/{name}",
            "data": "none",
            "remove": 1,
        }
        for name in ("bad", "good")
    ]
    (tmp_path / "profiles/mini.yaml").write_text(yaml.safe_dump({"rows": rows}))
    stub = {
        "cells": [
            {"id": "a", "cell_type": "markdown", "metadata": {}, "source": ["# Sentiment\n", "\n", "Text."]},
            {
                **{"id": "b", "cell_type": "code", "execution_count": None, "outputs": []},
                **{"metadata": {"tags": ["parameters"]}, "source": ["profile = row = ''"]},
            },
            {
                **{"id": "c", "cell_type": "code", "execution_count": None, "outputs": [], "metadata": {}},
                "source": ["assert row != 'bad', 'no room'"],
            },
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        **{"nbformat": 4, "nbformat_minor": 5},
    }
    (tmp_path / "notebooks/sentiment.ipynb").write_text(json.dumps(stub))
    # The first row of a task has the page of the task.
    pages = [f"book/executed/{page}.ipynb" for page in ("sentiment", "rows/good")]
    first = snakemake(tmp_path, "--keep-going", *pages)
    assert first.returncode != 0
    assert re.search(
        r"runs/mini/bad.ipynb: AssertionError: no room \(all of it in build/logs/mini-bad.log\)", first.stderr
    )
    written = [path for path in pages if (tmp_path / path).is_file()]
    assert written == [pages[1]], first.stderr
    title = json.loads((tmp_path / pages[1]).read_text())["cells"][0]["source"][0]
    assert title.strip() == r"# D'\$(touch x), good"
    assert not (tmp_path / "x").exists()

    second = snakemake(tmp_path, *pages, "--config", "failed=shown")
    assert second.returncode == 0, second.stderr
    page = json.loads((tmp_path / pages[0]).read_text())["cells"][0]["source"]
    assert page.startswith("# D'$(touch x), bad\n")
    assert "AssertionError: no room" in page


@pytest.mark.long
def test_make_row_runs_a_model_of_ones_own_on_ten_lines_and_leaves_its_page(saved, tmp_path):
    model = saved("gpt_neox").rename(tmp_path / "my tiny 'neox'")
    lines = [json.dumps({"text": " ".join(WORDS[index : index + 9])}) for index in range(10)]
    (tmp_path / "ten.jsonl").write_text("\n".join(lines) + "\n")
    row = {"id": "own", "task": "language_modeling", "checkpoint": str(model), "data": str(tmp_path / "ten.jsonl")}
    profile = tmp_path / "made.yaml"
    profile.write_text(yaml.safe_dump({"rows": [row | {"remove": 1, "seeds": 2, "samples": 4, "context": 16}]}))
    copy = checkout(tmp_path / "copy")
    done = make(copy, "row", "ROW=own", f"PROFILE={profile}")
    assert done.returncode == 0, done.stderr
    page = Path(re.search(r"The page is (.+)", done.stdout)[1])
    content = json.loads(page.read_text())
    assert "".join(content["cells"][0]["source"]).startswith("# ten.jsonl, my tiny 'neox'\n")
    assert "9 observations" in json.dumps([cell.get("outputs") for cell in content["cells"]])
    assert [path.name for path in copy.glob("results/made/*")] == ["own"]
    missing = make(copy, "row", "ROW=other", f"PROFILE={profile}")
    assert missing.returncode != 0
    assert "has no row 'other'; give ROW one of reviews-mini-distilbert" in missing.stderr
