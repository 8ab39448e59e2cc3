"""The package as `pip install .` leaves it: outside the checkout, in an environment without torch."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from avss.store import Store
from tests.stores import fill

ROOT = Path(__file__).parent.parent
CODE = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'transformers', 'datasets'):
            raise ImportError(name + ' is not installed')
sys.meta_path.insert(0, Block())
import avss
from avss.report.__main__ import main
from avss.report.audit import load_claims
from avss.report.table1 import printed_table
print(avss.__file__, len(printed_table()), len(load_claims()) > 10, main(['results', 'out', 'tables']))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the content of the wheel alone, built from a copy of the sources without their checkout."""
    folder, source = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "avss", "LICENSE", "README.md", "pyproject.toml"],
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.endswith(".safetensors"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = "pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --wheel-dir"
    subprocess.run([sys.executable, "-m", *command.split(), folder, source], check=True, cwd=folder)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder


@pytest.mark.long
def test_tables_and_the_audit_work_outside_the_checkout(installed):
    fill(Store(installed / "results"), "mini")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(
        command, cwd=installed, env=variables | {"PYTHONPATH": str(installed / "site")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    place, lines, claims, status = done.stdout.splitlines()[-1].rsplit(" ", 3)
    assert Path(place).is_relative_to(installed)
    assert (lines, claims, status) == ("12", "True", "0")
    assert (installed / "out/audit_table.md").read_text().count("dropdown") > 10
