"""Layer Shapley values: how much of the likelihood each block, or each attention and feed-forward sublayer, brings.

"Investigating Layer Importance in Large Language Models" (arXiv 2409.14381) takes the sublayers for the players of a
game. The value of a coalition is the score of the model in which all other players add nothing to the residual stream.
The paper reports `window`, which is near leave-one-out. `exact`, `permutation` and `kernel` estimate the Shapley value
itself (`avss.engine.games`).
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from avss.architectures import blocks_of
from avss.engine.ablation import ablate
from avss.engine.branches import Branches, branches_of, state_in
from avss.engine.games import Estimate, Game, Kernel, Permutations, exact, sampled, total, window
from avss.errors import InputError, look_up
from avss.methods.catalogue import BUDGET, EXACT
from avss.scores import LayerScores, rank

# Players of a block, by the names that the option has for them.
PLAYERS = {"blocks": 1, "sublayers": 2}
ESTIMATORS = ("exact", "permutation", "kernel", "window")


@dataclass(frozen=True)
class ShapleyScores(LayerScores):
    """Shapley values of the layers, with what they were computed from.

    table: `shapley` and, for sublayers, `attention` and `mlp`, which add up to it. `standard_error`, `low` and `high`
    (95 %) are the chance of the estimator on these documents: 0 where it is exact, NaN for `window`, whose error is
    not known. `document_error` is the standard error of drawing the documents; the chance of the estimator is partly in
    it, and it is NaN for one document. For sublayers the columns with `attention_` and `mlp_` before these names hold
    the same of their own.
    estimator: its name. block_forwards: blocks that a batch ran, summed over batches, as if no cache had helped.
    v_all, v_none: the value with all players and with none.
    by_document: (M, D) float64, the value of each layer for each document, summed over its predictions. scored: (D,),
    the predictions of each; documents of batches in which nothing is scored are left out. They are not saved.
    """

    estimator: str = ""
    block_forwards: int = 0
    v_all: float = math.nan
    v_none: float = math.nan
    by_document: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    scored: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)

    @property
    def sum_of_values(self) -> float:
        return float(self.values.sum())

    @property
    def efficiency_gap(self) -> float:
        """The sum of the values less v_all - v_none: 0 for Shapley values, but for rounding."""
        return self.sum_of_values - (self.v_all - self.v_none)

    def save(self, path: str | os.PathLike, **facts) -> None:
        """As `LayerScores.save`, with these numbers among the facts."""
        own = ("estimator", "block_forwards", "v_all", "v_none", "sum_of_values", "efficiency_gap")
        super().save(path, **{name: getattr(self, name) for name in own}, **facts)


def score(
    model: nn.Module,
    batches: Iterable[dict],
    players: str = "blocks",
    estimator: str | None = None,
    level: int = 3,
    value: Callable[[nn.Module, dict], ArrayLike] | None = None,
    target: float = 0.05,
    budget: float = BUDGET,
    truncate: bool = False,
    seed: int = 0,
    cache: str | os.PathLike | None = None,
    key: str | None = None,
) -> ShapleyScores:
    """Shapley values, in the unit of the value; they may be negative and are never clipped.

    players: "blocks", or "sublayers" for the attention and the feed-forward branch of each block apart, in the order of
    the forward pass. In a block that normalises after the sum (BERT), a sublayer that is absent leaves that norm.
    estimator: "exact" (at most 12 players), "permutation", "kernel" or "window"; by default exact where it can be, and
    otherwise kernel. level: players in the longest window. target: the standard error of every value, as a share of the
    largest absolute value, at which permutation and kernel stop. budget: where they stop in any case, in forward passes
    of all blocks a document, heads not counted; permutation runs at least two pairs of orders, kernel at least eight
    coalitions a player. Batches draw coalitions of their own, so the error also falls with the number of batches.
    truncate: cut permutations short, see `avss.engine.games.Permutations`. seed: draws the coalitions.
    value: a function of the model and a batch that returns a score of each document, (B,), such as whether the answer
    is right. It is called with the absent players turned off. By default, the value is the log-likelihood of the gold
    tokens, in nats a scored prediction over all documents. Its coalitions are kept in `cache` under `key`, as in
    `avss.engine.ablation.ablate`, so a run that was killed computes only the missing ones, and other methods share
    them. Those of a function of your own are kept in memory alone.

    Raises `InputError` for options outside these, values that are not finite, and as `ablate` does.
    """
    batches, layers = list(batches), len(blocks_of(model))
    width = look_up("players", players, PLAYERS)
    count = width * layers
    chosen = ("exact" if count <= EXACT else "kernel") if estimator is None else estimator
    look_up("estimator", chosen, dict.fromkeys(ESTIMATORS))
    if chosen == "exact" and count > EXACT:
        raise InputError(
            f"exact values of {count} players need 2^{count} coalitions; choose permutation or kernel, or a model of "
            f"at most {EXACT} {players}"
        )
    _check_numbers(target, budget, seed, truncate)
    if value is None:
        games, counts, tokens = _of_likelihood(model, batches, layers, width, cache, key)
    elif callable(value):
        games, counts, tokens = _of_scores(model, batches, layers, width, value)
    else:
        raise InputError(f"value is {value!r}; give a function of the model and a batch, or leave it out")
    if chosen == "exact":
        estimates = [exact(game) for game in games]
    elif chosen == "window":
        estimates = [window(game, level) for game in games]
    else:
        sampler = Kernel if chosen == "kernel" else partial(Permutations, truncate=truncate)
        estimates = sampled(games, sampler, seed, target, budget * layers)
    v_none, v_all = np.sum([game.ends.sum(1) for game in games], axis=0) / counts.sum()
    by_player = np.concatenate([each.values for each in estimates], axis=1)
    return ShapleyScores(
        _table(estimates, by_player, counts, width),
        "shapley",
        documents=sum(len(batch["input_ids"]) for batch in batches),
        tokens=tokens,
        estimator=chosen,
        block_forwards=sum(game.spent for game in games),
        v_all=float(v_all),
        v_none=float(v_none),
        by_document=by_player.reshape(layers, width, -1).sum(1),
        scored=counts,
    )


def shares(values: ArrayLike, clipped: bool = False) -> NDArray[np.float64]:
    """The share of each value in their sum. clipped: negative values count as 0, as in the code of the paper.

    Without clipping, shares may be negative or above 1. Raises `InputError` where the sum is not above 0.
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept.clip(0) if clipped else kept
    whole = kept.sum()
    if not whole > 0:
        raise InputError(f"the values add up to {whole:g}, so they have no shares; give values with a sum above 0")
    return kept / whole


def _check_numbers(target: float, budget: float, seed: int, truncate: bool) -> None:
    for name, number in (("target", target), ("budget", budget)):
        least = "at least 0" if name == "target" else "above 0"
        if isinstance(number, bool) or not isinstance(number, Real) or not 0 <= number < math.inf:
            raise InputError(f"{name} is {number!r}; give a number {least}")
    if budget == 0:
        raise InputError("budget is 0; give a number above 0")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed is {seed!r}; give a whole number, at least 0")
    if not isinstance(truncate, bool):
        raise InputError(f"truncate is {truncate!r}; give True or False")


def _gates(coalitions: NDArray[np.bool_], width: int) -> NDArray[np.float64]:
    """Masks as the engine wants them: (coalitions, M), or (coalitions, M, 2) for sublayers."""
    gates = np.asarray(coalitions, dtype=np.float64)
    return gates if width == 1 else gates.reshape(len(gates), -1, width)


def block_forwards(coalitions: NDArray[np.bool_], width: int = 1, skips: bool = True) -> int:
    """Blocks that run when these coalitions are valued together, and each shared beginning runs once.

    coalitions: (coalitions, M * width) booleans. skips: a block of which no player is there does not run.
    """
    beginnings, runs = np.zeros(len(coalitions), dtype=np.int64), 0
    for block in np.split(np.asarray(coalitions, dtype=np.int64), coalitions.shape[1] // width, axis=1):
        gate = block @ 2 ** np.arange(width)
        beginnings = np.unique(beginnings * 2**width + gate, return_inverse=True)[1]
        runs += len(np.unique(beginnings[(gate > 0) | (not skips)]))
    return runs


def _of_likelihood(model, batches, layers: int, width: int, cache, key) -> tuple[list[Game], NDArray, int]:
    """A game of log-likelihoods for each batch in which anything is scored, the documents' counts, and tokens read."""
    ends = np.array([np.zeros(layers * width), np.ones(layers * width)], dtype=bool)
    # All batches at once, so that a fault in any of them shows before the long work.
    found = ablate(model, batches, _gates(ends, width), cache=cache, key=key)
    skips = width == 1 or all(branches.norm_first for branches in branches_of(model))
    parts = np.cumsum([len(batch["input_ids"]) for batch in batches])[:-1]
    games, counts = [], []
    for batch, count, loss in zip(batches, np.split(found.count, parts), np.split(found.loss, parts, 1), strict=True):
        if count.any():
            games.append(
                Game(
                    lambda coalitions, batch=batch: (
                        -ablate(model, [batch], _gates(coalitions, width), cache=cache, key=key).loss
                    ),
                    layers * width,
                    partial(block_forwards, width=width, skips=skips),
                )
            )
            games[-1].learn(ends, -loss)
            counts.append(count)
    return games, np.concatenate(counts), found.tokens


def _of_scores(model, batches, layers: int, width: int, value: Callable) -> tuple[list[Game], NDArray, int]:
    """A game of a user's scores for each batch, a count of 1 for each document, and tokens read."""
    if not batches:
        raise InputError("no batches were given; Shapley values need at least one document")

    branches = branches_of(model) if width > 1 else None

    def game(number: int, batch: dict) -> Game:
        def values(coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
            return np.array([scored(gates) for gates in _gates(coalitions, width)])

        def scored(gates: NDArray[np.float64]) -> NDArray[np.float64]:
            with torch.inference_mode(), _gated(model, gates, branches):
                # A score may be on an accelerator, or in a dtype that NumPy lacks.
                found = torch.as_tensor(value(model, batch)).double().cpu().numpy()
            if found.shape != (len(batch["input_ids"]),) or not np.isfinite(found).all():
                raise InputError(
                    f"value gave {found.tolist()} for batch {number}; it must give one finite number for each of its "
                    f"{len(batch['input_ids'])} documents"
                )
            return found

        # Absent players are turned off by hooks, so all blocks run.
        return Game(values, layers * width, lambda coalitions: layers * len(coalitions))

    games = [game(number, batch) for number, batch in enumerate(batches)]
    tokens = sum(int(batch.get("attention_mask", torch.ones_like(batch["input_ids"])).sum()) for batch in batches)
    return games, np.ones(sum(len(batch["input_ids"]) for batch in batches)), tokens


@contextmanager
def _gated(model: nn.Module, gates: NDArray[np.float64], branches: list[Branches] | None) -> Iterator[None]:
    """The model without the blocks (M,), or the sublayers (M, 2), whose gates are 0."""

    def silent(module, args, output):
        return torch.zeros_like(output)

    def skipped(module, args, kwargs, output):
        entered = state_in(args, kwargs)
        return (entered, *output[1:]) if isinstance(output, (tuple, list)) else entered

    with ExitStack() as stack:
        for layer, (block, gate) in enumerate(zip(blocks_of(model), gates, strict=True)):
            if gate.ndim:
                names = branches[layer].attention, branches[layer].mlp
                off = [name for name, on in zip(names, gate, strict=True) if not on]
                hooks = [block.get_submodule(name).register_forward_hook(silent) for name in off]
            else:
                hooks = [] if gate else [block.register_forward_hook(skipped, with_kwargs=True)]
            for hook in hooks:
                stack.callback(hook.remove)
        yield


def _table(estimates: list[Estimate], by_player: NDArray, counts: NDArray[np.int64], width: int) -> pd.DataFrame:
    layers = len(by_player) // width
    single = np.eye(len(by_player)).reshape(layers, width, -1)
    named = {"shapley": single.sum(1)}
    if width > 1:
        named |= {"attention": single[:, 0], "mlp": single[:, 1]}
    columns, errors = {"layer": np.arange(layers)}, {}
    for name, outputs in named.items():
        found = total(estimates, counts.sum(), outputs)
        columns[name] = found.values
        prefix = "" if name == "shapley" else f"{name}_"
        errors |= {
            f"{prefix}standard_error": found.errors,
            f"{prefix}low": found.low,
            f"{prefix}high": found.high,
            f"{prefix}document_error": _document_errors(outputs @ by_player, found.values, counts),
        }
    return pd.DataFrame(columns | errors | {"rank": rank(columns["shapley"])})


def _document_errors(sums: NDArray, values: NDArray, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard errors of values that are a ratio, sums (outputs, documents) over counts (documents,); linearised."""
    documents = len(counts)
    if documents < 2:
        return np.full(len(values), math.nan)
    apart = sums - values[:, None] * counts
    return np.sqrt(documents / (documents - 1) * np.square(apart).sum(1)) / counts.sum()
