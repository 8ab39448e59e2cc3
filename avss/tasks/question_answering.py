"""Questions on a text, answered by greedy decoding after a prompt and compared as SQuAD does: F1, and exact match."""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset

from avss.data import Example, by_length, context_of, padding_id
from avss.data.squad import with_answers
from avss.engine.gold import UNSCORED, is_causal
from avss.engine.modes import evaluating
from avss.engine.passes import not_finite, require_finite_weights
from avss.errors import InputError, first_of
from avss.metrics.answers import best, f1
from avss.progress import progress
from avss.tasks.base import Outcome
from avss.tasks.catalogue import TASKS
from avss.tasks.likelihoods import Continued, likelihoods
from avss.tasks.prompts import PLAIN, Prompting, common_prefix, encode, fitted
from avss.tasks.shared_prefix import SharedPrefix

PROMPT = "{context}\nQuestion: {question}\nAnswer:"
MAX_NEW_TOKENS = TASKS["question_answering"].generated


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
    """F1 of each question, the best over its references; a question without answers expects the empty string.

    column: the column of the contexts. The data also needs `question` and `answers`, as in SQuAD. Rows without a
    question, or whose answers are not of that form, are left out. Raises `InputError` for a model that is no causal
    language model, where no row is left, for a question that does not fit, and for logits that are not finite.
    """
    dataset = _usable(model, dataset)
    context = context_of(model, tokenizer, context)
    _, prompts = _prompts(tokenizer, dataset, column, context, prompting)
    answers = [""] * len(prompts)
    with evaluating(model):
        prefix = SharedPrefix(model, prompts, min(map(len, prompts)) - 1 if prompting.shares else 0)
        for number, chosen in enumerate(progress(by_length(prompts, batch_size), "evaluating")):
            found = _answers(model, tokenizer, prefix, [prompts[index] for index in chosen], number)
            for index, answer in zip(chosen, found, strict=True):
                answers[index] = answer
    require_finite_weights(model)
    references = [row["text"] for row in dataset["answers"]]
    numerator = np.array([best(f1, *pair) for pair in zip(answers, references, strict=True)])
    protocol = (
        f"prompt {PROMPT!r}, {prompting.described(tokenizer)}, contexts cut at their end so that "
        f"prompt and answer have at most {context} tokens; greedy decoding to a newline, EOS or {MAX_NEW_TOKENS} "
        f"tokens; answers normalised as SQuAD does, the best of the references, mean over questions"
    )
    return Outcome(numerator, np.ones_like(numerator), protocol, answers, references)


def likelihood_each(
    model,
    tokenizer,
    dataset: Dataset,
    column: str,
    *,
    context: int | None,
    batch_size: int,
    removed: Sequence[Sequence[int]],
    prompting: Prompting = PLAIN,
    **kept,
) -> list[Outcome]:
    """Negative log-likelihood and tokens of the right answer to each question, without each of these sets of blocks.

    The right answer is the first reference, and its loss the one that methods with labels read (`examples`). Questions
    without an answer are left out. kept: `cache` and `key` of `removing`. Raises `InputError` as `measure`, where no
    question has an answer, and for sets of blocks as `removing`.
    """
    context = context_of(model, tokenizer, context)
    shown = examples(model, tokenizer, dataset, column, context, prompting=prompting)
    starts = [next(index for index, label in enumerate(each.labels) if label != UNSCORED) for each in shown]
    documents = [Continued([each.input_ids], start) for each, start in zip(shown, starts, strict=True)]
    options = {"shares": prompting.shares, "task": "question_answering"} | kept
    found = likelihoods(model, removed, documents, batch_size, padding_id(tokenizer), **options)
    require_finite_weights(model)
    counts = np.array([len(each.input_ids) - start for each, start in zip(shown, starts, strict=True)], np.float64)
    protocol = (
        f"log-likelihood of the first reference after the prompt {PROMPT!r}, {prompting.described(tokenizer)}, "
        f"contexts cut at their end so that prompt and answer have at most {context} tokens; of an answer the first "
        f"{MAX_NEW_TOKENS} tokens count; exp(total NLL / {int(counts.sum())} scored tokens)"
    )
    losses = -found[:, :, 0]
    return [Outcome(nats, counts, protocol, nats, counts) for nats in losses]


def examples(
    model, tokenizer, dataset: Dataset, column: str, context: int | None, *, prompting: Prompting = PLAIN
) -> list[Example]:
    """The prompt and the first reference. Only the tokens of the answer are labelled.

    Questions without an answer have no labels and are left out. Raises `InputError` as `measure`.
    """
    dataset = _usable(model, dataset)
    answered = [index for index, row in enumerate(dataset["answers"]) if row["text"] and row["text"][0].strip()]
    if not answered:
        raise InputError("no usable rows: no question has an answer, and this needs answers as labels")
    dataset = dataset.select(answered)
    texts, prompts = _prompts(tokenizer, dataset, column, context_of(model, tokenizer, context), prompting)
    answers = [row["text"][0].strip() for row in dataset["answers"]]
    result = []
    whole = list(map(prompting.prompt_and_answer, texts, answers))
    for prompt, ids in zip(prompts, encode(tokenizer, whole, prompting.begin(tokenizer)), strict=True):
        start = common_prefix([prompt, ids])
        ids = ids[: start + MAX_NEW_TOKENS]
        result.append(Example(ids, [UNSCORED] * start + ids[start:]))
    return result


def questions(dataset: Dataset, column: str) -> list[str]:
    """The plain prompt of each row, empty where it has no question."""
    asked = dataset["question"] if "question" in dataset.column_names else [None] * len(dataset)
    rows = zip(dataset[column], asked, strict=True)
    return [_question(text, question) if isinstance(question, str) else "" for text, question in rows]


def solved(dataset: Dataset, column: str) -> list[tuple[str, str]]:
    """The plain prompt and the first reference of each question that has an answer.

    Raises `InputError` for data without the columns of SQuAD, or without a row of its form.
    """
    dataset = _asked(dataset)
    return [
        (_question(text, asked), answers["text"][0].strip())
        for text, asked, answers in zip(dataset[column], dataset["question"], dataset["answers"], strict=True)
        if answers["text"] and answers["text"][0].strip()
    ]


def _question(text: str, asked: str) -> str:
    return PROMPT.format(context=text.strip(), question=asked.strip())


def _usable(model, dataset: Dataset) -> Dataset:
    if not is_causal(model):
        raise InputError(f"task question_answering needs a causal language model, {type(model).__name__} is none")
    return _asked(dataset)


def _asked(dataset: Dataset) -> Dataset:
    """The rows with a question and answers of SQuAD's form. Raises `InputError` where there is none."""
    dataset = with_answers(dataset)
    lacking = [name for name in TASKS["question_answering"].extra if name not in dataset.column_names]
    if lacking:
        raise InputError(
            f"task question_answering needs the columns of SQuAD and {' and '.join(lacking)} is missing; "
            f"the data has {first_of(dataset.column_names)}"
        )

    def texts_of(answers) -> list | None:
        return answers.get("text") if isinstance(answers, dict) else None

    rows = list(zip(dataset["question"], map(texts_of, dataset["answers"]), strict=True))
    keep = [
        index
        for index, (question, texts) in enumerate(rows)
        if isinstance(question, str) and question.strip()
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    ]
    if not keep:
        raise InputError(
            f"no usable rows: none has a question and answers such as {{'text': ['Paris']}} "
            f"(the first has {dataset['question'][0]!r} and {dataset['answers'][0]!r}); give the columns of SQuAD"
        )
    return dataset.select(keep)


def _prompts(
    tokenizer, dataset: Dataset, column: str, context: int, prompting: Prompting
) -> tuple[list[str], list[list[int]]]:
    """Each question's prompt, as text and as token ids, with room for the answer."""
    asked = [question.strip() for question in dataset["question"]]

    def render(index: int, text: str) -> list[str]:
        return [prompting.prompt(tokenizer, PROMPT.format(context=text, question=asked[index]))]

    contexts = [text.strip() for text in dataset[column]]
    texts, ids = fitted(tokenizer, contexts, render, max(0, context - MAX_NEW_TOKENS), prompting)
    return [render(index, text)[0] for index, text in enumerate(texts)], [strings[0] for strings in ids]


def _answers(model, tokenizer, prefix: SharedPrefix, prompts: list[list[int]], number: int) -> list[str]:
    """The greedy continuation of each prompt of batch `number`, up to a newline, EOS or `MAX_NEW_TOKENS` tokens.

    A loop of our own: `generate` would take sampling, penalties and further rules from the checkpoint's configuration.
    """
    ends = _ends(model, tokenizer)
    inputs = prefix.inputs(prompts, padding_id(tokenizer), left=True, new=MAX_NEW_TOKENS)
    ids, mask, cache = inputs["input_ids"], inputs["attention_mask"], inputs.get("past_key_values")
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, prefix.tokens :]
    made: list[list[int]] = [[] for _ in prompts]
    unfinished = set(range(len(prompts)))
    for _ in range(MAX_NEW_TOKENS):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache, logits = output.past_key_values, output.logits[:, -1]
        best = logits.argmax(-1, keepdim=True)
        # The largest logit of a row with NaN is NaN.
        finite = logits.gather(-1, best)[:, 0].isfinite().tolist()
        ids = best.to(mask.device)
        for row, token in enumerate(ids[:, 0].tolist()):
            if row in unfinished and not finite[row]:
                raise not_finite("task question_answering", "logits", number, model)
            if row in unfinished and token not in ends:
                made[row].append(token)
            if token in ends or "\n" in tokenizer.decode([token]):
                unfinished.discard(row)
        if not unfinished:
            break
        mask, positions = torch.cat([mask, torch.ones_like(ids)], dim=1), positions[:, -1:] + 1
    texts = [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in made]
    return [text.partition("\n")[0].strip() for text in texts]


def _ends(model, tokenizer) -> set[int]:
    """EOS of the tokenizer, and those that the checkpoint adds (a chat model has several)."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}
