"""The parts of the book that show rows whether they ran or not: cards of rows, and pages of notebooks that failed."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

# Lines of a notebook's log that its page shows.
_LINES = 20
_ALT = (
    "The blocks that each of the paper's methods and a random choice removed, and the share of the score that was kept."
)


def title_of(row: dict) -> str:
    """A row's name for readers, from its fields in the profile."""
    return row.get("title") or f"{row['dataset']}, {row['model']}"


def not_executed(log: Path, executed: Path) -> str:
    """A red box that says why a notebook is not there. log: of its run. executed: where the notebook would lie."""
    reason = "It was not started, because a notebook that it needs failed."
    if log.is_file() and not executed.is_file():
        reason = "\n".join(log.read_text(encoding="utf-8").rstrip().split("\n")[-_LINES:])
    # Longer than any fence in the log.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", reason)), default=0))
    return f":::{{admonition}} Not executed\n:class: danger\n{fence}text\n{reason}\n{fence}\n:::"


def card(row: str, title: str) -> str:
    """A card of a row that ran: its name, linked to its page, and its figure `card`."""
    drawings = "\n".join(
        f":::{{image}} /book/executed/figures/{row}/card-{row}.{theme}.svg\n:class: only-{theme}\n:alt: {_ALT}\n:::"
        for theme in ("light", "dark")
    )
    return f"::::{{grid-item-card}} {{doc}}`{title} <executed/rows/{row}>`\n{drawings}\n::::"


def card_of_failure(title: str, box: str) -> str:
    """A card of a row that did not run. box: as from `not_executed`."""
    return f"::::{{grid-item}}\n**{title}**\n\n{box}\n::::"


def grid(cards: Iterable[str]) -> str:
    """The cards as a page includes them, two side by side."""
    return ":::::{grid} 1 1 2 2\n:gutter: 3\n\n" + "\n".join(cards) + "\n:::::\n"


def page_of_failure(title: str, box: str) -> str:
    """A notebook in place of the one that did not run. box: as from `not_executed`."""
    cell = {"id": "failed", "cell_type": "markdown", "metadata": {}, "source": f"# {title}\n\n{box}"}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
