"""Results do not depend on how documents are batched and padded, nor on which id the config takes for padding."""

import numpy as np
import pytest
import torch
import transformers as hf
from datasets import Dataset

import avss
from avss.engine.gold import is_classifier
from avss.engine.passes import logits_of, to_the_right
from avss.methods import METHODS
from avss.tasks import sentiment
from tests.conftest import DECODERS, ENCODERS, FAMILIES, labelled, ragged, tiny
from tests.prompts import prompt_tokenizer

# What the config may say: nothing, the id of a real word, EOS, the tokenizer's own.
PADDING_IDS = {"none": None, "a word": 7, "eos": 2, "own": 0}
WORDS = "the film was good and long bad at noon in Rome fine here old".split()
LENGTHS = (9, 1, 5, 7, 2, 8) * 4


def classifier(family: str, padding_id: int | None = 0):
    """A tiny model of the family with a classification head."""
    if family in ENCODERS:
        model = tiny(family)
    else:
        torch.manual_seed(0)
        config = FAMILIES[family]().config
        config.num_labels = 2
        model = hf.AutoModelForSequenceClassification.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(5)
    model.config.pad_token_id = padding_id
    assert is_classifier(model)
    return model


def reviews(texts: list[str]) -> Dataset:
    return Dataset.from_dict({"sentence": texts, "label": [index % 2 for index in range(len(texts))]})


def texts() -> list[str]:
    choice = np.random.default_rng(0)
    made = [" ".join(choice.choice(WORDS, length)) for length in LENGTHS]
    # Documents that end like padding.
    return [*made[:-2], made[-2] + "</s>", "</s>"]


@torch.no_grad()
def alone(model, tokenizer, text: str) -> int:
    """The class of one document without padding, at its last token, or the first of an encoder."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    if hasattr(model, "score"):
        return int(model.score(model.base_model(input_ids=ids).last_hidden_state[0, -1]).argmax())
    return int(model(input_ids=ids).logits[0].argmax())


@pytest.mark.parametrize("said", PADDING_IDS)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_accuracy_is_that_of_each_document_alone(family, said):
    model, tokenizer, documents = classifier(family, PADDING_IDS[said]), prompt_tokenizer(), texts()
    expected = [alone(model, tokenizer, text) for text in documents]
    order = np.random.default_rng(1).permutation(len(documents))
    for size, side in ((1, "right"), (3, "left"), (24, "right"), (24, "left")):
        tokenizer.padding_side = side
        for chosen in (np.arange(len(documents)), order):
            data = reviews([documents[index] for index in chosen])
            found = sentiment.measure(model, tokenizer, data, "sentence", context=60, batch_size=size).predictions
            assert found.tolist() == [expected[index] for index in chosen]
    assert model.config.pad_token_id == PADDING_IDS[said]


def test_the_documents_of_the_test_above_differ():
    models, tokenizer = [classifier(family) for family in FAMILIES], prompt_tokenizer()
    found = [alone(model, tokenizer, text) for model in models for text in texts()]
    assert 0.2 < np.mean(found) < 0.8


def batches(model, lengths, size: int, left: bool, order) -> list[dict]:
    """Random documents that depend on their number alone, in this order, `size` at a time."""
    made = []
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        width = max(lengths[index] for index in chosen)
        batch = {name: torch.zeros(len(chosen), width, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
        for row, index in enumerate(chosen):
            real = slice(width - lengths[index], width) if left else slice(lengths[index])
            generator = torch.Generator().manual_seed(index)
            batch["input_ids"][row, real] = torch.randint(1, 64, (lengths[index],), generator=generator)
            batch["attention_mask"][row, real] = 1
        if is_classifier(model):
            batch["labels"] = torch.tensor([index % 2 for index in chosen])
        made.append(batch)
    return made


# Documents of these lengths two at a time, against so many at a time in another order, padded right or left.
OF_TOKENS, ORDER = (9, 1, 5, 7), [3, 0, 2, 1]
WAYS = ((1, False), (3, True), (4, False), (4, True))


@pytest.mark.parametrize("said", ["none", "a word"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_scores_of_classifiers_do_not_depend_on_batches_or_padding(family, said):
    model = classifier(family, PADDING_IDS[said]).double()
    for method in ("avss", "gbis", "taylor", "cim", "leave_one_out", "block_influence", "angular"):
        expected = avss.score(model, batches(model, OF_TOKENS, 2, False, range(4)), method).values
        for size, left in WAYS:
            found = avss.score(model, batches(model, OF_TOKENS, size, left, ORDER), method).values
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-9), (method, size, left)


@pytest.mark.parametrize("family", DECODERS)
def test_scores_of_language_models_do_not_depend_on_batches_or_padding(family):
    model = tiny(family).double()
    for method in [name for name, method in METHODS.items() if method.reads_text]:
        expected = avss.score(model, batches(model, OF_TOKENS, 2, False, range(4)), method).values
        for size, left in WAYS:
            found = avss.score(model, batches(model, OF_TOKENS, size, left, ORDER), method).values
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-9), (method, size, left)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_where_config_and_batch_agree_the_logits_are_the_models_own(family):
    model, batch = classifier(family), ragged((9, 5, 7))
    with torch.no_grad():
        assert torch.equal(logits_of(model, batch), model(**batch).logits)


def test_labels_and_positions_move_with_their_tokens():
    batch = ragged((4, 2), left=True) | {"position_ids": torch.tensor([[0, 0, 0, 1]])[:, :4].expand(2, 4)}
    batch["labels"] = torch.arange(8).view(2, 4)
    moved = to_the_right(batch)
    assert moved["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert moved["input_ids"][1].tolist() == [*batch["input_ids"][1, 2:].tolist(), 0, 0]
    assert moved["labels"][1].tolist() == [6, 7, 4, 5]
    assert moved["position_ids"][1].tolist() == [0, 1, 0, 0]
    classes = labelled("bert", ragged(left=True))
    assert torch.equal(to_the_right(classes)["labels"], classes["labels"])
