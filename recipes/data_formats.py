"""From the sources of the reference data to rows, one function a format; `recipes/fetch_data.py` names the sources.

Each function takes the content of its source files, in order, and yields rows as they are written. Nothing but NumPy is
needed beside the standard library.
"""

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np

# Rows that name one of these hosts are left out of the texts of Hacker News.
HOSTS = ("pypi.org", "pypi.python.org", "npmjs.org", "npmjs.com", "rubygems.org", "crates.io", "packagist.org")
# A row of `hn_comments.csv` of more characters is a comment, and else a title.
TITLE = 100
# The rows of the passages of The Pile that name such a host.
LEFT_OUT_TRAIN = """
132 133 202 331 629 861 878 1017 1018 1032 1262 1824 1843 1973 2014 2147 2225 2432 2486 2556 2558 2617 2665 2666 2679
2751 2987 3103 3104 3688 3739 3829 3894 3930 3996 4051 4532 4533 4650 4771 5323 5383 5435 5436 5485 5488 5595 5605 5798
6164 6174 6269 6374 6375 6450 6787 6788 7053 7163 7472 7646 7669 7742 7823 7932 8089 8142 8338 8615 8789 9046 9207 9241
9389 9402 9696 9739 9899 9951 9952 10090 10092 10182 10408 10514 10541 10923 11023 11024 11139 11152 11283 11377 11387
11591 11623 11668 11717 11772 11791 12007 12036 12069 12225 12241 12281 12286 12328 12364 12508 12567 12577 12716 12759
13021 13022 13069 13456 13457 13478 13840 13901 14014 14137 14180 14297 14561 14570 14707 14824 14972 14973
"""
LEFT_OUT_VALIDATION = "19 34 228 616 617 747 874"


def sst2(content: bytes) -> Iterator[dict]:
    """SST-2 in GLUE's layout: a header, then sentence and label, with tabs between."""
    for index, line in enumerate(content.decode().split("\n")[1:]):
        if line.strip():
            sentence, label = line.rsplit("\t", 1)
            yield {"idx": index, "sentence": sentence.rstrip(), "label": int(label)}


def annotated_comments(*contents: bytes, rounds: tuple[str, ...]) -> Iterator[dict]:
    """Comments of rounds of annotation, by item; a text inside a longer one of the same item is left out."""
    items: dict[int, dict[str, str]] = {}
    for name, content in zip(rounds, contents, strict=True):
        for line in content.decode().split("\n"):
            if line.strip():
                entry = json.loads(line)
                items.setdefault(entry["meta"]["id"], {}).setdefault(entry["text"], name)
    for item in sorted(items):
        texts = items[item]
        kept = [text for text in texts if not any(text in other for other in texts if other != text)]
        kept = [text for text in kept if not _names_host(text)]
        for part, text in enumerate(kept):
            yield {"id": item, "part": part, "round": texts[text], "text": text}


def _names_host(text: str) -> bool:
    return any(host in text for host in HOSTS)


def _plain(text: str) -> str:
    """A comment of Hacker News without its mark-up; links become their addresses."""
    text = text.replace("<p>", "\n\n")
    text = re.sub(r'<a href="([^"]*)"[^>]*>.*?</a>', r"\1", text, flags=re.DOTALL)
    return html.unescape(re.sub(r"</?(?:p|i|b|pre|code)>", "", text)).strip()


def mixed_comments(content: bytes, *, titles: bool) -> Iterator[dict]:
    """The titles, or the comments, of a file that holds both; of texts that are equal the first stays."""
    seen = set()
    for index, (score, text) in enumerate(csv.reader(io.StringIO(content.decode(), newline=""))):
        if (len(text) <= TITLE) != titles:
            continue
        plain = _plain(text)
        if plain and plain not in seen and not _names_host(plain):
            seen.add(plain)
            yield {"row": index, "score": int(score) if score else None, "text": plain}


def stories(content: bytes) -> Iterator[dict]:
    """Headlines with their time, votes and domain."""
    for index, (time, upvotes, domain, title) in enumerate(csv.reader(io.StringIO(content.decode(), newline=""))):
        if title and not _names_host(f"{domain} {title}"):
            yield {"row": index, "time": time, "upvotes": int(upvotes), "domain": domain or None, "title": title}


def windows(*contents: bytes, left_out: str) -> Iterator[dict]:
    """Windows of tokens, from arrays of their parts and the vocabulary of GPT-2, as text."""
    *arrays, vocabulary = contents
    tokens = np.concatenate([np.load(io.BytesIO(array), allow_pickle=False) for array in arrays], axis=1)
    characters = {number: token for token, number in json.loads(vocabulary).items()}
    to_byte, skipped = _bytes_of_characters(), set(map(int, left_out.split()))
    for index, window in enumerate(tokens.tolist()):
        if index not in skipped:
            text = "".join(characters[token] for token in window)
            yield {"idx": index, "text": bytes(map(to_byte.__getitem__, text)).decode("utf-8", errors="replace")}


def _bytes_of_characters() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for the characters from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


class _Page(HTMLParser):
    """A page of the SQuAD explorer: paragraphs in `pre`, below each its questions with their answers."""

    def __init__(self):
        super().__init__()
        self.paragraphs: list[tuple[list[str], list[dict]]] = []
        self._into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list) -> None:
        given = dict(attrs)
        if tag == "pre":
            self.paragraphs.append(([], []))
            self._into = self.paragraphs[-1][0]
        elif given.get("class") == "qa-wrap":
            self.paragraphs[-1][1].append({"id": given.get("data-id"), "question": [], "answers": []})
        elif given.get("class") == "question":
            self._into = self.paragraphs[-1][1][-1]["question"]
        elif given.get("class") == "answer":
            self.paragraphs[-1][1][-1]["answers"].append([])
            self._into = self.paragraphs[-1][1][-1]["answers"][-1]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("pre", "strong", "span"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)


def explorer(*contents: bytes, articles: tuple[str, ...]) -> Iterator[dict]:
    """The questions of SQuAD's development set, from the pages of its explorer."""
    for title, content in zip(articles, contents, strict=True):
        page = _Page()
        page.feed(content.decode())
        for paragraph, questions in page.paragraphs:
            context = "".join(paragraph)
            for asked in questions:
                answers = ["".join(answer) for answer in asked["answers"]]
                known = {"id": asked["id"], "title": title, "context": context, "question": "".join(asked["question"])}
                yield known | {"answers": _placed(context, answers)}


def _placed(context: str, answers: list[str]) -> dict:
    """Answers with their first place in the context."""
    return {"text": answers, "answer_start": [context.find(answer) for answer in answers]}


def sampled_paragraphs(content: bytes, first: bytes) -> Iterator[dict]:
    """Paragraphs of SQuAD's training set with questions, without those of the articles in `first`."""
    known = {row["context"] for row in cut_off(first)}
    for paragraph in json.loads(content):
        context = paragraph["context"]
        for asked in paragraph["qas"] if context not in known else []:
            answers = _placed(context, [asked["answer"]])
            yield {"context": context, "question": asked["question"], "answers": answers}


def cut_off(content: bytes) -> Iterator[dict]:
    """The whole paragraphs of a file in SQuAD's own format that ends in the middle."""
    text, reader, title, end = content.decode("utf-8", errors="ignore"), json.JSONDecoder(), None, 0
    for mark in re.finditer(r'\{"title": ("(?:[^"\\]|\\.)*"), "paragraphs": \[|\{"context": ', text):
        if mark.start() < end:
            continue
        if mark[1]:
            title = json.loads(mark[1])
            continue
        try:
            paragraph, end = reader.raw_decode(text, mark.start())
        except json.JSONDecodeError:
            return
        for asked in paragraph["qas"]:
            answers = {part: [answer[part] for answer in asked["answers"]] for part in ("text", "answer_start")}
            known = {"id": asked["id"], "title": title, "context": paragraph["context"]}
            yield known | {"question": asked["question"], "answers": answers}


def options(content: bytes, rows: int) -> Iterator[dict]:
    """The first rows of a list of questions, each with four choices and the place of the right one."""
    for entry in list(json.loads(content).values())[:rows]:
        choices, right = [entry[f"option{number}"] for number in range(4)], entry["answer_index"]
        yield {"question": entry["question"], "options": choices, "answer_index": right, "answer": choices[right]}
