"""What surrounds the book: the workflows that publish it, the cluster's profile, the buttons that launch notebooks, and
pages whose commands and names must be those of the code.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import launch
import nbformat
import plain_docstrings
import pytest
import result_figure
import yaml

import avss
from avss.cli import COMMANDS
from avss.options import parser as command_parser
from avss.runs.profile import load_profile

ROOT = Path(__file__).parent.parent

WORKFLOWS = {
    path.name: yaml.load(path.read_text(), yaml.BaseLoader) for path in (ROOT / ".github/workflows").glob("*.yml")
}
JOBS = [(file, name, job) for file, content in WORKFLOWS.items() for name, job in content["jobs"].items()]
PAGES = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "book/reproducing.md", "book/glossary.md", "book/api.md")
]


def blocks(path: Path, language: str) -> list[str]:
    """The contents of a page's fenced blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(path: Path) -> list[list[str]]:
    lines = "".join(blocks(path, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_workflows_run_the_commands_of_the_readme_and_the_faults():
    listed = [shlex.join(words) for words in commands(ROOT / "README.md")]
    ran = {step["run"] for _, name, job in JOBS if name != "colab" for step in job["steps"] if "run" in step}
    assert ran == {"make book", "make test", "make faults"}
    assert ran - {"make faults"} <= set(listed)


def test_workflows_may_do_no_more_than_they_need():
    for file, content in WORKFLOWS.items():
        assert content["permissions"] == {"contents": "read"}, file
        assert content["concurrency"]["group"], file
    granted = {name: job["permissions"] for _, name, job in JOBS if "permissions" in job}
    assert granted == {"publish": {"pages": "write", "id-token": "write"}, "colab": {"contents": "write"}}


def test_workflows_use_official_actions_of_a_fixed_major_version_and_end():
    for file, name, job in JOBS:
        assert int(job["timeout-minutes"]) <= 90, (file, name)
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v0")), (file, name, step)


def test_workflows_keep_downloads_by_the_lock_and_test_the_oldest_python():
    set_up = [step["with"] for _, _, job in JOBS for step in job["steps"] if "setup-python" in step.get("uses", "")]
    assert {(step["cache"], step["cache-dependency-path"]) for step in set_up} == {("pip", "requirements.lock")}
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert WORKFLOWS["tests.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"][0] == oldest


def test_the_book_is_published_from_where_it_is_built_once_it_has_passed_its_tests():
    steps = WORKFLOWS["book.yml"]["jobs"]["build"]["steps"]
    does = [step.get("run") or step["uses"].split("@")[0] for step in steps]
    assert does.index("make book") < does.index("make test") < does.index("actions/upload-pages-artifact")
    makefile = (ROOT / "Makefile").read_text()
    assert [step["with"]["path"] for step in steps if "upload-pages" in step.get("uses", "")] == ["_build/html"]
    assert "_build/html/index.html" in makefile
    assert WORKFLOWS["book.yml"]["jobs"]["publish"]["needs"] == "build"


def test_binder_installs_the_package_with_the_pins_of_the_lock():
    listed = yaml.safe_load((ROOT / "binder/environment.yml").read_text())["dependencies"]
    lines = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    paths = [line.split()[1] for line in lines if line.startswith(("--constraint", "--editable"))]
    assert [(ROOT / "binder" / path).resolve() for path in paths] == [ROOT / "requirements.lock", ROOT]


@pytest.mark.skipif(
    not find_spec("snakemake_executor_plugin_slurm"), reason="snakemake-executor-plugin-slurm is missing"
)
def test_on_a_cluster_each_row_is_a_job_with_its_own_resources():
    wanted = next(words for words in commands(ROOT / "book/reproducing.md") if "--dry-run" in words)
    arguments = [word.replace("profile=paper", "profile=mini") for word in wanted[1:]]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", *arguments, "--forceall", "--nolock"]
    variables = os.environ | {"PATH": path}
    planned = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr
    jobs = re.findall(r"^rule row:\n(.*?)^\[", planned.stdout + planned.stderr, re.MULTILINE | re.DOTALL)
    settings = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["set-resources"]["row"]
    assert len(jobs) == len(load_profile("mini").rows)
    for job in jobs:
        assert {f"{name}={value}" for name, value in settings.items()} <= set(re.findall(r"\w+=\d+", job))


def test_pages_name_commands_that_exist():
    parser, makefile = command_parser(COMMANDS), (ROOT / "Makefile").read_text()
    said = [words for page in PAGES for words in commands(page)]
    own = [words[1:] for words in said if Path(words[0]).name == "avss"]
    targets = {words[1] for words in said if words[0] == "make"}
    assert len(own) > 5
    for words in own:
        parser.parse_args(words)
    assert targets > {"book", "test", "row"}
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


def test_pages_name_files_and_code_that_exist():
    examples = {"mine", "spread", "last_token", "last-token", "reciprocal_rank", "failures_table"}
    code, files = set(), set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code |= set(re.findall(r"(?:``|`|:: )(avss(?:\.\w+)+)(?:`|$)", text, re.MULTILINE))
        files |= set(re.findall(r"`((?:avss|tests|book|profiles|notebooks|recipes|bench|docs)/[\w./-]*)`", text))
    assert len(code) > 50
    assert len(files) > 50
    assert [name for name in sorted(code) if not located(name)] == []
    made_up = [name for name in files if examples & set(re.split(r"[^\w-]", name))]
    assert [name for name in sorted(files.difference(made_up)) if not (ROOT / name).exists()] == []


def test_the_messages_that_the_page_explains_are_those_of_the_code():
    page = (ROOT / "book/reproducing.md").read_text(encoding="utf-8")
    lines = page.partition("## When something fails\n")[2].partition("\n## ")[0].splitlines()
    shown = [cell for line in lines if line.startswith("| `") for cell in re.findall(r"^\| `([^`]+)`", line)]
    code = [ROOT / "Makefile", *(ROOT / "avss").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in code)
    assert len(shown) > 4
    assert [words for words in shown if words not in text] == []


def located(name: str) -> bool:
    """Whether a dotted name leads to a module or to something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_the_package_reference_has_everything_public():
    text = (ROOT / "book/api.md").read_text()
    for name in avss.__all__:
        assert re.search(rf"(:: |\}} )avss\.(\w+\.)?{name}\b", text), name


def test_the_example_profile_is_one(tmp_path):
    example = next(text for text in blocks(ROOT / "book/reproducing.md", "yaml"))
    (tmp_path / "mine.yaml").write_text(example)
    row = load_profile(tmp_path / "mine.yaml").rows[0]
    assert {"random", "last"} < set(row.methods)
    assert row.stands_for is None


def test_a_launched_notebook_is_the_one_in_the_repository(tmp_path):
    executed = nbformat.v4.new_notebook()
    executed["metadata"]["papermill"] = {
        "input_path": "notebooks/sentiment.ipynb",
        "parameters": {"dataset": "SST-2", "model": "M"},
    }
    nbformat.write(executed, tmp_path / "page.ipynb")
    notebook, given = launch.notebook_of(tmp_path / "page.ipynb")
    assert (ROOT / notebook).is_file()
    group = launch.buttons(notebook, given, "owner/name", "abc")
    assert [link["url"] for link in group["buttons"]] == [
        "https://mybinder.org/v2/gh/owner/name/abc?urlpath=lab/tree/notebooks/sentiment.ipynb",
        "https://colab.research.google.com/github/owner/name/blob/colab/notebooks/sentiment.ipynb",
    ]
    assert all("dataset = 'SST-2', model = 'M'" in link["tooltip"] for link in group["buttons"])
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "failed.ipynb")
    assert launch.notebook_of(tmp_path / "failed.ipynb") is None
    assert launch.notebook_of(ROOT / "book/index.md") is None


def test_a_figure_on_an_executed_page_is_about_the_row_that_it_was_executed_for(tmp_path):
    page, executed = tmp_path / "page.ipynb", nbformat.v4.new_notebook()
    nbformat.write(executed, page)
    assert result_figure._row_of(page) is None
    assert result_figure._row_of(tmp_path / "page.md") is None
    given = {"profile": "mini", "row": "articles-mini-stablelm-3b"}
    executed["metadata"]["papermill"] = {"input_path": "notebooks/language-modeling.ipynb", "parameters": given}
    nbformat.write(executed, page)
    assert result_figure._row_of(page) == "articles-mini-stablelm-3b"


def test_the_copy_for_colab_fetches_the_package_first_and_is_else_the_same():
    notebook = nbformat.read(ROOT / "notebooks/variance.ipynb", as_version=4)
    copy = launch.for_colab(notebook, "owner/name", "abc")
    nbformat.validate(copy)
    assert copy["cells"][1:] == notebook["cells"]
    assert "https://github.com/owner/name" in copy["cells"][0]["source"]
    assert "checkout --quiet abc" in copy["cells"][0]["source"]
    download = WORKFLOWS["book.yml"]["jobs"]["colab"]["steps"][2]["with"]["path"]
    assert launch.COLAB.endswith("blob/colab/{notebook}")
    assert download == "notebooks"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("share of |a| < x_ and *y*", r"share of \|a\| < x\_ and \*y\*"),
        ("`a_b` stays, |c| not", r"`a_b` stays, \|c\| not"),
        ("first, second: arrays. device: where", "`first`, `second`: arrays. `device`: where"),
        ("the device is", "the device is"),
    ],
)
def test_docstrings_are_shown_as_they_are_written(text, read):
    assert plain_docstrings.marked(text, ["first", "second", "device"]) == read
