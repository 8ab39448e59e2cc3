"""Sentiment by argmax, accuracy: over the logits of a classifier, or over the likelihoods that a causal language model
gives the two label words after a prompt, whose logits are float32 for weights of any dtype.
"""

from collections.abc import Sequence

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
from avss.removals import Removals, removing
from avss.tasks.base import Outcome
from avss.tasks.labels import class_names, with_classes
from avss.tasks.likelihoods import Continued, likelihoods
from avss.tasks.prompts import PLAIN, Prompting, common_prefix, fitted

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
    """Hits a document, without each of these sets of blocks. kept: options of `removing`.

    words: the label words, by class, for a causal language model (`label_words`). Where prompts begin alike, each set
    has its own keys and values of the beginning, and the sets run one by one.

    Raises `InputError` for a model that neither classifies nor continues text, for labels that are not its classes
    (`avss.tasks.labels.with_classes`), for a tokenizer that does not tell the label words apart, for logits that are
    not finite, and for sets of blocks as `removing`.
    """
    dataset, classes, by_name = _labelled(model, dataset, words, measured=True)
    context = context_of(model, tokenizer, context)
    texts = list(dataset[column])
    if is_classifier(model):
        with removing(model, removed, **kept) as without:
            predicted = _classified(without, tokenizer, texts, context, batch_size)
        protocol = f"argmax of the classification head, texts cut at {context} tokens"
    else:
        # The first label wins a tie, as in lm-eval.
        found = label_likelihoods(model, removed, tokenizer, texts, context, batch_size, prompting, words, **kept)
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


def _prompted(tokenizer, texts: list[str], context: int, prompting: Prompting, words: Sequence[str]) -> list[Continued]:
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
        result.append(Continued(sequences, start))
    return result


def label_likelihoods(
    model: nn.Module,
    removed: Sequence[Sequence[int]],
    tokenizer,
    texts: list[str],
    context: int,
    batch_size: int,
    prompting: Prompting = PLAIN,
    words: Sequence[str] = VERBALIZED,
    **kept,
) -> NDArray[np.float64]:
    """Log-likelihood in nats of each label after each text without each set of blocks, (sets, texts, labels).

    Summed over the tokens of the label: those after the tokens that the prompt and its labels start with, as lm-eval
    splits them. Where a tokenizer joins the end of the prompt and the label, the joined token counts. kept, errors: as
    `avss.tasks.likelihoods.likelihoods`.
    """
    documents = _prompted(tokenizer, texts, context, prompting, words)
    options = {"shares": prompting.shares, "task": "sentiment"} | kept
    return likelihoods(model, removed, documents, batch_size, padding_id(tokenizer), **options)
