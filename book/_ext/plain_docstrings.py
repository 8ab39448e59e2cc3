"""Docstrings of the package are plain text with `code` in backticks; autodoc reads them as reStructuredText.

What reStructuredText would make of |a|, * or a trailing underscore in them is escaped here, outside of the backticks.
With `default_role: code` what stands in backticks is shown as code.
"""

import re

from sphinx.application import Sphinx


def escaped(text: str) -> str:
    """The text with the markup of reStructuredText escaped, except in `code`."""
    return re.sub(r"`[^`]*`|([\\*|_])", lambda found: f"\\{found[1]}" if found[1] else found[0], text)


def _escape(app: Sphinx, what: str, name: str, obj: object, options: dict, lines: list[str]) -> None:
    lines[:] = escaped("\n".join(lines)).split("\n")


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _escape)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
