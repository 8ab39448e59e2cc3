"""The recipe that fetches the reference data: formats of the sources, pinned downloads, and what it says is missing.

The sources are small files on disk; nothing here asks the network.
"""

import gzip
import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "recipes"))

import data_formats  # noqa: E402
import fetch_data  # noqa: E402
from fetch_data import Made, Source  # noqa: E402


def test_sst2_has_a_header_and_a_label_behind_the_last_tab():
    rows = list(data_formats.sst2(b"sentence\tlabel\nit 's fine . \t1\nbad\t0\n"))
    assert rows == [
        {"idx": 0, "sentence": "it 's fine .", "label": 1},
        {"idx": 1, "sentence": "bad", "label": 0},
    ]


def test_a_part_of_a_longer_comment_of_the_same_item_is_left_out():
    def line(item: int, text: str) -> str:
        return json.dumps({"text": text, "meta": {"id": item}, "label": "BOOK"}) + "\n"

    first, second = line(7, "A whole comment.") + line(3, "Other."), line(7, "whole") + line(7, "More.")
    rows = list(data_formats.annotated_comments(first.encode(), second.encode(), rounds=("one", "two")))
    assert rows == [
        {"id": 3, "part": 0, "round": "one", "text": "Other."},
        {"id": 7, "part": 0, "round": "one", "text": "A whole comment."},
        {"id": 7, "part": 1, "round": "two", "text": "More."},
    ]


def test_titles_and_comments_of_one_file_are_told_apart_and_lose_their_markup():
    long = (
        'See <a href="http:&#x2F;&#x2F;x.org" rel="nofollow">http:&#x2F;&#x2F;x...</a> &quot;now&quot;<p><i>So</i> '
        + "w" * 90
    )
    content = f'2,A title\n"",A title\n0,"{long.replace(chr(34), chr(34) * 2)}"\n'.encode()
    assert list(data_formats.mixed_comments(content, titles=True)) == [{"row": 0, "score": 2, "text": "A title"}]
    [comment] = data_formats.mixed_comments(content, titles=False)
    assert comment == {"row": 2, "score": 0, "text": 'See http://x.org "now"\n\nSo ' + "w" * 90}


def test_headlines_without_a_title_are_left_out_and_so_are_named_rows():
    content = b"2011-11-09T21:56:22Z,1,x.org,One\n2012,3,,\n2013,5,,Two\n2014,7,,Three\n"
    rows = data_formats.stories(content, left_out="3")
    assert [(row["row"], row["domain"], row["title"]) for row in rows] == [(0, "x.org", "One"), (2, None, "Two")]


def digest(rows: list) -> str:
    return hashlib.sha256(b"".join(map(data_formats.line_of, rows))).hexdigest()[:8]


@pytest.mark.parametrize("gone", [0, 2, 3])
def test_a_row_that_the_stored_results_lack_is_found_by_the_digest(gone):
    """Parts of the same comment are numbered without a gap."""
    rows = [{"id": item, "part": part, "text": f"{item}{part}"} for item, part in ((1, 0), (1, 1), (1, 2), (2, 0))]
    kept = [row | {"part": row["part"] - (row["id"] == 1 and place > gone)} for place, row in enumerate(rows)]
    del kept[gone]
    if gone == 3:
        kept = rows[:3]
    expected = b"".join(map(data_formats.line_of, kept))
    assert data_formats.fitted(rows, digest(kept)) == expected
    assert data_formats.fitted(kept, digest(kept)) == expected
    with pytest.raises(ValueError, match="others than those of the stored results"):
        data_formats.fitted(rows, digest(rows[:1]))


def test_each_thousand_rows_may_lack_one():
    rows = [{"row": number, "text": str(number)} for number in (0, 1, 999, 1000, 1500, 1999, 2001)]
    first, second, third = [rows[0], rows[2]], [rows[3], rows[5]], [rows[6]]
    lines = data_formats.fitted(rows, " ".join(map(digest, (first, second, third))))
    assert lines == b"".join(map(data_formats.line_of, [*first, *second, *third]))


def test_windows_of_tokens_become_text_and_broken_characters_are_marked():
    # In GPT-2's vocabulary a blank is written as Ġ, and the two bytes of é as Ã and ©.
    vocabulary = json.dumps({"a": 0, "Ġb": 1, "Ã": 2, "©": 3}).encode()

    def array(rows: list) -> bytes:
        file = io.BytesIO()
        np.save(file, np.array(rows, np.uint16))
        return file.getvalue()

    parts = array([[0], [0], [0]]), array([[1, 2], [1, 1], [2, 0]]), array([[3], [0], [0]])
    rows = list(data_formats.windows(*parts, vocabulary, left_out="1"))
    assert rows == [{"idx": 0, "text": "a bé"}, {"idx": 2, "text": "a\ufffdaa"}]


PAGE = """<div class="para-wrap"><pre>The word &quot;pharma&quot; is Greek.</pre><div class="qa-wrap" data-id="5a">
<p> <strong class="question">Which word?</strong></p><ul><li><p><i>Ground Truth Answers: </i><span class="answer">pharma
</span><span class="answer">Greek</span></p></li><li><i>Prediction: </i><span class="prediction"></span></li></ul>
</div></div>"""


def test_questions_are_read_out_of_the_pages_of_the_explorer():
    [row] = data_formats.explorer(PAGE.replace("pharma\n", "pharma").encode(), articles=("Pharmacy",))
    assert row == {
        **{"id": "5a", "title": "Pharmacy", "context": 'The word "pharma" is Greek.', "question": "Which word?"},
        "answers": {"text": ["pharma", "Greek"], "answer_start": [10, 21]},
    }


def article(title: str, *contexts: str) -> dict:
    asked = {"answers": [{"answer_start": 0, "text": "It"}], "question": "Who?", "id": "1"}
    return {"title": title, "paragraphs": [{"context": context, "qas": [asked]} for context in contexts]}


def test_whole_paragraphs_of_a_file_that_is_cut_off_are_kept():
    whole = json.dumps({"data": [article("One", 'It is "so".', "It was."), article("Two", "It may.", "It can.")]})
    rows = list(data_formats.cut_off(whole[:-60].encode()))
    assert [(row["title"], row["context"]) for row in rows] == [
        ("One", 'It is "so".'),
        ("One", "It was."),
        ("Two", "It may."),
    ]
    assert rows[0]["answers"] == {"text": ["It"], "answer_start": [0]}
    sample = [{"context": text, "qas": [{"question": "Who?", "answer": "It"}]} for text in ("It may.", "So is It.")]
    kept = list(data_formats.sampled_paragraphs(json.dumps(sample).encode(), whole.encode()))
    assert [(row["context"], row["answers"]["answer_start"]) for row in kept] == [("So is It.", [6])]


CONTENT = b"sentence\tlabel\ngood\t1\n"
TEXT = b'{"idx": 0, "sentence": "good", "label": 1}\n'


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def mirror(tmp_path):
    """A place with one source, and the file that is made of it."""
    path = tmp_path / "mirror/owner/name/commit/data/dev.tsv"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    source = Source("owner/name", "commit", "data/dev.tsv", blob(CONTENT))
    return path, Made("sst2/dev.jsonl.gz", hashlib.sha256(TEXT).hexdigest(), (source,), data_formats.sst2)


def run(made: Made, tmp_path: Path, *options: str) -> int:
    base = (tmp_path / "mirror").as_uri()
    return fetch_data.main([str(tmp_path / "data"), "--base", base, *options], [made])


def test_a_file_is_fetched_once_checked_and_written(mirror, tmp_path, capsys):
    path, made = mirror
    assert run(made, tmp_path) == 0
    assert gzip.decompress((tmp_path / "data" / made.file).read_bytes()) == TEXT
    assert f"export AVSS_DATA={tmp_path / 'data'}" in capsys.readouterr().out
    path.unlink()
    assert run(made, tmp_path) == 0, "it is there already"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "cannot be fetched: "),
        (lambda path: path.write_bytes(CONTENT + b"x\t0\n"), "is another file than the pinned one (blob "),
    ],
)
def test_what_cannot_be_had_is_one_line_and_nothing_is_written(mirror, tmp_path, capsys, spoil, reason):
    path, made = mirror
    spoil(path)
    assert run(made, tmp_path) == 2
    message = capsys.readouterr().err
    assert message.startswith("missing: sst2/dev.jsonl.gz (")
    assert reason in message
    assert message.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_other_rows_than_those_of_the_stored_results_are_refused(mirror, tmp_path, capsys):
    path, made = mirror
    path.write_bytes(CONTENT.replace(b"good", b"fine"))
    source = Source("owner/name", "commit", "data/dev.tsv")
    assert run(Made(made.file, made.sha256, (source,), made.rows), tmp_path) == 2
    assert "its rows are others than those of the stored results" in capsys.readouterr().err


def test_a_check_fetches_nothing(mirror, tmp_path, capsys):
    assert run(mirror[1], tmp_path, "--check") == 2
    assert capsys.readouterr().err == "missing: sst2/dev.jsonl.gz\n"


def test_every_file_of_the_reference_rows_is_fetched():
    """A split of each row is a file of the list that is not for training alone."""
    from avss.runs.profile import load_profile

    here = {made.file for made in fetch_data.FILES if not made.training}
    for row in load_profile("reference").rows:
        folder = row.data.removeprefix("$AVSS_DATA/")
        for split in (row.calibration, row.evaluation):
            assert f"{folder}/{split}.jsonl.gz" in here, row.id
    assert len({made.sha256 for made in fetch_data.FILES}) == len(fetch_data.FILES)
