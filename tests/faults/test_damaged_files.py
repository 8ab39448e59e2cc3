"""A damaged file of any kind is one line with its name, or its numbers are the right ones; never others.

Weights, configs, tokenizers and data hold no checksum. What pins them is their identity, which is part of every stored
number: with other content they are another model or other data, and nothing measured before is taken for theirs.
"""

import gzip
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import avss
from avss import printed
from avss.data import fingerprint, load_data
from avss.engine.ablation import ablate
from avss.errors import InputError
from avss.identity import identity_of
from avss.models import load_model
from avss.moments import Moments
from avss.outputs import check_own_folder
from avss.report import audit, table1
from avss.runs import profile
from avss.runs.experiment import run_row
from avss.scores import LayerScores
from avss.store import Store
from tests.conftest import SENTENCES, ragged, tiny
from tests.faults.conftest import make_world
from tests.faults.damage import apart, damaged
from tests.faults.tally import size
from tests.faults.test_kills import run, tiny_row


@dataclass(frozen=True)
class Kind:
    """A kind of file. make: writes it and what belongs to it, and returns it. read: (identity, numbers) of it.

    protection: how another content is told: by a `checksum`, by the `identity` that goes with every number, or not at
    all (`none`), as where users write the file.
    """

    protection: str
    make: Callable[[Path], Path]
    read: Callable[[Path], tuple[object, object]]
    # The name that a message has to have, where it is not the file's.
    names: Callable[[Path], str] = lambda path: path.name
    slow: bool = False


def in_model(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return make_world(folder / "world") / "lm" / name

    return make


def model_of(path: Path) -> tuple:
    model, tokenizer = load_model(str(path.parent))
    with torch.no_grad():
        ids = [tokenizer(text)["input_ids"] for text in SENTENCES]
        logits = [model(input_ids=torch.tensor([row])).logits.numpy().tobytes() for row in ids]
    return identity_of(model, tokenizer), (ids, logits)


def gguf_file(folder: Path) -> Path:
    pytest.importorskip("gguf", reason="the package gguf (extra gguf) is not installed")
    from tests.test_gguf import write

    return write(folder / "tiny.gguf")


def gguf_of(path: Path) -> tuple:
    model, tokenizer = load_model(str(path))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 5, 9, 4, 20, 7]])).logits.numpy().tobytes()
    return identity_of(model, tokenizer), (tokenizer("ab a b")["input_ids"], logits)


def scores_file(folder: Path) -> Path:
    world = make_world(folder / "world")
    run("score", world / "lm", "--data", world / "text.txt", "--out", world / "scores.csv")
    return world / "scores.csv"


def scores_of(path: Path) -> tuple:
    found = LayerScores.load(path.with_suffix(".csv"))
    return None, (found.method, found.reading, found.documents, found.tokens, found.values.tolist())


def moments_file(folder: Path) -> Path:
    scores = avss.score(tiny("llama"), [ragged()], "avss")
    scores.moments[1].save(folder / "moments.npz")
    return folder / "moments.npz"


def moments_of(path: Path) -> tuple:
    found = Moments.load(path)
    return None, [np.asarray(part).tolist() for part in (found.count, found.mean, found.m2, found.near_zero)]


def data_file(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        dataset = load_data("microworld/reviews").select(range(20))
        if name.endswith(".parquet"):
            dataset.to_parquet(str(path))
        elif name.endswith(".txt"):
            path.write_text("\n".join(dataset["sentence"]) + "\n")
        elif ".csv" in name:
            content = dataset.to_pandas().to_csv(index=False).encode()
            path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in dataset))
        return path

    return make


def data_of(path: Path) -> tuple:
    found = load_data(str(path))
    return fingerprint(found, found.column_names), [list(row.items()) for row in found]


def stored(pattern: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        world = make_world(folder / "world")
        run_row(tiny_row(world), "p", Store(folder / "store"), None)
        return next(path for path in (folder / "store/p/r").glob(pattern) if path.name.count(".") == pattern.count("."))

    return make


def store_of(path: Path) -> tuple:
    store = Store(path.parents[2])
    outcomes = {name: [part.tolist() for part in parts] for name, parts in store.outcomes("p", "r").items()}
    tables = [table.fillna("").to_dict("list") for table in (store.observations(), store.layers())]
    return None, (tables, outcomes, store.provenances("p", "r"))


MASKS = [(1.0,) * 4, (0.0, 1.0, 1.0, 1.0), (0.5, 1.0, 0.0, 1.0)]


def cache_file(folder: Path) -> Path:
    ablate(tiny("llama"), [ragged()], MASKS, cache=folder / "cache", key="k")
    return next((folder / "cache").iterdir())


def losses_of(path: Path) -> tuple:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ablate(tiny("llama"), [ragged()], MASKS, cache=path.parent, key="k")
    return None, (found.loss.tolist(), found.probability.tolist(), found.count.tolist())


def profile_file(folder: Path) -> Path:
    row = "{id: r, task: sentiment, dataset: SST-2, model: M, checkpoint: mini/distilbert, data: microworld/reviews}"
    path = folder / "mine.yaml"
    path.write_text(f"# Rows of mine.\ndefaults: {{remove: 1, seeds: 2, samples: 16}}\nrows:\n  - {row}\n")
    return path


def packaged(file: Path) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copy(file, folder / file.name))


def table_of(path: Path) -> tuple:
    # In a process of its own, so that this one keeps the table of the package.
    printed.TABLE_1 = path
    return None, (table1.printed_table().to_dict("list"), printed.lines_of_table_1())


def claims_of(path: Path) -> tuple:
    claims = audit.load_claims(path)
    return None, [
        (claim.id, claim.where, claim.quote, claim.needs, len(claim.lines), claim.parameters) for claim in claims
    ]


def pruned_facts(folder: Path) -> Path:
    world = make_world(folder / "world")
    run("prune", world / "lm", "--scores", world / "s.csv", "--layers", 1, "--out", world / "pruned")
    return world / "pruned/pruning.json"


def replaceable(path: Path) -> tuple:
    check_own_folder(path.parent)
    return None, "replaced"


def folder_of(path: Path) -> str:
    return path.parent.name


KINDS = {
    "weights": Kind("identity", in_model("model.safetensors"), model_of, folder_of, slow=True),
    "config": Kind("identity", in_model("config.json"), model_of, folder_of, slow=True),
    "generation-config": Kind("identity", in_model("generation_config.json"), model_of, folder_of, slow=True),
    "tokenizer": Kind("identity", in_model("tokenizer.json"), model_of, folder_of, slow=True),
    "tokenizer-config": Kind("identity", in_model("tokenizer_config.json"), model_of, folder_of, slow=True),
    "gguf": Kind("identity", gguf_file, gguf_of, slow=True),
    "pruning-facts": Kind("checksum", pruned_facts, replaceable, folder_of),
    "scores": Kind("checksum", scores_file, scores_of),
    "score-facts": Kind("checksum", lambda folder: scores_file(folder).with_suffix(".json"), scores_of),
    "moments": Kind("checksum", moments_file, moments_of),
    "data-jsonl": Kind("identity", data_file("data.jsonl"), data_of),
    "data-csv": Kind("identity", data_file("data.csv"), data_of),
    "data-csv-gz": Kind("identity", data_file("data.csv.gz"), data_of),
    "data-parquet": Kind("identity", data_file("data.parquet"), data_of),
    "data-txt": Kind("identity", data_file("data.txt"), data_of),
    "observations": Kind("checksum", stored("*.csv"), store_of),
    "layers": Kind("checksum", stored("*.layers.csv"), store_of),
    "outcomes": Kind("checksum", stored("*.outcomes.csv.gz"), store_of),
    "provenance": Kind("none", stored("*.json"), store_of),
    "losses": Kind("checksum", cache_file, losses_of),
    "profile": Kind("none", profile_file, lambda path: (None, profile.load_profile(path))),
    "claims": Kind("none", packaged(audit.CLAIMS), claims_of),
    "table-1": Kind("none", packaged(printed.TABLE_1), table_of),
}


ENDINGS = ("refused", "same", "told_by_identity", "other_content")


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_one_line_or_its_numbers_are_right(tmp_path, tally, name):
    kind = KINDS[name]
    place, before = tmp_path / "files", tmp_path / "before"
    place.mkdir()
    path = kind.make(place)
    content, (identity, numbers) = path.read_bytes(), apart(lambda: kind.read(path))
    shutil.copytree(place, before)
    with tally.row(f"damaged-{name}") as row:
        row.facts |= {"protection": kind.protection} | dict.fromkeys(ENDINGS, 0)
        for _ in range(size(60 if kind.slow else 150, 3 if kind.slow else 6)):
            label, wrong = damaged(row.random, content)
            if wrong == content:
                continue
            path.write_bytes(wrong)
            with row.trial(label):
                found = apart(lambda: kind.read(path))
                if isinstance(found, InputError):
                    text = str(found)
                    assert kind.names(path) in text, f"no name of the file in: {text}"
                    assert "\n" not in text, f"more than one line: {text!r}"
                    row.count("refused")
                elif isinstance(found, BaseException):
                    raise found
                elif found == (identity, numbers):
                    row.count("same")
                elif kind.protection == "identity":
                    assert found[0] != identity, "other numbers under the same identity"
                    row.count("told_by_identity")
                else:
                    assert kind.protection == "none", f"other numbers: {found}"
                    row.count("other_content")
            shutil.rmtree(place)
            shutil.copytree(before, place)
