"""Sentiment by argmax, accuracy: over the logits of a classifier, or over the likelihoods that a causal language model
gives the two label words after a prompt, whose logits are float32 for weights of any dtype.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Value
from numpy.typing import NDArray
from torch import Tensor, nn

from avss.data import Example, by_length, context_of, pad, padding_id
from avss.engine.gold import UNSCORED, is_causal, is_classifier
from avss.engine.passes import not_finite, require_finite_weights
from avss.errors import InputError
from avss.progress import progress
from avss.pruning import skipping
from avss.removals import Removals, removing
from avss.tasks.base import Outcome
from avss.tasks.labels import class_names, with_classes
from avss.tasks.prompts import PLAIN, Prompting, common_prefix, fitted
from avss.tasks.shared_prefix import SharedPrefix

PROMPT = "Review: {text}\nSentiment:"
# The label words, by class, where the caller names none.
VERBALIZED = (" negative", " positive")


def measure(model, tokenizer, dataset: Dataset, column: str, **options) -> Outcome:
    """Hits a document, of the model as it is; options and errors as `measure_each`."""
    return measure_each(model, tokenizer, dataset, column, removed=[[]], **options)[0]


def measure_each(
    model,
    tokenizer,
    dataset: Dataset,
    column: str,
    *,
    context: int | None,
    batch_size: int,
    removed: Sequence[Sequence[int]],
    prompting: Prompting = PLAIN,
    words: Sequence[str] = VERBALIZED,
    **kept,
) -> list[Outcome]:
    """Hits a document, without each of these sets of blocks. kept: `cache` and `key` of `removing`.

    words: the label words, by class, for a causal language model (`label_words`). Where prompts begin alike, each set
    has its own keys and values of the beginning, and the sets run one by one.

    Raises `InputError` for a model that neither classifies nor continues text, for labels that are not its classes
    (`avss.tasks.labels.with_classes`), for a tokenizer that does not tell the label words apart, for logits that are
    not finite, and for sets of blocks as `removing`.
    """
    dataset, classes, by_name = _labelled(model, dataset, words, measured=True)
    context = context_of(model, tokenizer, context)
    texts = list(dataset[column])
    if prompting.shares and any(map(len, removed)):
        options = {"context": context, "batch_size": batch_size, "prompting": prompting, "words": words}
        outcomes = []
        for layers in removed:
            with skipping(model, layers):
                outcomes.append(measure(model, tokenizer, dataset, column, **options))
        return outcomes
    with removing(model, removed, **kept) as without:
        if is_classifier(model):
            predicted = _classified(without, tokenizer, texts, context, batch_size)
            protocol = f"argmax of the classification head, texts cut at {context} tokens"
        else:
            # The first label wins a tie, as in lm-eval.
            found = label_likelihoods(without, tokenizer, texts, context, batch_size, prompting, words)
            predicted = found.argmax(2)
            shown = [prompting.prompt_and_answer("", label) for label in words]
            protocol = (
                f"argmax of the log-likelihood of {' or '.join(map(repr, shown))} after the prompt {PROMPT!r}, "
                f"summed over the tokens of the label, {prompting.described(tokenizer)}, "
                f"reviews cut at their end so that prompt and label have at most {context} tokens"
            )
    if by_name:
        protocol += ", labels matched to classes by name"
    require_finite_weights(model)
    labels = np.array(classes)
    hits = (predicted == labels).astype(np.float64)
    return [Outcome(own, np.ones_like(own), protocol, made, labels) for own, made in zip(hits, predicted, strict=True)]


def examples(
    model,
    tokenizer,
    dataset: Dataset,
    column: str,
    context: int | None,
    words: Sequence[str] = VERBALIZED,
    *,
    prompting: Prompting = PLAIN,
) -> list[Example]:
    """For a classifier the text and its class, for a causal language model the prompt with the right label word.

    For a causal language model only the tokens of the label word are labelled. words: as in `measure`. Raises
    `InputError` as `measure`.
    """
    dataset, classes, _ = _labelled(model, dataset, words, measured=False)
    context = context_of(model, tokenizer, context)
    texts = list(dataset[column])
    if is_classifier(model):
        encoded = tokenizer(texts, truncation=True, max_length=context)["input_ids"]
        return [Example(ids, label) for ids, label in zip(encoded, classes, strict=True) if ids]
    result = []
    for prompted, label in zip(_prompted(tokenizer, texts, context, prompting, words), classes, strict=True):
        ids = prompted.sequences[label]
        result.append(Example(ids, [UNSCORED] * prompted.start + ids[prompted.start :]))
    return result


def questions(dataset: Dataset, column: str) -> list[str]:
    """The plain prompt of each row."""
    return [PROMPT.format(text=text.strip()) for text in dataset[column]]


def solved(dataset: Dataset, column: str, words: Sequence[str] = VERBALIZED) -> list[tuple[str, str]]:
    """The plain prompt and the label word of each row that has a label. Raises `InputError` as `with_classes`."""
    labelled, classes, _ = _by_words(dataset, words, measured=False)
    shown = questions(labelled, column)
    return [(question, words[each].strip()) for question, each in zip(shown, classes, strict=True)]


def label_words(given: Sequence[str]) -> tuple[str, ...]:
    """Label words as they follow the prompt, by class. Raises `InputError` unless they are two or more, and differ."""
    words = tuple(str(word).strip() for word in given)
    if isinstance(given, str) or len(words) < 2 or "" in words or len(set(words)) < len(words):
        raise InputError(
            f"label words are {given!r}; give one for each class, in the order of the classes, all different"
        )
    return tuple(f" {word}" for word in words)


def _labelled(model, dataset: Dataset, words: Sequence[str], *, measured: bool) -> tuple[Dataset, list[int], bool]:
    """The rows with a label, the model's class of each, and whether names decided, as `with_classes`."""
    if not (is_classifier(model) or is_causal(model)):
        raise InputError(
            f"task sentiment needs a classifier or a causal language model, {type(model).__name__} is neither; "
            f"fine-tune one, for instance with recipes/minilm_sst2.py"
        )
    if is_classifier(model):
        if tuple(words) != VERBALIZED:
            raise InputError(f"a {type(model).__name__} has a head with classes of its own; leave the label words out")
        return with_classes(dataset, class_names(model), measured=measured)
    return _by_words(dataset, words, measured=measured)


def _by_words(dataset: Dataset, words: Sequence[str], *, measured: bool) -> tuple[Dataset, list[int], bool]:
    names = [word.strip() for word in words]
    feature = dataset.features.get("label")
    own = feature.names if isinstance(feature, ClassLabel) else names
    if tuple(words) != VERBALIZED and len(own) == len(names) and set(own) != set(names):
        # The words stand for the classes of the data in their order, whatever their names there.
        dataset = dataset.cast_column("label", Value("int64"))
    return with_classes(dataset, names, measured=measured)


def _classified(without: Removals, tokenizer, texts: list[str], context: int, batch_size: int) -> NDArray[np.int64]:
    """The class of each text without each set of blocks, (sets, texts)."""
    model = without.model
    encoded = tokenizer(texts, truncation=True, max_length=context)["input_ids"]
    predicted = np.empty((len(without.masks), len(encoded)), dtype=np.int64)
    for number, chosen in enumerate(progress(by_length(encoded, batch_size), "evaluating")):
        inputs = pad([encoded[index] for index in chosen], padding_id(tokenizer))

        def classes(logits: Tensor, number: int = number) -> list[list[int]]:
            if not bool(logits.isfinite().all()):
                raise not_finite("task sentiment", "logits", number, model)
            return [torch.argmax(logits, dim=-1).tolist()]

        inputs = {key: tensor.to(model.device) for key, tensor in inputs.items()}
        for index, (found,) in without.each(inputs, classes):
            predicted[index, chosen] = found
    return predicted


@dataclass(frozen=True)
class _Prompted:
    """A review as token ids of prompt and label word, one sequence a label; from `start` on they may differ."""

    sequences: list[list[int]]
    start: int


def _prompted(tokenizer, texts: list[str], context: int, prompting: Prompting, words: Sequence[str]) -> list[_Prompted]:
    def render(index: int, text: str) -> list[str]:
        prompt = prompting.prompt(tokenizer, PROMPT.format(text=text))
        return [prompt, *(prompting.prompt_and_answer(prompt, label) for label in words)]

    result = []
    for strings in fitted(tokenizer, [text.strip() for text in texts], render, context, prompting)[1]:
        # A tokenizer may join the end of the prompt and the label, so the start of the label is found from the ids.
        start, sequences = common_prefix(strings), strings[1:]
        tails = [tuple(ids[start:]) for ids in sequences]
        if start == 0 or not all(tails) or len(set(tails)) < len(tails):
            raise InputError(
                f"task sentiment compares {' and '.join(map(repr, words))} after a prompt, which this tokenizer "
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


def label_likelihoods(
    without: Removals,
    tokenizer,
    texts: list[str],
    context: int,
    batch_size: int,
    prompting: Prompting = PLAIN,
    words: Sequence[str] = VERBALIZED,
) -> NDArray[np.float64]:
    """Log-likelihood in nats of each label after each text without each set of blocks, (sets, texts, labels).

    Summed over the tokens of the label: those after the tokens that the prompt and its labels start with, as lm-eval
    splits them. Where a tokenizer joins the end of the prompt and the label, the joined token counts.
    """
    model = without.model
    head = model.get_output_embeddings()
    documents = _prompted(tokenizer, texts, context, prompting, words)
    passes = _passes(documents)
    # The first token of a label is predicted from the token before it, which has to run.
    most = min(document.start for document in documents) - 1 if prompting.shares else 0
    prefix = SharedPrefix(model, [ran.ids for ran in passes], most)
    running = prefix if prefix.tokens else without
    likelihoods = np.zeros((len(without.masks), len(documents), len(words)))
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
        places = tuple(map(torch.from_numpy, (row, position, token)))
        kept = torch.from_numpy(kept)
        with _entering(head) as entered:

            def losses(logits: Tensor, places=places, entered=entered, batch: int = batch) -> list[list[float]]:
                row, position, token = (index.to(logits.device) for index in places)
                hidden = entered.pop()
                nll = torch.nn.functional.cross_entropy(logits[row, position].float(), token, reduction="none")
                if logits.dtype in (torch.bfloat16, torch.float16):
                    hidden = hidden.to(logits.device)[row, position]
                    nll += _rounding(head, hidden, logits[row, position], token)
                nll = nll.double().cpu().numpy()
                if not np.isfinite(nll).all():
                    raise not_finite("task sentiment", "losses", batch, model)
                return [nll.tolist()]

            told = {"kept": kept, **dict(zip(("row", "position", "token"), places, strict=True))}
            for index, (nll,) in running.each(inputs, losses, told, logits_to_keep=kept):
                np.subtract.at(likelihoods[index], (number, label), nll)
    return likelihoods


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
