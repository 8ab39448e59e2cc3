"""The likelihoods of label words against recorded ones of lm-eval 0.4.13, which the tests do not need to run.

These were made in an environment of its own (`pip install --no-deps lm-eval==0.4.13` and what it imports) by

    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    for pieces in LM_EVAL:
        model = HFLM(tiny("llama"), tokenizer=prompt_tokenizer(pieces), batch_size=1, add_bos_token=False)
        pairs = [(f"Review: {text}\\nSentiment:", label) for text in TEXTS for label in (" negative", " positive")]
        requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
        print(pieces, [round(value, 4) for value, _ in model.loglikelihood(requests)])

Its `multiple_choice` tasks take NumPy's argmax of these, so that the first label wins a tie.
"""

import numpy as np
import pytest
import torch
from datasets import Dataset

from avss.tasks import sentiment
from tests.conftest import tiny
from tests.prompts import prompt_tokenizer

TEXTS = ["good film", "very very bad", "not good", "poor at noon. the film was bad"]
# By the way the tokenizer cuts the labels: one token each, two and one, two each.
LM_EVAL = {
    "words": [-4.4032, -3.6775, -5.0858, -3.7703, -4.5862, -3.8693, -4.2696, -3.7924],
    "uneven": [-8.8259, -3.6775, -8.3208, -3.7703, -8.7463, -3.8693, -8.6377, -3.7924],
    "split": [-8.8259, -8.3896, -8.3208, -8.7663, -8.7463, -8.6262, -8.6377, -8.3959],
}


@pytest.mark.parametrize("pieces", LM_EVAL)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_likelihoods_of_label_words_are_those_of_lm_eval(pieces, batch_size):
    found = sentiment.label_likelihoods(tiny("llama"), [[]], prompt_tokenizer(pieces), TEXTS, 60, batch_size)
    np.testing.assert_allclose(found.ravel(), LM_EVAL[pieces], atol=1e-3)


def test_the_first_label_wins_a_tie():
    model, rows = tiny("llama"), Dataset.from_dict({"sentence": TEXTS, "label": [0, 1, 0, 1]})
    torch.nn.init.zeros_(model.lm_head.weight)
    outcome = sentiment.measure(model, prompt_tokenizer(), rows, "sentence", context=60, batch_size=2)
    assert outcome.predictions.tolist() == [0] * 4


@pytest.mark.parametrize("pieces", ["words", "split", "joined"])
def test_a_label_that_shares_tokens_with_the_prompt_is_scored_after_them(pieces):
    """Whole sequences tell the labels apart as the scored tokens do: what both begin with cancels."""
    model, tokenizer = tiny("llama"), prompt_tokenizer(pieces)
    found = sentiment.label_likelihoods(model, [[]], tokenizer, TEXTS, 60, 2)[0]
    for text, (negative, positive) in zip(TEXTS, found, strict=True):
        whole = []
        for label in (" negative", " positive"):
            ids = torch.tensor(tokenizer([f"Review: {text}\nSentiment:{label}"])["input_ids"])
            with torch.no_grad():
                logits = torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1)
            whole.append(float(logits.gather(1, ids[0, 1:, None]).sum()))
        assert positive - negative == pytest.approx(whole[1] - whole[0], abs=1e-3)
