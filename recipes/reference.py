"""Train the reference decoders, of the classes of Llama and StableLM, from scratch on real text.

    .venv/bin/python recipes/reference.py llama
    .venv/bin/python recipes/reference.py stablelm

Needs AVSS_DATA. Stages that grow the model, then a lesson that weighs sentiment and questions more. A killed run
continues where it stopped, from its state in build/. Writes to models/decoder-NAME (bf16 safetensors, not committed);
the figures of its training and the sha256 of the weights go to training.json there, and from there into the provenance
of every row that runs on it.
"""

import argparse
import json
import shutil
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM, StableLmConfig, StableLmForCausalLM

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
SHAPE = {"hidden_size": 128, "intermediate_size": 344, "num_attention_heads": 4, "tie_word_embeddings": False}
TRAINED = {
    "stages": ((4, 1600), (8, 800), (16, 400)),
    "peaks": (3e-3, 6e-3),
    "last_peak": 0.4,
    "context": 512,
    "answer_weight": 4.0,
}
LESSON = Lesson(
    steps=2000,
    shares={"hackernews": 0.14, "pile_extraction": 0.16, "documentation": 0.08, "squad": 0.25, "sst2": 0.37},
    seed=1,
    peaks=(2e-3, 3e-3),
    answer_weight=12.0,
)
DECODERS = {
    "llama": Decoder(
        model=LlamaForCausalLM,
        config=LlamaConfig,
        shape=SHAPE | {"num_key_value_heads": 4},
        bos=True,
        copies=True,
        **TRAINED,
    ),
    "stablelm": Decoder(
        model=StableLmForCausalLM,
        config=StableLmConfig,
        shape=SHAPE | {"num_key_value_heads": 4, "partial_rotary_factor": 0.25},
        bos=False,
        copies=True,
        **TRAINED,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=DECODERS)
    parser.add_argument("--out", type=Path, help="folder of the model (default: models/decoder-NAME)")
    arguments = parser.parse_args()
    out = arguments.out or Path("models") / f"decoder-{arguments.name}"
    state = Path("build") / f"decoder-{arguments.name}.training"
    decoder = DECODERS[arguments.name]

    try:
        found = real_text.sources()
    except InputError as error:
        parser.error(str(error))
    texts = (prompt + answer for documents in found.values() for turns in documents for prompt, answer in turns)
    tokenizer = real_text.tokenizer(texts, VOCABULARY, bos=decoder.bos)
    documents = real_text.encoded(tokenizer, found)
    own = {name: sum(len(ids) for ids, _ in part) for name, part in documents.items()}
    print("tokens of each source:", own, flush=True)
    begun = state / "lesson-0"
    if not (begun / "card.json").exists():
        stream = real_text.mixed(documents, SHARES, decoder.steps * decoder.batch * decoder.body)
        model, reports = grown(decoder, tokenizer, stream, state, {"shares": SHARES, "tokens": own})
        made = {"shares": SHARES, "tokens_of_sources": own, "hardware": hardware(str(model.device))}
        saved(model, tokenizer, card_of(decoder, model, reports) | made, begun)

    def stream_of(lesson: Lesson) -> Stream:
        return real_text.mixed(documents, lesson.shares, lesson.steps * decoder.batch * decoder.body, lesson.seed)

    folder = through_lessons(decoder, [LESSON], stream_of, tokenizer, state)
    report = json.loads((folder / "card.json").read_text()) | {
        "recipe": f"recipes/reference.py {arguments.name}",
        "sha256": sha256(folder / "model.safetensors"),
    }
    shutil.copytree(folder, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("card.json"))
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(state)
    print(json.dumps({key: value for key, value in report.items() if key != "losses"}, indent=1))


if __name__ == "__main__":
    main()
