"""The directive `result-figure`: one figure of `avss.figures` by name, with the files that belong to it.

    :::{result-figure} variance_by_block
    :alt: What the figure shows, for readers who cannot see it.
    The caption.
    :::

The page shows the SVG that suits its light or dark mode; below the caption it links the PDF and the plotted data.
"""

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "/book/executed/figures"


class ResultFigure(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012 (docutils reads it from the class)

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if not self.options.get("alt"):
            raise self.error(f"result-figure {name} needs :alt:, a sentence for readers who cannot see it")
        # One child before the caption: docutils tells by the caption's place whether a legend belongs to it.
        drawings = nodes.container(classes=["drawings"])
        for theme in ("light", "dark"):
            drawings += nodes.image(
                uri=f"{FOLDER}/{name}.{theme}.svg", alt=self.options["alt"], classes=[f"only-{theme}"]
            )
        figure = nodes.figure("", drawings, classes=["result-figure"])
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        if len(parsed) != 1 or not isinstance(parsed[0], nodes.paragraph):
            raise self.error(f"result-figure {name} needs a caption of one paragraph")
        figure += nodes.caption(parsed[0].rawsource, "", *parsed[0].children)
        figure += nodes.legend("", nodes.paragraph("", "", *self._files(name)))
        self.set_source_info(figure)
        label = f"fig-{name.replace('_', '-')}"
        figure["names"].append(label)
        self.state.document.note_explicit_target(figure, figure)
        return [figure]

    def _files(self, name: str) -> list[nodes.Node]:
        links: list[nodes.Node] = []
        for text, file in (("PDF", f"{name}.pdf"), ("data (CSV)", f"{name}.csv")):
            target = f"{FOLDER}/{file}"
            link = addnodes.download_reference("", "", reftarget=target, refdoc=self.env.docname, refdomain="")
            link += nodes.Text(text)
            links += [link, nodes.Text(", ")]
        return [*links, nodes.Text("drawn by "), nodes.literal("", f"avss.figures.{name}")]


def setup(app: Sphinx) -> dict:
    app.add_directive("result-figure", ResultFigure)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
