"""The models that ran: class, size, training and licence from provenance and cards; scores before pruning."""

import pandas as pd

from avss.report.comparisons import PROFILES, sort_key
from avss.report.markdown import NOT_MEASURED, Text, spell
from avss.report.snapshot import Results
from avss.report.training import training_of

NOT_RECORDED = "not recorded"
# Of the recipes: who may use the weights.
TRAINED_HERE = "MIT, as this project; the texts keep their own licences"
LICENCES = {"all-MiniLM-L6-v2": "Apache-2.0, as its base"}
# Names of texts that say too little.
SOURCES = {"documentation": "docstrings of installed packages"}
# What is known of models of others, by the file that they were read from or the base that was fine-tuned: fields of a
# section. The class and the size of MiniLM are those of its base with a head of two labels.
OF_OTHERS = {
    "all-MiniLM-L6-v2": {"class": "BertForSequenceClassification", "parameters": "22,713,986", "width": "384"},
    "SmolLM2-135M-Instruct.Q4_1.gguf": {
        "width": "576",
        "trained on": "by others {cite:p}`allal2025smollm2`",
        "steps": "by others",
        "copying circuit": "none planted",
        "lessons": "none by this project",
        "licence": "Apache-2.0",
    },
}


def models_table(results: Results) -> Text:
    """A section for every model that ran, in the order of profiles: its facts, and its score on each of its rows.

    A model is known by its checkpoint and its revision, so an edited or retrained one has a section of its own.
    """
    table = results.in_use
    whole = table[(table["method"] == "original") & (table["status"] == "ok")]
    order = sorted(whole["profile"].unique(), key=lambda profile: sort_key(profile, PROFILES))
    sections = []
    for profile in order:
        of_profile = whole[whole["profile"] == profile]
        for (checkpoint, revision), rows in of_profile.groupby(["model", "revision"], sort=False):
            sections.append(_section(results, profile, checkpoint, revision, rows))
    return Text("\n".join(sections) or f"{NOT_MEASURED.capitalize()}.\n")


def _section(results: Results, profile: str, checkpoint: str, revision: str, rows: pd.DataFrame) -> str:
    facts = results.provenances[rows["run"].iloc[-1]]
    names = facts.get("configuration", {})
    training = training_of(facts)
    lines = [
        ("checkpoint", f"`{checkpoint}`, profile {profile}"),
        ("class", facts.get("class") or training.get("architecture") or NOT_RECORDED),
        ("parameters", _count(facts.get("parameters") or training.get("parameters"))),
        ("blocks", f"{rows['layers'].iloc[-1]:.0f}"),
        ("width", _count(training.get("width"))),
        ("trained on", _text(training)),
        ("steps", _steps(training)),
        ("copying circuit", _copying(training)),
        ("lessons", _lessons(training)),
        ("licence", _licence(checkpoint, training)),
        ("weights", _weights(facts, training)),
        ("revision", f"`{revision}`"),
    ]
    known = OF_OTHERS.get(facts.get("dequantized_from", {}).get("file") or training.get("base"), {})
    lines = [(name, known.get(name, text)) for name, text in lines]
    scores = [
        f"- {results.newest(profile, line.row)['configuration'].get('dataset', line.dataset)}: {line.metric} "
        f"{spell(line.value, line.low, line.high)}, n = {line.n:.0f}"
        for line in rows.itertuples()
    ]
    listed = "\n".join(f"{name}\n: {text}\n" for name, text in lines)
    return (
        f"## {names.get('model', checkpoint)}\n\n{listed}\nBefore pruning, with 95 % intervals over documents:\n\n"
        + ("\n".join(scores) + "\n")
    )


def _count(number: int | None) -> str:
    return NOT_RECORDED if number is None else f"{number:,}"


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(
        f"{100 * share:.0f} % {SOURCES.get(name, name.replace('_', ' '))}" for name, share in shares.items()
    )


def _text(training: dict) -> str:
    parts = [training.get("data", ""), _shares(training.get("shares", {}))]
    if "tokens_seen" in training:
        parts.append(f"{training['tokens_seen']:,} tokens in all")
    if "base" in training:
        parts.append(f"from the pre-trained {training['base']} (SHA-256 `{training['base_sha256'][:12]}`)")
    return "; ".join(filter(None, parts)) or NOT_RECORDED


def _steps(training: dict) -> str:
    if "stages" not in training:
        return _count(training.get("steps"))
    stages = ", then ".join(f"{stage['steps']:,} with {stage['blocks']} blocks" for stage in training["stages"])
    return f"{_count(training.get('steps'))} in all: {stages}"


def _copying(training: dict) -> str:
    planted = training.get("begins_with_copying_heads")
    if planted is None:
        return "none planted" if training else NOT_RECORDED
    first = training["stages"][0]["blocks"]
    # Each growth doubles every block, so the halves of the circuit spread evenly.
    each = training["blocks"] // first
    if not planted:
        return "none planted"
    return f"planted in blocks 0 and 1 of {first}; after growth in blocks 0 to {each - 1} and {each} to {2 * each - 1}"


def _lessons(training: dict) -> str:
    lessons = [
        f"{lesson['steps']:,} steps ({_shares(lesson['shares'])})"
        if "shares" in lesson
        else f"{lesson['steps']:,} steps"
        for lesson in training.get("lessons", ())
    ]
    return "; ".join(lessons) or ("none" if training else NOT_RECORDED)


def _licence(checkpoint: str, training: dict) -> str:
    if training.get("base") in LICENCES:
        return LICENCES[training["base"]]
    return TRAINED_HERE if training else NOT_RECORDED


def _weights(facts: dict, training: dict) -> str:
    if "dequantized_from" in facts:
        source = facts["dequantized_from"]
        return f"dequantised from {source['quantization']} in `{source['file']}`, SHA-256 `{source['sha256'][:12]}`"
    return f"SHA-256 `{training['sha256'][:12]}`" if "sha256" in training else NOT_RECORDED


TABLES = {models_table.__name__: models_table}
