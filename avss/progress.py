"""One progress bar for everything that may take more than two seconds; none where the output is not a terminal."""

from collections.abc import Iterable

from tqdm import tqdm


def progress(items: Iterable, description: str, total: int | None = None) -> Iterable:
    """`items`, with a bar on standard error that appears after two seconds, on terminals only."""
    return tqdm(items, desc=description, total=total, delay=2, disable=None, leave=False)
