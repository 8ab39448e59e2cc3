"""The page of a row that has a page of its own: the results alone, because the page of its task explains them."""

import re
from pathlib import Path

import nbformat

# A section of a notebook, or a figure in it.
_PART = re.compile(r"^## (?P<heading>.+?)$|^(?P<figure>:::\{result-figure\} .*?^:::)$", re.MULTILINE | re.DOTALL)
# The names by which the notebooks of the tasks know what was measured on the row.
_MEASURED = re.compile(r"\b(measured|made)\b")
# The cell that measures prints how many observations there are, and no result.
_MEASURES = "run_row("
# The sections that stand open, in this order, each with its first figure; all other parts are folded.
OPEN = ("What holds", "Retention", "Which blocks go")


def page_of_row(run: Path, page: Path, task: tuple[str, str]) -> None:
    """Write the page of an executed row: verdicts and two figures, and folded below them all other results.

    run: the executed notebook of the task. task: the document of the task's page, and its title. The text and the code
    of the notebook are left out, also what it prints on anything but the row's results. Its metadata stay.
    """
    executed = nbformat.read(run, 4)
    first = executed["cells"][0]["source"].partition("\n")[0]
    document, title = task
    intro = (
        f"{first}\n\nThis is one row of {{doc}}`{title} </{document}>`. That page explains every part of this one and "
        "has the findings over all rows of the task. Folded parts open on a click."
    )
    sections, cells = _sections(executed["cells"][1:]), [nbformat.v4.new_markdown_cell(intro)]
    for heading in OPEN:
        figures, printed = sections.pop(heading, ([], []))
        shown, folded = figures[:1], figures[1:]
        cells.append(nbformat.v4.new_markdown_cell("\n\n".join([f"## {heading}", *shown])))
        cells += [_shown(cell) if heading == OPEN[0] else _folded(cell, heading) for cell in printed]
        cells += _dropdown(f"{heading}, further figures", folded)
    cells.append(nbformat.v4.new_markdown_cell("## Further results"))
    for heading, (figures, printed) in sections.items():
        cells += _dropdown(heading, figures) + [_folded(cell, heading) for cell in printed]
    executed["cells"] = cells
    nbformat.write(executed, page, ensure_ascii=True)


def _sections(cells: list) -> dict[str, tuple[list[str], list]]:
    """By heading, the figures and the cells whose output shows something of the row."""
    sections, heading = {}, ""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for found in _PART.finditer(cell["source"]):
                heading = found["heading"] or heading
                if found["figure"]:
                    sections.setdefault(heading, ([], []))[0].append(found["figure"])
        elif (
            cell["outputs"]
            and _MEASURED.search(cell["source"])
            and _MEASURES not in cell["source"]
            and "remove-output" not in cell["metadata"].get("tags", ())
        ):
            sections.setdefault(heading, ([], []))[1].append(cell)
    return sections


def _shown(cell):
    cell["metadata"]["tags"] = ["remove-input"]
    return cell


def _folded(cell, heading: str):
    prompt = f"{heading}, in numbers"
    cell["metadata"] |= {
        "tags": ["remove-input", "hide-output"],
        "mystnb": {"code_prompt_show": prompt, "code_prompt_hide": prompt},
    }
    return cell


def _dropdown(title: str, figures: list[str]) -> list:
    if not figures:
        return []
    return [nbformat.v4.new_markdown_cell("\n\n".join([f"::::{{dropdown}} {title}", *figures, "::::"]))]
