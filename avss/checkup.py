"""Which blocks to cut: facts about one model on one text, and a recommendation that follows from them by a fixed rule.

The rule and its thresholds are ours. AVSS is not trusted where it only repeats the depth of a block, or where the first
token of each document holds most of the variance that it is made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from avss import selection
from avss.architectures import blocks_of, unwrapped
from avss.data import batches, context_of
from avss.engine.gold import is_classifier
from avss.engine.modes import unchanged
from avss.engine.passes import require_finite_weights
from avss.engine.watching import Statistics, watch
from avss.errors import InputError
from avss.intervals import kendall_tau
from avss.methods import angular, block_influence, score, update_norm
from avss.options import CALIBRATING, PLAIN_CONTEXT
from avss.reading import Reading
from avss.scores import LayerScores, from_moments
from avss.tasks import columns_of, task_batches, task_named
from avss.tasks.labelled import check_labels, rows_for

READINGS = (Reading(), Reading(tokens="after_first"))
# From this tau on, AVSS is called the depth of the block.
IS_DEPTH = 0.8
# From this share of the variance on, AVSS is called a statistic of the first token.
IS_FIRST_TOKEN = 0.5
# The scores that the removals are compared for, in order of preference where two agree equally well with the losses.
COMPARED = ("avss", "block_influence", "angular", "update_norm")
LOSSES = "leave_one_out"


@dataclass(frozen=True)
class Check:
    """The facts about one model on one text, for M blocks.

    table: one line a block: `block`, the scores by their names, `first_token` (the share of the block's sum of squared
    deviations, Eq. 1, that the first tokens of the documents make up) and, where it was measured,
    `leave_one_out` in nats. removed: by score, the blocks that it would remove, lowest first. tau_depth, tau_influence:
    Kendall's tau of AVSS with the depth and with block influence. tau_losses: by score, its tau with the loss without
    each block; None where that was not measured. documents, tokens: the text. recommended: the name of a score.
    reason: why, in words.
    """

    table: pd.DataFrame
    removed: dict[str, list[int]]
    tau_depth: float
    tau_influence: float
    tau_losses: dict[str, float] | None
    documents: int
    tokens: int
    recommended: str
    reason: str

    @property
    def first_token(self) -> float:
        """The share of the variance that the first tokens hold, in [0, 1], as the median over the blocks."""
        return float(self.table["first_token"].median())

    def __str__(self) -> str:
        from avss.checkup_text import text_of

        return text_of(self)


def check(
    model: nn.Module,
    tokenizer,
    data,
    *,
    remove: int | float = 0.25,
    leave_one_out: bool = False,
    task: str | None = None,
    split: str | None = None,
    column: str | None = None,
    samples: int | None = CALIBRATING,
    context: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    label_column: str | None = None,
    label_words: Sequence[str] | None = None,
) -> Check:
    """Whether AVSS says more than the depth of a block on this model and text, and which score to prune by.

    data: a `datasets.Dataset`, or a name as `avss.load_data` takes it, with its split. remove: a number of blocks, or
    a share of them. leave_one_out: also measure the loss without each block, for which a classifier needs labels. task:
    show the documents as this task does, with its labels (None: plain text; sentiment for the losses of a classifier).
    The other arguments are those of `avss.task_batches`.

    All but the losses comes from one forward pass without the head. The recommendation, by the first rule that holds:

    1. The losses were measured: the score with the highest tau with them, if that is above 0, else `leave_one_out`.
    2. AVSS follows the depth, tau at least 0.8 or at most -0.8: `block_influence`.
    3. The first token holds at least half of the variance, in the median block: `block_influence`.
    4. AVSS and block influence would remove the same blocks: `avss`.
    5. Otherwise the facts do not decide: `leave_one_out`, which has to be measured.

    On return the model is as it was. Raises `InputError` for unusable data or numbers, for a model whose blocks are not
    found, for losses of a classifier without labels, and for scores that are all equal.
    """
    model = unwrapped(model)
    layers = len(blocks_of(model))
    count = selection.count_of(remove, layers)
    if task is None and leave_one_out and is_classifier(model):
        task = "sentiment"
    shape = {"context": context, "batch_size": batch_size}
    if task is not None:
        labels = {"label_column": label_column, "label_words": label_words}
        drawn = {"split": split, "column": column, "samples": samples, "seed": seed}
        text = task_batches(model, tokenizer, task_named(task).name, data, **drawn, **shape, **labels)
    else:
        check_labels(None, label_column, label_words)
        rows, column, _ = rows_for(columns_of(), data, split, column, samples, seed, "calibration")
        shape["context"] = context_of(model, tokenizer, PLAIN_CONTEXT if context is None else context)
        text = batches(rows[column], tokenizer, **shape)
    with unchanged(model):
        scores, share = _in_one_pass(model, text, count)
    require_finite_weights(model)
    losses = score(model, text, LOSSES) if leave_one_out else None
    return judged(scores, share, losses, count)


def _in_one_pass(model: nn.Module, text: list[dict], count: int) -> tuple[dict[str, LayerScores], np.ndarray]:
    """The compared scores by name, and the share of the variance of each block that first tokens hold, (M,)."""
    statistics, turned = Statistics(model, READINGS), block_influence.watcher(model)
    relative, angles = update_norm.watcher(model), angular.LastTokens(model, count)
    watch(model, text, [statistics, turned, relative, angles])
    kept = all_tokens, after_first = statistics.moments()
    scores = (
        from_moments(all_tokens, READINGS[0]),
        block_influence.scores_of(turned),
        angular.scores_of(angles),
        update_norm.scores_of(relative),
    )
    if not after_first[0].elements:
        raise InputError("no document has a second token, so there is nothing but first tokens; give longer documents")
    sums = np.array([[each.variance() * each.elements for each in layers] for layers in (all_tokens, after_first)])
    if not sums[0].all():
        raise InputError(f"all activations of block {int(sums[0].argmin())} are equal; check its weights")
    means = [np.array([np.average(each.mean, weights=each.count) for each in layers]) for layers in kept]
    # The deviations of the others are from the mean of all.
    others = sums[1] + after_first[0].elements * (means[1] - means[0]) ** 2
    return dict(zip(COMPARED, scores, strict=True)), np.clip(1 - others / sums[0], 0, 1)


def judged(scores: dict[str, LayerScores], share: np.ndarray, losses: LayerScores | None, count: int) -> Check:
    """The facts and the recommendation from the scores by name, of M blocks of which `count` would go.

    share: (M,), of the variance in the first tokens. Raises `InputError` where a score has no order at all.
    """
    values = {name: each.values for name, each in scores.items()}
    for name, each in values.items():
        if np.ptp(each) == 0:
            raise InputError(f"{name} is {each[0]:g} for all {len(each)} blocks, so it has no order; check the weights")
    columns = {"block": np.arange(len(share)), **values, "first_token": share}
    ranked = dict(scores)
    if losses is not None:
        columns[LOSSES], ranked[LOSSES] = losses.values, losses
    removed = {name: each.lowest(count) for name, each in ranked.items()}
    depth = kendall_tau(values["avss"], columns["block"])
    influence = kendall_tau(values["avss"], values["block_influence"])
    taus = None if losses is None else {name: kendall_tau(each, losses.values) for name, each in values.items()}
    recommended, reason = _recommended(depth, influence, float(np.median(share)), removed, taus)
    first = scores["avss"]
    return Check(
        pd.DataFrame(columns), removed, depth, influence, taus, first.documents, first.tokens, recommended, reason
    )


def _recommended(
    depth: float, influence: float, first: float, removed: dict[str, list[int]], taus: dict[str, float] | None
) -> tuple[str, str]:
    """The score to prune by, and why. `check` states the rule."""
    if taus is not None:
        best = max(taus, key=lambda name: taus[name])
        if taus[best] > 0:
            return best, (
                f"Of the scores, {best} agrees best with the measured loss without each block "
                f"(tau {taus[best]:.2f}, AVSS {taus['avss']:.2f}). Measure the pruned model, because the losses are "
                f"those of single blocks."
            )
        return LOSSES, (
            f"No score orders the blocks as the measured losses do: the best, {best}, has tau {taus[best]:.2f}. "
            f"The losses themselves say which blocks can go."
        )
    if abs(depth) >= IS_DEPTH:
        going = "the first blocks" if depth > 0 else "the last blocks"
        held = f" The first token holds {first:.0%} of the variance in the median block." * (first >= IS_FIRST_TOKEN)
        return "block_influence", (
            f"AVSS is little more than depth here (tau {depth:.2f}), so it removes {going} whatever they do.{held} "
            f"Block influence looks at each block by itself. The losses (--leave-one-out) would tell more."
        )
    if first >= IS_FIRST_TOKEN:
        return "block_influence", (
            f"In the median block the first token of each document holds {first:.0%} of the variance that AVSS is made "
            f"of, so AVSS says little about the other tokens. Block influence gives all tokens equal weights. "
            f"The reading tokens=after_first is another way."
        )
    if set(removed["avss"]) == set(removed["block_influence"]):
        return "avss", (
            "AVSS and block influence would remove the same blocks, so either will do. AVSS follows neither depth "
            f"(tau {depth:.2f}) nor the first token ({first:.0%} of the variance)."
        )
    return LOSSES, (
        f"AVSS and block influence would remove different blocks (tau {influence:.2f}), and nothing here says which of "
        f"them is right. Measure the loss without each block (--leave-one-out)."
    )
