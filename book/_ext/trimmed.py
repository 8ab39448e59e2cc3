"""What no page of the built book asks for is left out of it: it would be more than half of its size.

The theme ships maps of its sources and fonts in a second format, MathJax its other renderers and languages, and the
sources of executed notebooks hold every figure once more.
"""

import json
import shutil
from pathlib import Path

from sphinx.application import Sphinx

from avss.files import write_whole

# Beside the fonts as woff2, the styles, and the script of MathJax that the pages load with what it may load.
UNUSED = ("*.map", "*.ttf", "*.po", "*.mo")
MATHJAX, SCRIPT, SPEECH = "mathjax", "tex-chtml.js", ("base.json", "en.json")
# The script has the input of TeX in it; `mml.js` reads what it wrote, for speech.
INPUT = "mml.js"


def _trim(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    for path in [path for pattern in UNUSED for path in static.rglob(pattern)]:
        path.unlink()
    jax = static / MATHJAX
    others = [path for path in jax.glob("*.js") if path.name != SCRIPT]
    others += [path for path in jax.glob("input/*.js") if path.name != INPUT]
    others += [
        *jax.glob("input/tex/extensions/all-packages.js"),
        *jax.glob("output/*.js"),
        *(p for p in jax.glob("sre/mathmaps/*") if p.name not in SPEECH),
    ]
    for path in others:
        path.unlink()
    for folder in ("output/svg", "adaptors", "input/mml/extensions"):
        shutil.rmtree(jax / folder, ignore_errors=True)
    for path in Path(app.outdir, "_sources").rglob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                output.get("data", {}).pop("image/svg+xml", None)
        write_whole(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def setup(app: Sphinx) -> dict:
    # After the extension that copies MathJax, whose priority is 500.
    app.connect("build-finished", _trim, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
