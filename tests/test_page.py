"""The page of a row: its results alone, those that are read first open and all others folded."""

from pathlib import Path

import nbformat
import pytest

from avss.runs.page import OPEN, page_of_row, retitle, title_of

ROOT = Path(__file__).parent.parent
TASKS = {
    "sentiment": "retention removed_layers retention_curve rank_agreement score_against_loss",
    "language-modeling": "retention removed_layers retention_curve recovery rank_agreement score_against_loss",
    "question-answering": "retention removed_layers retention_curve rank_agreement score_against_loss",
}


def page_of(task: str, folder: Path) -> list:
    """The cells of the page of a row whose notebook printed a warning and two tables in every cell."""
    ran = nbformat.read(ROOT / f"notebooks/{task}.ipynb", 4)
    for cell in ran["cells"]:
        if cell["cell_type"] == "code":
            tables = [nbformat.v4.new_output("display_data", {"text/markdown": text}) for text in ("one", "two")]
            cell["outputs"] = [nbformat.v4.new_output("stream", text="a warning"), *tables]
    retitle(ran, "My row")
    ran["metadata"]["papermill"] = {"parameters": {"row": "mine"}}
    run, page = folder / "run.ipynb", folder / "page.ipynb"
    nbformat.write(ran, run)
    page_of_row(run, ROOT / f"notebooks/{task}.ipynb", page, f"book/executed/{task}")
    made = nbformat.read(page, 4)
    assert made["metadata"]["papermill"] == ran["metadata"]["papermill"], "figures are found by it"
    return made["cells"]


@pytest.mark.parametrize("task", TASKS)
def test_verdicts_and_one_figure_are_open_and_all_else_is_folded(task, tmp_path):
    cells = page_of(task, tmp_path)
    text = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    title = title_of(ROOT / f"notebooks/{task}.ipynb")
    heading, styled, intro = text[0].split("\n\n")
    assert (heading, styled) == ("# My row", '<div class="row-page"></div>')
    assert intro.startswith(f"A row of {{doc}}`{title} </book/executed/{task}>`.")
    open_figures = [part for part in text if "result-figure" in part and "dropdown" not in part]
    assert [part.split("\n")[0] for part in open_figures] == [f"## {heading}" for heading in OPEN[1:]]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all("remove-input" in cell["metadata"]["tags"] for cell in code)
    shown = [cell["source"] for cell in code if "hide-output" not in cell["metadata"]["tags"]]
    folds = [cell["metadata"]["mystnb"]["code_prompt_show"] for cell in code if "mystnb" in cell["metadata"]]
    assert len(set(folds)) == len(folds), "no two folds have one name"
    assert [source.split("\n")[0] for source in shown] == ["display(tables.claim_table(measured, row))"]


@pytest.mark.parametrize("task", TASKS)
def test_of_the_verdicts_the_first_table_is_open_and_the_other_is_folded(task, tmp_path):
    cells = page_of(task, tmp_path)
    at = next(index for index, cell in enumerate(cells) if "tables.claim_table(" in cell["source"])
    shown, folded = cells[at : at + 2]
    assert [output["data"]["text/markdown"] for cell in (shown, folded) for output in cell["outputs"]] == ["one", "two"]
    assert len(shown["outputs"]) == 1
    assert "hide-output" in folded["metadata"]["tags"]
    assert folded["metadata"]["mystnb"]["code_prompt_show"] == "What holds, other readings"


@pytest.mark.parametrize("task", TASKS)
def test_every_figure_and_table_of_the_row_is_there_once_and_no_teaching(task, tmp_path):
    cells = page_of(task, tmp_path)
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    figures = [line.split()[-1] for line in text.split("\n") if line.startswith(":::{result-figure}")]
    assert sorted(figures) == sorted(TASKS[task].split())
    assert "include" not in text
    assert "## Findings" not in text
    whole = nbformat.read(ROOT / f"notebooks/{task}.ipynb", 4)["cells"]
    tables = [cell["source"] for cell in whole if "tables." in cell["source"] and "(measured" in cell["source"]]
    sources = [cell["source"] for cell in cells]
    assert tables
    assert all(sources.count(table) == 1 for table in tables)
    assert not [source for source in sources if "np.array([" in source], "examples by hand"
