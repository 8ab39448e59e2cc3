"""The commands of the benchmarks: each starts, and a kill loses no row that was measured."""

import io
import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "bench").glob("[!_]*.py"))
TINY = "--model mini/llama-1b --threads 1 --batches 1 --batch 1 --context 6 --permutations 1 --budgets 17"


def run(monkeypatch, path: Path, *words: object) -> None:
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, words)])
    runpy.run_path(str(path), run_name="__main__")


def test_every_benchmark_says_how_it_is_called_and_takes_a_file_for_its_rows(monkeypatch, capsys):
    assert len(SCRIPTS) == 8
    for path in SCRIPTS:
        with pytest.raises(SystemExit) as ended:
            run(monkeypatch, path, "--help")
        assert ended.value.code == 0
        said = capsys.readouterr().out
        assert "--out OUT" in said
        assert "bench/" + path.name in said or path.name == "families.py"


def test_the_benchmark_of_shapley_values_writes_each_row_as_it_comes(tmp_path, monkeypatch):
    out = tmp_path / "shapley-cpu.json"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    rows_in_file = []

    class Watching(io.StringIO):
        """A row is printed before the file has it: the file then holds those before."""

        def write(self, said: str) -> int:
            if said.strip():
                rows_in_file.append(len(json.loads(out.read_text())["rows"]) if out.is_file() else 0)
            return super().write(said)

    shown = Watching()
    monkeypatch.setattr(sys, "stdout", shown)
    run(monkeypatch, ROOT / "bench/shapley.py", *TINY.split(), "--seeds", 1, "--out", out)
    content = json.loads(out.read_text())
    assert rows_in_file == [0, 1, 2, 3]
    assert content["rows"] == [json.loads(line) for line in shown.getvalue().splitlines()]
    assert [row["estimator"] for row in content["rows"]] == ["reference", "permutation", "kernel", "window"]
    assert content["setting"]["context"] == 6
    assert "out" not in content["setting"]
    assert content["provenance"]["hardware"]["threads"] == 1
    assert len(content["provenance"]["load_average"]) == 2
