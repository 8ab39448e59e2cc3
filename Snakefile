# The graph of rows, notebooks, figures and book. `make book` runs it on this machine; with `--executor slurm` (or any other
# executor plugin) the same file runs on a cluster, one papermill job a row.
#
# config: profile=NAME runs profiles/NAME.yaml (default: mini). failed=shown leaves out the notebooks that did not run
# to their end: a page in place of each says why. fresh=1 also computes every row anew in a store of its own, and
# fresh="ID ID" these rows alone. The variables PROFILE, ROW and FRESH say the same, for names that are not what they
# seem: Snakemake reads config as YAML, where 010 is a number and {a} a table.

import os
import re
import shlex
import sys
from pathlib import Path

from avss.errors import InputError
from avss.report import cards, tables
from avss.runs import kernels
from avss.report.pages import contents, pages_of, results_beside, rows_of_book


def asked(name, default):
    return str(config[name]) if name in config else os.environ.get(name.upper(), default)


PROFILE = asked("profile", "mini")
SHOW_FAILED = config.get("failed") == "shown"
try:
    ROWS = rows_of_book(PROFILE)
except InputError as error:
    raise SystemExit(str(error))
ROW = asked("row", next(iter(ROWS)))
if ROW not in ROWS:
    raise SystemExit(f"profile {PROFILE} has no row {ROW!r}; give ROW one of {', '.join(ROWS)}")
FRESH = asked("fresh", "").split()
AGAIN = list(ROWS) if FRESH == ["1"] else FRESH
if not set(AGAIN) <= set(ROWS):
    raise SystemExit(f"profile {PROFILE} has no row {' '.join(FRESH)!r}; give FRESH 1, or some of {', '.join(ROWS)}")


def files(*patterns):
    """Files that exist now, without caches; a change to any of them runs what depends on it again."""
    found = {path for pattern in patterns for path in Path().glob(pattern) if path.is_file()}
    return sorted(str(path) for path in found if "__pycache__" not in path.parts)


def results(row=None):
    """Results that a page shows, or all; without those that grow while the book is built."""
    running = tuple(f"results/{entry.profile}/" for entry in ROWS.values())
    stored = results_beside(ROWS[row]) if row else files("results/*/*/*", *(f"results/{store}/*/*/*" for store in ("eavss", "healing", "massive", "recovery")))
    return [file for file in stored if not file.startswith(running)]


def one_of(names):
    """A pattern that matches these names alone."""
    return "|".join(map(re.escape, names)) or "(?!)"


def not_executed(page):
    """Why the notebook of this page is not there, as a red box."""
    row = ROW_PAGES.get(page)
    return cards.not_executed(Path(ROWS[row].log if row else f"build/logs/{page}.log"), Path(PAGES[page]))


def card_of(row):
    if f"rows/{row}" in FAILED:
        return cards.card_of_failure(ROWS[row].row.title, not_executed(f"rows/{row}"))
    return cards.card(row, ROWS[row].row.title)


# What decides the numbers of a row: figures and tables of the results do not run models again.
REPORT = files("avss/**/*.py", "avss/microworld/grammars/*.toml")
CODE = [file for file in REPORT if not file.startswith("avss/report/")]
BOOK = [file for file in files("book/**/*") if not file.startswith("book/executed/")]
# What the page "Explorer" shows beside the rows.
EXPLORER = files("results/statistics/*", "results/subsets/*/*/*")
GENERATIONS = files("results/generations/*")
EQUATIONS = ["variance", "sparsity", "avss", "readings", "real-models", "baselines", "shapley", "hallucination"]
# Of these, the pages that keep what they compute in results/, where tables read it. Tables wait for no other of these.
KEPT = ["readings", "real-models"]
# Results outside of the store that a page shows: of recipes and benchmarks, and of `avss evaluate --out`.
BESIDE = {
    "shapley": files("results/shapley/*", "bench/results/shapley-cpu.json"),
    "real-models": files("results/solved/*"),
}
ROW_PAGES = pages_of(ROWS)
PAGES = {page: ROWS[row].run for page, row in ROW_PAGES.items()}
PAGES |= {name: f"book/executed/runs/{name}.ipynb" for name in EQUATIONS}
TASKS = [page for page in ROW_PAGES if not page.startswith("rows/")]
FIRST_RUN = ROWS[ROW_PAGES["sentiment"]].run
# What a page needs; the equations show results of the first row.
NEEDED = {page: [run, FIRST_RUN] if page in EQUATIONS else [run] for page, run in PAGES.items()}
FAILED = [page for page, runs in NEEDED.items() if SHOW_FAILED and not all(Path(run).is_file() for run in runs)]
EXECUTED = [page for page in PAGES if page not in FAILED]
FIGURE_ROWS = [row for page, row in ROW_PAGES.items() if page in EXECUTED]
FIGURES = [f"book/executed/figures/{row}" for row in FIGURE_ROWS]
TABLES = expand("book/executed/figures/{table}.md", table=tables.TABLES)
# Of each task, the rows that have pages of their own.
CARDS = {task: [row for page, row in ROW_PAGES.items() if ROWS[row].task == task and page != task] for task in TASKS}

# Until this process ends. A rule with `run` reads this file once more, in a process of its own that finds the server
# there; such a rule takes three seconds more than one with `shell`.
KERNELS = kernels.started()
# As `python -m`, without importing the libraries anew.
FORKED = f"python -P {shlex.quote(kernels.__file__)}"

shell.prefix(f"set -euo pipefail; export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; ")


localrules: all, one, page, task_page, row_page, contents, cards, figures, tables, book_figures, book


rule all:
    input:
        "_build/html/index.html",
        [f"build/fresh/done/{row}" for row in AGAIN],


# The page of one row alone: --config row=ID.
rule one:
    input:
        ROWS[ROW].run,
    run:
        print(f"The page is {Path(input[0]).absolute()}")


# One job a row. The store keeps what is finished, so a job that was killed computes only what is missing.
# One thread each: two small models side by side are faster than one on two cores.
rule row:
    input:
        notebook=lambda wildcards: f"notebooks/{ROWS[wildcards.row].task}.ipynb",
        profile=lambda wildcards: str(ROWS[wildcards.row].source),
        code=CODE,
        weights=lambda wildcards: ROWS[wildcards.row].weights(),
        results=lambda wildcards: results(wildcards.row),
    output:
        "book/executed/runs/{profile}/{row}.ipynb",
    params:
        title=lambda wildcards: ROWS[wildcards.row].row.title,
    log:
        "build/logs/{profile}-{row}.log",
    # The figures wait for all rows and are the longest job, so both go first: no core is idle at the end.
    priority: 3
    threads: 1
    wildcard_constraints:
        row=one_of(ROWS),
    resources:
        # Rows of a narrow dtype are for an accelerator, whose memory two models may not fit into side by side.
        gpu=lambda wildcards: int(ROWS[wildcards.row].row.dtype != "float32"),
    shell:
        "python -m avss.runs.notebook {input.notebook:q} {output:q} {log:q} --threads {threads} --title={params.title:q}"
        " --parameter profile={input.profile:q} --parameter row={wildcards.row:q}"


# The row from nothing, to be compared with what is stored. All that the book needs has a higher priority: rows fill the
# cores that the book leaves idle, and those that are left at the end run side by side.
rule again:
    input:
        profile=lambda wildcards: str(ROWS[wildcards.row].source),
        code=CODE,
        weights=lambda wildcards: ROWS[wildcards.row].weights(),
    output:
        touch("build/fresh/done/{row}"),
    threads: 1
    wildcard_constraints:
        row=one_of(ROWS),
    resources:
        gpu=lambda wildcards: int(ROWS[wildcards.row].row.dtype != "float32"),
    shell:
        "OMP_NUM_THREADS={threads} {FORKED} avss.runs.again {input.profile:q} {wildcards.row:q} build/fresh/results"


rule equation:
    input:
        notebook="notebooks/{name}.ipynb",
        code=CODE,
        weights=files("avss/mini/distilbert/*", "avss/mini/llama-1b/*", "avss/mini/llama-7b/*", "avss/mini/llama-8b/*"),
        results=results(),
        beside=lambda wildcards: BESIDE.get(wildcards.name, []),
        rows=FIRST_RUN,
    output:
        "book/executed/runs/{name}.ipynb",
    log:
        "build/logs/{name}.log",
    # The longest ones, and those for which tables wait, do not come last.
    priority: lambda wildcards: 1 + (wildcards.name in ("shapley", "hallucination", *KEPT))
    threads: 1
    wildcard_constraints:
        name=one_of(EQUATIONS),
    shell:
        "python -m avss.runs.notebook {input.notebook:q} {output:q} {log:q} --threads {threads}"


rule page:
    input:
        lambda wildcards: PAGES[wildcards.page],
    output:
        "book/executed/{page}.ipynb",
    priority: 1
    wildcard_constraints:
        page=one_of(page for page in EXECUTED if page in EQUATIONS),
    shell:
        "cp {input} {output}"


# The title of a row gives way to that of its task.
rule task_page:
    input:
        run=lambda wildcards: PAGES[wildcards.page],
        notebook="notebooks/{page}.ipynb",
    output:
        "book/executed/{page}.ipynb",
    priority: 1
    wildcard_constraints:
        page=one_of(page for page in EXECUTED if page in TASKS),
    shell:
        "python -m avss.runs.page {input.run:q} {input.notebook:q} {output:q}"


rule row_page:
    input:
        run=lambda wildcards: ROWS[wildcards.row].run,
        notebook=lambda wildcards: f"notebooks/{ROWS[wildcards.row].task}.ipynb",
    output:
        "book/executed/rows/{row}.ipynb",
    priority: 1
    wildcard_constraints:
        row=one_of(row for page, row in ROW_PAGES.items() if page in EXECUTED and page not in TASKS),
    params:
        task=lambda wildcards: f"book/executed/{ROWS[wildcards.row].task}",
    shell:
        "python -m avss.runs.page {input.run:q} {input.notebook:q} {output:q} --of-row {params.task:q}"


if FAILED:

    localrules: failed_page

    rule failed_page:
        output:
            "book/executed/{page}.ipynb",
        priority: 1
        wildcard_constraints:
            page=one_of(FAILED),
        run:
            page = wildcards.page
            title = ROWS[ROW_PAGES[page]].row.title if page in ROW_PAGES else page.capitalize()
            Path(output[0]).write_text(cards.page_of_failure(title, not_executed(page)))


# One job for all rows: importing the libraries takes longer than drawing the figures of a row.
rule figures:
    input:
        code=REPORT,
        results=results(),
        table="avss/report/table1.csv",
        runs=[ROWS[row].run for row in FIGURE_ROWS],
    output:
        [directory(folder) for folder in FIGURES],
    priority: 2
    params:
        rows=FIGURE_ROWS,
    shell:
        "OMP_NUM_THREADS={threads} {FORKED} avss.report results book/executed/figures {params.rows:q}"
        "; echo \"the figures of all rows: $SECONDS s\""


rule tables:
    input:
        code=REPORT,
        results=results(),
        explorer=EXPLORER,
        generations=GENERATIONS,
        table="avss/report/table1.csv",
        claims="avss/report/claims.yml",
        benchmarks=files("bench/results/*.json"),
        runs=[PAGES[page] for page in EXECUTED if page in KEPT or page not in EQUATIONS],
    output:
        TABLES,
    priority: 1
    params:
        profile=PROFILE,
    shell:
        "OMP_NUM_THREADS={threads} {FORKED} avss.report --profile {params.profile:q} results book/executed/figures tables"


# The figures that are about no row, beside the tables.
rule book_figures:
    input:
        rules.tables.input,
    output:
        directory("book/executed/figures/book"),
    # Forty seconds, which the short notebooks can fill on another core.
    priority: 2
    shell:
        "OMP_NUM_THREADS={threads} {FORKED} avss.report results book/executed/figures book"


# A card for every row that has a page of its own.
rule cards:
    output:
        "book/executed/figures/cards-{task}.md",
    priority: 1
    params:
        # Part of the parameters so that another set of rows, or of failures, writes the file anew.
        cards=lambda wildcards: cards.grid(map(card_of, CARDS[wildcards.task])),
    shell:
        "printf %s {params.cards:q} > {output:q}"


# The committed contents are those of the profile mini.
rule contents:
    input:
        "_toc.yml",
    output:
        "build/_toc.yml",
    priority: 1
    params:
        # Part of the parameters so that another set of rows writes the file anew.
        contents=lambda wildcards, input: contents(Path(input[0]), ROWS),
    shell:
        "printf %s {params.contents:q} > {output:q}"


rule book:
    input:
        expand("book/executed/figures/cards-{task}.md", task=CARDS),
        expand("book/executed/{page}.ipynb", page=PAGES),
        FIGURES,
        TABLES,
        "book/executed/figures/book",
        BOOK,
        "_config.yml",
        "build/_toc.yml",
        "CITATION.cff",
        files("bench/results/*.json"),
        results=results(),
        explorer=EXPLORER,
    output:
        "_build/html/index.html",
    priority: 1
    params:
        # Where notebooks failed, pages lack what they would have drawn.
        "" if FAILED else "-W -n --keep-going",
    shell:
        "jupyter-book build . --toc build/_toc.yml {params} --quiet; echo \"{output}: $SECONDS s\""
