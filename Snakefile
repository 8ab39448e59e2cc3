# The graph of rows, notebooks, figures and book. `make book` runs it on this machine; with `--executor slurm` (or any other
# executor plugin) the same file runs on a cluster, one papermill job a row.
#
# config: profile=NAME runs profiles/NAME.yaml (default: mini). failed=shown leaves out the notebooks that did not run
# to their end: a page in place of each says why.

import os
import re
from pathlib import Path

import yaml

from avss.report import cards, tables

PROFILE = config.get("profile", "mini")
SHOW_FAILED = config.get("failed") == "shown"
if not Path(f"profiles/{PROFILE}.yaml").is_file():
    known = ", ".join(sorted(path.stem for path in Path("profiles").glob("*.yaml")))
    raise SystemExit(f"profile {PROFILE!r} does not exist; choose one of {known}")
# The book has every row of Table 1: mini's stand in for those that another profile lacks.
PROFILES = {name: yaml.safe_load(Path(f"profiles/{name}.yaml").read_text()) for name in ("mini", PROFILE)}
ROWS = {
    row["id"]: content.get("defaults", {}) | row | {"profile": profile}
    for profile, content in PROFILES.items()
    for row in content["rows"]
}
for row in ROWS.values():
    for name in (row["checkpoint"], row["data"]):
        if "$" in os.path.expandvars(name):
            raise SystemExit(f"profile {PROFILE}: {name} names a variable that is not set; see README.md")


def files(*patterns):
    """Files that exist now, without caches; a change to any of them runs what depends on it again."""
    found = {path for pattern in patterns for path in Path().glob(pattern) if path.is_file()}
    return sorted(str(path) for path in found if "__pycache__" not in path.parts)


def results(row="*"):
    """Results that do not grow while the book is built: those of profiles that are not running."""
    running = tuple(f"results/{row['profile']}/" for row in ROWS.values())
    return [file for file in files(f"results/*/{row}/*") if not file.startswith(running)]


def weights(row):
    """The files of the row's model, where they lie in this repository."""
    folder = Path(re.sub("^mini/", "avss/mini/", ROWS[row]["checkpoint"]))
    return [] if folder.is_absolute() else files(f"{folder}/*")


def task_of(row):
    return ROWS[row]["task"].replace("_", "-")


def title_of(row):
    return cards.title_of(ROWS[row])


def not_executed(page):
    """Why the notebook of this page is not there, as a red box."""
    row = ROW_PAGES.get(page)
    log = f"build/logs/{ROWS[row]['profile']}-{row}.log" if row else f"build/logs/{page}.log"
    return cards.not_executed(Path(log), Path(PAGES[page]))


def card_of(row):
    page = f"rows/{row}"
    if page in FAILED:
        return cards.card_of_failure(title_of(row), not_executed(page))
    return cards.card(row, title_of(row))


def run_of(row):
    return f"book/executed/runs/{ROWS[row]['profile']}/{row}.ipynb"


CODE = files("avss/**/*.py") + files("avss/microworld/grammars/*.toml")
BOOK = [file for file in files("book/**/*") if not file.startswith("book/executed/")]
EQUATIONS = ["variance", "sparsity", "avss", "readings", "baselines"]
# The first row of a task is on the page of the task, the others have pages of their own.
FIRST = {task_of(row): row for row in reversed(ROWS)}
ROW_PAGES = {task_of(row) if row in FIRST.values() else f"rows/{row}": row for row in ROWS}
PAGES = {page: run_of(row) for page, row in ROW_PAGES.items()}
PAGES |= {name: f"book/executed/runs/{name}.ipynb" for name in EQUATIONS}
# What a page needs; the equations show results of the first row.
NEEDED = {page: [run, run_of(FIRST["sentiment"])] if page in EQUATIONS else [run] for page, run in PAGES.items()}
FAILED = [page for page, runs in NEEDED.items() if SHOW_FAILED and not all(Path(run).is_file() for run in runs)]
EXECUTED = [page for page in PAGES if page not in FAILED]
FIGURES = [f"book/executed/figures/{row}" for page, row in ROW_PAGES.items() if page in EXECUTED]
TABLES = expand("book/executed/figures/{table}.md", table=tables.TABLES)
# Of each task, the rows that have pages of their own.
CARDS = {task: [row for row in ROWS if task_of(row) == task and row != FIRST[task]] for task in FIRST}
EXECUTE = (
    "OMP_NUM_THREADS={threads} MPLBACKEND=agg python -m papermill --no-progress-bar --log-level WARNING"
    " {params} {input.notebook} {output} 2> {log}"
    " || {{ echo \"{output}: $(grep -v '^ *$' {log} | tail -n 1) (all of it in {log})\" >&2; exit 1; }}"
)
DONE = "; echo \"{output}: $SECONDS s\""

shell.prefix("set -euo pipefail; export PATH=$PWD/.venv/bin:$PATH; ")


localrules: all, page, row_page, cards, figures, tables, book


rule all:
    input:
        "_build/html/index.html",


# One job a row of Table 1. The store keeps what is finished, so a job that was killed computes only what is missing.
# One thread each: two small models side by side are faster than one on two cores.
rule row:
    input:
        notebook=lambda wildcards: f"notebooks/{task_of(wildcards.row)}.ipynb",
        profile="profiles/{profile}.yaml",
        code=CODE,
        weights=lambda wildcards: weights(wildcards.row),
        results=lambda wildcards: results(wildcards.row),
    output:
        "book/executed/runs/{profile}/{row}.ipynb",
    params:
        lambda wildcards: "-p profile {profile} -p dataset '{dataset}' -p model '{model}'".format(**ROWS[wildcards.row]),
    log:
        "build/logs/{profile}-{row}.log",
    threads: 1
    resources:
        # Rows of a narrow dtype are for an accelerator, whose memory two models may not fit into side by side.
        gpu=lambda wildcards: int(ROWS[wildcards.row].get("dtype", "float32") != "float32"),
    shell:
        EXECUTE + DONE


rule equation:
    input:
        notebook="notebooks/{name}.ipynb",
        code=CODE,
        weights=files("avss/mini/distilbert/*", "avss/mini/llama-1b/*"),
        results=results(),
        rows=run_of(FIRST["sentiment"]),
    output:
        "book/executed/runs/{name}.ipynb",
    params:
        "",
    log:
        "build/logs/{name}.log",
    threads: 1
    wildcard_constraints:
        name="|".join(EQUATIONS),
    shell:
        EXECUTE + DONE


rule page:
    input:
        lambda wildcards: PAGES[wildcards.page],
    output:
        "book/executed/{page}.ipynb",
    wildcard_constraints:
        page="|".join(page for page in EXECUTED if "/" not in page),
    shell:
        "cp {input} {output}"


# The notebook's title names the task; here it gives way to the row's.
rule row_page:
    input:
        lambda wildcards: run_of(wildcards.row),
    output:
        "book/executed/rows/{row}.ipynb",
    params:
        title=lambda wildcards: title_of(wildcards.row),
    wildcard_constraints:
        row="|".join(row for page, row in ROW_PAGES.items() if page in EXECUTED),
    shell:
        r"""sed '0,/"# .*\\n",$/s//"# {params.title}\\n",/' {input} > {output}"""


if FAILED:

    localrules: failed_page

    rule failed_page:
        output:
            "book/executed/{page}.ipynb",
        wildcard_constraints:
            page="|".join(FAILED),
        run:
            page = wildcards.page
            title = title_of(ROW_PAGES[page]) if page in ROW_PAGES else page.capitalize()
            Path(output[0]).write_text(cards.page_of_failure(title, not_executed(page)))


rule figures:
    input:
        code=CODE,
        results=lambda wildcards: results(wildcards.row),
        table="avss/report/table1.csv",
        run=lambda wildcards: run_of(wildcards.row),
    output:
        directory("book/executed/figures/{row}"),
    wildcard_constraints:
        row="|".join(ROWS),
    shell:
        "OMP_NUM_THREADS={threads} python -m avss.report results book/executed/figures {wildcards.row}" + DONE


rule tables:
    input:
        code=CODE,
        results=results(),
        table="avss/report/table1.csv",
        claims="avss/report/claims.yml",
        benchmarks=files("bench/results/*.json"),
        runs=[PAGES[page] for page in EXECUTED],
    output:
        TABLES,
        directory("book/executed/figures/book"),
    shell:
        "OMP_NUM_THREADS={threads} python -m avss.report results book/executed/figures book tables"


# A card for every row that has a page of its own.
rule cards:
    output:
        "book/executed/figures/cards-{task}.md",
    params:
        # Part of the parameters so that another set of rows, or of failures, writes the file anew.
        cards=lambda wildcards: cards.grid(map(card_of, CARDS[wildcards.task])),
    run:
        Path(output[0]).write_text(params.cards)


rule book:
    input:
        expand("book/executed/figures/cards-{task}.md", task=CARDS),
        expand("book/executed/{page}.ipynb", page=PAGES),
        FIGURES,
        TABLES,
        "book/executed/figures/book",
        BOOK,
        "_config.yml",
        "_toc.yml",
        "CITATION.cff",
        files("bench/results/*.json"),
        results=results(),
    output:
        "_build/html/index.html",
    params:
        # Where notebooks failed, pages lack what they would have drawn.
        "" if FAILED else "-W -n --keep-going",
    shell:
        "jupyter-book build . {params} --quiet; echo \"{output}: $SECONDS s\""
