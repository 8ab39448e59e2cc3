"""The embedded data: English-like text from a seeded generative grammar, without a network.

`load` gives a genre as a `datasets.Dataset`. The splits of a genre share no entity (person, town, film, brand...) and
no row, whatever their seeds, because every row names entities of its own split. Nor do they share a sentence that
names one; what is said without a name ("The walls, rebuilt in granite, still stand.") may be said in any world.
`entropy` gives the information in a text of a genre. It sets the lowest perplexity that a model can reach.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from avss.errors import InputError
from avss.microworld import answers, articles, floor, passages, posts, reviews

if TYPE_CHECKING:
    from datasets import Dataset

# Genre: a function of (split, seed) that yields its rows, without end and without repetition.
GENRES = {
    "reviews": reviews.generate,
    "posts": posts.generate,
    "articles": articles.generate,
    "passages": passages.generate,
    "answers": answers.generate,
}
# Genres with a known entropy (of passages: of the context), and the topics of their texts.
TOPICS = {"posts": posts.TOPICS, "articles": articles.TOPICS, "passages": passages.TOPICS}
# Split: its size unless asked otherwise.
SPLITS = {"train": 40_000, "calibration": 2_000, "validation": 1_000}


def load(genre: str, split: str, size: int | None = None, seed: int = 0) -> Dataset:
    """The first `size` rows of a split of a genre, the same for the same seed on every platform.

    Columns: `idx` (0, 1, ...) and those of the genre; `reviews` has SST-2's `sentence` (str) and `label` (0 negative,
    1 positive), `posts` and `articles` have `text` (str), `passages` the columns of SQuAD, `answers` has `question`,
    `context`, `true_answer` and `false_answer` (str). A smaller size gives the first rows of a larger one. Raises
    InputError for an unknown genre or split, or a size below 1.
    """
    if genre not in GENRES:
        raise InputError(f"no genre {genre!r} in the microworld; choose one of: {', '.join(GENRES)}")
    if split not in SPLITS:
        raise InputError(f"no split {split!r} of microworld/{genre}; choose one of: {', '.join(SPLITS)}")
    size = SPLITS[split] if size is None else size
    if size < 1:
        raise InputError(f"size {size} of microworld/{genre} is below 1; ask for at least one row")
    from datasets import Dataset

    return Dataset.from_list([{"idx": idx, **row} for idx, row in enumerate(islice(GENRES[genre](split, seed), size))])


def entropy(genre: str, split: str | None = None) -> floor.Entropy:
    """The entropy of one document of a genre (`passages`: of one context), exact; see `floor` for its meaning.

    split: whose names are known; None for a model that knows the grammar and all names, but not which of them the
    world at hand has: the fair floor on a held-out split. Raises InputError for another genre or an unknown split.
    """
    if genre not in TOPICS:
        raise InputError(f"the entropy of {genre!r} is not known; choose one of: {', '.join(TOPICS)}")
    if split is not None and split not in SPLITS:
        raise InputError(f"no split {split!r} of microworld/{genre}; choose one of: {', '.join(SPLITS)}")
    return floor.of_topics(TOPICS[genre], split)
