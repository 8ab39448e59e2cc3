"""Real text for the reference decoders: the files under AVSS_DATA, and the documentation of installed packages.

It holds no evaluation split of `profiles/reference.yaml`: no comment of Hacker News' `comments_2021`, no
passage of `pile_extraction/validation`, no paragraph of `squad/validation`, no sentence of `sst2/validation`.
"""

import ast
from collections.abc import Iterator
from importlib.metadata import distribution
from itertools import groupby
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from avss.data import load_data
from avss.tasks import sentiment

from .corpus import Encoded, Stream, Turn, conversation, encode, spread

# Pinned by requirements.lock, and with much prose in their documentation.
PACKAGES = (
    "datasets",
    "matplotlib",
    "networkx",
    "numpy",
    "pandas",
    "scipy",
    "seaborn",
    "sympy",
    "torch",
    "transformers",
)
SHORTEST = 200
SPECIAL = ["<pad>", "<s>", "</s>"]


def documentation(packages: tuple[str, ...] = PACKAGES) -> Iterator[str]:
    """Documentation strings of modules, classes and functions of installed packages, each once; nothing is imported."""
    seen = set()
    for package in packages:
        files = (file for file in distribution(package).files if file.suffix == ".py" and file.parts[0] == package)
        for file in sorted(files, key=str):
            try:
                tree = ast.parse(Path(file.locate()).read_text(encoding="utf-8"))
            except SyntaxError:  # some tests of packages are for newer versions of Python
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    text = ast.get_docstring(node) or ""
                    if len(text) >= SHORTEST and text not in seen:
                        seen.add(text)
                        yield text


def _texts(name: str, split: str, column: str = "text") -> list[str]:
    return list(load_data(f"$AVSS_DATA/{name}", split)[column])


def _articles() -> Iterator[str]:
    """The paragraphs of WikiText-2, each with the headings before it."""
    lines = load_data("$AVSS_DATA/wikitext2/valid.txt.gz")["text"]
    heading = []
    for line in (line.strip() for line in lines):
        if line.startswith("="):
            heading.append(line)
        elif line:
            yield "\n".join([*heading, line])
            heading = []


def _paragraphs() -> Iterator[list[Turn]]:
    """SQuAD's training paragraphs at hand, each with all its questions."""
    for split in ("train_prefix", "train_sample"):
        rows = load_data("$AVSS_DATA/squad", split)
        for context, group in groupby(rows, key=lambda row: row["context"]):
            yield conversation(context, [(row["question"], row["answers"]["text"][0]) for row in group])


def _sentences() -> Iterator[list[Turn]]:
    for row in load_data("$AVSS_DATA/sst2", "train"):
        yield [(sentiment.PROMPT.format(text=row["sentence"]), sentiment.VERBALIZED[row["label"]])]


def _science() -> Iterator[list[Turn]]:
    for row in load_data("$AVSS_DATA/sciq", "train"):
        yield [(f"Question: {row['question']}\nAnswer:", f" {row['answer']}\n")]


def sources() -> dict[str, list[list[Turn]]]:
    """The documents of each source. Raises `InputError` where AVSS_DATA lacks one."""
    hackernews = _texts("hackernews", "comments_no_commas") + _texts("hackernews", "titles_no_commas")
    plain = {
        "hackernews": hackernews + _texts("hackernews", "stories", "title"),
        "pile_extraction": _texts("pile_extraction", "train"),
        "wikitext2": list(_articles()),
        "documentation": list(documentation()),
    }
    asked = {"squad": list(_paragraphs()), "sst2": list(_sentences()), "sciq": list(_science())}
    return {name: [[(text, "")] for text in texts] for name, texts in plain.items()} | asked


def tokenizer(texts: Iterator[str], size: int, *, bos: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `size` pieces, trained on the texts."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", SPECIAL.index("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def mixed(documents: dict[str, list[Encoded]], shares: dict[str, float], tokens: int, seed: int = 0) -> Stream:
    """At least `tokens` tokens, each source with its share of them, repeated in a new order where it is too small."""
    generator = np.random.Generator(np.random.PCG64(seed))
    taken = {}
    for name, share in shares.items():
        taken[name], length = [], 0
        while length < share * tokens:
            for place in generator.permutation(len(documents[name])):
                taken[name].append(documents[name][place])
                length += len(documents[name][place][0])
                if length >= share * tokens:
                    break
    return spread(taken)


def encoded(tokenizer, found: dict[str, list[list[Turn]]]) -> dict[str, list[Encoded]]:
    return {name: encode(documents, tokenizer) for name, documents in found.items()}
