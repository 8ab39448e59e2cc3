"""A copy of the repository for commands that write into it: tests beside them read the real one."""

import shutil
from pathlib import Path

from avss.files import ROOT

NEEDED = ("avss", "notebooks", "profiles", "book", "Snakefile", "Makefile", "CITATION.cff", "_config.yml", "_toc.yml")


def checkout(folder: Path) -> Path:
    """What `make row` and Snakemake need of the repository, without results and executed pages."""
    folder.mkdir()
    unwanted = shutil.ignore_patterns("__pycache__", "executed")
    for source in (ROOT / name for name in NEEDED):
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=unwanted)
        else:
            shutil.copy(source, folder)
    return folder
