"""The Python and the commands of README, run in their order in one process, as a reader runs them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = re.search(r"^## The command\n\n```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[1].splitlines()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# `avss` of a command is the console script, which calls `main`.
RUN = """
import json, shlex, sys
from avss.cli import main

given = json.load(sys.stdin)
for command in given["commands"]:
    name, *arguments = shlex.split(command)
    assert name == "avss" and main(arguments) == 0, command
space = {}
for block in given["python"]:
    exec(compile(block, "README.md", "exec"), space)
lowest = space["scores"].lowest(1)
print(json.dumps({"lowest": lowest, "blocks": len(space["scores"].values), "left": space["model"].config.n_layers}))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder in which it ran, and the lines that it printed."""
    folder = tmp_path_factory.mktemp("readme")
    given = json.dumps({"commands": COMMANDS, "python": PYTHON})
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=os.environ, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


def test_the_commands_of_the_readme_write_their_files(ran):
    folder, _ = ran
    assert [command.split()[1] for command in COMMANDS] == ["score", "check", "prune", "evaluate"]
    assert (folder / "scores.csv").is_file()
    assert (folder / "pruned/config.json").is_file()
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["value"] > 0.9


def test_the_python_of_the_readme_runs_as_printed(ran):
    answers = json.loads(ran[1][-1])
    assert len(PYTHON) == 2
    assert answers["blocks"] == answers["left"] == 6
    assert len(answers["lowest"]) == 1
