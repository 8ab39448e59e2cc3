"""The Python and the commands of README, run in their order in one process, as a reader runs them."""

import json
import re
import shlex
from pathlib import Path

import pytest

from avss.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = re.search(r"^## The command\n\n```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[1].splitlines()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, dict]:
    """The folder in which it ran, and the names that its Python leaves."""
    folder, space = tmp_path_factory.mktemp("readme"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            # `avss` is the console script, which calls `main`.
            name, *arguments = shlex.split(command)
            assert name == "avss"
            assert main(arguments) == 0, command
        for block in PYTHON:
            exec(compile(block, "README.md", "exec"), space)
    return folder, space


def test_the_commands_of_the_readme_write_their_files(ran):
    folder, _ = ran
    assert [command.split()[1] for command in COMMANDS] == ["score", "check", "prune", "evaluate"]
    assert (folder / "scores.csv").is_file()
    assert (folder / "pruned/config.json").is_file()
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["value"] > 0.9


def test_the_python_of_the_readme_runs_as_printed(ran):
    left = ran[1]
    assert len(PYTHON) == 2
    assert len(left["scores"].values) == left["model"].config.n_layers == 6
    assert len(left["scores"].lowest(1)) == 1
