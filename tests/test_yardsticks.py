"""The yardsticks of EAVSS against slow computations from their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import avss
from avss.hallucination.answers import Answers, calibration_error, read_answers
from avss.hallucination.encoding import encoded
from avss.hallucination.pairs import Pair
from avss.hallucination.probe import Probes, probe
from tests.conftest import tiny, word_tokenizer
from tests.hallucinating import noisy_on_false

PAIRS = [
    Pair("was the film good", ("it was fine", "very good"), ("it was not", "bad", "the film was bad"), "a fine film"),
    Pair("and this", ("this was very very good",), ("poor",)),
    Pair("was it", ("good and fine and good", "fine"), ("not good", "the row")),
]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_log_probabilities_and_pooled_states_are_those_of_each_answer_alone(family):
    model, tokenizer = tiny(family), word_tokenizer()
    answers = read_answers(model, tokenizer, PAIRS, batch_size=4, context=60)
    for index, pair in enumerate(PAIRS):
        texts = [[*pair.supported, *pair.hallucinated]]
        [examples] = encoded(tokenizer, [pair], texts, 60)
        found = [*answers.supported[index], *answers.hallucinated[index]]
        for text, example in enumerate(examples):
            ids = torch.tensor([example.input_ids])
            start = sum(label < 0 for label in example.labels)
            with torch.no_grad():
                output = model(input_ids=ids, output_hidden_states=True)
            logs = output.logits[0].double().log_softmax(-1)
            wanted = sum(logs[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1]))
            assert found[text] == pytest.approx(wanted, rel=1e-5)
            if text in (0, len(pair.supported)):
                # The last hidden state that transformers returns is after the final norm.
                for layer, state in enumerate(output.hidden_states[1:-1]):
                    pooled = answers.states[int(text > 0), index, layer]
                    assert pooled == pytest.approx(state[0, start:].mean(0).numpy(), rel=1e-4, abs=1e-5)


def test_of_many_answers_the_first_count():
    answers = read_answers(tiny("llama"), word_tokenizer(), PAIRS, most=1, states=False)
    assert [len(each) for each in (*answers.supported, *answers.hallucinated)] == [1] * 6
    assert answers.states is None


def test_margin_and_choices_by_hand():
    answers = Answers([np.log([0.2, 0.1]), np.log([0.1])], [np.log([0.1, 0.1]), np.log([0.3])])
    assert answers.margin == pytest.approx([np.log(2), np.log(1 / 3)])
    assert answers.mc1.tolist() == [1, 0]
    assert answers.mc2 == pytest.approx([0.3 / 0.5, 0.25])
    confidence, right = answers.confidence
    assert confidence == pytest.approx([0.5, 0.75])
    assert right.tolist() == [1, 0]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_calibration_error_from_its_definition(answers):
    confidence, correct = map(np.array, zip(*answers, strict=True))
    wanted = 0.0
    for low in np.arange(10) / 10:
        inside = [index for index, each in enumerate(confidence) if int(min(each * 10, 9)) == round(low * 10)]
        if inside:
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            wanted += gap * len(inside) / len(answers)
    assert calibration_error(confidence, correct) == pytest.approx(wanted, abs=1e-12)


def test_perfect_calibration_is_zero():
    assert calibration_error([0.75] * 4, [1, 1, 1, 0]) == 0


def test_auroc_from_its_definition_and_on_a_resample():
    decisions = np.array([[[0.0, 1.0, 2.0], [1.0, 3.0, 2.0]]])
    # Of nine pairs: 1 > 0, 1 = 1, 3 > all, 2 > 0, 2 > 1, 2 = 2.
    assert Probes(decisions).auroc == pytest.approx([7 / 9])
    drawn = Probes(decisions).resampled(seed=1, resamples=5)
    times = np.random.default_rng(1).multinomial(3, [1 / 3] * 3, size=5)
    for value, each in zip(drawn[:, 0], times, strict=True):
        chosen = np.repeat(np.arange(3), each)
        assert value == pytest.approx(Probes(decisions[:, :, chosen]).auroc[0])


def test_a_probe_finds_what_is_there_and_nothing_where_labels_are_tossed():
    generator = np.random.default_rng(0)
    states = generator.normal(size=(2, 60, 2, 5)).astype(np.float32)
    states[1, :, 1, 0] += 3
    # Both answers to a question share most of what they are.
    states += generator.normal(size=(1, 60, 1, 5)).astype(np.float32)
    found = probe(states).intervals()
    assert found["auroc"][1] > 0.9
    assert found["auroc_low"][0] < 0.5 < found["auroc_high"][0]


def test_a_probe_sees_a_planted_mark():
    model, tokenizer = noisy_on_false(2), word_tokenizer()
    with torch.no_grad():
        # The word of all wrong answers alone has the mark.
        model.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("bad"), -1] = 5.0
    pairs = [Pair(f"the {'film ' * count}", ("good fine",), ("bad bad",)) for count in range(1, 11)]
    answers = read_answers(model, tokenizer, pairs)
    assert probe(answers.states).auroc[2] > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read_answers(tiny("bert"), word_tokenizer(), PAIRS), "is none; load one"),
        (lambda: read_answers(tiny("llama"), word_tokenizer(), []), "no pairs were given"),
        (lambda: probe(np.zeros((2, 3, 2, 4), np.float32)), "probes of 3 questions in 5 folds"),
        (lambda: calibration_error([], []), "calibration of 0 answers"),
        (lambda: calibration_error([1.5], [1]), "not between 0 and 1"),
    ],
)
def test_what_cannot_be_measured_is_one_line(call, message):
    with pytest.raises(avss.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
