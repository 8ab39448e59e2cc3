"""Profiles, their values and the parameters of notebooks: no value is run, and no name leads elsewhere."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from avss.errors import InputError
from avss.files import ROOT
from avss.runs.experiment import run_row
from avss.runs.notebook import execute
from avss.runs.profile import load_profile
from avss.store import Store
from tests.faults.hostile import CANARY, files_under
from tests.faults.tally import size
from tests.faults.test_hostile_data import NAMES

FIELDS = ("id", "task", "checkpoint", "data", "remove", "model", "dataset", "title", "methods", "readings", "revision")
PLACES = ["..", "../up", "/etc/passwd", "a/../../b", ".", "-rf", "CON", "a\0b", "\ud800", "{row}", "*", ""]
INJECTED = [
    f"'); open('{CANARY}', 'w') #",
    f'"); open("{CANARY}", "w") #',
    f'"""); open("{CANARY}", "w"); ("""',
    f"x\nopen('{CANARY}', 'w')\n",
    f"\\'); open('{CANARY}', 'w') #",
    f"{{__import__('os').system('touch {CANARY}')}}",
    f"!touch {CANARY}",
    f"%%bash\ntouch {CANARY}",
]


def fields_of(world: Path, **changes) -> dict:
    row = {"id": "r", "task": "sentiment", "remove": 1, "methods": ["last"], "seeds": 1, "samples": 2, "documents": 2}
    return row | {"checkpoint": str(world / "classifier"), "data": str(world / "reviews.jsonl")} | changes


@contextlib.contextmanager
def one_line():
    """Raises `AssertionError` in place of an `InputError` of several lines."""
    try:
        yield
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"not one line: {error}") from error
        raise


def test_values_of_a_profile_are_only_values(world, tally, monkeypatch):
    monkeypatch.chdir(world)
    path, store = world / "mine.yaml", Store(world / "store")
    names = [*NAMES, *PLACES, *INJECTED]
    before = files_under(world)
    with tally.row("hostile-profiles") as row:
        for field in FIELDS:
            for value in names[:: size(1, 6)]:
                path.write_text(yaml.safe_dump({"rows": [fields_of(world, **{field: value})]}))
                with row.trial(f"{field}: {value!r}"):
                    with contextlib.suppress(InputError), one_line():
                        (found,) = load_profile(path).rows
                        run_row(found, "mine", store, None)
                    new = files_under(world).keys() - before.keys() - {"mine.yaml"}
                    assert all(name.split("/")[0] == "store" for name in new), f"written elsewhere: {new}"
                    assert all(name.split("/")[1:2] in ([], ["mine"]) for name in new), f"written elsewhere: {new}"
    assert not list(world.parent.rglob(f"{CANARY}*"))


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("name", ["..", ".", "../up", "a/b", "", "\0", "*", "{row}", "-rf", "a\nb"])
def test_no_name_of_a_profile_or_row_leaves_the_store(tmp_path, tally, name, part):
    names = ["p", "r"]
    names[part] = name
    with tally.row("hostile-store-names") as row, row.trial(names), pytest.raises(InputError):
        Store(tmp_path / "store").start(*names, "2026-01-01T00:00:00Z", {}).add([])
    assert list(tmp_path.iterdir()) == []


def test_parameters_of_a_notebook_arrive_as_text(tmp_path, tally, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {f"p{number}": value for number, value in enumerate([*INJECTED, *NAMES[: size(len(NAMES), 3)]])}
    cells = [
        nbformat.v4.new_code_cell("\n".join(f"{name} = None" for name in values), metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(f"import json\nprint(json.dumps([{', '.join(values)}]))"),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), *cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    with tally.row("hostile-parameters") as row:
        execute(tmp_path / "in.ipynb", tmp_path / "out.ipynb", tmp_path / "log", values, INJECTED[0])
        outputs = nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs
        printed = yaml.safe_load(outputs[0].text)
        for value, found in zip(values.values(), printed, strict=True):
            with row.trial(repr(value)):
                assert found == value
    assert not list(tmp_path.rglob(f"{CANARY}*"))


def test_names_for_make_are_only_names(tmp_path, tally):
    """A shell reads them in the Makefile. Snakemake would read them as YAML, where `010` is the number 8."""
    names = [f"$(touch {CANARY})", f"'; touch {CANARY}; '", "../up", "{row}", "010", "yes", "a: b", '"a"', " a", "# a"]
    # As if the environment were ready: a test does not install one.
    command = ["make", "--silent", "--directory", ROOT, "--assume-old", ".venv/.ready", "row"]
    command += [f"BIN={Path(sys.executable).parent}", "CORES=1"]
    with tally.row("hostile-graph") as row:
        for option in ("PROFILE", "ROW"):
            for name in names[:: size(1, 5)]:
                with row.trial(f"{option}={name}"):
                    environment = os.environ | {option: name}
                    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
                    assert ran.returncode, "it was accepted"
                    assert name in ran.stderr
                    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.iterdir())
    assert not list(ROOT.glob(f"{CANARY}*"))
