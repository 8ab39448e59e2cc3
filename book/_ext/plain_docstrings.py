"""Docstrings of the package, which are plain text with `code` in backticks, as autodoc reads them.

Autodoc takes them for reStructuredText. What that would make of |a|, * or a trailing underscore is escaped, outside of
the backticks; with `default_role: code` what stands in backticks is shown as code. So are the names of parameters
where the text explains them, as in "first, second: one array a seed".
"""

import inspect
import re

from sphinx.application import Sphinx


def marked(text: str, parameters: list[str]) -> str:
    """The text with the markup of reStructuredText escaped, except in `code`, and explained parameters in backticks."""
    names = "|".join(map(re.escape, parameters)) or "$^"
    pattern = rf"`[^`]*`|\b(?P<explained>(?:{names})(?:, (?:{names}))*)(?=:)|(?P<markup>[\\*|_])"
    return re.sub(pattern, _mark, text)


def _mark(found: re.Match) -> str:
    if found["explained"]:
        return ", ".join(f"`{name}`" for name in found["explained"].split(", "))
    return f"\\{found['markup']}" if found["markup"] else found[0]


def _read(app: Sphinx, what: str, name: str, obj: object, options: dict, lines: list[str]) -> None:
    parameters = list(inspect.signature(obj).parameters) if what in ("function", "method", "class") else []
    lines[:] = marked("\n".join(lines), parameters).split("\n")


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _read)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
