"""`make figures`: the same bytes in an environment that has only what the Makefile installs for drawing."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from avss.report import figures
from avss.report.comparisons import FIRST_ROW
from avss.report.rendering import render
from avss.report.snapshot import Results
from avss.report.tables import TABLES
from avss.store import Store
from tests.stores import fill

ROOT = Path(__file__).parent.parent
DRAWING = re.search(r"^DRAWING := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()


def with_requirements(names: list[str]) -> set[str]:
    """The distributions and all that they need, as installed here."""
    found, open_ = set(), list(names)
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            needed = map(Requirement, distribution(name).requires or [])
            open_ += [need.name for need in needed if not need.marker or need.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def drawing(tmp_path_factory) -> Path:
    """Python with these distributions alone, linked from the ones installed here."""
    folder = tmp_path_factory.mktemp("drawing")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in with_requirements(DRAWING):
        for top in {file.parts[0] for file in distribution(name).files} - {"..", "__pycache__"}:
            (packages / top).symlink_to(distribution(name).locate_file(top))
    return folder / "bin/python"


@pytest.mark.long
def test_the_environment_lacks_torch(drawing):
    code = "import importlib.util as u; print([n for n in ('torch', 'transformers', 'datasets') if u.find_spec(n)])"
    assert subprocess.check_output([drawing, "-c", code], text=True).strip() == "[]"


@pytest.mark.long
def test_figures_and_tables_have_their_files_and_the_same_bytes_without_torch(drawing, tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini")
    here = render(Results(store), tmp_path / "here")
    # Strings hash in another order, and the clock is in another zone.
    environment = os.environ | {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = [drawing, "-m", "avss.report", store.root, tmp_path / "there"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    names = [path.relative_to(tmp_path / "here") for path in here]
    assert {path.relative_to(tmp_path / "there") for path in (tmp_path / "there").rglob("*.*")} == set(names)
    stems = [f"{FIRST_ROW}/{name}-{FIRST_ROW}" for name in figures.ROW_FIGURES]
    stems += [f"book/{name}" for name in figures.BOOK_FIGURES]
    endings = ("light.svg", "dark.svg", "pdf", "csv")
    expected = [f"{stem}.{ending}" for stem in stems for ending in endings] + [f"{name}.md" for name in TABLES]
    assert sorted(map(str, names)) == sorted(expected)
    for name in names:
        content = (tmp_path / "here" / name).read_bytes()
        assert content == (tmp_path / "there" / name).read_bytes(), name
        assert b"<dc:date>" not in content, name
        assert b"CreationDate" not in content, name
