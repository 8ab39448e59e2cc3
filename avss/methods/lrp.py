"""LRP: how much of a document's relevance runs through a block's branches rather than past them on the skip.

The AVSS paper names layer-wise relevance propagation as a baseline. It gives no rules and no way from relevance to one
score a layer. The rules are those of AttnLRP (Achtibat et al. 2024), see `avss.engine.relevance`, which also
holds a note on the authors' patent. The score is ours: with R = value * modified gradient, the relevance at a block's
output h_i = h_{i-1} + u_i is h_{i-1} * g_i + u_i * g_i, element by element: what came by the skip, and what the
branches added. The share of the branches, by magnitude because relevance has a sign, is

    E_x [ sum abs(u_i * g_i) / (sum abs(u_i * g_i) + sum abs(h_{i-1} * g_i)) ]

over the real tokens and features of document x. Where no relevance reaches a document (a head of zeros, for instance),
both sums are 0, and its share counts as 0. The explained output is the gold logit, summed over the document's
scored predictions.
"""

from torch import Tensor

from avss.engine.gradients import gradient_pass
from avss.engine.relevance import attnlrp
from avss.scores import LayerScores, from_values


def _branch_share(h: Tensor, u: Tensor, g: Tensor) -> Tensor:
    branch, skip = ((part * g).abs().sum((1, 2)) for part in (u, h))
    whole = branch + skip
    # No relevance reaches the document: 0 of 0 counts as a share of 0. NaN stays NaN.
    return branch / whole.where(whole != 0, 1)


def score(model, batches, softmax="taylor") -> LayerScores:
    """Mean share of relevance in the update of each block, (M,) float64 in [0, 1]; 0 for a block that adds nothing.

    softmax: "taylor" as in AttnLRP, or "constant", see `avss.engine.relevance`. Where a block normalises after the sum
    (BERT, DistilBERT), there is no clean skip; its update is still the change that it made. Raises `InputError` as
    `avss.engine.gradients.gradient_pass` and `avss.engine.relevance.attnlrp`.
    """
    with attnlrp(model, softmax):
        found = gradient_pass(model, batches, lambda gold: gold.logit.sum(1), _branch_share)
    return from_values("lrp", found.values.mean(1), documents=len(found.scored), tokens=found.tokens)
