# The graph of rows, notebooks, figures and book. `make book` runs it on this machine; with `--executor slurm` (or any other
# executor plugin) the same file runs on a cluster, one papermill job a row.

import os
from pathlib import Path

import yaml

PROFILE = config.get("profile", "mini")
PROFILE_FILE = f"profiles/{PROFILE}.yaml"
if not Path(PROFILE_FILE).is_file():
    known = ", ".join(sorted(path.stem for path in Path("profiles").glob("*.yaml")))
    raise SystemExit(f"profile {PROFILE!r} does not exist; choose one of {known}")
PLANNED = yaml.safe_load(Path(PROFILE_FILE).read_text())["rows"]
ROWS = [row["id"] for row in PLANNED]
for row in PLANNED:
    for name in (row["checkpoint"], row["data"]):
        if "$" in os.path.expandvars(name):
            raise SystemExit(f"profile {PROFILE}: {name} names a variable that is not set; see README.md")


def files(*patterns):
    """Files that exist now, without caches; a change to any of them runs what depends on it again."""
    found = {path for pattern in patterns for path in Path().glob(pattern) if path.is_file()}
    return sorted(str(path) for path in found if "__pycache__" not in path.parts)


PACKAGE = files("avss/**/*")
BOOK = [file for file in files("book/**/*") if not file.startswith("book/executed/")]
# Committed results only: those of the profile that is running grow while it runs.
RESULTS = [file for file in files("results/**/*") if not file.startswith(f"results/{PROFILE}/")]
# One notebook at a time: two that share two cores with two threads each wait for each other.
PAPERMILL = "OMP_NUM_THREADS={threads} MPLBACKEND=agg python -m papermill --no-progress-bar --log-level WARNING"

shell.prefix("set -euo pipefail; export PATH=$PWD/.venv/bin:$PATH; ")


rule all:
    input:
        "_build/html/index.html",


# One job a row of Table 1. The store keeps what is finished, so a job that was killed computes only what is missing.
rule row:
    input:
        notebook="notebooks/sentiment.ipynb",
        profile=PROFILE_FILE,
        package=PACKAGE,
        results=RESULTS,
    output:
        "book/executed/rows/{profile}/{row}.ipynb",
    threads: 2
    shell:
        PAPERMILL + " -p profile {wildcards.profile} -p row {wildcards.row} {input.notebook} {output}"


rule sentiment_page:
    input:
        f"book/executed/rows/{PROFILE}/{ROWS[0]}.ipynb",
    output:
        "book/executed/sentiment.ipynb",
    shell:
        "cp {input} {output}"


rule equation:
    input:
        notebook="notebooks/variance.ipynb",
        package=PACKAGE,
        results=RESULTS,
        rows=expand("book/executed/rows/{profile}/{row}.ipynb", profile=PROFILE, row=ROWS),
    output:
        "book/executed/variance.ipynb",
    threads: 2
    shell:
        PAPERMILL + " {input.notebook} {output}"


rule figures:
    input:
        package=PACKAGE,
        results=RESULTS,
        table="book/table1.csv",
        rows=expand("book/executed/rows/{profile}/{row}.ipynb", profile=PROFILE, row=ROWS),
    output:
        directory("book/executed/figures"),
    shell:
        "python -m avss.figures results {output}"


rule book:
    input:
        "book/executed/sentiment.ipynb",
        "book/executed/variance.ipynb",
        "book/executed/figures",
        BOOK,
        "_config.yml",
        "_toc.yml",
        results=RESULTS,
    output:
        "_build/html/index.html",
    shell:
        "jupyter-book build . -W -n --keep-going --quiet"
