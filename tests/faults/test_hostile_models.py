"""Hostile model folders: nothing in them is run, and what cannot be loaded is one line."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.faults.hostile import CANARY, check_ends_well
from tests.faults.tally import size


class Touch:
    """Makes a canary when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def edit(folder: Path, file: str, **changes) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def code(folder: Path, name: str = "evil") -> None:
    """A module that makes a canary as it is imported, with every class that a config could name."""
    text = f"open({str(folder / CANARY)!r}, 'w').close()\nclass Evil:\n    pass\nEvilModel = EvilTokenizer = Evil\n"
    text += f"def generate(*a, **k):\n    open({str(folder / CANARY)!r}, 'w').close()\n"
    (folder / f"{name}.py").parent.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)


def unpickled(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(Touch(folder / CANARY)))


def without_safetensors(folder: Path) -> None:
    unpickled(folder, "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def looped(folder: Path, name: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.symlink_to(path)


def sharded(folder: Path, place: str) -> None:
    keys = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder.parent / "moved.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(keys, place)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


EVIL = {"AutoConfig": "evil.Evil", "AutoModel": "evil.EvilModel", "AutoModelForCausalLM": "evil.EvilModel"}
LONG = "x" * 10_000_000
FOLDERS: dict[str, Callable[[Path], object]] = {
    "pickled weights alone": without_safetensors,
    "pickled weights beside": lambda folder: unpickled(folder, "pytorch_model.bin"),
    "pickle named as safetensors": lambda folder: unpickled(folder, "model.safetensors"),
    "pickled optimizer": lambda folder: unpickled(folder, "optimizer.pt"),
    "pickled arguments": lambda folder: unpickled(folder, "training_args.bin"),
    "code for the model": lambda folder: (code(folder), edit(folder, "config.json", auto_map=EVIL)),
    "code for an unknown model": lambda folder: (
        code(folder),
        edit(folder, "config.json", auto_map=EVIL, model_type="evil", architectures=["EvilModel"]),
    ),
    "code of another repository": lambda folder: edit(
        folder, "config.json", auto_map={key: f"owner/name--{value}" for key, value in EVIL.items()}
    ),
    "trust in the config": lambda folder: (
        code(folder),
        edit(folder, "config.json", auto_map=EVIL, trust_remote_code=True),
        edit(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]}, trust_remote_code=True),
    ),
    "code for the tokenizer": lambda folder: (
        code(folder),
        edit(
            folder,
            "tokenizer_config.json",
            auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
            tokenizer_class="Evil",
        ),
    ),
    "code for generation": lambda folder: code(folder, "custom_generate/generate"),
    "code named as a module": lambda folder: [code(folder, name) for name in ("torch", "sitecustomize", "conftest")],
    "a kernel of another repository": lambda folder: edit(
        folder, "config.json", _attn_implementation="owner/kernel:evil", attn_implementation="owner/kernel"
    ),
    "weights of another place": lambda folder: edit(
        folder, "config.json", transformers_weights="../secret.safetensors"
    ),
    "a class that is none": lambda folder: edit(folder, "config.json", architectures=["__import__('os')"]),
    "a class of the library that is no model": lambda folder: edit(folder, "config.json", architectures=["pipeline"]),
    "a template that reaches for Python": lambda folder: edit(
        folder, "tokenizer_config.json", chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}"
    ),
    "weights that link to themselves": lambda folder: looped(folder, "model.safetensors"),
    "a config that links to itself": lambda folder: looped(folder, "config.json"),
    "a tokenizer that links to itself": lambda folder: looped(folder, "tokenizer.json"),
    "a folder that holds itself": lambda folder: (folder / "again").symlink_to(folder),
    "a shard outside of the folder": lambda folder: sharded(folder, "../moved.safetensors"),
    "a shard with an absolute path": lambda folder: sharded(folder, str(folder.parent / "moved.safetensors")),
    "a shard that is the index": lambda folder: sharded(folder, "model.safetensors.index.json"),
    "a token of 10 MB": lambda folder: edit(
        folder, "tokenizer.json", added_tokens=[{"id": 63, "content": LONG, "special": True, **TOKEN}]
    ),
    "a word of 10 MB": lambda folder: edit(
        folder, "tokenizer.json", model={"type": "WordLevel", "vocab": {"<unk>": 3, LONG: 5}, "unk_token": "<unk>"}
    ),
    "a merge of 10 MB": lambda folder: edit(
        folder, "tokenizer.json", model={"type": "BPE", "vocab": {"a": 0}, "merges": [f"a {LONG}"]}
    ),
    "a config of 10 MB": lambda folder: edit(folder, "config.json", note=LONG),
    "names of labels of 10 MB": lambda folder: edit(folder, "config.json", id2label={"0": LONG, "1": LONG}),
    "a pattern that never ends": lambda folder: edit(
        folder,
        "tokenizer.json",
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a*)*$"}, "behavior": "Isolated", "invert": False},
    ),
    "objects 100,000 deep": lambda folder: (folder / "tokenizer_config.json").write_text('{"a":' * 100_000),
    "a config that is a folder": lambda folder: (
        (folder / "config.json").unlink(),
        (folder / "config.json").mkdir(),
    ),
}
TOKEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def commands(world: Path, folder: Path) -> dict[str, tuple]:
    return {
        "scores.csv": ("score", folder, "--data", world / "text.txt", "--out", world / "scores.csv"),
        "pruned": ("prune", folder, "--scores", world / "s.csv", "--layers", 1, "--out", world / "pruned"),
        "result.json": (
            *("evaluate", folder, "--task", "sentiment", "--data", world / "reviews.jsonl"),
            *("--out", world / "result.json"),
        ),
    }


def test_nothing_in_a_model_folder_is_run(tally, tmp_path, fresh_world):
    with tally.row("hostile-models") as row:
        for label in list(FOLDERS)[:: size(1, 8)]:
            for out in ("scores.csv", "pruned", "result.json"):
                world = fresh_world()
                FOLDERS[label](world / "lm")
                with row.trial(f"{label}, {out}"):
                    check_ends_well(world, commands(world, world / "lm")[out], [out, f"{out[:-4]}.json"])


VALUES = [
    10**9,
    -(10**9),
    10**30,
    2**63,
    2**31,
    -1,
    0,
    1,
    1e308,
    -0.5,
    "x",
    "10",
    "",
    None,
    [],
    [1],
    {},
    True,
    "\ud800",
]


@pytest.mark.parametrize("name", ["lm", "classifier"])
def test_absurd_values_in_a_config_are_one_line(tally, fresh_world, name):
    world = fresh_world()
    path = world / name / "config.json"
    original = json.loads(path.read_text())
    with tally.row("hostile-configs") as row:
        for _ in range(size(60, 3)):
            fields = row.random.sample(sorted(original), row.random.choice((1, 1, 2)))
            changes = {field: row.random.choice(VALUES) for field in fields}
            path.write_text(json.dumps(original | changes))
            with row.trial(f"{name} {changes}"):
                words = commands(world, world / name)["result.json"]
                check_ends_well(world, words, ["result.json"])
            (world / "result.json").unlink(missing_ok=True)
