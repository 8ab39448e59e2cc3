"""One pass over all answers to each question: their log-probabilities, and the pooled states of the pair.

From these follow the yardsticks of EAVSS: the margin, MC1 and MC2 as TruthfulQA defines them (Lin et al. 2022, arXiv
2109.07958), the expected calibration error (Guo et al. 2017, arXiv 1706.04599), and the states for a probe.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from torch import nn

from avss.architectures import blocks_of
from avss.data import Example, batched, context_of, padding_id
from avss.engine.gold import UNSCORED, gold, is_causal
from avss.engine.modes import evaluating
from avss.engine.observe import hooked
from avss.engine.passes import logits_of, not_finite, passes, require_finite_weights
from avss.errors import InputError
from avss.hallucination.encoding import encoded
from avss.hallucination.pairs import Pair

Array = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True)
class Answers:
    """What a model says of the answers to D questions.

    supported, hallucinated: for each question the log-probability of each of its answers in nats, summed over the
    tokens of the answer, the one of the pair first. states: (2, D, M, F) float32, the mean over the answer tokens of
    what each block hands on, for the supported and the hallucinated answer of the pair; None where not asked for.
    """

    supported: list[Array]
    hallucinated: list[Array]
    states: NDArray[np.float32] | None = None

    @property
    def margin(self) -> Array:
        """log p(supported) - log p(hallucinated) of the pair, (D,), in nats. A longer answer has a lower p."""
        return np.array([right[0] - wrong[0] for right, wrong in zip(self.supported, self.hallucinated, strict=True)])

    @property
    def mc1(self) -> Array:
        """(D,): 1 where the supported answer of the pair is likelier than every hallucinated one, otherwise 0."""
        pairs = zip(self.supported, self.hallucinated, strict=True)
        return np.array([float(right[0] > wrong.max()) for right, wrong in pairs])

    @property
    def mc2(self) -> Array:
        """(D,): the share of the supported answers in the probability of all answers."""
        pairs = zip(self.supported, self.hallucinated, strict=True)
        return np.array(
            [np.exp(logsumexp(right) - logsumexp(np.concatenate([right, wrong]))) for right, wrong in pairs]
        )

    @property
    def confidence(self) -> tuple[Array, Array]:
        """For MC1: the share of the likeliest choice in the probability of all, and whether it is right, (D,) each."""
        choices = [np.append(wrong, right[0]) for right, wrong in zip(self.supported, self.hallucinated, strict=True)]
        return np.array([np.exp(each.max() - logsumexp(each)) for each in choices]), self.mc1


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: the mean distance of accuracy and confidence over bins of equal width, by their size.

    confidence: (D,) from 0 to 1; correct: (D,) 0 or 1. Raises `InputError` for no answers, and for other confidences.
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if not confidence.size:
        raise InputError("calibration of 0 answers; give at least one")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise InputError("a confidence is not between 0 and 1; give probabilities")
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(places, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / confidence.size)


def read_answers(
    model: nn.Module,
    tokenizer,
    pairs: list[Pair],
    *,
    context: int | None = None,
    batch_size: int = 16,
    most: int = 4,
    states: bool = True,
) -> Answers:
    """What a causal language model says of the answers to these questions.

    most: of more supported, or more hallucinated, answers than this the first ones count. states: whether the pooled
    states are kept. Raises `InputError` for a model of another kind, for no pairs, and as `encoded`.
    """
    if not is_causal(model):
        raise InputError(f"answers need a causal language model, {type(model).__name__} is none; load one")
    if not pairs:
        raise InputError("no pairs were given; give at least one question with a supported and a hallucinated answer")
    rights = [min(most, len(pair.supported)) for pair in pairs]
    texts = [[*pair.supported[:most], *pair.hallucinated[:most]] for pair in pairs]
    examples = encoded(tokenizer, pairs, texts, context_of(model, tokenizer, context))
    flat = [example for each in examples for example in each]
    found, pooled = _read(model, flat, padding_id(tokenizer), batch_size, states)
    starts = np.cumsum([0, *map(len, examples)])
    by_question = [found[start:end] for start, end in pairwise(starts)]
    wrongs = starts[:-1] + rights
    return Answers(
        [each[:count] for each, count in zip(by_question, rights, strict=True)],
        [each[count:] for each, count in zip(by_question, rights, strict=True)],
        None if pooled is None else np.stack([pooled[starts[:-1]], pooled[wrongs]]),
    )


def _read(
    model: nn.Module, examples: list[Example], filler: int, batch_size: int, states: bool
) -> tuple[Array, NDArray[np.float32] | None]:
    """The log-probability of each answer, (N,), and its pooled states, (N, M, F), in the order of the examples."""
    found, pooled = np.empty(len(examples)), [None] * len(examples)
    # The place of each example travels with it, because batches are made by length.
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].input_ids))
    done, layers = 0, [torch.empty(0)] * len(blocks_of(model))

    def receive(layer, activation, base):
        layers[layer] = activation

    with evaluating(model), hooked(model, "block_output", receive):
        batches = batched([examples[index] for index in order], filler, batch_size)
        for number, inputs, _, labels in passes(model, batches, "reading answers"):
            read = gold(model, logits_of(model, inputs), labels)
            chosen = order[done : done + len(labels)]
            found[chosen] = -read.loss.double().cpu().numpy()
            if not np.isfinite(found[chosen]).all():
                raise not_finite("answers", "log-probabilities", number, model)
            if states:
                answered = (labels != UNSCORED)[..., None]
                means = [(layer * answered.to(layer.device)).sum(1).cpu() / answered.sum(1).cpu() for layer in layers]
                for index, state in zip(chosen, torch.stack(means, 1).float().numpy(), strict=True):
                    pooled[index] = state
            done += len(labels)
    require_finite_weights(model)
    return found, np.stack(pooled) if states else None
