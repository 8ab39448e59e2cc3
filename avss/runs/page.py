"""The page that shows an executed notebook: that of a task is the whole notebook, that of a row its results alone.

python -m avss.runs.page RUN NOTEBOOK PAGE [--of-row DOCUMENT]

It needs nbformat and neither papermill nor torch, so that a page takes half a second.
"""

import argparse
import re
from pathlib import Path

import nbformat

HEADING = re.compile(r"^# .*$", re.MULTILINE)
# A section of a notebook, or a figure in it.
_PART = re.compile(r"^## (?P<heading>.+?)$|^(?P<figure>:::\{result-figure\} .*?^:::)$", re.MULTILINE | re.DOTALL)
# The names by which the notebooks of the tasks know what was measured on the row.
_MEASURED = re.compile(r"\b(measured|made)\b")
# The cell that measures prints how many observations there are, and no result.
_MEASURES = "run_row("
# The sections that stand open, in this order, each with its first figure; all other parts are folded.
OPEN = ("What holds", "Retention")


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    # In ASCII: a parameter that is the name of a file may be no UTF-8.
    nbformat.write(notebook, path, ensure_ascii=True)


def retitle(notebook: nbformat.NotebookNode, title: str) -> None:
    """Replace the first heading of a notebook by this title, in plain text."""
    plain = re.sub(r"([\\`*_{}\[\]<>$])", r"\\\1", title)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and HEADING.search(cell["source"]):
            cell["source"] = HEADING.sub(lambda _: f"# {plain}", cell["source"], count=1)
            return


def title_of(notebook: Path) -> str:
    """The first heading of a notebook in the repository."""
    found = (HEADING.search(cell["source"]) for cell in nbformat.read(notebook, 4)["cells"])
    return next(heading[0] for heading in found if heading).removeprefix("# ")


def page_of_task(run: Path, notebook: Path, page: Path) -> None:
    """Copy an executed notebook with the heading that it has in the repository: the page is about the whole task."""
    executed = nbformat.read(run, 4)
    retitle(executed, title_of(notebook))
    write(executed, page)


def page_of_row(run: Path, notebook: Path, page: Path, document: str) -> None:
    """Write the page of an executed row: verdicts and one figure, and folded below them all other results.

    run: the executed notebook of the task. document: the page of the task, which explains this one. The text and the
    code of the notebook are left out, also what it prints on anything but the row's results. Its metadata stay.
    """
    executed = nbformat.read(run, 4)
    first = executed["cells"][0]["source"].partition("\n")[0]
    intro = (
        f'{first}\n\n<div class="row-page"></div>\n\n'
        f"A row of {{doc}}`{title_of(notebook)} </{document}>`. That page explains each part. Folds open on a click."
    )
    sections, cells = _sections(executed["cells"][1:]), [nbformat.v4.new_markdown_cell(intro)]
    for heading in OPEN:
        figures, printed = sections.pop(heading, ([], []))
        cells.append(nbformat.v4.new_markdown_cell("\n\n".join([f"## {heading}", *figures[:1]])))
        if heading == OPEN[0]:
            cells += [part for cell in printed for part in _opened(cell, heading)]
        else:
            cells += _in_numbers(heading, printed, figures)
        cells += _dropdown(f"{heading}, further figures", figures[1:])
    cells.append(nbformat.v4.new_markdown_cell("## Further results"))
    for heading, (figures, printed) in sections.items():
        cells += _dropdown(heading, figures) + _in_numbers(heading, printed, figures)
    executed["cells"] = cells
    write(executed, page)


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


def _opened(cell, heading: str) -> list:
    """The cell with its first table, and folded below it the others."""
    shown = [output for output in cell["outputs"] if output["output_type"] in ("display_data", "execute_result")]
    # The book leaves out cells without a source.
    others = nbformat.v4.new_code_cell("# see above", id=f"{cell['id']}-others", outputs=shown[1:])
    cell["outputs"] = shown[:1]
    cell["metadata"]["tags"] = ["remove-input"]
    return [cell, _folded(others, f"{heading}, other readings")] if others["outputs"] else [cell]


def _in_numbers(heading: str, printed: list, figures: list[str]) -> list:
    """What a section prints, folded; several folds of one section, and its figures, have different names."""
    name = f"{heading.rstrip('?')}, in numbers" if figures else heading
    return [_folded(cell, name + (f" ({number})" if number > 1 else "")) for number, cell in enumerate(printed, 1)]


def _folded(cell, prompt: str):
    cell["metadata"] |= {
        "tags": ["remove-input", "hide-output"],
        "mystnb": {"code_prompt_show": prompt, "code_prompt_hide": prompt},
    }
    return cell


def _dropdown(title: str, figures: list[str]) -> list:
    if not figures:
        return []
    return [nbformat.v4.new_markdown_cell("\n\n".join([f"::::{{dropdown}} {title}", *figures, "::::"]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "notebook", "page"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--of-row", metavar="DOCUMENT", help="the page is of a row, and this one of its task")
    given = parser.parse_args()
    if given.of_row:
        page_of_row(given.run, given.notebook, given.page, given.of_row)
    else:
        page_of_task(given.run, given.notebook, given.page)


if __name__ == "__main__":
    main()
