"""Train the reference decoder, of the class of StableLM, from scratch on real text.

    .venv/bin/python recipes/stablelm.py

Needs AVSS_DATA. Stages that grow the model, then a lesson that weighs sentiment and questions more. A killed run
continues where it stopped, from its state in build/. Writes to models/decoder-stablelm (bf16 safetensors, not
committed); the figures of its training and the sha256 of the weights go to training.json there, and from there into
the provenance of every row that runs on it.
"""

import argparse
import json
import shutil
from pathlib import Path

from transformers import StableLmConfig, StableLmForCausalLM

from avss.errors import InputError
from avss.files import sha256
from avss.runs.provenance import hardware
from training import real_text
from training.corpus import Stream
from training.growing import Decoder, Lesson, card_of, grown, saved, through_lessons

VOCABULARY = 4096
SHARES = {
    "hackernews": 0.16,
    "pile_extraction": 0.22,
    "wikitext2": 0.05,
    "documentation": 0.25,
    "squad": 0.14,
    "sst2": 0.15,
    "sciq": 0.03,
}
LESSON = Lesson(
    steps=2000,
    shares={"hackernews": 0.14, "pile_extraction": 0.16, "documentation": 0.08, "squad": 0.25, "sst2": 0.37},
    seed=1,
    peaks=(2e-3, 3e-3),
    answer_weight=12.0,
)
DECODER = Decoder(
    model=StableLmForCausalLM,
    config=StableLmConfig,
    shape={
        "hidden_size": 128,
        "intermediate_size": 344,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
        "partial_rotary_factor": 0.25,
    },
    bos=False,
    copies=True,
    stages=((4, 1600), (8, 800), (16, 400)),
    peaks=(3e-3, 6e-3),
    last_peak=0.4,
    context=512,
    answer_weight=4.0,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("models/decoder-stablelm"),
        help="folder of the model (default: %(default)s)",
    )
    arguments = parser.parse_args()
    out, state = arguments.out, Path("build/decoder-stablelm.training")

    try:
        found = real_text.sources()
    except InputError as error:
        parser.error(str(error))
    texts = (prompt + answer for documents in found.values() for turns in documents for prompt, answer in turns)
    tokenizer = real_text.tokenizer(texts, VOCABULARY, bos=DECODER.bos)
    documents = real_text.encoded(tokenizer, found)
    own = {name: sum(len(ids) for ids, _ in part) for name, part in documents.items()}
    print("tokens of each source:", own, flush=True)
    begun = state / "lesson-0"
    if not (begun / "card.json").exists():
        stream = real_text.mixed(documents, SHARES, DECODER.steps * DECODER.batch * DECODER.body)
        model, reports = grown(DECODER, tokenizer, stream, state, {"shares": SHARES, "tokens": own})
        made = {"shares": SHARES, "tokens_of_sources": own, "hardware": hardware(str(model.device))}
        saved(model, tokenizer, card_of(DECODER, model, reports) | made, begun)

    def stream_of(lesson: Lesson) -> Stream:
        return real_text.mixed(documents, lesson.shares, lesson.steps * DECODER.batch * DECODER.body, lesson.seed)

    folder = through_lessons(DECODER, [LESSON], stream_of, tokenizer, state)
    report = json.loads((folder / "card.json").read_text()) | {
        "recipe": "recipes/stablelm.py",
        "sha256": sha256(folder / "model.safetensors"),
    }
    shutil.copytree(folder, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("card.json"))
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(state)
    print(json.dumps({key: value for key, value in report.items() if key != "losses"}, indent=1))


if __name__ == "__main__":
    main()
