"""All facts of every method, in the order of tables and figures. A new method is a new file and an entry here.

The function of a method is `score` in its own file. It is imported on first use, so this module needs no torch.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from avss.errors import look_up

if TYPE_CHECKING:
    from avss.scores import LayerScores


# Most players of which Shapley values take all coalitions, and most forward passes a document for those of more.
EXACT = 12
BUDGET = 200


class Work(NamedTuple):
    """Runs on one batch: of blocks, forwards and backwards, and of the head, forwards and backwards."""

    forwards: int = 0
    backwards: int = 0
    head_forwards: int = 0
    head_backwards: int = 0


def _greedy(blocks: int, removed: int) -> Work:
    left = range(blocks, blocks - removed, -1)
    return Work(sum((n - 1) * (n + 2) // 2 for n in left), 0, sum(left))


def _shapley(blocks: int, removed: int) -> Work:
    """All coalitions of few blocks. Of many, at most the budget, with about four coalitions a forward pass."""
    if blocks <= EXACT:
        return Work(2**blocks - 2 + blocks, 0, 2**blocks)
    return Work(BUDGET * blocks, 0, 4 * BUDGET)


@dataclass(frozen=True)
class Method:
    """The facts of one method.

    name: what users type, and the name of its file in `avss/methods`. label: its name for readers. source: the
    publication, or a note that the definition is ours. summary: one line. work(M, k): its runs on one batch, in a model
    of M blocks of which k are removed.
    reads_text: it needs batches. reads_labels: a classifier's batches need `labels`. split: several processes share the
    batches (`avss.engine.parallel`); without it each process does the whole work. depends_on_seed: another seed can
    choose other layers. keeps_attention: it keeps the attention weights for its backward pass.
    cached_by: the method whose cached losses hold all that this one needs. After that method, this one runs nothing.
    baseline: the paper's Table 1 compares AVSS with it. control: for a control, how a table names removal by it.
    target(M): the most time that it may take, in bare forward passes of the model.
    file: the name of its file, where that is not its name. column: the column of `LayerScores.table` with its scores,
    where that is not its name.
    """

    name: str
    label: str
    source: str
    summary: str
    work: Callable[[int, int], Work] = lambda blocks, removed: Work()
    reads_text: bool = False
    reads_labels: bool = False
    split: bool = False
    depends_on_seed: bool = True
    keeps_attention: bool = False
    cached_by: str | None = None
    baseline: bool = False
    control: str | None = None
    target: Callable[[int], float] | None = None
    file: str | None = None
    column: str | None = None

    @property
    def function(self) -> "Callable[..., LayerScores]":
        """function(model, batches, **options) -> LayerScores, higher = more important."""
        return importlib.import_module(f"avss.methods.{self.file or self.name}").score

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that the function takes."""
        _, _, *own = inspect.signature(self.function).parameters.values()
        return tuple(each.name for each in own if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "gbis",
            "GBIS",
            "baseline of the paper, not defined there; definition ours",
            "norm of the gradient of the loss at the block's output",
            work=lambda blocks, removed: Work(blocks, blocks, 1, 1),
            reads_text=True,
            reads_labels=True,
            baseline=True,
            target=lambda blocks: 4,
        ),
        Method(
            "lrp",
            "LRP",
            "baseline of the paper, not defined there; rules of Achtibat et al. 2024, AttnLRP, arXiv 2402.05602; "
            "score ours",
            "share of the gold logit's relevance in what the block adds",
            work=lambda blocks, removed: Work(blocks, blocks, 1, 1),
            reads_text=True,
            reads_labels=True,
            keeps_attention=True,
            baseline=True,
            target=lambda blocks: 4,
        ),
        Method(
            "cim",
            "CIM",
            "baseline of the paper, not defined there; after Främling 2022, arXiv 2202.07292, adaptation ours",
            "swing of the gold probability as the block is gated by 0, 1/2 and 1",
            work=lambda blocks, removed: Work(blocks * (blocks + 1), 0, 2 * blocks + 1),
            reads_text=True,
            reads_labels=True,
            baseline=True,
        ),
        Method(
            "avss",
            "AVSS",
            "Song et al. 2024, arXiv 2411.02117, Eqs. 1-9",
            "variance of the activations over the share of them near zero",
            work=lambda blocks, removed: Work(blocks),
            reads_text=True,
            split=True,
            target=lambda blocks: 1.10,
            column="normalized_avss",
        ),
        Method(
            "taylor",
            "Taylor",
            "Ma et al. 2023, LLM-Pruner, arXiv 2305.11627; Kim et al. 2024, Shortened LLaMA, arXiv 2402.02834; "
            "form ours",
            "first-order change of the loss when the block is skipped",
            work=lambda blocks, removed: Work(blocks, blocks, 1, 1),
            reads_text=True,
            reads_labels=True,
            target=lambda blocks: 4,
        ),
        Method(
            "block_influence",
            "block influence",
            "Men et al. 2024, ShortGPT, arXiv 2403.03853",
            "one minus the cosine of the block's input and output",
            work=lambda blocks, removed: Work(blocks),
            reads_text=True,
            target=lambda blocks: 1.10,
        ),
        Method(
            "angular",
            "angular distance",
            "Gromov et al. 2024, The Unreasonable Ineffectiveness of the Deeper Layers, arXiv 2403.17887; "
            "as scores ours",
            "angle between what enters and leaves a window of blocks, at the last token",
            work=lambda blocks, removed: Work(blocks),
            reads_text=True,
        ),
        Method(
            "leave_one_out",
            "leave one out",
            "Song et al. 2024, SLEB, arXiv 2402.09025; Kim et al. 2024, Shortened LLaMA, arXiv 2402.02834",
            "loss increase when the block is skipped",
            work=lambda blocks, removed: Work(blocks * (blocks + 1) // 2, 0, blocks + 1),
            reads_text=True,
            reads_labels=True,
            cached_by="cim",
            target=lambda blocks: 0.55 * blocks + 1,
        ),
        Method(
            "greedy",
            "greedy",
            "Song et al. 2024, SLEB, arXiv 2402.09025; as a score a layer ours",
            "the turn in which the block is removed, the least harmful first",
            work=_greedy,
            reads_text=True,
            reads_labels=True,
        ),
        Method(
            "update_norm",
            "update norm",
            "Sieberling et al. 2024, EvoPress, arXiv 2410.14649, which compares it; over all tokens our choice",
            "norm of what the block adds over the norm of its output",
            work=lambda blocks, removed: Work(blocks),
            reads_text=True,
            target=lambda blocks: 1.10,
        ),
        Method(
            "kl_leave_one_out",
            "leave one out (KL)",
            "Sieberling et al. 2024, EvoPress, arXiv 2410.14649; of single blocks our choice",
            "divergence of the predictions when the block is skipped",
            work=lambda blocks, removed: Work(blocks * (blocks + 1) // 2, 0, blocks + 1),
            reads_text=True,
            target=lambda blocks: 0.55 * blocks + 1,
        ),
        Method(
            "shapley",
            "layer Shapley",
            "Zhang, Dong and Kawaguchi 2024, arXiv 2409.14381; estimators: Shapley 1953; Lundberg and Lee 2017, "
            "arXiv 1705.07874; Mitchell et al. 2022, arXiv 2104.12199",
            "mean gain in log-likelihood when the block joins others in random order",
            work=_shapley,
            reads_text=True,
            reads_labels=True,
        ),
        Method(
            "magnitude",
            "magnitude",
            "classic; over blocks our choice",
            "mean absolute weight of the block",
            depends_on_seed=False,
        ),
        Method("random", "random", "control", "a seeded random order", control="random removal", file="random_order"),
        Method(
            "last",
            "last",
            "control",
            "the deepest layers go first",
            depends_on_seed=False,
            control="removing the deepest",
        ),
        Method(
            "first",
            "first",
            "control",
            "the shallowest layers go first",
            depends_on_seed=False,
            control="removing the shallowest",
        ),
    )
}
# The methods that the paper compares AVSS with, and the controls.
BASELINES = tuple(method.name for method in METHODS.values() if method.baseline)
CONTROLS = tuple(method.name for method in METHODS.values() if method.control)


def method_named(name: str) -> Method:
    """The method, or `InputError` naming those that exist."""
    return look_up("method", name, METHODS)


def column_of(method: str) -> str:
    """The column of `LayerScores.table` that holds a method's scores; a method that is not listed has its own name."""
    return (METHODS[method].column if method in METHODS else None) or method
