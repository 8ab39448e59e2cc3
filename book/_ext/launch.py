"""Launch buttons of executed notebooks: where a reader opens the notebook itself, without outputs, and runs it.

The theme's own buttons lead to a page's path in the repository. Executed notebooks are in no repository, so these lead
to the notebook that papermill executed: on Binder at the revision that the book was built from, on Colab as a copy
that begins with a cell that fetches the package. The copies are written beside the book, to `colab/`, and the
workflow that publishes the book puts them on the branch `colab`.

Which repository is known where the book is published: GitHub names it to its workflows. Without a name there are no
buttons; `launch_repository` and `launch_revision` in the configuration set them by hand.
"""

import json
import os
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from sphinx.application import Sphinx

BINDER = "https://mybinder.org/v2/gh/{repository}/{revision}?urlpath=lab/tree/{notebook}"
COLAB = "https://colab.research.google.com/github/{repository}/blob/colab/{notebook}"
SET_UP = """\
# Added for Colab: the package, at the revision of the page that led here.
!git clone --quiet https://github.com/{repository} avss-companion
!git -C avss-companion checkout --quiet {revision}
%pip install --quiet --editable avss-companion
%cd avss-companion"""


def notebook_of(page: Path) -> tuple[str, dict] | None:
    """The notebook that papermill executed for a page, as a path in the repository, and the parameters it was given."""
    if page.suffix != ".ipynb":
        return None
    executed = json.loads(page.read_text(encoding="utf-8"))["metadata"].get("papermill")
    return executed and (executed["input_path"], executed["parameters"])


def buttons(notebook: str, given: dict, repository: str, revision: str) -> dict:
    """A group of buttons as the theme draws it."""
    where = {"repository": repository, "revision": revision, "notebook": notebook}
    values = ", ".join(f"{name} = {value!r}" for name, value in given.items())
    hint = f"; for this page, set {values} in its first code cell" if given else ""
    links = [
        {"type": "link", "text": name, "icon": f"_static/images/{logo}", "url": url.format(**where)}
        for name, logo, url in (("Binder", "logo_binder.svg", BINDER), ("Colab", "logo_colab.png", COLAB))
    ]
    return {
        "type": "group",
        "label": "launch-buttons",
        "icon": "fas fa-rocket",
        "tooltip": "Run the notebook",
        "buttons": [link | {"tooltip": f"Open {Path(notebook).name} on {link['text']}{hint}"} for link in links],
    }


def for_colab(notebook: NotebookNode, repository: str, revision: str) -> NotebookNode:
    """The notebook with a first cell that fetches the package."""
    source = SET_UP.format(repository=repository, revision=revision)
    cell = new_code_cell(source, id="colab")
    return NotebookNode(notebook | {"cells": [cell, *notebook["cells"]]})


def _add_buttons(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    launched = doctree and app.config.launch_repository and notebook_of(Path(app.env.doc2path(pagename)))
    if launched:
        group = buttons(*launched, app.config.launch_repository, app.config.launch_revision)
        context["header_buttons"].insert(0, group)


def _write_copies(app: Sphinx, error: Exception | None) -> None:
    if error or not app.config.launch_repository:
        return
    folder = Path(app.outdir).parent / "colab"
    folder.mkdir(exist_ok=True)
    for path in Path(app.srcdir).glob("notebooks/*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        copy = for_colab(notebook, app.config.launch_repository, app.config.launch_revision)
        nbformat.write(copy, folder / path.name)


def setup(app: Sphinx) -> dict:
    app.add_config_value("launch_repository", os.environ.get("GITHUB_REPOSITORY", ""), "html")
    app.add_config_value("launch_revision", os.environ.get("GITHUB_SHA", "HEAD"), "html")
    # After the theme, which makes the list of buttons at 501.
    app.connect("html-page-context", _add_buttons, priority=502)
    app.connect("build-finished", _write_copies)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
