"""Labels of data and classes of a model: matched by name where both have names; nothing is scored upside down."""

import itertools
import warnings

import numpy as np
import pytest
import transformers as hf
from datasets import ClassLabel, Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.errors import InputError
from avss.tasks import sentiment
from avss.tasks.labels import with_classes
from tests.conftest import SENTENCES, tiny, word_tokenizer
from tests.prompts import prompt_tokenizer

GENERIC = ["LABEL_0", "LABEL_1"]
PLAIN = ["negative", "positive"]
REVERSED = ["POSITIVE", "NEGATIVE"]
TRUE = [1, 0, 0, 1, 1]


def rows(labels, names=None):
    dataset = Dataset.from_dict({"sentence": SENTENCES[: len(labels)], "label": labels})
    return dataset.cast_column("label", ClassLabel(names=names)) if names else dataset


def classes(labels, names, own=None, measured=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return with_classes(rows(labels, own), names, measured=measured)[1]


def classifier(names, **options):
    options |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    sizes = {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 4, "vocab_size": 64, "max_position_embeddings": 64}
    return hf.DistilBertForSequenceClassification(hf.DistilBertConfig(**sizes, **options)).eval()


@pytest.mark.parametrize("names", [GENERIC, PLAIN, ["ham", "spam"], ["0", "1"]])
@pytest.mark.parametrize("one", [1, 1.0, True, "1", "1.0", " 1 ", "LABEL_1", "true", "True"])
def test_whole_numbers_in_any_form_are_classes(names, one):
    zero = {bool: False, str: str(one).replace("1", "0").replace("rue", "alse").replace("t", "f").replace("T", "F")}
    assert classes([one, zero.get(type(one), type(one)(0)), one], names) == [1, 0, 1]


@pytest.mark.parametrize("wrong", [0.5, 2, -2, "2", "0.5", 1e9])
def test_a_label_that_is_no_class_is_refused(wrong):
    kind = type(wrong)
    with pytest.raises(InputError, match=r"no class from 0 to 1|labels of the data are") as error:
        classes([kind(0), wrong, kind(1)], PLAIN)
    assert str(wrong).removesuffix(".0").removesuffix("000.0") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("nothing", [[None], [-1], [float("nan")], [""], [-1.0], ["-1"]])
def test_rows_without_a_label_are_left_out_and_counted(nothing):
    filled = [type(nothing[0] if nothing[0] is not None else 0)(1), *nothing]
    with pytest.warns(UserWarning, match=r"1 of 2 rows are left out: they have no label \(the first is row 2\)"):
        kept, found, _ = with_classes(rows(filled), PLAIN, measured=True)
    assert (len(kept), found) == (1, [1])
    with pytest.raises(InputError, match="no usable rows: column label holds no class from 0 to 1"):
        with_classes(rows(nothing), PLAIN, measured=True)


def test_names_decide_where_both_sides_have_them():
    for own, names in itertools.product([PLAIN, REVERSED, ["pos", "neg"], ["Neg ", "POS"]], [PLAIN, REVERSED]):
        place = [name.strip().lower().startswith("pos") for name in own].index(True)
        positive = [name.lower() for name in names].index("positive")
        expected = [positive if label == place else 1 - positive for label in TRUE]
        assert classes(TRUE, names, own) == expected, (own, names)
        assert classes([own[label] for label in TRUE], names) == expected, (own, names)


@settings(max_examples=25, deadline=None)
@given(st.permutations(["a", "b", "c", "d"]), st.permutations(["a", "b", "c", "d"]))
def test_any_order_of_names_is_undone(own, names):
    labels = [0, 1, 2, 3]
    assert [names[index] for index in classes(labels, names, own)] == own
    assert classes([own[label] for label in labels], names) == classes(labels, names, own)


def test_names_without_meaning_fall_back_to_numbers():
    assert classes(TRUE, GENERIC, REVERSED) == TRUE
    assert classes(TRUE, PLAIN, ["0", "1"]) == TRUE
    assert classes(TRUE, PLAIN, GENERIC) == TRUE
    assert classes(["positive", "neg"], GENERIC) == [1, 0], "as the task itself counts"


def test_stars_are_classes_by_their_names():
    stars = ["1", "2", "3", "4", "5"]
    assert classes([5, 1, 3], stars) == classes(["5", "1", "3"], stars) == [4, 0, 2]


@pytest.mark.parametrize(
    ("labels", "names", "own", "said"),
    [
        (TRUE, PLAIN, ["ham", "spam"], "ham, spam .2. and the classes of the model are negative, positive"),
        (["ham", "spam"], PLAIN, None, "ham, spam .2. and the classes of the model are negative, positive"),
        (["positive", "1"], PLAIN, None, "the labels of the data are 1, positive"),
        (["good", "bad"], GENERIC, None, "bad, good .2. and the classes of the model are LABEL_0, LABEL_1"),
        (TRUE, ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], None, "0 and 1 alone, and the model has 5"),
        (TRUE, [f"LABEL_{i}" for i in range(5)], PLAIN, "negative, positive .2. and the classes of the model are"),
        (TRUE, ["negative", "neutral", "positive"], PLAIN, "negative, neutral, positive .3."),
        ([4, 0, 2, 1], GENERIC, None, "holds 4 in 1 of 4 rows, and that is no class from 0 to 1"),
        ([4, 0, 2, 1], GENERIC, list("vwxyz"), "holds 4|vwxyz|v, w, x, y, z"),
        (TRUE, REVERSED, None, "0 POSITIVE and 1 NEGATIVE, and the labels of the data are numbers without names"),
        (TRUE, ["pos", "POSITIVE"], None, "two classes of the model have one name"),
    ],
)
def test_what_does_not_match_is_refused_in_one_line(labels, names, own, said):
    with pytest.raises(InputError, match=said) as error:
        classes(labels, names, own)
    assert "\n" not in str(error.value)


def test_a_calibration_sample_may_lack_classes_of_the_model():
    assert classes([0, 1], ["a", "b", "c"], measured=False) == [0, 1]


@pytest.mark.parametrize("options", [{"num_labels": 1}, {"problem_type": "regression"}])
def test_a_regression_head_has_no_accuracy(options):
    names = ["score"] if "num_labels" in options else PLAIN
    options.pop("num_labels", None)
    for run in (
        lambda model: avss.evaluate(model, word_tokenizer(), "sentiment", rows(TRUE)),
        lambda model: sentiment.examples(model, word_tokenizer(), rows(TRUE), "sentence", 16),
    ):
        with pytest.raises(InputError, match="one of at least two classes, and DistilBertForSequenceClassification"):
            run(classifier(names, **options))


def test_a_model_whose_first_class_is_positive_is_scored_the_right_way_round():
    plain, turned = classifier(PLAIN), classifier(REVERSED)
    state = plain.state_dict()
    for key in ("classifier.weight", "classifier.bias"):
        state[key] = state[key].flip(0)
    turned.load_state_dict(state)
    data = rows(TRUE, PLAIN)
    value = avss.evaluate(plain, word_tokenizer(), "sentiment", data)
    matched = "labels are matched by name, as the data has negative, positive"
    with pytest.warns(UserWarning, match=matched):
        other = avss.evaluate(turned, word_tokenizer(), "sentiment", data)
    given = [sentiment.examples(plain, word_tokenizer(), data, "sentence", 16)]
    with pytest.warns(UserWarning, match=matched):
        given.append(sentiment.examples(turned, word_tokenizer(), data, "sentence", 16))
    assert other["value"] == value["value"]
    assert other["protocol"].endswith("labels matched to classes by name")
    assert [example.labels for example in given[0]] == [1 - example.labels for example in given[1]] == TRUE


def test_label_words_follow_the_names_of_the_data():
    model, tokenizer = tiny("llama"), prompt_tokenizer("words", True)
    numbers = sentiment.measure(model, tokenizer, rows(TRUE), "sentence", context=60, batch_size=4)
    turned = rows([1 - label for label in TRUE], ["pos", "neg"])
    with pytest.warns(UserWarning, match="matched by name"):
        named = sentiment.measure(model, tokenizer, turned, "sentence", context=60, batch_size=4)
    np.testing.assert_array_equal(named.numerator, numbers.numerator)
    assert "by name" not in numbers.protocol
    with pytest.raises(InputError, match="ham, spam"):
        sentiment.measure(model, tokenizer, rows(TRUE, ["ham", "spam"]), "sentence", context=60, batch_size=4)
