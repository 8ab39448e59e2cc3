"""Sentiment by argmax, accuracy: over the logits of a classifier, or over the likelihoods that a causal language model
gives the two label words after a prompt, whose logits are float32 for weights of any dtype.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor, nn

from avss.data import Example, by_length, context_of, pad, padding_id
from avss.engine.gold import UNSCORED, is_causal, is_classifier
from avss.engine.modes import evaluating
from avss.engine.passes import logits_of, not_finite, require_finite_weights
from avss.errors import InputError
from avss.progress import progress
from avss.tasks.base import Outcome
from avss.tasks.labels import class_names, with_classes
from avss.tasks.prompts import PLAIN, Prompting, common_prefix, fitted
from avss.tasks.shared_prefix import SharedPrefix

PROMPT = "Review: {text}\nSentiment:"
# The label words, by class.
VERBALIZED = (" negative", " positive")


def measure(
    model,
    tokenizer,
    dataset: Dataset,
    column: str,
    *,
    context: int | None,
    batch_size: int,
    prompting: Prompting = PLAIN,
) -> Outcome:
    """Hits a document.

    Raises `InputError` for a model that neither classifies nor continues text, for labels that are not its classes
    (`avss.tasks.labels.with_classes`), for a tokenizer that does not tell the label words apart, and for logits that
    are not finite.
    """
    dataset, classes, by_name = _labelled(model, dataset, measured=True)
    context = context_of(model, tokenizer, context)
    texts = list(dataset[column])
    if is_classifier(model):
        predicted = _classified(model, tokenizer, texts, context, batch_size)
        protocol = f"argmax of the classification head, texts cut at {context} tokens"
    else:
        predicted = _verbalized(model, tokenizer, texts, context, batch_size, prompting)
        words = [prompting.prompt_and_answer("", label) for label in VERBALIZED]
        protocol = (
            f"argmax of the log-likelihood of {' or '.join(map(repr, words))} after the prompt {PROMPT!r}, "
            f"summed over the tokens of the label, {prompting.described(tokenizer)}, "
            f"reviews cut at their end so that prompt and label have at most {context} tokens"
        )
    if by_name:
        protocol += ", labels matched to classes by name"
    require_finite_weights(model)
    labels = np.array(classes)
    hits = (predicted == labels).astype(np.float64)
    return Outcome(hits, np.ones_like(hits), protocol, predicted, labels)


def examples(
    model, tokenizer, dataset: Dataset, column: str, context: int | None, *, prompting: Prompting = PLAIN
) -> list[Example]:
    """For a classifier the text and its class, for a causal language model the prompt with the right label word.

    For a causal language model only the tokens of the label word are labelled. Raises `InputError` as `measure`.
    """
    dataset, classes, _ = _labelled(model, dataset, measured=False)
    context = context_of(model, tokenizer, context)
    texts = list(dataset[column])
    if is_classifier(model):
        encoded = tokenizer(texts, truncation=True, max_length=context)["input_ids"]
        return [Example(ids, label) for ids, label in zip(encoded, classes, strict=True) if ids]
    result = []
    for prompted, label in zip(_prompted(tokenizer, texts, context, prompting), classes, strict=True):
        ids = prompted.sequences[label]
        result.append(Example(ids, [UNSCORED] * prompted.start + ids[prompted.start :]))
    return result


def questions(dataset: Dataset, column: str) -> list[str]:
    """The plain prompt of each row."""
    return [PROMPT.format(text=text.strip()) for text in dataset[column]]


def solved(dataset: Dataset, column: str) -> list[tuple[str, str]]:
    """The plain prompt and the label word of each row that has a label. Raises `InputError` as `with_classes`."""
    words = [word.strip() for word in VERBALIZED]
    labelled, classes, _ = with_classes(dataset, words, measured=False)
    return [(question, words[each]) for question, each in zip(questions(labelled, column), classes, strict=True)]


def _labelled(model, dataset: Dataset, *, measured: bool) -> tuple[Dataset, list[int], bool]:
    """The rows with a label, the model's class of each, and whether names decided, as `with_classes`."""
    if not (is_classifier(model) or is_causal(model)):
        raise InputError(
            f"task sentiment needs a classifier or a causal language model, {type(model).__name__} is neither; "
            f"fine-tune one, for instance with recipes/minilm_sst2.py"
        )
    names = class_names(model) if is_classifier(model) else [word.strip() for word in VERBALIZED]
    return with_classes(dataset, names, measured=measured)


def _classified(model, tokenizer, texts: list[str], context: int, batch_size: int) -> NDArray[np.int64]:
    encoded = tokenizer(texts, truncation=True, max_length=context)["input_ids"]
    predicted = np.empty(len(encoded), dtype=np.int64)
    with evaluating(model):
        for number, chosen in enumerate(progress(by_length(encoded, batch_size), "evaluating")):
            inputs = pad([encoded[index] for index in chosen], padding_id(tokenizer))
            logits = logits_of(model, {key: tensor.to(model.device) for key, tensor in inputs.items()})
            if not bool(logits.isfinite().all()):
                raise not_finite("task sentiment", "logits", number, model)
            predicted[chosen] = torch.argmax(logits, dim=-1).cpu().numpy()
    return predicted


@dataclass(frozen=True)
class _Prompted:
    """A review as token ids of prompt and label word, one sequence a label; from `start` on they may differ."""

    sequences: list[list[int]]
    start: int


def _prompted(tokenizer, texts: list[str], context: int, prompting: Prompting) -> list[_Prompted]:
    def render(index: int, text: str) -> list[str]:
        prompt = prompting.prompt(tokenizer, PROMPT.format(text=text))
        return [prompt, *(prompting.prompt_and_answer(prompt, label) for label in VERBALIZED)]

    result = []
    for strings in fitted(tokenizer, [text.strip() for text in texts], render, context, prompting)[1]:
        # A tokenizer may join the end of the prompt and the label, so the start of the label is found from the ids.
        start, sequences = common_prefix(strings), strings[1:]
        tails = [tuple(ids[start:]) for ids in sequences]
        if start == 0 or not all(tails) or len(set(tails)) < len(tails):
            raise InputError(
                f"task sentiment compares {' and '.join(map(repr, VERBALIZED))} after a prompt, which this tokenizer "
                f"does not tell apart; use the tokenizer of a language model"
            )
        result.append(_Prompted(sequences, start))
    return result


@dataclass
class _Pass:
    """One row of a forward pass, and the (document, label) pairs whose label words it predicts."""

    ids: list[int]
    predicts: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def _passes(documents: list[_Prompted]) -> list[_Pass]:
    """The passes to run. Labels share a pass if one's input starts with the other's, as labels of one token do."""
    passes = []
    for number, document in enumerate(documents):
        own: list[_Pass] = []
        for label in sorted(range(len(document.sequences)), key=lambda label: -len(document.sequences[label])):
            ids = document.sequences[label][:-1]
            shared = next((earlier for earlier in own if earlier.ids[: len(ids)] == ids), None)
            if shared is None:
                own.append(shared := _Pass(ids))
            shared.predicts.append((number, label))
        passes += own
    return passes


def _verbalized(
    model, tokenizer, texts: list[str], context: int, batch_size: int, prompting: Prompting
) -> NDArray[np.int64]:
    documents = _prompted(tokenizer, texts, context, prompting)
    passes = _passes(documents)
    likelihoods = np.zeros((len(documents), len(VERBALIZED)))
    with evaluating(model):
        # The first label token is predicted from the token before it, which has to run.
        most = min(document.start for document in documents) - 1 if prompting.shares else 0
        prefix = SharedPrefix(model, [ran.ids for ran in passes], most)
        for batch, chosen in enumerate(progress(by_length(passes, batch_size), "evaluating")):
            rows = [passes[index] for index in chosen]
            # One entry a scored token: the row and position that predict it, the token, and its document and label.
            scored = [
                (row, position - 1, document.sequences[label][position], number, label)
                for row, ran in enumerate(rows)
                for number, label in ran.predicts
                for document in [documents[number]]
                for position in range(document.start, len(document.sequences[label]))
            ]
            row, position, token, number, label = np.array(scored).T
            # The head runs at these positions only: elsewhere a large vocabulary would fill the memory.
            kept, position = np.unique(position - prefix.tokens, return_inverse=True)
            inputs = prefix.inputs([ran.ids for ran in rows], padding_id(tokenizer))
            with _entering(model.get_output_embeddings()) as entered:
                logits = model(**inputs, use_cache=bool(prefix.tokens), logits_to_keep=torch.from_numpy(kept)).logits
            row, position, token = (torch.from_numpy(index).to(logits.device) for index in (row, position, token))
            nll = torch.nn.functional.cross_entropy(logits[row, position].float(), token, reduction="none")
            if logits.dtype in (torch.bfloat16, torch.float16):
                hidden = entered[0].to(logits.device)[row, position]
                nll += _rounding(model.get_output_embeddings(), hidden, logits[row, position], token)
            nll = nll.double().cpu().numpy()
            if not np.isfinite(nll).all():
                raise not_finite("task sentiment", "losses", batch, model)
            np.subtract.at(likelihoods, (number, label), nll)
    return likelihoods.argmax(1)


@contextmanager
def _entering(module: nn.Module) -> Iterator[list[Tensor]]:
    """A list that collects the inputs of the module."""
    entered: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    try:
        yield entered
    finally:
        handle.remove()


def _rounding(head: nn.Module, hidden: Tensor, logits: Tensor, token: Tensor) -> Tensor:
    """The gold logit in a narrow dtype minus the gold logit in float32, (N,); hidden (N, F), logits (N, V).

    Between 16 and 32, bf16 has steps of 0.125. The logits of the two labels then often tie.
    """
    index = token.to(head.weight.device)
    weight = head.weight[index].to(logits.device, torch.float32)
    bias = 0 if head.bias is None else head.bias[index].to(logits.device, torch.float32)
    narrow = logits.gather(1, token[:, None])[:, 0].float()
    return narrow - (torch.linalg.vecdot(hidden.float(), weight) + bias)
