"""Shapley values of games: exact, by permutations, by a regression on coalitions, and by windows; numbers only.

A game gives every coalition of its players a value for each document. The Shapley value of a player is the mean of its
marginal contribution v(S + player) - v(S) over all orders in which players can join (Shapley 1953). Every estimate is
linear in the values of the game, so each document has one of its own. Players are numbered in the order of the forward
pass. A coalition is a row of booleans, one a player.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from avss.errors import InputError

Coalitions = NDArray[np.bool_]
Values = NDArray[np.float64]

# Parts of a chain that are valued one after another where chains are truncated.
STAGES = 4
# Of the size of a coalition from its middle. Even powers are alike in a coalition and its complement.
POWERS = (1, 3, 5)


class Game:
    """A value function that is asked once for each coalition.

    value: (coalitions, players) booleans to (coalitions, documents) float64. cost: the price of valuing these
    coalitions together, in any unit. spent: the price of all coalitions that were valued so far.
    """

    def __init__(self, value: Callable[[Coalitions], Values], players: int, cost: Callable[[Coalitions], int] = len):
        self.value, self.players, self.cost, self.spent = value, players, cost, 0
        self.known: dict[bytes, Values] = {}

    def __call__(self, coalitions: Coalitions) -> Values:
        """The values of these coalitions, (coalitions, documents)."""
        rows = np.asarray(coalitions, dtype=bool)
        names = [row.tobytes() for row in rows]
        missing = {name: row for name, row in zip(names, rows, strict=True) if name not in self.known}
        if missing:
            new = np.array([*missing.values()])
            self.learn(new, self.value(new))
        return np.array([self.known[name] for name in names])

    def learn(self, coalitions: Coalitions, values: Values) -> None:
        """Keep values that are known, and count their cost."""
        self.known |= zip([row.tobytes() for row in coalitions], np.asarray(values, dtype=np.float64), strict=True)
        self.spent += self.cost(coalitions)

    @cached_property
    def ends(self) -> Values:
        """The values of no player and of all, (2, documents)."""
        return self(np.array([np.zeros(self.players), np.ones(self.players)]))


@dataclass(frozen=True)
class Estimate:
    """Values of the players of one game.

    values: (players, documents). covariance: (players, players), of the values summed over documents, by the chance in
    the estimator; 0 for an exact one, NaN where the error is not known. freedom: degrees of freedom of the covariance.
    """

    values: Values
    covariance: Values
    freedom: float


def exact(game: Game) -> Estimate:
    """Shapley values over all 2^n coalitions."""
    n = game.players
    coalitions = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    values, sizes = game(coalitions), coalitions.sum(1)
    # By size of the coalition before a player: the share of all orders in which exactly these players come first.
    share = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])
    weights = np.where(coalitions, share[sizes - 1][:, None], -share[np.minimum(sizes, n - 1)][:, None])
    return Estimate(weights.T @ values, np.zeros((n, n)), math.inf)


def windows(players: int, level: int) -> Iterator[tuple[int, range]]:
    """Each player with each window of at most `level` neighbours, inside the model, of which it is first or last."""
    for player in range(players):
        starts = {(player, player + size) for size in range(1, level + 1)}
        ends = {(player + 1 - size, player + 1) for size in range(1, level + 1)}
        for first, end in sorted(starts | ends):
            if first >= 0 and end <= players:
                yield player, range(first, end)


def window(game: Game, level: int) -> Estimate:
    """The estimator of "Investigating Layer Importance in Large Language Models" (arXiv 2409.14381), as released.

    The value of player l is the plain mean of v(N \\ (W \\ {l})) - v(N \\ W) over the windows W of at most `level`
    neighbours of which l is the first or the last; N is all players. It leaves out the Shapley weights, all coalitions
    that lack more than `level` players, and chance. So the values do not add up to v(N) - v(none), more work does not
    bring them nearer to Shapley values, and the error is a bias of unknown size: the covariance is NaN. level = 1 is
    leave-one-out. Raises `InputError` unless level is a whole number from 1 to the number of players.
    """
    n = game.players
    if isinstance(level, bool) or not isinstance(level, int | np.integer) or not 1 <= level <= n:
        raise InputError(f"level is {level!r}; give the longest window, from 1 to {n} players")
    listed = list(windows(n, level))
    owners = np.array([player for player, _ in listed])
    without = np.array([[player not in span for player in range(n)] for _, span in listed])
    gains = game(without | (owners[:, None] == np.arange(n))) - game(without)
    means = np.array([gains[owners == player].mean(0) for player in range(n)])
    return Estimate(means, np.full((n, n), np.nan), math.nan)


def chain(order: NDArray[np.int64]) -> Coalitions:
    """The coalitions that grow as players join in this order, from none to all, (players + 1, players)."""
    return np.arange(len(order) + 1)[:, None] > np.argsort(order)


class Permutations:
    """Marginal contributions along random orders, each with its reverse (Mitchell et al. 2022); unbiased.

    One round walks one pair of orders. truncate: a chain, walked from all players down, ends where its value differs
    from that of no player by at most the standard error of that difference over the documents. The players that are
    left then share the difference alike. That alone would bias the values by an unknown amount. So two pairs of eight
    are walked to their ends, and the mean difference between whole and truncated chains is added to the mean of all.
    The bias is then 0, and the chance in the correction is part of the covariance.
    """

    def __init__(self, game: Game, generator: np.random.Generator, truncate: bool = False):
        self.game, self.generator, self.truncate = game, generator, truncate
        self.asked = 0
        # (players, documents), one entry a pair; corrections: whole less truncated, of pairs walked to their ends.
        self.means: list[Values] = []
        self.corrections: dict[int, Values] = {}

    def extend(self, room: float, growth: float) -> bool:
        """Walk as many pairs as a covariance needs; later so many that their number grows by this factor, or fit."""
        done = len(self.means)
        pairs = int(min((growth - 1) * done, room * done / self.asked)) if self.ready else self.least
        orders = [self.generator.permutation(self.game.players) for _ in range(pairs)]
        if self.truncate:
            for order in orders:
                self._add_truncated(order)
        elif orders:
            # All in one call, so that they share the blocks that they have in common.
            chains = np.concatenate([chain(each) for order in orders for each in _both_ways(order)])
            found = np.split(self.game(chains), pairs)
            self.asked += self.game.cost(chains)
            self.means += [_mean_gains(order, np.split(values, 2)) for order, values in zip(orders, found, strict=True)]
        return bool(orders)

    def _add_truncated(self, order: NDArray[np.int64]) -> None:
        number, whole = len(self.means), None
        if number % 8 < 2:
            both = np.concatenate([chain(each) for each in _both_ways(order)])
            whole = _mean_gains(order, np.split(self.game(both), 2))
            self.asked += self.game.cost(both)
        walked = [self._truncated(each) for each in _both_ways(order)]
        self.means.append(_mean_gains(order, [values for values, _ in walked]))
        if whole is None:
            self.asked += sum(cost for _, cost in walked)
        else:
            self.corrections[number] = whole - self.means[number]

    def _truncated(self, order: NDArray[np.int64]) -> tuple[Values, int]:
        """The values along a truncated chain, and what they cost."""
        coalitions, none, cost = chain(order), self.game.ends[0], 0
        values = np.empty((len(coalitions), len(none)))
        for top, bottom in pairwise(np.linspace(len(order), 0, STAGES + 1).astype(int)):
            values[bottom : top + 1] = self.game(coalitions[bottom : top + 1])
            cost += self.game.cost(coalitions[bottom : top + 1])
            apart = values[bottom : top + 1] - none
            error = math.sqrt(len(none)) * apart.std(1, ddof=1) if len(none) > 1 else math.nan
            near = bottom + np.flatnonzero(np.abs(apart.sum(1)) <= error)
            if near.size and near[-1] > 0:
                size = near[-1]
                values[:size] = none + np.arange(size)[:, None] / size * (values[size] - none)
                break
        return values, cost

    @property
    def least(self) -> int:
        """Pairs that a covariance needs."""
        return 4 if self.truncate else 2

    @property
    def ready(self) -> bool:
        """Whether there are pairs enough for a covariance."""
        return len(self.means) >= self.least

    def estimate(self) -> Estimate:
        """Means over all pairs so far."""
        means, pairs = np.array(self.means), len(self.means)
        parts = means.sum(2) / pairs
        if not self.truncate:
            return Estimate(means.mean(0), pairs * _covariance(parts), pairs - 1)
        corrections = np.array([*self.corrections.values()])
        whole = np.isin(np.arange(pairs), [*self.corrections])
        corrected = parts[whole] + corrections.sum(2) / len(corrections)
        covariance = len(corrections) * _covariance(corrected) + (~whole).sum() * _covariance(parts)
        return Estimate(means.mean(0) + corrections.mean(0), covariance, len(corrections) - 1)


def _both_ways(order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return order, order[::-1]


def _mean_gains(order: NDArray[np.int64], values: Sequence[Values]) -> Values:
    """What each player adds, (players, documents), on average as players join in this order and in its reverse.

    values: of the chains both ways, each (players + 1, documents).
    """
    gains = np.empty((2, len(order), values[0].shape[1]))
    for each, joined, found in zip(gains, _both_ways(order), values, strict=True):
        each[joined] = np.diff(found, axis=0)
    return gains.mean(0)


def _covariance(rows: Values) -> Values:
    return np.atleast_2d(np.cov(rows, rowvar=False))


class Kernel:
    """The Shapley value as a weighted least-squares fit: KernelSHAP (Lundberg and Lee 2017) on pairs of coalitions.

    A pair is a coalition and its complement; only the difference of their values bears on the fit (Covert and Lee
    2021). All pairs with a single player are taken. The others are drawn with the weights of the kernel, in few large
    rounds, because coalitions that are valued together share blocks. The values add up to v(N) - v(none) by
    construction. Their bias falls as one over the number of pairs, so it is small beside the standard error, which
    falls as one over its root. The covariance comes from the residuals, each over one minus its leverage (HC3).

    Ours: powers of the size of a coalition stand in the fit beside its players. Over all coalitions of one size they
    are orthogonal to values that add up to 0, so the fit tends to the same values. Without them, the residuals of a
    language model are large: it is useless with no block, and nearly as useless with any one.
    """

    def __init__(self, game: Game, generator: np.random.Generator):
        n = game.players
        self.game, self.generator, self.asked, self.price = game, generator, 0, 0.0
        self.sizes = np.arange(2, n // 2 + 1)
        self.mass = (n - 1) / (self.sizes * (n - self.sizes)) * np.where(2 * self.sizes == n, 1, 2)
        self.coalitions = np.eye(n, dtype=bool)
        self.halves = self._halves(self.coalitions)

    def _halves(self, coalitions: Coalitions) -> Values:
        both = np.concatenate([coalitions, ~coalitions])
        joined, left = np.split(self.game(both), 2)
        cost = self.game.cost(both)
        self.asked, self.price = self.asked + cost, cost / len(coalitions)
        return (joined - left) / 2

    def extend(self, room: float, growth: float) -> bool:
        """Draw three pairs a player; later so many that their number grows by this factor, or as many as fit."""
        n = self.game.players
        pairs = 3 * n
        if self.ready:
            pairs = int(min((growth - 1) * (len(self.coalitions) - n), room / self.price))
        if pairs < n or not self.sizes.size:
            return False
        sizes = self.generator.choice(self.sizes, pairs, p=self.mass / self.mass.sum())
        drawn = self.generator.random((pairs, n)).argsort(1).argsort(1) < sizes[:, None]
        self.halves = np.concatenate([self.halves, self._halves(drawn)])
        self.coalitions = np.concatenate([self.coalitions, drawn])
        return True

    @property
    def ready(self) -> bool:
        """Whether there are pairs enough for a covariance."""
        return not self.sizes.size or len(self.coalitions) > self.game.players

    def estimate(self) -> Estimate:
        """The fit to all pairs so far."""
        n, drawn = self.game.players, len(self.coalitions) - self.game.players
        even = (self.game.ends[1] - self.game.ends[0]) / n
        signs = self.coalitions - 0.5
        weights = np.repeat([2 / n, self.mass.sum() / max(drawn, 1)], [n, drawn])
        # The fit is over values that add up to 0. The even share of v(N) - v(none) comes on top.
        basis = linalg.null_space(np.ones((1, n)))
        size = signs.sum(1)[:, None] * 2 / n
        design = np.concatenate([signs @ basis, size ** np.array(POWERS)], axis=1)
        fit = np.linalg.pinv((design.T * weights) @ design) @ (design.T * weights)
        values = basis @ (fit @ self.halves)[: n - 1]
        if not drawn:
            return Estimate(values + even, np.zeros((n, n)), math.inf)
        leverage = np.einsum("jp,pj->j", design, fit)
        residuals = (self.halves - design @ (fit @ self.halves)).sum(1) / (1 - leverage)
        influence = basis @ fit[: n - 1] * residuals
        return Estimate(values + even, drawn * _covariance(influence.T[n:]), drawn - n)


@dataclass(frozen=True)
class Total:
    """Sums of estimates over games, each (outputs,): values, standard errors of the estimator, 95 % intervals."""

    values: Values
    errors: Values
    low: Values
    high: Values


def total(estimates: Sequence[Estimate], scale: float, outputs: Values | None = None) -> Total:
    """The sum over games and documents, divided by scale.

    outputs: (outputs, players), the sums of players that are wanted; by default each player alone. Games have chance of
    their own, so their variances add up, with the degrees of freedom of Satterthwaite (1946).
    """
    wanted = np.eye(len(estimates[0].values)) if outputs is None else outputs
    values = wanted @ sum(each.values.sum(1) for each in estimates) / scale
    variances = np.array([np.einsum("op,pq,oq->o", wanted, each.covariance, wanted) for each in estimates]) / scale**2
    variance = variances.sum(0).clip(0)
    freedom = variance**2 / np.maximum(sum(v**2 / e.freedom for v, e in zip(variances, estimates, strict=True)), 1e-300)
    errors = np.sqrt(variance)
    half = np.where(errors == 0, 0, stats.t.ppf(0.975, np.maximum(freedom, 1)) * errors)
    return Total(values, errors, values - half, values + half)


def sampled(
    games: Sequence[Game],
    sampler: Callable[[Game, np.random.Generator], Permutations | Kernel],
    seed: int,
    target: float,
    budget: float,
) -> list[Estimate]:
    """An estimate of each game, better round by round, until the values are known well enough or the budget is spent.

    Each game has a generator of its own, drawn from seed. target: the standard error of every value, as a share of the
    largest absolute value, at which to stop; it is widened as Student's t widens the intervals. budget: the most that
    the coalitions of one game may cost, counted as if no round shared any with another. The rounds that a covariance
    needs are run in any case.
    """
    generators = np.random.default_rng(seed).spawn(len(games))
    samplers = [sampler(game, generator) for game, generator in zip(games, generators, strict=True)]
    growth = 2.0
    while True:
        grown = [each.extend(budget - each.asked, growth) for each in samplers]
        if all(each.ready for each in samplers):
            estimates = [each.estimate() for each in samplers]
            found = total(estimates, 1)
            widest = (found.high - found.low).max() / (2 * stats.norm.ppf(0.975))
            goal = target * np.abs(found.values).max()
            if widest <= goal or not any(grown):
                return estimates
            # A standard error falls as the root of the number of draws.
            growth = max(2.0, (widest / goal) ** 2) if goal else math.inf
