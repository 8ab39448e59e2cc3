"""How the book is cited. CITATION.cff is the one place for title, version, date and address.

    ```{book-citation}
    ```

shows the BibTeX entry of the book, and `{clone}` in the same way the commands that fetch its repository. The address is
`repository-code` of CITATION.cff; where that is missing, GitHub names it to its workflows; else the page shows ADDRESS
and says that it stands for the place that the reader has the book from. Pages know the same facts as `avssCitation`,
for citations of single numbers.
"""

import json
import os
import re
from functools import cache
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILE, KEY = "CITATION.cff", "avss_companion"
UNKNOWN = "ADDRESS"


def citation(env) -> dict:
    """How the project wants to be cited."""
    path = Path(env.srcdir) / FILE
    env.note_dependency(str(path))
    return _read(path)


def yaml_of(path: Path) -> dict:
    """The content of a file, which is read again only when it has changed; callers must not change it."""
    return _yaml(path, path.stat().st_mtime_ns)


@cache
def _yaml(path: Path, changed: int) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _read(path: Path) -> dict:
    facts = dict(yaml_of(path))
    published = os.environ.get("GITHUB_REPOSITORY")
    if published:
        facts.setdefault("repository-code", f"https://github.com/{published}")
    return facts


def authors(facts: dict) -> str:
    """The authors as BibTeX writes them."""
    return " and ".join(
        f"{{{author['name']}}}" if "name" in author else f"{author['family-names']}, {author['given-names']}"
        for author in facts["authors"]
    )


def escaped(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", text)


def bibtex_entry(kind: str, key: str, fields: dict[str, str]) -> str:
    """A BibTeX entry; fields without a value are left out."""
    lines = [f"  {field:12} = {{{text}}}" for field, text in fields.items() if text]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def of_book(facts: dict) -> str:
    """The entry of the book and its package."""
    fields = {
        "title": f"{{{escaped(facts['title'])}}}",
        "author": authors(facts),
        "year": str(facts["date-released"])[:4],
        "date": str(facts["date-released"]),
        "version": str(facts["version"]),
        "doi": facts.get("doi", ""),
        "url": facts.get("url") or facts.get("repository-code", ""),
        "license": facts["license"],
    }
    return bibtex_entry("software", KEY, fields)


class BookCitation(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        text = of_book(citation(self.env))
        return [nodes.literal_block(text, text, language="bibtex")]


class Clone(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        address = citation(self.env).get("repository-code")
        text = f"git clone {address or UNKNOWN} avss-companion\ncd avss-companion"
        shown = [nodes.literal_block(text, text, language="bash")]
        if not address:
            reason = " stands for the address that you have this book from; this copy was built without it."
            shown.append(nodes.paragraph("", "", nodes.literal("", UNKNOWN), nodes.Text(reason)))
        return shown


def _tell_pages(app: Sphinx, config) -> None:
    path = Path(app.srcdir) / FILE
    if not path.is_file():
        return
    facts = _read(path)
    known = {
        "title": facts["title"],
        "author": authors(facts),
        "year": str(facts["date-released"])[:4],
        "version": str(facts["version"]),
        "url": facts.get("url") or facts.get("repository-code", ""),
    }
    app.add_js_file(None, body=f"window.avssCitation = {json.dumps(known)};")


def setup(app: Sphinx) -> dict:
    app.add_directive("book-citation", BookCitation)
    app.add_directive("clone", Clone)
    app.connect("config-inited", _tell_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
