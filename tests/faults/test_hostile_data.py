"""Hostile data and names: read exactly or one line, nothing run, nothing written beside the output."""

import csv
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.faults.hostile import CANARY, check_ends_well, files_under
from tests.faults.tally import size

LONG = "good film " * 1_000_000
FORMULA = f"=cmd|' /C touch {CANARY}'!A0"


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def fine(**changes) -> dict:
    return {"sentence": "good film", "label": 1} | changes


# By label: the name of the file, and its content.
DATA: dict[str, tuple[str, bytes]] = {
    "a text that is null": ("a.jsonl", lines(fine(sentence=None), fine(label=0), fine())),
    "labels that are null": ("a.jsonl", lines(fine(label=None), fine(label=None))),
    "one label that is null": ("a.jsonl", lines(fine(), fine(label=None), fine(label=0))),
    "texts that are numbers": ("a.jsonl", lines(fine(sentence=1), fine(sentence=2.5))),
    "texts that are lists": ("a.jsonl", lines(fine(sentence=["good", "film"]))),
    "texts that are objects": ("a.jsonl", lines(fine(sentence={"a": 1}), fine(sentence={"b": []}))),
    "texts of several types": ("a.jsonl", lines(fine(), fine(sentence=1), fine(sentence=["x"]), fine(sentence=None))),
    "labels that are lists": ("a.jsonl", lines(fine(label=[1]))),
    "labels beyond every integer": ("a.jsonl", lines(fine(label=10**30))),
    "labels that are no classes": ("a.jsonl", lines(fine(label=7), fine(label=-1))),
    "labels that are no numbers": (
        "a.jsonl",
        b'{"sentence": "good", "label": NaN}\n{"sentence": "x", "label": Infinity}\n',
    ),
    "rows that are no objects": ("a.jsonl", lines(1, "good", None)),
    "a list of 10,000 levels": ("a.json", b"[" * 10_000 + b"]" * 10_000),
    "an object of 100,000 levels": ("a.jsonl", b'{"sentence":' * 100_000),
    "a document of 10 MB": ("a.jsonl", lines(fine(sentence=LONG), fine(label=0))),
    "a word of 10 MB": ("a.jsonl", lines(fine(sentence="x" * 10_000_000), fine(label=0))),
    "a document of 10 MB in CSV": ("a.csv", f"sentence,label\n{LONG},1\ngood,0\n".encode()),
    "a hundred thousand columns": ("a.csv", (",".join(f"c{i}" for i in range(100_000)) + "\n").encode() * 2),
    "zeros, compressed": ("a.jsonl.gz", gzip.compress(bytes(50_000_000))),
    "bytes that are not UTF-8": ("a.jsonl", b'{"sentence": "caf\xe9", "label": 1}\n'),
    "bytes that are not UTF-8 in text": ("a.txt", b"good film\ncaf\xe9\n"),
    "half a surrogate pair": ("a.jsonl", b'{"sentence": "good \\ud800 film", "label": 1}\n' + lines(fine(label=0))),
    "a surrogate in UTF-8": ("a.csv", b"sentence,label\ngood \xed\xa0\x80,1\n"),
    "bytes of zero": ("a.csv", b"sentence,label\ngood\0film,1\n"),
    "escapes of a terminal": ("a.jsonl", lines(fine(sentence="\x1b]0;title\x07\x1b[2J"), fine(label=0))),
    "another encoding": ("a.jsonl", "{}".encode("utf-16")),
    "formulas": ("a.csv", f'sentence,label\n"{FORMULA}",1\n@SUM(A1),0\n+1+1,1\n-2,0\n'.encode()),
    "formulas as names of columns": ("a.csv", f'"{FORMULA}",sentence,label\n1,good,1\n2,bad,0\n'.encode()),
    "formulas as labels": ("a.csv", f'sentence,label\ngood,"{FORMULA}"\nbad,"=1"\n'.encode()),
    "two columns of one name": ("a.csv", b"sentence,label,sentence\ngood,1,bad\n"),
    "columns that differ in case": ("a.csv", b"sentence,label,Sentence\ngood,1,bad\n"),
    "keys twice": ("a.jsonl", b'{"sentence": "good", "label": 1, "label": 0}\n'),
    "keys that differ in case": ("a.jsonl", lines(fine(LABEL=0))),
    "no name for a column": ("a.csv", b"sentence,label,\ngood,1,x\n"),
    "a quote that never ends": ("a.csv", b'sentence,label\n"good,1\nbad,0\n'),
    "a pickle": ("a.parquet", b"\x80\x04cposix\nsystem\n(S'touch canary'\ntR."),
    "a script": ("a.py", b"open('canary', 'w')"),
    "no rows": ("a.csv", b"sentence,label\n"),
    "nothing": ("a.jsonl", b""),
}


def commands(world: Path, data: Path) -> list[tuple[str, tuple]]:
    model, out = world / "classifier", world / "result.json"
    return [
        ("scores.csv", ("score", world / "lm", "--data", data, "--out", world / "scores.csv")),
        (
            "taylor.csv",
            (
                "score",
                model,
                "--method",
                "taylor",
                "--task",
                "sentiment",
                "--data",
                data,
                "--out",
                world / "taylor.csv",
            ),
        ),
        ("result.json", ("evaluate", model, "--task", "sentiment", "--data", data, "--out", out)),
    ]


def test_hostile_data_are_read_exactly_or_are_one_line(tally, fresh_world):
    with tally.row("hostile-data") as row:
        for label in list(DATA)[:: size(1, 9)]:
            world = fresh_world()
            name, content = DATA[label]
            (world / name).write_bytes(content)
            for out, words in commands(world, world / name):
                with row.trial(f"{label}, {out}"):
                    if check_ends_well(world, words, [out, f"{out[:-4]}.json"], seconds=100):
                        check_no_formula(world / out)


def check_no_formula(path: Path) -> None:
    """No cell of a table begins as formulas of spreadsheet programs do, but for numbers."""
    if path.suffix != ".csv":
        return
    with open(path, newline="") as file:
        for cell in (cell for cells in csv.reader(file) for cell in cells):
            assert cell[:1] not in ("=", "@", "+", "\t", "\r"), f"a formula: {cell[:40]}"
            assert cell[:1] != "-" or float(cell) < 0, f"a formula: {cell[:40]}"


NAMES = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"a;touch {CANARY}",
    f"a|touch {CANARY}",
    f"a && touch {CANARY}",
    f"a\ntouch {CANARY}",
    f"' ; touch {CANARY} ; '",
    f'" ; touch {CANARY} ; "',
    "Children's Books",
    "two words",
    "{wildcards.row}",
    "{input}{{output}}",
    "run[1]",
    "who?",
    "every*",
    "%s%n%d",
    "a\\b",
    "~",
    "#hash",
    "naïve-ß-模型",
    "a\u202eb",
    "tab\there",
    "=1+1",
    "not UTF-8: \udcff",
    "..a",
    "a..",
    ".hidden",
    "x" * 200,
]
# By label: names for an output that would lie elsewhere, from the folder `world/out`.
OUTSIDE: dict[str, Callable[[Path], object]] = {
    "the parent": lambda world: world / "out" / "..",
    "a file of the parent": lambda world: world / "out" / ".." / "text.txt",
    "the model": lambda world: world / "out" / ".." / "lm",
    "a file of the model": lambda world: world / "lm" / "config.json",
    "the root": lambda world: "/",
    "a device": lambda world: "/dev/null",
    "nothing": lambda world: "",
    "a dot": lambda world: ".",
    "too long a name": lambda world: world / "out" / ("x" * 300),
}


def test_names_with_signs_of_the_shell_are_only_names(tally, fresh_world, monkeypatch):
    with tally.row("hostile-names") as row:
        for name in NAMES[:: size(1, 9)]:
            world = fresh_world()
            monkeypatch.chdir(world)
            os.rename(world / "lm", world / name)
            os.rename(world / "classifier", world / f"c {name}")
            (world / f"{name}.jsonl").write_bytes((world / "reviews.jsonl").read_bytes())
            out, pruned = f"out {name[:150]}.csv", f"pruned {name[:150]}"
            model, data = world / name, world / f"{name}.jsonl"
            with row.trial(f"score {name!r}"):
                written = [out, out[:-4] + ".json"]
                assert check_ends_well(world, ("score", model, "--data", data, "--out", world / out), written)
            with row.trial(f"prune {name!r}"):
                words = ("prune", model, "--scores", world / out, "--layers", 1, "--out", world / pruned)
                assert check_ends_well(world, words, [pruned])
            with row.trial(f"evaluate {name!r}"):
                words = (
                    "evaluate",
                    world / f"c {name}",
                    "--task",
                    "sentiment",
                    "--data",
                    data,
                    "--out",
                    world / "result.json",
                )
                assert check_ends_well(world, words, ["result.json"])


def test_no_output_is_written_elsewhere_or_over_an_input(tally, fresh_world, monkeypatch):
    with tally.row("hostile-outputs") as row:
        for label in list(OUTSIDE)[:: size(1, 4)]:
            world = fresh_world()
            (world / "out").mkdir()
            monkeypatch.chdir(world / "out")
            out = OUTSIDE[label](world)
            around = files_under(world.parent)
            for words in (
                ("score", world / "lm", "--data", world / "text.txt", "--force", "--out", out),
                ("prune", world / "lm", "--scores", world / "s.csv", "--layers", 1, "--force", "--out", out),
                (
                    *("evaluate", world / "classifier", "--task", "sentiment", "--data", world / "reviews.jsonl"),
                    *("--force", "--out", out),
                ),
            ):
                with row.trial(f"{words[0]}, {label}"):
                    assert not check_ends_well(world, words) or not out
                    assert files_under(world.parent) == around
