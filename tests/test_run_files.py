"""Runs of every store are listed, with the folder in which their files lie."""

from pathlib import Path

from avss.report.run_files import runs_of
from avss.report.snapshot import Results
from avss.store import Store
from tests.stores import COMMITTED

ROOT = Path(__file__).parent.parent


def test_every_stored_run_is_listed_with_its_folder():
    found = runs_of(COMMITTED)
    files = {path.stem: path for path in (ROOT / "results").rglob("*.json")}
    runs = {name: path for name, path in files.items() if f'"run": "{name}"' in path.read_text(encoding="utf-8")}
    assert found.keys() == runs.keys()
    for name, facts in found.items():
        assert (ROOT / facts["folder"] / f"{name}.json") == runs[name]
    inside = {Path(facts["folder"]).parts[1] for facts in found.values()}
    assert {"mini", "reference", "readings", "massive", "subsets", "eavss"} <= inside


def test_no_store_has_no_runs(tmp_path):
    assert runs_of(Results(Store(tmp_path / "none"))) == {}
