"""The runs behind the numbers: their files ship with the book, a page lists them, and each name of a run leads there.

    ```{stored-runs}
    ```

lists all runs of `results/` with their files. Wherever a page writes the name of a run as code, it becomes a link to
its place in that list. The files of `results/` and `bench/results/` are copied beside the pages, under the same paths;
the scores of the blocks and the statistics of the layers, which the page "Explorer" holds as well, are compressed.
"""

import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from avss.files import write_whole
from avss.records import gzipped

RESULTS, BENCH = "results", "bench/results"
ENDINGS = {
    ".json": "provenance",
    ".csv": "observations",
    ".layers.csv": "scores of the blocks",
    ".outcomes.csv.gz": "outcomes of the documents",
}


# Of every block, method, reading and seed.
LARGE = ".layers.csv"
# They ship compressed.
PACKED = (f"*{LARGE}", "statistics/*.json")


def to_root(docname: str) -> str:
    """The way from a page to the root of the book."""
    return "../" * docname.count("/")


class StoredRuns(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        listed = nodes.definition_list(classes=["stored-runs"])
        for name, facts in self.env.app.avss_runs.items():
            item = nodes.definition_list_item()
            term = nodes.term("", "", nodes.literal("", name))
            term["ids"].append(name.lower())
            files = self._files(name, facts["folder"])
            # As code, because a revision can read as a number.
            known = facts.get("git_revision")
            revision = nodes.literal("", known[:7]) if known else nodes.Text("not recorded")
            day = nodes.Text(f"{facts.get('created', '')[:10]}, code ")
            item += [term, nodes.definition("", nodes.paragraph("", "", day, revision, nodes.Text(": "), *files))]
            listed += item
        self.env.avss_runs_page = self.env.docname
        return [listed] if listed.children else [nodes.paragraph("", "No run is stored.")]

    def _files(self, name: str, folder: str) -> list[nodes.Node]:
        found = [
            nodes.reference("", text, refuri=f"{to_root(self.env.docname)}{folder}/{shipped}", internal=True)
            for ending, text in ENDINGS.items()
            if (Path(self.env.srcdir) / folder / f"{name}{ending}").is_file()
            for shipped in [f"{name}{ending}.gz" if ending == LARGE else f"{name}{ending}"]
        ]
        return [node for file in found for node in (file, nodes.Text(", "))][:-1]


def _link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make links of the names of runs; the list itself has none."""
    page = getattr(app.env, "avss_runs_page", None)
    if page is None or docname == page or app.builder.format != "html":
        return
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext()
        if name in app.avss_runs and not isinstance(literal.parent, nodes.reference):
            place = f"{app.builder.get_relative_uri(docname, page)}#{name.lower()}"
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=place, internal=True))


def _merge(app: Sphinx, env, docnames: list[str], other) -> None:
    """A page that another process has read."""
    if hasattr(other, "avss_runs_page"):
        env.avss_runs_page = other.avss_runs_page


def _copy(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    for folder in (RESULTS, BENCH):
        source = Path(app.srcdir) / folder
        if source.is_dir():
            target = Path(app.outdir) / folder
            # A run that is stored no more is not shipped any more.
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
            for path in [path for pattern in PACKED for path in target.rglob(pattern)]:
                write_whole(path.with_name(f"{path.name}.gz"), gzipped(path.read_text(encoding="utf-8")))
                path.unlink()


def setup(app: Sphinx) -> dict:
    # It makes the snapshot of the results, and finds their runs.
    app.setup_extension("prose_numbers")
    app.add_directive("stored-runs", StoredRuns)
    app.connect("env-merge-info", _merge)
    app.connect("doctree-resolved", _link)
    app.connect("build-finished", _copy)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
