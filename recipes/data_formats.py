"""From the sources of the reference data to rows, one function a format; `recipes/fetch_data.py` names the sources.

Each function takes the content of its source files, in order, and yields rows as they are written. Nothing but NumPy is
needed beside the standard library.
"""

import csv
import hashlib
import html
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np

# A row of `hn_comments.csv` of more characters is a comment, and else a title.
TITLE = 100
# Rows of the sources that the data of the stored results lack, by their numbers.
LEFT_OUT_TRAIN = """
132 133 202 331 629 861 878 1017 1018 1032 1262 1824 1843 1973 2014 2147 2225 2432 2486 2556 2558 2617 2665 2666 2679
2751 2987 3103 3104 3688 3739 3829 3894 3930 3996 4051 4532 4533 4650 4771 5323 5383 5435 5436 5485 5488 5595 5605 5798
6164 6174 6269 6374 6375 6450 6787 6788 7053 7163 7472 7646 7669 7742 7823 7932 8089 8142 8338 8615 8789 9046 9207 9241
9389 9402 9696 9739 9899 9951 9952 10090 10092 10182 10408 10514 10541 10923 11023 11024 11139 11152 11283 11377 11387
11591 11623 11668 11717 11772 11791 12007 12036 12069 12225 12241 12281 12286 12328 12364 12508 12567 12577 12716 12759
13021 13022 13069 13456 13457 13478 13840 13901 14014 14137 14180 14297 14561 14570 14707 14824 14972 14973
"""
LEFT_OUT_VALIDATION = "19 34 228 616 617 747 874"
# For `fitted`: of the titles by thousand rows.
TITLES = """
95f54633 86aff2ba 2ee65ca1 25e49732 d6b8edb6 39cf2967 42f9d453 4875048a 65886eb5 1e9587b0 fc3c03f4 891c383f
802afb4b dd959846 884a1005 309eb3b9 e0e573b4 c2724e32 80a06fee 9e385e2d e03ce0bb 61ab5a4b 96029dcc 266919f5
e3b158de d049307e b9fbb130 5abc02b0 91806290 337a0ca1 c6bd369f 2aaa914e 36c341c9 46996990 82dc705f 2b46fee8
6d284b00 4e68c82c 1e08eeb5 f5df6277 99dbf4ff 5821b4b7 6d479967 eb747241 e3d97beb 341eb646 7cfb6f06 35a5ad18
3473c006 4ad47fc7
"""
LEFT_OUT_STORIES = """
623 669 719 790 1005 1018 1133 1191 1262 1382 1387 1532 1893 1897 1903 1973 2131 2155 2279 3187 3380 3461 3766 3843
3879 4328 4340 5092 5287 5718 6066 6387 6425 6492 6516 6647 6648 6685 7131 7754 7756 7848 8020 8432 8721 8768 9118
9192 9364 9610 9821 9867 9910 9947 9960
"""


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
        for part, text in enumerate(kept):
            yield {"id": item, "part": part, "round": texts[text], "text": text}


def fitted(rows: list[dict], digests: str) -> bytes:
    """The lines of the rows, without those rows that the data of the stored results lack.

    digests: the first eight hexadecimal digits of the SHA-256 of the lines, of all rows together where there is one,
    and else of each thousand rows of the source, in order. At most one row of each part goes. Raises `ValueError` for
    a part that differs by more.
    """
    wanted, parts = digests.split(), {}
    for row in rows:
        parts.setdefault(row["row"] // 1000 if len(wanted) > 1 else 0, []).append(row)
    return b"".join(_without_one(parts.get(place, []), digest) for place, digest in enumerate(wanted))


def _without_one(rows: list[dict], digest: str) -> bytes:
    """The lines of all rows, or of all but one, that have this digest. Later parts of a comment that goes move up."""
    lines = list(map(line_of, rows))
    if hashlib.sha256(b"".join(lines)).hexdigest().startswith(digest):
        return b"".join(lines)
    head = hashlib.sha256()
    for place, row in enumerate(rows):
        rest = [
            line_of(other | {"part": other["part"] - 1}) if "part" in row and other["id"] == row["id"] else line
            for other, line in zip(rows[place + 1 :], lines[place + 1 :], strict=True)
        ]
        found = head.copy()
        found.update(b"".join(rest))
        if found.hexdigest().startswith(digest):
            return b"".join([*lines[:place], *rest])
        head.update(lines[place])
    raise ValueError("its rows are others than those of the stored results")


def line_of(row: dict) -> bytes:
    """A row as a line of JSON."""
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


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
        if plain and plain not in seen:
            seen.add(plain)
            yield {"row": index, "score": int(score) if score else None, "text": plain}


def stories(content: bytes, *, left_out: str = "") -> Iterator[dict]:
    """Headlines with their time, votes and domain, without the rows of these numbers."""
    skipped = set(map(int, left_out.split()))
    for index, (time, upvotes, domain, title) in enumerate(csv.reader(io.StringIO(content.decode(), newline=""))):
        if title and index not in skipped:
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
