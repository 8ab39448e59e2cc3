"""Questions and answers in the layouts of SQuAD: its official JSON as rows, and answers as a list of texts.

The official layout is `{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}`
(Rajpurkar et al. 2016). A row has the columns of the same data on the hub.
"""

from datasets import Dataset

from avss.data.decoded import Unreadable


def is_official(value: object) -> bool:
    """Whether this is the content of a file in the official layout."""
    articles = value.get("data") if isinstance(value, dict) else None
    return isinstance(articles, list) and any(isinstance(each, dict) and "paragraphs" in each for each in articles)


def rows_of(content: dict) -> tuple[list[dict], list[str]]:
    """A row for each question, and its place in the file. Raises `Unreadable` for a part that is missing."""
    rows, places = [], []
    for number, article in enumerate(content["data"], 1):
        where = f"article {number}"
        for place, paragraph in enumerate(_held(article, "paragraphs", list, where), 1):
            inside = f"{where}, paragraph {place}"
            context = _held(paragraph, "context", str, inside)
            for index, asked in enumerate(_held(paragraph, "qas", list, inside), 1):
                here = f"{inside}, question {index}"
                answers = _held(asked, "answers", list, here)
                rows.append(
                    {
                        "id": str(asked.get("id", "")),
                        "title": str(article.get("title", "")),
                        "context": context,
                        "question": _held(asked, "question", str, here),
                        "answers": {
                            "text": [_held(answer, "text", str, here) for answer in answers],
                            "answer_start": [_held(answer, "answer_start", int, here) for answer in answers],
                        },
                    }
                )
                places.append(here)
    return rows, places


def _held(entry: object, name: str, kind: type, place: str):
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise Unreadable(f"{place} has no {name}, as SQuAD's layout has it")
    return value


def with_answers(dataset: Dataset) -> Dataset:
    """The same rows; `answers` that are a list of texts become a dictionary whose `text` is that list, as in SQuAD."""
    if "answers" not in dataset.column_names:
        return dataset
    answers = dataset["answers"][:]
    if not any(isinstance(given, list) and all(isinstance(text, str) for text in given) for given in answers):
        return dataset
    whole = [{"text": given} if isinstance(given, list) else given for given in answers]
    return dataset.remove_columns("answers").add_column("answers", whole)
