"""The facts of `avss check` as plain text of at most 80 columns, and as JSON."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avss.checkup import Check

WIDTH = 80
# Stands behind the score of a block that this score would remove.
MARK = "*"


def text_of(found: "Check") -> str:
    """A table with a line a block, the blocks that each score would remove, the facts, and the recommendation."""
    table, blocks = found.table, len(found.table)
    columns = {"block": [str(block) for block in table["block"]]}
    for name in table.columns[1:]:
        if name == "first_token":
            columns["first token"] = [_percent(share) for share in table[name]]
            continue
        gone = found.removed.get(name, ())
        marks = [MARK if block in gone else " " for block in table["block"]]
        columns[name] = [_number(value) + mark for value, mark in zip(table[name], marks, strict=True)]
    widths = {name: max(len(name), *map(len, cells)) for name, cells in columns.items()}
    lines = [" ".join(name.rjust(widths[name]) for name in columns)]
    lines += [
        " ".join(cell.rjust(width) for cell, width in zip(cells, widths.values(), strict=True))
        for cells in zip(*columns.values(), strict=True)
    ]
    count = len(found.removed["avss"])
    lines += ["", f"Blocks that each score would remove, {count} of {blocks} ({MARK}):"]
    for name, gone in found.removed.items():
        lines += _wrapped(f"{name:<17}", " ".join(map(str, sorted(gone))))
    shares = table["first_token"]
    lines += [
        "",
        f"Text: {found.documents:,} documents, {found.tokens:,} tokens",
        f"Kendall's tau of AVSS with depth: {found.tau_depth:.2f}",
        f"Kendall's tau of AVSS with block influence: {found.tau_influence:.2f}",
        *_wrapped(
            "",
            f"Share of Eq. 1's variance in the first token: {_percent(found.first_token)} in the median block, "
            f"{_percent(shares.min())} to {_percent(shares.max())}",
        ),
    ]
    if found.tau_losses is None:
        lines.append("Loss without each block: not measured (--leave-one-out)")
    else:
        listed = ", ".join(f"{name} {tau:.2f}" for name, tau in found.tau_losses.items())
        lines += _wrapped("", f"Kendall's tau with the loss without each block: {listed}")
    return "\n".join([*lines, "", f"Recommended: {found.recommended}", *_wrapped("", found.reason)])


def facts_of(found: "Check") -> dict:
    """The same facts for JSON: numbers, texts, lists and dictionaries alone."""
    return {
        "blocks": found.table.to_dict("list"),
        "removed": found.removed,
        "tau_depth": found.tau_depth,
        "tau_block_influence": found.tau_influence,
        "tau_losses": found.tau_losses,
        "first_token": found.first_token,
        "documents": found.documents,
        "tokens": found.tokens,
        "recommended": found.recommended,
        "reason": found.reason,
    }


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _number(value: float) -> str:
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.1e}"


def _percent(share: float) -> str:
    return f"{share:.1%}"
