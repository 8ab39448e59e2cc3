"""A place to link to for every line of a table: an id from its section and its first cells.

The lines of a table that begin alike are told apart by as many of their next cells as that takes. Where two lines of a
page are the same even so, the later one has a number. `tables.js` shows the link.
"""

from docutils import nodes
from sphinx.application import Sphinx


def _begin(rows: list[nodes.row]) -> list[str]:
    """The first cells of each line, as few as tell all lines apart."""
    texts = [[cell.astext() for cell in row.findall(nodes.entry)] for row in rows]
    begins = []
    for count in range(1, max(map(len, texts), default=0) + 1):
        begins = [" ".join(cells[:count]) for cells in texts]
        if len(set(begins)) == len(begins):
            break
    return begins


def _name(app: Sphinx, document: nodes.document) -> None:
    taken = set(document.ids)
    for body in document.findall(nodes.tbody):
        section = next((node["ids"][0] for node in _above(body) if isinstance(node, nodes.section)), "")
        rows = list(body.findall(nodes.row))
        for row, begin in zip(rows, _begin(rows), strict=True):
            stem = name = nodes.make_id(f"{section} {begin}")[:100].rstrip("-")
            number = 1
            while name in taken:
                number += 1
                name = f"{stem}-{number}"
            if name:
                taken.add(name)
                row["ids"].append(name)


def _above(node: nodes.Node):
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", _name)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
