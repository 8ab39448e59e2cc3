"""The notebooks as they are stored, and one of them run on its own."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from pybtex.database import parse_file

from avss.runs.notebook import execute
from avss.runs.page import page_of_task
from avss.runs.profile import load_profile
from avss.tasks import TASKS

ROOT = Path(__file__).parent.parent
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
# The one that takes the least time.
CHEAP = "variance"

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def sources(name: str, kind: str) -> list[str]:
    return [cell["source"] for cell in NOTEBOOKS[name]["cells"] if cell["cell_type"] == kind]


@every_notebook
def test_it_is_a_valid_notebook_for_any_python_kernel(name):
    notebook = NOTEBOOKS[name]
    nbformat.validate(notebook)
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    identities = [cell["id"] for cell in notebook["cells"]]
    assert len(set(identities)) == len(identities)


@every_notebook
def test_it_is_stored_without_outputs(name):
    for cell in NOTEBOOKS[name]["cells"]:
        assert not cell.get("outputs"), cell["id"]
        assert cell.get("execution_count") is None, cell["id"]
        assert set(cell["metadata"]) <= {"tags"}, cell["id"]


@every_notebook
def test_it_is_short_and_leaves_the_logic_to_the_package(name):
    assert 20 <= len(NOTEBOOKS[name]["cells"]) <= 35
    lines = [line for source in sources(name, "code") for line in source.splitlines()]
    assert len(lines) <= 200
    assert [line for line in lines if re.match(r"\s*(def|class|async def|%%writefile)\b", line)] == []


@every_notebook
def test_prose_leads(name):
    cells = NOTEBOOKS[name]["cells"]
    title, _, opening = cells[0]["source"].partition("\n")
    assert cells[0]["cell_type"] == "markdown"
    assert re.fullmatch(r"# \S.*", title)
    assert len(opening.split()) >= 30, "it opens with what it asks and does"
    assert cells[-1]["cell_type"] == "markdown", "it ends with what to conclude"
    for cell in cells:
        if cell["cell_type"] == "markdown":
            assert not re.fullmatch(r"#+ .*", cell["source"].strip()), f"{cell['id']} is a heading without a text"
    words, code = (" ".join(sources(name, kind)).split() for kind in ("markdown", "code"))
    assert len(words) > len(code)


@every_notebook
def test_papermill_can_set_its_parameters(name):
    tagged = [cell for cell in NOTEBOOKS[name]["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0]["cell_type"] == "code"
    assert re.fullmatch(r"(\w+(, \w+)* = .+\n?)+", tagged[0]["source"])
    assert "results = " in tagged[0]["source"]


@pytest.mark.parametrize("name", [name.replace("_", "-") for name in TASKS])
def test_a_tasks_notebook_chooses_its_row_by_its_id(name):
    [cell] = [cell for cell in NOTEBOOKS[name]["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    chosen = {}
    exec(cell["source"], chosen)
    row = load_profile(chosen["profile"]).row(chosen["row"], chosen["seeds"])
    assert row.task == name.replace("-", "_")


def test_shared_prose_that_they_include_is_there():
    prose = [source for name in NOTEBOOKS for source in sources(name, "markdown")]
    included = {path for text in prose for path in re.findall(r"^```\{include\} /(.*)$", text, re.MULTILINE)}
    assert included
    assert [path for path in sorted(included) if not (ROOT / path).is_file()] == []


@every_notebook
def test_it_is_a_page_of_the_book(name):
    assert re.search(rf"book/executed/{re.escape(name)}$", (ROOT / "_toc.yml").read_text(), re.MULTILINE)


@pytest.mark.long
def test_one_runs_alone_in_its_own_folder_as_jupyter_does_and_from_anywhere(tmp_path):
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--cwd", str(ROOT / "notebooks")]
    variables = os.environ | {"MPLBACKEND": "agg"}
    command += [str(ROOT / f"notebooks/{CHEAP}.ipynb"), str(out)]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cells = [cell for cell in nbformat.read(out, as_version=4)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    assert any(cell["outputs"] for cell in cells)
    assert not (ROOT / "notebooks/results").exists()


def test_the_page_of_a_task_has_the_heading_of_its_notebook_and_what_the_row_printed(tmp_path):
    printed = [nbformat.v4.new_output("stream", text="2")]
    notebook, run, page = (tmp_path / f"{name}.ipynb" for name in ("sentiment", "run", "page"))
    for path, heading, outputs in ((notebook, "Sentiment", []), (run, "D, a model", printed)):
        cells = [
            nbformat.v4.new_markdown_cell(f"# {heading}\n\nText."),
            nbformat.v4.new_code_cell("2", outputs=outputs),
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    page_of_task(run, notebook, page)
    shown, ran = (nbformat.read(path, 4)["cells"] for path in (page, run))
    assert shown[0]["source"] == "# Sentiment\n\nText."
    assert shown[1]["outputs"][0]["text"] == "2"
    assert shown[1] == ran[1]


def test_every_citation_has_its_entry():
    entries = parse_file(ROOT / "book/references.bib").entries
    pages = [*ROOT.glob("book/*.md"), *ROOT.glob("book/shared/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    cited = {key.strip() for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", text) for key in keys.split(",")}
    assert cited <= set(entries)


def test_two_kernels_that_start_at_once_cannot_be_given_the_same_port(tmp_path, monkeypatch):
    """They talk through files, and leave none behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cell = (
        "import json\nfrom ipykernel import get_connection_file\n"
        "print(json.load(open(get_connection_file()))['transport'])"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(notebook, tmp_path / "asked.ipynb")
    execute(tmp_path / "asked.ipynb", tmp_path / "answered.ipynb", tmp_path / "log", {})
    executed = nbformat.read(tmp_path / "answered.ipynb", 4)
    printed = [
        output["text"].strip() for cell in executed.cells for output in cell.get("outputs", []) if "text" in output
    ]
    assert "ipc" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"asked.ipynb", "answered.ipynb", "log"}


def test_a_parameter_that_is_no_utf8_arrives_and_is_written(tmp_path):
    """As the name of a file may be."""
    given = os.fsdecode(b"not UTF-8 \xff")
    cells = [
        nbformat.v4.new_code_cell("name = None", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import json; print(json.dumps(name))"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(notebook, tmp_path / "asked.ipynb")
    execute(tmp_path / "asked.ipynb", tmp_path / "answered.ipynb", tmp_path / "log", {"name": given})
    assert json.loads(nbformat.read(tmp_path / "answered.ipynb", 4).cells[-1].outputs[0].text) == given


def test_tables_wait_for_the_notebooks_that_keep_results():
    """A notebook of the equations that writes into results/ while tables read it would race with them."""
    snakefile = (ROOT / "Snakefile").read_text()
    equations, waited = (
        set(re.findall(r'"([\w-]+)"', re.search(rf"^{name} = \[(.*)\]", snakefile, re.MULTILINE)[1]))
        for name in ("EQUATIONS", "KEPT")
    )
    keeping = {name for name in equations if re.search(r"\brun_row\(|\.keep\(", "\n".join(sources(name, "code")))}
    assert keeping == waited
