"""The examples of CONTRIBUTING, carried out on a copy of the package: the files that each touches, and the result."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M | re.S))
USED = """
import contextlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import transformers
import yaml
from datasets import Dataset

import avss
from avss.cli import main
from avss.report import figures, tables
from avss.report.pages import Entry, pages_of
from avss.report.snapshot import Results
from avss.report.tables.cost import methods_table
from avss.runs import plan
from avss.runs.profile import load_profile
from avss.store import Store
from tests.conftest import SENTENCES, ragged, tiny, word_tokenizer
from tests.stores import fill
from tests.test_cost import method_row, write
from tests.test_plan import ROW, SIZE

SMALL = {"hidden_size": 16, "dim_ff": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "dim_head": 8}
copy = Path(sys.argv[1])
assert Path(avss.__file__).is_relative_to(copy)
answers = {}

model, batches = tiny("llama"), [ragged()]
scores = avss.score(model, batches, "spread")
expected = avss.score(model, batches, "avss").table["variance"]
answers["scores"] = [scores.values.tolist(), expected.tolist()]
scores.save(copy / "scores.csv")
answers["loaded"] = avss.LayerScores.load(copy / "scores.csv").method
with contextlib.redirect_stdout(io.StringIO()) as shown:
    assert main(["methods"]) == 0
answers["methods"] = shown.getvalue()
rows = [replace(ROW, methods=(name,)) for name in ("avss", "spread")]
answers["planned"] = [plan.estimate(row, SIZE, plan.Rate(1e9, 1e9)).scoring for row in rows]
costs = Store(copy / "costs/results")
write(costs, "methods-cpu", [method_row("last"), method_row("spread")])
answers["costs"] = methods_table(Results(costs))

tokenizer, texts = word_tokenizer(), Dataset.from_dict({"text": SENTENCES})
answers["evaluated"] = avss.evaluate(model, tokenizer, "last_token", texts)
labelled = avss.task_batches(model, tokenizer, "last_token", texts)
answers["lost"] = avss.score(model, labelled, "leave_one_out").values.tolist()
folder, data = copy / "model", copy / "texts.jsonl"
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
data.write_text("\\n".join(json.dumps({"text": text}) for text in SENTENCES))
command = ["evaluate", str(folder), "--task", "last_token", "--data", str(data), "--out", str(copy / "metrics.json")]
assert main(command) == 0
answers["command"] = json.loads((copy / "metrics.json").read_text())
row = {"id": "words", "task": "last_token", "checkpoint": str(folder), "data": str(data), "remove": 1}
profile = copy / "own.yaml"
profile.write_text(yaml.safe_dump({"rows": [row]}))
[row] = load_profile(str(profile)).rows
answers["pages"] = pages_of({row.id: Entry("own", profile, row)})

store = Store(copy / "measured/results")
names = {"row": row.id, "task": row.task, "dataset": "words", "model": "tiny", "metric": "reciprocal_rank"}
fill(store, "mini", **names, fails=(("random", 1),))
results = Results(store)
answers["shown"] = tables.score_table(results, row.id) + tables.basis_table(results, row.id)
answers["failures"] = tables.TABLES["failures_table"](results)
space = {}
exec(sys.stdin.read(), space)
pruned = space["model"]
answers["family"] = [len(space["scores"].values), pruned.config.num_hidden_layers]
try:
    avss.score(transformers.CpmAntForCausalLM(transformers.CpmAntConfig(**SMALL)), batches)
except avss.InputError as error:
    answers["refused"] = str(error)

drawings = [figures.svg("score_by_seed", results, row.id, theme) for theme in ("light", "dark")]
answers["drawn"] = [b"</svg>" in drawing for drawing in drawings] + [drawings[0] != drawings[1]]
answers["figures"] = {"row": list(figures.ROW_FIGURES), "book": list(figures.BOOK_FIGURES)}
print(json.dumps(answers))
"""


class Copy:
    """A copy of the package and of the list of figures, without weights; it remembers the files that were touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: dict[str, set[str]] = {}
        ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
        shutil.copytree(ROOT / "avss", folder / "avss", ignore=ignored)
        (folder / "book").mkdir()
        shutil.copy(ROOT / "book/figures.yml", folder / "book")

    def write(self, section: str, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")
        self.touched.setdefault(section, set()).add(path)

    def insert(self, section: str, path: str, text: str, before: str) -> None:
        """Insert text before the last place of these words."""
        head, found, tail = (self.folder / path).read_text(encoding="utf-8").rpartition(before)
        assert found, f"{path} has no {before!r}"
        self.write(section, path, head + text + found + tail)


def blocks(section: str) -> list[str]:
    return re.findall(r"^```(?:python|yaml)\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    """The copy with all examples carried out."""
    copy = Copy(tmp_path_factory.mktemp("copy"))

    code, entry = blocks("A method")
    copy.write("A method", "avss/methods/spread.py", code)
    place = '        Method(\n            "magnitude",'
    copy.insert("A method", "avss/methods/catalogue.py", textwrap.indent(entry, " " * 8), place)

    code, entry, module, metric = blocks("A task")
    copy.write("A task", "avss/tasks/last_token.py", code)
    copy.insert("A task", "avss/tasks/catalogue.py", textwrap.indent(entry, " " * 8), "    )\n}")
    copy.write("A task", "avss/metrics/reciprocal_rank/reciprocal_rank.py", module)
    copy.insert("A task", "avss/metrics/__init__.py", textwrap.indent(metric, " " * 8), "    )\n}")

    _, entry = blocks("A model")
    copy.insert("A model", "avss/architectures.py", textwrap.indent(entry, " " * 4), '    "reformer": Architecture(')

    code, entry = blocks("A figure")
    copy.insert("A figure", "avss/report/figures/rows.py", f"{code}\n\n", "# The figures of this page")
    copy.insert("A figure", "avss/report/figures/rows.py", ", score_by_seed", ")\n")
    copy.insert("A figure", "book/figures.yml", entry, "sparsity_by_block:")

    [code] = blocks("A table")
    copy.insert("A table", "avss/report/tables/coverage.py", f"{code}\n\n", "TABLES = {")
    copy.insert("A table", "avss/report/tables/coverage.py", ", failures_table", ")}")
    return copy


@pytest.fixture(scope="module")
def answers(copy) -> dict:
    """What a process that imports the copy finds; imports take seconds, so there is one for all examples."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(copy.folder), str(ROOT)))}
    command = [sys.executable, "-c", USED, str(copy.folder)]
    plain, _ = blocks("A model")
    done = subprocess.run(command, input=plain, capture_output=True, text=True, env=environment, cwd=copy.folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_addition_touches_few_files(copy):
    assert {section: len(files) for section, files in copy.touched.items()} == {
        "A method": 2,
        # The fifth is its notebook.
        "A task": 4,
        # An exception; a family without one needs none.
        "A model": 1,
        "A figure": 2,
        "A table": 1,
    }


@pytest.mark.long
def test_a_method_of_two_files_is_scored_listed_planned_and_shown(answers):
    found, expected = answers["scores"]
    assert found == expected
    assert answers["loaded"] == "spread"
    listed = r"^spread +variance of the activations \(numerator of the paper's Eq. 7"
    assert re.search(listed, answers["methods"], re.MULTILINE)
    of_avss, of_spread = answers["planned"]
    assert of_avss == of_spread > 0
    table = [line for line in answers["costs"].splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[-2:]] == ["spread", "last"]


def test_a_task_is_evaluated_scored_run_by_the_command_and_shown(answers):
    evaluated = answers["evaluated"]
    assert evaluated["metric"] == "reciprocal_rank"
    assert 0 < evaluated["low"] <= evaluated["value"] <= evaluated["high"] <= 1
    assert answers["command"]["value"] == pytest.approx(evaluated["value"])
    assert len(answers["lost"]) == 4
    assert answers["pages"] == {"last-token": "words"}
    assert "| original | 0.900" in answers["shown"]
    assert "mean reciprocal rank" in answers["shown"]


def test_a_family_needs_no_file_and_an_exception_one_line(answers):
    assert answers["family"] == [4, 3]
    assert "family 'cpmant' has no blocks to score or remove: the blocks also carry the states" in answers["refused"]


def test_a_figure_is_drawn_and_described(copy, answers):
    assert answers["drawn"] == [True, True, True]
    register = yaml.safe_load((copy.folder / "book/figures.yml").read_text(encoding="utf-8"))
    for kind, names in answers["figures"].items():
        assert {name for name, entry in register.items() if entry["kind"] == kind} == set(names)
    assert "score_by_seed" in answers["figures"]["row"]


def test_a_table_is_made_for_pages(answers):
    assert "| mini | words | random | 1 | failed: no room |" in answers["failures"]
