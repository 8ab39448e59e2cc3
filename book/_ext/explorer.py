"""The scripts, the style and the data of the page "Explorer", which no other page loads.

`explorer-data.js` is written anew with every build from the results (`avss.report.explorer`). It assigns a constant, so
the page works from a disk, where nothing can be requested.
"""

from pathlib import Path

from sphinx.application import Sphinx

from avss.files import write_whole
from avss.report.explorer import script

PAGE = "book/explorer"
DATA = "explorer-data.js"
# In the order in which they need each other.
SCRIPTS = ("equations.js", DATA, "widgets.js", "explorer.js", "remove_blocks.js")


def _load(app: Sphinx, pagename: str, *_) -> None:
    if pagename == PAGE:
        app.add_css_file("explorer.css")
        for name in SCRIPTS:
            app.add_js_file(name, loading_method="defer")


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        write_whole(Path(app.outdir, "_static", DATA), script(app.avss_snapshot))


def setup(app: Sphinx) -> dict:
    # It makes the snapshot of the results.
    app.setup_extension("prose_numbers")
    app.connect("html-page-context", _load)
    app.connect("build-finished", _write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
