"""The directive `result-figure`: one figure of `avss.figures` about a row, with the files that belong to it.

    :::{result-figure} variance_by_block
    :row: sst2-distilbert
    :alt: What the figure shows, for readers who cannot see it.
    The caption.
    :::

Without `:row:` it is about the row that papermill executed the notebook for, and on other pages about the first row
of Table 1; a figure about all that is stored is about no row. The page shows the SVG that suits its light or dark
mode; below the caption it links the PDF and the plotted data. The figure's label is `fig-<name>-<row>`, or
`fig-<name>`.
"""

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from avss.figures import BOOK_FIGURES
from avss.summaries import FIRST_ROW

FOLDER = "/book/executed/figures"


class ResultFigure(SphinxDirective):
    required_arguments = 1
    has_content = True
    # Docutils reads it from the class.
    option_spec = {"alt": directives.unchanged_required, "row": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if not self.options.get("alt"):
            raise self.error(f"result-figure {name} needs :alt:, a sentence for readers who cannot see it")
        row = self.options.get("row") or _row_of(Path(self.env.doc2path(self.env.docname)))
        stem = f"{FOLDER}/book/{name}" if name in BOOK_FIGURES else f"{FOLDER}/{row}/{name}-{row}"
        # One child before the caption: docutils tells by the caption's place whether a legend belongs to it.
        drawings = nodes.container(classes=["drawings"])
        for theme in ("light", "dark"):
            drawings += nodes.image(uri=f"{stem}.{theme}.svg", alt=self.options["alt"], classes=[f"only-{theme}"])
        figure = nodes.figure("", drawings, classes=["result-figure"])
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        if len(parsed) != 1 or not isinstance(parsed[0], nodes.paragraph):
            raise self.error(f"result-figure {name} needs a caption of one paragraph")
        figure += nodes.caption(parsed[0].rawsource, "", *parsed[0].children)
        figure += nodes.legend("", nodes.paragraph("", "", *self._files(name, stem)))
        self.set_source_info(figure)
        label = f"fig-{name.replace('_', '-')}"
        figure["names"].append(label if name in BOOK_FIGURES else f"{label}-{row}")
        self.state.document.note_explicit_target(figure, figure)
        return [figure]

    def _files(self, name: str, stem: str) -> list[nodes.Node]:
        links: list[nodes.Node] = []
        for text, ending in (("PDF", "pdf"), ("data (CSV)", "csv")):
            target = f"{stem}.{ending}"
            link = addnodes.download_reference("", "", reftarget=target, refdoc=self.env.docname, refdomain="")
            link += nodes.Text(text)
            links += [link, nodes.Text(", ")]
        return [*links, nodes.Text("drawn by "), nodes.literal("", f"avss.figures.{name}")]


def _row_of(page: Path) -> str:
    """The row that an executed notebook is about; the first one for other pages."""
    if page.suffix != ".ipynb":
        return FIRST_ROW
    metadata = json.loads(page.read_text(encoding="utf-8"))["metadata"]
    return metadata.get("papermill", {}).get("parameters", {}).get("row", FIRST_ROW)


def setup(app: Sphinx) -> dict:
    app.add_directive("result-figure", ResultFigure)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
