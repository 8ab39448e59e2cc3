"""The text that a row's model writes, whole and without sets of blocks, after one fixed prompt of its data.

The prompt is that of the first usable row of the evaluation split, chosen by this rule and not by taste. A file keeps
what the model wrote, and of the prompt its place and its digest; the prompt itself where the data are embedded. Where
they are not, tokens that a model copies from the prompt are left out, because they are data too.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import torch
from torch import nn

from avss.data import beginning, context_of
from avss.engine.gold import is_causal
from avss.engine.modes import evaluating
from avss.engine.passes import not_finite, require_finite_weights
from avss.errors import InputError
from avss.files import write_whole
from avss.models import load_model, revision_of
from avss.progress import progress
from avss.pruning import skipping
from avss.records import read_json
from avss.runs.context import usable_data
from avss.runs.profile import Row
from avss.runs.provenance import now, provenance
from avss.store import key_of, layers_of
from avss.tasks.catalogue import task_named

# Raised where the same inputs would give another text.
PROTOCOL = 1
NEW_TOKENS = 32
# Of a document that asks no question, so many first tokens are the prompt.
BEGINNING = 32
EMBEDDED = "microworld/"
# So many tokens in a row that stand in the prompt too are a copy, and this stands for them.
COPIED, OMITTED = 4, "[…]"


@dataclass(frozen=True)
class Prompt:
    """index: of the row among the usable ones of its split. text: the document or question. ids: what the model reads.

    text is whole also where ids are the beginning alone.
    """

    index: int
    text: str
    ids: list[int]


def write_generations(row: Row, profile: str, sets: Iterable[str], path: Path) -> int:
    """Add to a file what the row's model writes without each of these sets of blocks; return how many were missing.

    sets: as `avss.store.layers_text` spells them. The file is written after each, so a killed run loses one text; a
    file of another model, prompt or protocol is written anew. Raises `InputError` for a model or data that cannot be
    loaded, for a model that does not generate, and for a damaged file.
    """
    model, tokenizer = load_model(row.checkpoint, dtype=row.dtype, revision=row.revision, device_map=row.device_map)
    if not is_causal(model):
        raise InputError(f"row {row.id}: a {type(model).__name__} generates no text; take a row of a decoder")
    prompt, revision = prompt_of(row, model, tokenizer), revision_of(model, tokenizer)
    embedded = row.data.startswith(EMBEDDED)
    hidden = [] if embedded else prompt.ids
    decided = {"model": revision, "dtype": row.dtype, "ids": prompt.ids, "new": NEW_TOKENS}
    key = key_of(protocol=PROTOCOL, **decided, **({} if embedded else {"copied": COPIED}))
    kept = read_json(path, ("key", "texts")) if path.is_file() else {}
    texts = kept["texts"] if kept.get("key") == key else {}
    missing = [name for name in dict.fromkeys(sets) if name not in texts]
    facts = {
        "key": key,
        "row": row.id,
        "profile": profile,
        "title": row.title,
        "model": row.checkpoint,
        "revision": revision,
        "data": row.data,
        "split": row.evaluation,
        "index": prompt.index,
        "prompt_sha256": hashlib.sha256(prompt.text.encode()).hexdigest(),
        "prompt": tokenizer.decode(prompt.ids, skip_special_tokens=True) if embedded else None,
        "prompt_tokens": len(prompt.ids),
        "new_tokens": NEW_TOKENS,
        "protocol": "first usable row of the split, greedy decoding, to EOS or the most new tokens",
        "created": now(),
        **provenance(str(model.device), row.dtype),
    }
    for name in progress(missing, row.id):
        with skipping(model, layers_of(name)):
            texts[name] = text_of(tokenizer, continuation(model, tokenizer, prompt.ids), hidden)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(facts | {"texts": texts}, indent=1, ensure_ascii=False) + "\n")
    return len(missing)


def prompt_of(row: Row, model: nn.Module, tokenizer) -> Prompt:
    """The first usable row of the evaluation split as the task's plain question, or its first `BEGINNING` tokens.

    Raises `InputError` where it has no question, or does not fit with `NEW_TOKENS` more.
    """
    task = task_named(row.task)
    rows, column = usable_data(row, "evaluation")
    first = rows.select([0])
    text = task.questions(first, column)[0] if task.prompted else first[column][0]
    ids = beginning(tokenizer) + tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    ids = ids if task.prompted else ids[:BEGINNING]
    most = context_of(model, tokenizer, row.context or task.context)
    if not ids or len(ids) + NEW_TOKENS > most:
        raise InputError(f"row {row.id}: its first prompt has {len(ids)} tokens; 1 to {most - NEW_TOKENS} fit")
    return Prompt(0, text, ids)


def continuation(model: nn.Module, tokenizer, ids: list[int], new: int = NEW_TOKENS) -> list[int]:
    """The greedy continuation of a prompt with a cache, up to EOS, which is left out, or so many tokens.

    A loop of our own: `generate` would take penalties and further rules from the checkpoint's configuration. Raises
    `InputError` for logits that are not finite.
    """
    made: list[int] = []
    with evaluating(model):
        given, cache = ids, None
        while len(made) < new:
            inputs = torch.tensor([given], device=model.device)
            output = model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
            logits, cache = output.logits[0, -1], output.past_key_values
            token = int(logits.argmax())
            # The largest logit where one is NaN is NaN.
            if not bool(logits[token].isfinite()):
                raise not_finite("generation", "logits", len(made), model)
            if token == tokenizer.eos_token_id:
                break
            made.append(token)
            given = [token]
    require_finite_weights(model)
    return made


def text_of(tokenizer, made: list[int], hidden: list[int]) -> str:
    """The text of these tokens, with `OMITTED` for each run of at least `COPIED` that stands in `hidden` as well."""
    runs = {tuple(hidden[start : start + COPIED]) for start in range(len(hidden) - COPIED + 1)}
    copied = [False] * len(made)
    for start in range(len(made) - COPIED + 1):
        if tuple(made[start : start + COPIED]) in runs:
            copied[start : start + COPIED] = [True] * COPIED
    parts = []
    for omitted, group in groupby(zip(copied, made, strict=True), key=itemgetter(0)):
        tokens = [token for _, token in group]
        parts.append(OMITTED if omitted else tokenizer.decode(tokens, skip_special_tokens=True))
    return "".join(parts)
