"""The example of CONTRIBUTING: a method is one file and one entry, and everything that lists methods then knows it."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
USED = """
import sys
from dataclasses import replace
from pathlib import Path

import avss
from avss.cli import main
from avss.report.snapshot import Results
from avss.report.tables.cost import methods_table
from avss.runs import plan
from avss.store import Store
from tests.conftest import ragged, tiny
from tests.test_cost import method_row, write
from tests.test_plan import ROW, SIZE

copy = Path(sys.argv[1])
assert Path(avss.__file__).is_relative_to(copy)
model, batches = tiny("llama"), [ragged()]
scores = avss.score(model, batches, "spread")
expected = avss.score(model, batches, "avss").table["variance"]
assert scores.values.tolist() == expected.tolist()
scores.save(copy / "scores.csv")
assert avss.LayerScores.load(copy / "scores.csv").method == "spread"
assert main(["methods"]) == 0
rows = [replace(ROW, methods=(name,)) for name in ("avss", "spread")]
of_avss, of_spread = (plan.estimate(row, SIZE, plan.Rate(1e9, 1e9)) for row in rows)
assert of_avss.scoring == of_spread.scoring > 0
store = Store(copy / "results")
write(store, "methods-cpu", [method_row("last"), method_row("spread")])
print(methods_table(Results(store)))
"""


def test_a_method_of_two_files_is_scored_listed_planned_and_shown(tmp_path):
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## A method\n")[1].split("\n## ")[0]
    code, entry = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    shutil.copytree(ROOT / "avss", tmp_path / "avss", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (tmp_path / "avss/methods/spread.py").write_text(code, encoding="utf-8")
    catalogue = tmp_path / "avss/methods/catalogue.py"
    before, after = catalogue.read_text(encoding="utf-8").split('        Method(\n            "magnitude",')
    entry = textwrap.indent(entry, " " * 8)
    catalogue.write_text(f'{before}{entry}        Method(\n            "magnitude",{after}', encoding="utf-8")

    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", USED, str(tmp_path)], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"(?m)^spread +variance of the activations \(numerator of the paper's Eq. 7", done.stdout)
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[-2:]] == ["spread", "last"]
