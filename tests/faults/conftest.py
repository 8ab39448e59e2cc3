"""One tally for all faults, and tiny models and data that they are injected into."""

import json
import os
import shutil
from pathlib import Path

# Children are forked from a process that has loaded everything; threads of its own would not be there in them.
os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import pytest
import torch

from tests.conftest import SENTENCES, tiny, word_tokenizer
from tests.faults.tally import Tally

torch.set_num_threads(1)
TALLY = Tally()


@pytest.fixture(scope="session")
def tally() -> Tally:
    return TALLY


def pytest_sessionfinish(session):
    out = os.environ.get("AVSS_FAULTS_OUT")
    if out and TALLY.rows:
        TALLY.write(Path(out))


def make_world(folder: Path) -> Path:
    """A decoder `lm`, a classifier `classifier`, labelled reviews and a text, and scores of the decoder."""
    folder.mkdir(exist_ok=True)
    for name, family in (("lm", "llama"), ("classifier", "distilbert")):
        tiny(family).save_pretrained(folder / name)
        word_tokenizer().save_pretrained(folder / name)
    rows = [{"sentence": text, "label": index % 2} for index, text in enumerate(SENTENCES)]
    (folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "text.txt").write_text("\n".join(SENTENCES * 2) + "\n")
    (folder / "s.csv").write_text("layer,magnitude,rank\n0,4,1\n1,1,4\n2,2,3\n3,3,2\n")
    return folder


@pytest.fixture
def world(tmp_path) -> Path:
    return make_world(tmp_path / "world")


@pytest.fixture
def fresh_world(tmp_path):
    """A function that makes the world anew and returns its folder."""
    make_world(tmp_path / "original")

    def make() -> Path:
        shutil.rmtree(tmp_path / "world", ignore_errors=True)
        return Path(shutil.copytree(tmp_path / "original", tmp_path / "world"))

    return make
