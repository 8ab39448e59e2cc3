"""The layering of the package: which room may import which, and the rooms that work where torch is not installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "avss"
# Modules that share a room without a folder of their own; every other room is the folder of its name.
ROOMS = {
    "ground": (
        "errors",
        "files",
        "progress",
        "outputs",
        "store",
        "records",
        "strict_yaml",
        "architectures",
        "identity",
    ),
    "facts": ("methods.catalogue", "tasks.catalogue", "metrics"),
    "paper": (
        "equations",
        "reading",
        "moments",
        "selection",
        "scores",
        "intervals",
        "printed",
        "hallucination.ratios",
    ),
    "models": ("models", "checkpoint", "gguf_files", "adapters", "hub"),
    "removal": ("pruning", "surgery", "compensation", "removals"),
    "command": (
        "cli",
        "options",
        "calibration",
        "checkup",
        "checkup_text",
        "check_command",
        "evaluate_command",
        "plan_command",
        "heal",
        "recover_command",
    ),
}
# The rooms, or single modules, that a room may import beside itself.
MAY_IMPORT = {
    "ground": (),
    "facts": ("ground",),
    "paper": ("ground", "facts"),
    "mini": ("ground",),
    "microworld": ("ground",),
    "engine": ("ground", "paper"),
    "removal": ("ground", "paper", "engine"),
    "models": ("ground", "engine", "mini"),
    "data": ("ground", "engine", "microworld"),
    "methods": ("ground", "facts", "paper", "engine"),
    "tasks": ("ground", "facts", "paper", "engine", "removal", "data"),
    "hallucination": ("ground", "facts", "paper", "engine", "data", "tasks"),
    "recovery": ("ground", "engine", "data"),
    "runs": (
        "ground",
        "facts",
        "paper",
        "engine",
        "removal",
        "mini",
        "models",
        "data",
        "methods",
        "tasks",
        "hallucination",
        "recovery",
    ),
    "report": ("ground", "facts", "paper", "mini", "runs.profile", "runs.provenance"),
    "command": (
        "ground",
        "facts",
        "paper",
        "mini",
        "engine",
        "removal",
        "models",
        "data",
        "methods",
        "tasks",
        "runs",
        "hallucination",
        "recovery",
    ),
}
WITHOUT_TORCH = ("report", "facts", "paper", "ground", "microworld", "runs.profile", "runs.cells", "runs.provenance")
# Of the rooms that work without torch, the modules that need a model.
NEED_A_MODEL = ("architectures", "identity")
HEAVY = ("torch", "transformers", "datasets")
MOST_LINES = 350


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if _name(path)}


def room_of(module: str) -> str:
    """The room of a module, both by their names within the package."""
    named = {part: room for room, parts in ROOMS.items() for part in parts}
    parts = module.split(".")
    owners = [named[".".join(parts[:end])] for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in named]
    return owners[0] if owners else parts[0]


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere in it, but for types alone; `from a import b` gives both a and a.b."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    typing = {id(node) for block in blocks for node in ast.walk(block)}
    names = set()
    for node in (node for node in ast.walk(tree) if id(node) not in typing):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported(module: str) -> set[str]:
    """The modules of the package that a module imports; a package is left out where only its modules are named."""
    names = {name.removeprefix("avss.") for name in imports_of(MODULES[module])} & MODULES.keys()
    inner = {name.rpartition(".")[0] for name in names}
    return {name for name in names if name not in inner} - {module}


def test_every_module_has_a_room():
    assert {room_of(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_below_it(room):
    allowed = {room, *MAY_IMPORT[room]}
    for module in (module for module in MODULES if room_of(module) == room):
        above = {name for name in imported(module) if room_of(name) not in allowed and name not in allowed}
        assert not above, f"{module} imports {', '.join(sorted(above))}"


def circles() -> list[list[str]]:
    """Groups of modules that import each other, by Tarjan's algorithm."""
    edges = {module: imported(module) for module in MODULES}
    index, lowest, stack, groups = {}, {}, [], []

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for other in edges[module]:
            if other not in index:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == index[module]:
            start = stack.index(module)
            groups.append(stack[start:])
            del stack[start:]

    for module in MODULES:
        if module not in index:
            visit(module)
    return [sorted(group) for group in groups if len(group) > 1]


def test_no_modules_import_each_other_in_a_circle():
    assert circles() == []


def test_report_never_names_torch():
    for module in (module for module in MODULES if room_of(module) == "report"):
        assert not {name.split(".")[0] for name in imports_of(MODULES[module])} & set(HEAVY), module


def test_rooms_without_torch_load_where_it_is_not_installed():
    """Also `python -m avss.report`, which lists the names of all figures and tables."""
    names = [module for module in MODULES if {room_of(module), module} & set(WITHOUT_TORCH)]
    names = [f"avss.{module}" for module in names if module not in NEED_A_MODEL and not module.endswith("__main__")]
    code = f"""
import importlib, runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {HEAVY}:
            raise ImportError(name + ' is not installed')
sys.meta_path.insert(0, Block())
for name in {[name for name in names if not name.startswith("avss.metrics.")]}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, 'needs', error, file=sys.stderr)
from avss.report.pages import rows_of_book
print('row of mini', *rows_of_book('mini'), sep='\\t')
sys.argv = ['avss.report', '--list']
runpy.run_module('avss.report', run_name='__main__')
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (_, *rows), *listed = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == 12
    assert {"row figure", "book figure", "table"} == {kind for kind, _ in listed}
    assert ["table", "glance_table"] in listed


def test_only_runs_and_the_command_line_join_methods_and_tasks():
    joined = {room_of(module) for module in MODULES if {"methods", "tasks"} <= imported(module)}
    assert joined <= {"runs", "command"}


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_a_module_is_short_and_hides_no_module_of_python(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    # Nobody imports the profiler of that name, and a profile of rows has no better one.
    assert path.stem not in sys.stdlib_module_names - {"__main__", "profile"}


def test_nothing_loads_pickles_or_remote_code():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code=True" not in text, path
        assert not {"pickle", "joblib", "dill"} & {module.split(".")[0] for module in imports_of(path)}, path
        assert "torch.load(" not in text, path
