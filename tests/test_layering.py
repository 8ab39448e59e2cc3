"""The layering of the package: who may import whom, and what works where torch is not installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "avss"
# Rooms and modules that work where torch is not installed.
TORCH_FREE = (
    "report",
    "equations",
    "moments",
    "reading",
    "selection",
    "store",
    "intervals",
    "files",
    "errors",
    "scores",
    "methods/catalogue",
    "tasks/catalogue",
    "metrics/__init__",
)


def modules_in(room: str) -> list[str]:
    """The dotted names of a module, or of all modules in a folder of the package."""
    folder = PACKAGE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    names = [".".join(("avss", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere in it, as dotted names; `from a import b` gives both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imports_under(folder: str) -> dict[str, set[str]]:
    return {path.name: imports_of(path) for path in (PACKAGE / folder).glob("*.py")}


@pytest.mark.parametrize("room", TORCH_FREE)
def test_tables_and_figures_need_no_torch(room):
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'datasets'):\n"
        "            raise ImportError(name + ' is not installed')\n"
        "sys.meta_path.insert(0, Block())\n"
        f"import {', '.join(modules_in(room))}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_methods_know_nothing_of_tasks_and_tasks_nothing_of_methods():
    for name, imported in imports_under("methods").items():
        assert not any(module.startswith(("avss.tasks", "avss.data", "avss.runs.experiment")) for module in imported), (
            name
        )
    for name, imported in imports_under("tasks").items():
        assert not any(
            module.startswith(("avss.methods", "avss.scores", "avss.runs.experiment")) for module in imported
        ), name


def test_only_the_experiment_and_the_command_line_join_methods_and_tasks():
    joined = [path.stem for path in PACKAGE.rglob("*.py") if {"avss.methods", "avss.tasks"} <= imports_of(path)]
    assert sorted(joined) == ["cli", "experiment"]


def test_the_engine_knows_no_method_no_task_and_no_results():
    above = ("avss.methods", "avss.tasks", "avss.data", "avss.models", "avss.runs", "avss.report", "avss.store")
    for name, imported in imports_under("engine").items():
        assert not any(module.startswith(above) for module in imported), name


def test_the_embedded_world_needs_no_torch():
    for name, imported in imports_under("microworld").items():
        assert not any(module.split(".")[0] in ("torch", "transformers") for module in imported), name


def test_nothing_loads_pickles_or_remote_code():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code=True" not in text, path
        assert not {"pickle", "joblib", "dill"} & {module.split(".")[0] for module in imports_of(path)}, path
        assert "torch.load(" not in text, path
