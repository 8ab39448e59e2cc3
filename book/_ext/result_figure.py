"""The directives `result-figure` and `figure-gallery`: figures of `avss.report.figures` with all that belongs to them.

    :::{result-figure} variance_by_block
    :row: sst2-distilbert
    :alt: What the figure shows, for readers who cannot see it.
    The caption.
    :::

Without `:row:` it is about the row that papermill executed the notebook for, and on other pages about the first row
of Table 1; a figure about all that is stored is about no row. Without `:alt:` it has the one of `book/figures.yml`,
where every figure is registered with its title, its kind, and what it shows. The page shows the SVG that suits its
light or dark mode. A fold below the caption has the files (both SVGs, PDF, the plotted data as CSV), the citation, the
function that drew it with its revision, and the runs that its data name. The figure's label is `fig-<name>-<row>`, or
`fig-<name>`. Where it is shown again, it is `:unlabelled:`, has no number, and links to the place that has. Where
nothing is measured, a sentence takes its place, and the gallery leaves it out.

    ```{figure-gallery} row
    ```

shows every registered figure of a kind, `row` or `book`, as cards. Those about a row show the first row of Table 1, or
the `row` of their entry where the book has it.

An image without alt text, whoever drew it, is a warning, so that it fails a build with `-W`.
"""

import csv
import inspect
import json
import os
import subprocess
from functools import partial
from pathlib import Path

from citing import authors, bibtex_entry, citation, escaped, yaml_of
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from prose_numbers import origin, place
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from stored_runs import to_root

from avss.errors import InputError
from avss.report.comparisons import FIRST_ROW, lowest_removals
from avss.report.figures import BOOK_FIGURES, ROW_FIGURES
from avss.report.table1 import configuration

FOLDER = "/book/executed/figures"
REGISTER = "book/figures.yml"
FUNCTIONS = {"row": ROW_FIGURES, "book": BOOK_FIGURES}
# All that is under version control and decides how a figure looks.
_DECIDING = ("avss", "avss/report/table1.csv", "results", "bench/results")
# Of more runs, a citation names the number and the file that lists them.
_FEW_RUNS = 3
_FILES = {"light.svg": "SVG", "dark.svg": "SVG for dark pages", "pdf": "PDF", "csv": "data (CSV)"}

logger = logging.getLogger(__name__)


class disclosure(nodes.container):
    """What opens on demand under its `summary`; builders other than HTML show it open."""


class ResultFigure(SphinxDirective):
    required_arguments = 1
    has_content = True
    # Docutils reads it from the class.
    option_spec = {  # noqa: RUF012
        "alt": directives.unchanged,
        "row": directives.unchanged_required,
        "unlabelled": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        entry = registered(self.env).get(name)
        if entry is None:
            raise self.error(f"result-figure {name} is not in {REGISTER}; register it there")
        alt = (self.options.get("alt") or entry.get("alt") or "").strip()
        if not alt:
            raise self.error(f"result-figure {name} needs :alt:, a sentence for readers who cannot see it")
        row = None
        if entry["kind"] == "row":
            page = Path(self.env.doc2path(self.env.docname))
            row = self.options.get("row") or _row_of(page) or _first_row(self.env)
        stem = _stem(name, row)
        if _is_empty(self.env, stem):
            return [nodes.paragraph("", f"{entry['title']}: not measured.")]
        label = "-".join(filter(None, ("fig", name.replace("_", "-"), row)))
        # One child before the caption: docutils tells by the caption's place whether a legend belongs to it.
        drawings = nodes.container(classes=["drawings"])
        for theme in ("light", "dark"):
            drawings += nodes.image(uri=f"{stem}.{theme}.svg", alt=alt, classes=[f"only-{theme}"])
        caption = self._caption(name)
        try:
            legend = self._legend(name, entry, row, stem, label)
        except InputError as error:
            raise self.error(f"result-figure {name}: {error}") from None
        if "unlabelled" in self.options:
            # No figure to Sphinx, which would give it another number.
            below = nodes.container("", *legend, self._elsewhere(label), classes=["legend"])
            return [nodes.container("", drawings, caption, below, classes=["result-figure"])]
        figure = nodes.figure("", drawings, classes=["result-figure"])
        figure += nodes.caption(caption.rawsource, "", *caption.children)
        figure[-1].source, figure[-1].line = caption.source, caption.line
        figure += nodes.legend("", *legend)
        self.set_source_info(figure)
        figure["names"].append(label)
        self.state.document.note_explicit_target(figure, figure)
        return [figure]

    def _caption(self, name: str) -> nodes.paragraph:
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        if len(parsed) != 1 or not isinstance(parsed[0], nodes.paragraph):
            raise self.error(f"result-figure {name} needs a caption of one paragraph")
        return parsed[0]

    def _legend(self, name: str, entry: dict, row: str | None, stem: str, label: str) -> list[nodes.Node]:
        files = [self._file(f"{stem}.{ending}", nodes.Text(text)) for ending, text in _FILES.items()]
        drawn = [nodes.Text("Drawn by "), self._function(name, entry["kind"])]
        if self.config.avss_revision:
            drawn += [nodes.Text(" at revision "), nodes.literal("", self.config.avss_revision)]
        title, runs = entry["title"], _runs(self.env, stem)
        if row:
            results = self.env.app.avss_snapshot
            names, runs = configuration(results, row), runs or list(lowest_removals(results, row)["run"].unique())
            title = f"{title}: {names['dataset']}, {names['model']}"
        named = runs or [entry["data"]]
        source = ", ".join(named) if len(named) <= _FEW_RUNS else f"{len(runs)} runs, which {Path(stem).name}.csv names"
        bibtex = self._bibtex(name, title, source, label)
        below = disclosure(summary="Files, citation and runs")
        below += nodes.paragraph("", "", nodes.Text("Files: "), *_listed(files))
        below += nodes.literal_block(bibtex, bibtex, language="bibtex")
        shown = _listed([nodes.literal("", name) for name in named])
        below += nodes.paragraph("", "", *drawn, nodes.Text(", from "), *shown)
        return [below]

    def _file(self, target: str, text: nodes.Text) -> nodes.Node:
        """The page shows the drawings, so they are in the book without another copy."""
        if not target.endswith(".svg"):
            return self._download(target, text)
        place = f"{to_root(self.env.docname)}_images/{Path(target).name}"
        return nodes.reference("", "", text, refuri=place, internal=True)

    def _download(self, target: str, *children: nodes.Node) -> nodes.Node:
        return addnodes.download_reference(
            "", "", *children, reftarget=target, refdoc=self.env.docname, refdomain="", refexplicit=True
        )

    def _function(self, name: str, kind: str) -> nodes.Node:
        """Its name, linked to its lines at this revision; to its file where the repository has no address."""
        function = FUNCTIONS[kind][name]
        while isinstance(function, partial):
            function = function.func
        path = os.path.relpath(inspect.getsourcefile(function), self.env.srcdir)
        shown = nodes.literal("", f"avss.report.figures.{name}")
        revision, url = self.config.avss_revision.partition(" ")[0], citation(self.env).get("repository-code")
        if not (revision and url):
            return self._download(f"/{path}", shown)
        lines, first = inspect.getsourcelines(function)
        place = f"{url}/blob/{revision}/{path}#L{first}-L{first + len(lines) - 1}"
        return nodes.reference("", "", shown, refuri=place)

    def _bibtex(self, name: str, title: str, source: str, label: str) -> str:
        facts = citation(self.env)
        revision = f", revision {self.config.avss_revision}" if self.config.avss_revision else ""
        base = (self.config.html_baseurl or facts.get("url") or "").rstrip("/")
        published = f"Figure avss.report.figures.{name} of {facts['title']}, version {facts['version']}{revision}"
        fields = {
            "title": f"{{{escaped(title)}}}",
            "author": authors(facts),
            "year": str(facts["date-released"])[:4],
            "howpublished": escaped(published),
            "note": escaped(f"Data of {source}"),
            "url": f"{base}/{self.env.docname}.html#{label}" if base else facts.get("repository-code", ""),
        }
        return bibtex_entry("misc", f"avss-{label}", fields)

    def _elsewhere(self, label: str) -> nodes.Node:
        """A link to the figure with this label, which vanishes where no page has it."""
        target = {"reftype": "ref", "refdomain": "std", "reftarget": label, "refexplicit": True, "optional": True}
        shown = nodes.inline("", "In the text")
        return nodes.paragraph("", "", addnodes.pending_xref("", shown, refdoc=self.env.docname, **target))


class FigureGallery(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        kind = self.arguments[0]
        if kind not in FUNCTIONS:
            raise self.error(f"figure-gallery {kind} is not known; choose one of {', '.join(FUNCTIONS)}")
        entries = {name: entry for name, entry in registered(self.env).items() if entry["kind"] == kind}
        if not entries:
            return []
        lines = ["::::::{grid} 1 1 1 2", ":gutter: 3", ":class-container: figure-gallery", ""]
        for name, entry in entries.items():
            row = entry.get("row", "")
            if not row or not Path(f"{self.env.srcdir}{FOLDER}/{row}").is_dir():
                row = _first_row(self.env)
            if _is_empty(self.env, _stem(name, row if kind == "row" else None)):
                continue
            lines += [f":::::{{grid-item-card}} {entry['title']}", f"::::{{result-figure}} {name}"]
            lines += [":unlabelled:", f":row: {row}", "", entry["shows"], "::::", ":::::"]
        made = nodes.Element()
        source = self.get_source_info()[0]
        self.state.nested_parse(StringList([*lines, "::::::"], source), self.content_offset, made)
        return made.children


def registered(env) -> dict[str, dict]:
    """The figures of `book/figures.yml`, by name."""
    path = Path(env.srcdir) / REGISTER
    env.note_dependency(str(path))
    return yaml_of(path)


def _stem(name: str, row: str | None) -> str:
    """Where the files of a figure lie, without their endings; row: None for a figure about all that is stored."""
    return f"{FOLDER}/{row}/{name}-{row}" if row else f"{FOLDER}/book/{name}"


def _is_empty(env, stem: str) -> bool:
    """Whether the data of a drawn figure has no line but its head."""
    path = Path(f"{env.srcdir}{stem}.csv")
    env.note_dependency(str(path))
    return path.is_file() and len(path.read_text(encoding="utf-8").splitlines()) == 1


def _runs(env, stem: str) -> list[str]:
    """The runs that the data of a figure name, in their order; one line of them may name several."""
    path = Path(f"{env.srcdir}{stem}.csv")
    env.note_dependency(str(path))
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        named = [line.get("run") or "" for line in csv.DictReader(file)]
    return list(dict.fromkeys(run for runs in named for run in runs.split(", ") if run))


def _first_row(env) -> str:
    """The row of this book that stands for the first line of Table 1."""
    drawn = sorted(path.parent.name for path in Path(f"{env.srcdir}{FOLDER}").glob("*/card-*.light.svg"))
    line_of = env.app.avss_snapshot.line_of
    return next((row for row in drawn if line_of(row) == FIRST_ROW), FIRST_ROW)


def _row_of(page: Path) -> str | None:
    """The row that papermill executed a page's notebook for, if it is about one."""
    if page.suffix != ".ipynb":
        return None
    executed = json.loads(page.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
    return executed.get("parameters", {}).get("row")


def _listed(parts: list[nodes.Node]) -> list[nodes.Node]:
    return [node for part in parts for node in (part, nodes.Text(", "))][:-1]


def _revision(app: Sphinx, config) -> None:
    """The commit that last changed what decides how figures look, and whether it has been changed since.

    Pages are read again when it is another one than before.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(app.srcdir), *arguments, "--", *_DECIDING], capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("log", "-1", "--format=%h")
    changed = commit and git("status", "--porcelain", "--untracked-files=no")
    config.avss_revision = f"{commit} with changes" if changed else commit


def _check_alt(app: Sphinx, document: nodes.document) -> None:
    for image in document.findall(nodes.image):
        if not image.get("alt", "").strip():
            logger.warning(
                "the image %s has no alt text; say in it what the image shows",
                image["uri"],
                location=place(*origin(image)),
                type="avss",
                subtype="alt",
            )


def _unlinked(app: Sphinx, env, node: addnodes.pending_xref, content: nodes.Node) -> nodes.Node | None:
    return nodes.inline() if node.get("optional") else None


def _visit_disclosure(translator, node: disclosure) -> None:
    summary = translator.encode(node["summary"])
    translator.body.append(translator.starttag(node, "details", f"<summary>{summary}</summary>"))


def _depart_disclosure(translator, node: disclosure) -> None:
    translator.body.append("</details>\n")


def setup(app: Sphinx) -> dict:
    # It makes the snapshot of the results.
    app.setup_extension("prose_numbers")
    app.add_config_value("avss_revision", "", "env", str)
    app.add_node(disclosure, html=(_visit_disclosure, _depart_disclosure))
    app.add_directive("result-figure", ResultFigure)
    app.add_directive("figure-gallery", FigureGallery)
    app.connect("config-inited", _revision)
    app.connect("doctree-read", _check_alt)
    app.connect("missing-reference", _unlinked)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
