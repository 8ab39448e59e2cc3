"""Numbers in prose: two roles that bring them with their basis, and a check that none is typed by hand.

    {number}`reference/sst2-distilbert/avss/retention`    from the results store, or a benchmark's file
    {paper}`0.95 <Section 4.1>`                           quoted, with the place where it is printed

`avss.report.cited` describes the addresses, formats and intervals that `number` takes. A reader sees the number;
its tooltip, also read aloud, has the interval, n, seeds and run, or the place. A click opens all of it, with links to
the files of the run and the citation to copy (`_static/numbers.js`). Builders other than HTML write the number alone.

    :::{measured} reference/hackernews-smollm2/avss/retention
    Shown where all numbers of these addresses are measured; `not-measured` shows its text in the other case.
    :::

A decimal (`0.95`, `.5`, `1e-6`) that stands bare in a page, a notebook's Markdown cell, a caption or an alt text is a
warning, so that it fails a build with `-W`. Allowed are:

- text that the two roles write;
- code, which is how a constant of a definition or a version is written, and mathematics;
- links, cross-references and citations;
- outputs of code cells, docstrings, and tables that pages include from `book/executed/figures`;
- versions in three parts or joined to a name (Llama-3.2), and numbers of things: Section, Table, Figure, Appendix,
  Python, arXiv.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole, SphinxDirective, SphinxRole

from avss.errors import InputError
from avss.report.addresses import Number
from avss.report.cited import told as told_of
from avss.report.run_files import lines_of, runs_of
from avss.report.snapshot import Results
from avss.store import Store

RESULTS, BENCH, GENERATED = "results", "bench/results", "book/executed/figures"
ROW_PAGES = "book/executed/rows/"
_DECIMAL = re.compile(
    r"(?P<thing>(?:Section|Sec\.|Table|Figure|Fig\.|Appendix|Python|arXiv)[\s:]*)?"
    r"(?<![\w.])(?<![A-Za-z]-)(?:\d*+\.\d++(?:e[-+−]?\d+)?|\d++e[-+−]?\d++(?!\w))(?!\.\d)",
    re.IGNORECASE,
)
_ALLOWED = (
    addnodes.download_reference,
    addnodes.pending_xref,
    nodes.citation,
    nodes.citation_reference,
    nodes.comment,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.problematic,
    nodes.raw,
    nodes.reference,
)
# In a notebook, the first line of a cell is this many times the cell's number, and one.
_CELL = 10_000

logger = logging.getLogger(__name__)


class told(nodes.inline):
    """A number with its `basis`, and with the `facts` that a click shows."""


class NumberRole(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            text, basis, number = told_of(self.text, self.env.app.avss_snapshot)
        except InputError as error:
            return [_failed(self, str(error))], []
        facts = {"address": self.text.split()[0]} | (_facts(number, self.env.app) if number else {})
        return [told(self.rawtext, text, basis=basis, facts=facts)], []


def _facts(number: Number, app: Sphinx) -> dict:
    """What a click shows beside the basis: n, seeds, the interval, and the files and lines of each run."""
    facts = dict(number.facts or {})
    if not np.isnan(number.low):
        facts |= {"low": float(number.low), "high": float(number.high), "kind": number.interval}
    keys, runs = facts.pop("observations", []), []
    for name in facts.pop("runs", []):
        folder = app.avss_runs[name]["folder"]
        runs.append({"run": name, "folder": folder, "lines": lines_of(Path(app.srcdir) / folder, name, keys)})
    return facts | {"runs": runs}


class PaperRole(ReferenceRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        if not self.has_explicit_title:
            return [_failed(self, f"{self.text!r} needs its place; write {{paper}}`{self.text} <Section 1>`")], []
        return [told(self.rawtext, self.title, basis=f"as printed in {self.target}", facts={"paper": self.target})], []


class Measured(SphinxDirective):
    """Text that holds only where numbers are measured, or, as `not-measured`, only where one of them is not."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            snapshot, addresses = self.env.app.avss_snapshot, self.arguments[0].split()
            numbers = [told_of(f"{address} or not measured", snapshot)[2] for address in addresses]
        except InputError as error:
            raise self.error(f"{self.name}: {error}") from None
        if all(numbers) != (self.name == "measured"):
            return []
        made = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, made)
        return made.children


def _failed(role: SphinxRole, message: str) -> nodes.Node:
    logger.warning(message, location=place(*role.get_source_info()), type="avss", subtype=role.name)
    return nodes.problematic(role.rawtext, role.text)


def place(source: str, line: int | None) -> str:
    """`page.md:12`, or `page.ipynb: cell 3, line 2`; cells count from 1."""
    if source.endswith(".ipynb") and line:
        return f"{source}: cell {line // _CELL}, line {line % _CELL - 1}"
    return f"{source}:{line or 1}"


def bare_decimals(document: nodes.document) -> Iterator[tuple[str, str, int]]:
    """Each decimal that stands bare in a page, with its file and line."""
    for block in document.findall(_holds_text):
        source, line = origin(block)
        if GENERATED in Path(source).as_posix() or _of_code(block):
            continue
        # The title of such a page is that of its row, from the profile.
        if isinstance(block, nodes.title) and ROW_PAGES in Path(source).as_posix():
            continue
        text = "".join(_prose(block))
        for found in _DECIMAL.finditer(text):
            if not found["thing"]:
                yield found[0], source, line + text[: found.start()].count("\n")
    for image in document.findall(nodes.image):
        if not _of_code(image):
            for found in _DECIMAL.finditer(image.get("alt", "")):
                yield found[0], *origin(image)


def _holds_text(node: nodes.Node) -> bool:
    """Whether text stands directly in it, as in a paragraph, a title or a caption."""
    return isinstance(node, nodes.TextElement) and not isinstance(node, (nodes.Inline, *_ALLOWED))


def _prose(node: nodes.Node) -> Iterator[str]:
    """The text with the lines it has in the page, and a blank in place of what is allowed."""
    for child in node.children:
        if isinstance(child, nodes.Text):
            yield child.astext()
        elif isinstance(child, (told, *_ALLOWED)):
            yield " " + "\n" * child.astext().count("\n")
        else:
            yield from _prose(child)


def origin(node: nodes.Node) -> tuple[str, int]:
    """File and line of the nearest element that knows them."""
    # In a table only the table itself: its cells name the page even where it was included.
    above = list(_with_ancestors(node))
    above = next(([table] for table in above if isinstance(table, nodes.table)), above)
    source, line = (next(filter(None, found), None) for found in zip(*((n.source, n.line) for n in above), strict=True))
    return source or "", line or 1


def _with_ancestors(node: nodes.Node | None) -> Iterator[nodes.Node]:
    while node is not None:
        yield node
        node = node.parent


def _of_code(node: nodes.Node) -> bool:
    """Whether it belongs to a code cell, or to the description of a function or class."""
    above = [n for n in _with_ancestors(node) if isinstance(n, nodes.Element)]
    return any(isinstance(n, addnodes.desc) or n.get("nb_element") == "cell_code" for n in above)


def _check(app: Sphinx, document: nodes.document) -> None:
    for decimal, source, line in bare_decimals(document):
        logger.warning(
            "the decimal %s stands bare in prose; take it from the store with {number}, quote it with {paper}, or "
            "write a constant as code",
            decimal,
            location=place(source, line),
            type="avss",
            subtype="decimal",
        )


def _state(app: Sphinx, config) -> None:
    """One snapshot of the results for all pages, which are read again when there are other results than before."""
    app.avss_snapshot = Results(Store(Path(app.srcdir) / RESULTS))
    app.avss_runs = runs_of(app.avss_snapshot)
    files = [path for folder in (RESULTS, BENCH) for path in (Path(app.srcdir) / folder).rglob("*") if path.is_file()]
    config.avss_results = sorted(f"{path.relative_to(app.srcdir)} {path.stat().st_mtime_ns}" for path in files)


def _visit(translator, node: told) -> None:
    facts = json.dumps(node["facts"] | {"basis": node["basis"], "text": node.astext()}, ensure_ascii=False)
    given = {"type": "button", "title": node["basis"], "data-number": facts}
    translator.body.append(translator.starttag(node, "button", "", CLASS="told-number", **given))


def _depart(translator, node: told) -> None:
    basis = translator.encode(node["basis"])
    translator.body.append(f'<span class="visually-hidden"> ({basis})</span></button>')


def setup(app: Sphinx) -> dict:
    app.add_config_value("avss_results", [], "env", list)
    app.add_node(told, html=(_visit, _depart))
    app.add_role("number", NumberRole())
    app.add_role("paper", PaperRole())
    app.add_directive("measured", Measured)
    app.add_directive("not-measured", Measured)
    app.connect("config-inited", _state)
    app.connect("doctree-read", _check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
