"""The book's own roles, directives and checks, in small books that Sphinx builds with its warnings collected."""

import gzip
import html
import inspect
import io
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from avss.report import figures
from avss.report.cited import spoken
from avss.report.comparisons import FIRST_ROW
from avss.report.snapshot import Results
from avss.store import Store
from tests.stores import fill

ROOT = Path(__file__).parent.parent
REGISTER = yaml.safe_load((ROOT / "book/figures.yml").read_text())
CONFIGURATION = f"""
import sys
sys.path.insert(0, {str(ROOT / "book/_ext")!r})
extensions = ["myst_nb", "sphinx_design", "citing", "prose_numbers", "result_figure", "stored_runs", "table_rows"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
nb_execution_mode = "off"
html_theme = "basic"
exclude_patterns = ["_build", "book", "results"]
"""
INDEX = f"""# Good

It keeps {{number}}`mini/{FIRST_ROW}/avss/retention .1%`, GBIS {{number}}`mini/{FIRST_ROW}/gbis/value or not measured`,
the paper says {{paper}}`0.95 <Section 4.1>`. Here $\\epsilon = 0.01$, `epsilon=1e-5`, version 1.2.3 of Llama-3.2 under
Python 3.12, Section 4.1, arXiv:2411.02117, [a link to 2.5](https://example.org), 95 % and 1,000.

:::{{measured}} mini/{FIRST_ROW}/avss/retention count/all/avss/retention
It keeps {{number}}`mini/{FIRST_ROW}/avss/retention .2f` here.
:::

:::{{not-measured}} mini/{FIRST_ROW}/avss/retention
Nobody looked.
:::

:::{{not-measured}} mini/{FIRST_ROW}/gbis/value
GBIS was left out.
:::

| a | b |
| --- | --- |
| `0.5` | 7 |

```{{include}} book/executed/figures/table.md
```

```{{py:function}} near(value, tolerance=0.001)
Whether it is within 0.001 of it.
```

```{{toctree}}
notebook
gallery
runs
tables
```
"""
TABLES = """# Tables

## First

| model | text | kept |
| --- | --- | --- |
| a | x | 1 |
| a | y | 2 |

| model | kept |
| --- | --- |
| a x | 1 |
| b | 2 |
| b | 2 |

| no line | kept |
| --- | --- |

## Second

| model | kept |
| --- | --- |
| `b` | 2 |
"""
RUNS = "# Runs\n\n```{stored-runs}\n```\n\n```{book-citation}\n```\n\n```{clone}\n```\n"
# Figures of which nothing is measured: their data have a head and no line.
EMPTY = {"recovery", "scoring_at_real_shapes"}
# Figures whose data name their runs; the second one has too many for one line.
RUNS_OF = {"varied_readings": ["run-a", "run-b", "run-a"], "front": ["run-a, run-b", "run-c", "", "run-d"]}
FIGURE = ":::{result-figure} retention\n:alt: Bars.\nThe caption, Eq. 1.\n:::"
GALLERY = "# Gallery\n\n```{figure-gallery} row\n```\n\n```{figure-gallery} book\n```\n"
BAD = """# Bad, 0.1

Kept are 0.95 of it,
or $0.7$ but also 0.96.

| a | .5 |
| --- | --- |
| 1e-6 | x |

- About -0.25 and **1.5x**, of revision 019e6b0.

![A picture of 0.75](picture.svg)

{number}`mini/sst2-llama-1b/avss/value` and {number}`mini/none/avss/value` and
{paper}`0.95`

![](picture.svg)

:::{result-figure} card
No alt text.
:::

:::{result-figure} unknown
:alt: Text.
Not registered.
:::
"""


@dataclass
class Built:
    """A book: its pages as HTML or text, the lines that Sphinx warned with, and the pages that it read."""

    folder: Path
    pages: dict[str, str]
    warnings: list[str]
    read: set[str]


def notebook(*cells: str | dict) -> str:
    """A notebook of Markdown cells, given as text, and code cells, given as their output."""
    made = [
        {"id": f"c{number}", "metadata": {}, "cell_type": "markdown", "source": cell}
        if isinstance(cell, str)
        else {"id": f"c{number}", "metadata": {}, "cell_type": "code", "source": "0.5", "execution_count": 1}
        | {"outputs": [{"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": cell}]}
        for number, cell in enumerate(cells)
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def git_commit(folder: Path) -> None:
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "add", "results"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=m"], check=True)


def build(folder: Path, pages: dict[str, str], builder: str = "html") -> Built:
    """A book of these pages on a store with one measured row; the drawings are empty."""
    folder.mkdir()
    store = Store(folder / "results")
    fill(store, "mini")
    [run] = store.root.glob("mini/*/*.json")
    # A revision whose first digits read as a number.
    run.write_text(json.dumps(json.loads(run.read_text()) | {"git_revision": "1234e56".ljust(40, "0")}))
    drawings = folder / "book/executed/figures"
    for kind, names in (("row", figures.ROW_FIGURES), ("book", figures.BOOK_FIGURES)):
        for name in names:
            stem = f"{FIRST_ROW}/{name}-{FIRST_ROW}" if kind == "row" else f"book/{name}"
            for ending in ("light.svg", "dark.svg", "pdf"):
                (drawings / stem).parent.mkdir(parents=True, exist_ok=True)
                (drawings / f"{stem}.{ending}").write_text(f"<svg>{stem}.{ending}</svg>")
            (drawings / f"{stem}.csv").write_text("a\n" if name in EMPTY else f"a\n{stem}.csv\n")
            if name in RUNS_OF:
                named = "".join(f'{stem}.csv,"{run}"\n' for run in RUNS_OF[name])
                (drawings / f"{stem}.csv").write_text(f"a,run\n{named}")
    (drawings / "table.md").write_text("| a |\n| --- |\n| 0.123 |\n")
    register = REGISTER | ({"card": REGISTER["card"] | {"alt": ""}} if builder == "text" else {})
    (folder / "book/figures.yml").write_text(yaml.safe_dump(register, sort_keys=False))
    (folder / "picture.svg").write_text("<svg/>")
    (folder / "results/statistics").mkdir()
    (folder / "results/statistics/layers.json").write_text("{}")
    (folder / "CITATION.cff").write_text((ROOT / "CITATION.cff").read_text())
    (folder / "conf.py").write_text(CONFIGURATION)
    for name, text in pages.items():
        (folder / name).write_text(text)
    return sphinx(folder, builder)


def sphinx(folder: Path, builder: str = "html") -> Built:
    warnings, out = io.StringIO(), folder / f"_build/{builder}"
    with patch_docutils(str(folder)), docutils_namespace():
        app = Sphinx(
            *(folder, folder, out, folder / "_build/doctrees", builder),
            status=None,
            warning=warnings,
            parallel=2,
            confoverrides={"nitpicky": True},
        )
        read = set()
        app.connect("env-before-read-docs", lambda app, env, names: read.update(names))
        app.build()
    found = {path.stem: path.read_text(encoding="utf-8") for path in out.glob("*.*") if path.stem in app.env.all_docs}
    lines = re.sub(r"\x1b\[\d*(;\d+)*m", "", warnings.getvalue()).replace(f"{folder}/", "").splitlines()
    return Built(folder, found, lines, read)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Built:
    """Under version control, in a repository whose address is known."""
    folder = tmp_path_factory.mktemp("books") / "good"
    table = {"text/markdown": "| a |\n| --- |\n| 0.125 |\n", "text/plain": "0.125"}
    pages = {"index.md": INDEX, "gallery.md": GALLERY, "runs.md": RUNS, "tables.md": TABLES}
    build(
        folder,
        pages | {"notebook.ipynb": notebook("# Notebook", table, FIGURE, FIGURE.replace("retention", "recovery"))},
    )
    with open(folder / "CITATION.cff", "a") as file:
        file.write("repository-code: https://example.org/avss\n")
    subprocess.run(["git", "-C", str(folder), "init", "--quiet"], check=True)
    git_commit(folder)
    return sphinx(folder)


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> Built:
    cells = "# A title", "Some text,\nand then 0.5.", FIGURE.replace("Eq. 1", "0.31")
    pages = {"index.md": BAD + "\n```{toctree}\nnotebook\n```\n", "notebook.ipynb": notebook(*cells)}
    return build(tmp_path_factory.mktemp("books") / "bad", pages, "text")


def test_the_good_book_builds_without_a_warning(good):
    assert good.warnings == []
    assert re.search(r"code <code[^>]*><span[^>]*>1234e56</span></code>", good.pages["runs"])


def test_a_number_has_its_basis_as_tooltip_and_for_screen_readers(good):
    text, basis = spoken(f"mini/{FIRST_ROW}/avss/retention .1%", Results(Store(good.folder / "results")))
    page = html.unescape(good.pages["index"])
    told = re.search(rf'<button class="told-number" data-number="(.*?)" title="[^"]*" type="button">{text}<span', page)
    assert f'title="{basis}" type="button">{text}<span class="visually-hidden"> ({basis})</span></button>' in page
    facts = json.loads(told[1])
    assert facts["address"] == f"mini/{FIRST_ROW}/avss/retention"
    assert (facts["n"], facts["seeds"], facts["basis"]) == (40, 3, basis)
    [run] = facts["runs"]
    table = (good.folder / "_build/html" / run["folder"] / f"{run['run']}.csv").read_text().splitlines()
    assert len(run["lines"]) == 3
    assert all(",avss,paper," in table[line - 1] for line in run["lines"])
    assert f"n = 40, 3 seeds, run mini-{FIRST_ROW}" in basis
    assert f'title="mini/{FIRST_ROW}/gbis/value: no run has measured this" type="button">not measured<' in page
    assert 'title="as printed in Section 4.1" type="button">0.95<' in page


def test_text_depends_on_what_is_measured(good):
    page = re.sub("<[^>]+>", "", good.pages["index"])
    assert "It keeps 0.97" in page
    assert "Nobody looked" not in page
    assert "GBIS was left out" in page


def test_a_figure_comes_with_its_files_its_function_and_its_citation(good):
    page, stem = html.unescape(good.pages["notebook"]), f"retention-{FIRST_ROW}"
    revision = subprocess.check_output(["git", "-C", good.folder, "log", "-1", "--format=%h"], text=True).strip()
    for theme in ("light", "dark"):
        assert f'<img alt="Bars." class="only-{theme}" src="_images/{stem}.{theme}.svg"' in page
    for ending in ("light.svg", "dark.svg", "pdf", "csv"):
        folder = "_images" if ending.endswith("svg") else r"_downloads/\w+"
        link = re.search(rf'href="({folder}/{stem}\.{ending})"', page)[1]
        drawn = good.folder / f"book/executed/figures/{FIRST_ROW}/{stem}.{ending}"
        assert f"{stem}.{ending}" in drawn.read_text(), "each file is another"
        assert (good.folder / "_build/html" / link).read_bytes() == drawn.read_bytes()
    lines, first = inspect.getsourcelines(figures.ROW_FIGURES["retention"])
    place = re.escape(f"avss/report/figures/rows.py#L{first}-L{first + len(lines) - 1}")
    assert re.search(rf'href="https://example.org/avss/blob/{revision}/[\w./-]*{place}"', page)
    below = re.search("<summary>Files, citation and runs</summary>(.*?)</details>", page, re.DOTALL)[1]
    entry = re.sub("<[^>]+>", "", below)
    assert f"@misc{{avss-fig-{stem}," in entry.split("\n")
    assert f"{{{{{REGISTER['retention']['title']}: SST-2, DistilBERT}}}}" in entry
    assert f"revision {revision}}}" in entry
    assert "{https://example.org/avss}" in entry
    assert f"mini-{FIRST_ROW}-20260101T000000Z" in entry


def test_a_figure_of_all_that_is_stored_names_the_runs_of_its_data(good):
    page = html.unescape(good.pages["gallery"])
    entries = re.sub("<[^>]+>", "", page)
    note = dict(re.findall(r"@misc\{avss-fig-([\w-]+),.*?note *= \{(.*?)\}", entries, re.DOTALL))
    assert note["varied-readings"] == "Data of run-a, run-b"
    assert note["front"] == "Data of 4 runs, which front.csv names"
    assert note["cost-of-pruning"] == "Data of bench/results/"
    legend = page[page.index("/front.light.svg") :]
    listed = re.search(r", from (.*?)</details>", legend, re.DOTALL)[1]
    assert re.sub(r"<[^>]+>|\s", "", listed) == "run-a,run-b,run-c,run-d"


def test_every_line_of_a_table_has_a_place_of_its_own(good):
    assert re.findall(r'<tr [^>]*id="([^"]*)"', good.pages["tables"]) == [
        *("first-a-x", "first-a-y"),
        *("first-a-x-1", "first-b-2", "first-b-2-2"),
        "second-b",
    ]


def test_the_name_of_a_run_leads_to_its_files(good):
    page, listed = html.unescape(good.pages["notebook"]), good.pages["runs"]
    [(target, run)] = set(re.findall(r'href="runs\.html#([\w-]+)"><code[^>]*><span class="pre">([^<]+)', page))
    assert f'id="{target}"' in listed
    for ending in (".json", ".csv", ".layers.csv", ".outcomes.csv.gz"):
        link = re.search(rf'href="([^"]*{re.escape(run + ending)}(?:\.gz)?)"', listed)[1]
        shipped, stored = good.folder / "_build/html" / link, good.folder / link.removesuffix(".layers.csv.gz")
        if link.endswith(".layers.csv.gz"):
            stored = stored.with_name(f"{stored.name}.layers.csv")
            assert gzip.decompress(shipped.read_bytes()) == stored.read_bytes()
        else:
            assert shipped.read_bytes() == stored.read_bytes()


def test_what_a_page_holds_as_well_ships_compressed(good):
    shipped = good.folder / "_build/html/results/statistics"
    assert [path.name for path in shipped.iterdir()] == ["layers.json.gz"]
    assert gzip.decompress((shipped / "layers.json.gz").read_bytes()) == b"{}"


def test_the_book_is_cited_as_its_citation_file_says(good):
    page = re.sub("<[^>]+>", "", html.unescape(good.pages["runs"]))
    facts = yaml.safe_load((good.folder / "CITATION.cff").read_text())
    for part in (f"{{{{{facts['title']}}}}}", f"{{{facts['version']}}}", f"{{{facts['date-released']}}}"):
        assert part in page
    assert "git clone https://example.org/avss avss-companion" in page
    assert f'"title": "{facts["title"]}"' in good.pages["index"]


def test_the_gallery_has_a_card_for_every_figure_and_leads_to_the_text(good):
    page = html.unescape(good.pages["gallery"])
    shown = re.findall(r'src="_images/([\w.-]+?)\.light\.svg"', page)
    entries = {name: entry for name, entry in REGISTER.items() if name not in EMPTY}
    assert shown == [name if e["kind"] == "book" else f"{name}-{FIRST_ROW}" for name, e in entries.items()]
    assert "<figcaption" not in page, "figures of the gallery have no number"
    assert all(f'alt="{entry["alt"]}"' in page and entry["title"] in page for entry in entries.values())
    assert re.findall('href="([^"]+)"><span class="std std-ref">In the text', page) == [
        f"notebook.html#fig-retention-{FIRST_ROW}"
    ], "the one figure that a page discusses"


def test_a_figure_without_data_is_a_sentence(good):
    page = good.pages["notebook"]
    assert "<p>What healing brings back: not measured.</p>" in page
    assert "-recovery-" not in page, "neither drawings nor a label"


@pytest.mark.parametrize(
    ("place", "decimal"),
    [
        ("index.md:1", "0.1"),
        ("index.md:3", "0.95"),
        ("index.md:4", "0.96"),
        ("index.md:6", ".5"),
        ("index.md:6", "1e-6"),
        ("index.md:10", "0.25"),
        ("index.md:10", "1.5"),
        ("index.md:12", "0.75"),
        ("notebook.ipynb: cell 2, line 2", "0.5"),
        ("notebook.ipynb: cell 3, line 3", "0.31"),
    ],
)
def test_a_bare_decimal_is_named_with_its_place(bad, place, decimal):
    assert f"{place}: WARNING: the decimal {decimal} stands bare in prose" in "\n".join(bad.warnings)


def test_no_other_number_is_taken_for_a_bare_decimal(bad):
    assert len([line for line in bad.warnings if "stands bare" in line]) == 10


@pytest.mark.parametrize(
    "warning",
    [
        "index.md:14: WARNING: mini/sst2-llama-1b/avss/value: no run has measured row sst2-llama-1b",
        "index.md:14: WARNING: row 'none' is not known; choose one of ",
        "index.md:14: WARNING: '0.95' needs its place; write {paper}`0.95 <Section 1>`",
        "index.md:17: WARNING: the image picture.svg has no alt text",
        "index.md:19: ERROR: result-figure card needs :alt:",
        "index.md:23: ERROR: result-figure unknown is not in book/figures.yml",
    ],
)
def test_what_cannot_be_shown_is_one_clear_line(bad, warning):
    assert len([line for line in bad.warnings if line.startswith(warning)]) == 1


def test_other_builders_write_the_number_alone(good):
    page = sphinx(good.folder, "text").pages["index"]
    assert "It keeps 97.2\u00a0%, GBIS not measured, the paper says 0.95." in page.replace("\n", " ")


@pytest.mark.long
def test_new_results_and_a_new_revision_renew_the_pages(good):
    assert sphinx(good.folder).read == set()
    fill(Store(good.folder / "results"), "reference")
    assert sphinx(good.folder).read == set(good.pages)
    git_commit(good.folder)
    assert sphinx(good.folder).read == set(good.pages)


def test_every_figure_is_registered_and_described():
    assert {name for name, entry in REGISTER.items() if entry["kind"] == "row"} == set(figures.ROW_FIGURES)
    assert {name for name, entry in REGISTER.items() if entry["kind"] == "book"} == set(figures.BOOK_FIGURES)
    for name, entry in REGISTER.items():
        own = {"data"} if entry["kind"] == "book" else entry.keys() & {"row"}
        assert entry.keys() == {"title", "kind", "shows", "alt"} | own, name
        assert re.fullmatch(r"[A-Z].{3,40}[^.]", entry["title"]), name
        assert all(re.fullmatch(r"[A-Z].{20,200}\.", entry[part]) for part in ("shows", "alt")), name
