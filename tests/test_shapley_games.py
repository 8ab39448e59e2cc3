"""Estimators of Shapley values on planted games, against slow oracles straight from the definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avss.engine.games import Game, Kernel, Permutations, exact, sampled, total, window
from avss.errors import InputError
from avss.methods.shapley import block_forwards
from tests.oracles import over_all_orders

SAMPLERS = {
    "permutation": Permutations,
    "truncated": lambda game, generator: Permutations(game, generator, truncate=True),
    "kernel": Kernel,
}


def unanimity(players: int, terms: list[tuple[tuple[int, ...], float]], documents: int = 3):
    """A sum of unanimity games, each worth its weight where all of its players are there, and its Shapley values.

    Document d has d + 1 times the values of the first.
    """

    def value(coalitions):
        one = sum(weight * coalitions[:, list(together)].all(1) for together, weight in terms)
        return one[:, None] * np.arange(1, documents + 1)

    values = np.zeros(players)
    for together, weight in terms:
        values[list(together)] += weight / len(together)
    return value, values * documents * (documents + 1) / 2


def drawn(players: int, terms: int, seed: int):
    generator = np.random.default_rng(seed)
    listed = [((player,), generator.exponential()) for player in range(players)]
    for _ in range(terms):
        together = generator.choice(players, generator.integers(2, min(players, 6) + 1), replace=False)
        listed.append((tuple(together.tolist()), generator.normal()))
    return unanimity(players, listed)


def table_game(players: int, seed: int, documents: int = 2):
    """Random values without any structure."""
    table = np.random.default_rng(seed).normal(size=(2**players, documents))
    return lambda coalitions: table[coalitions @ 2 ** np.arange(players)]


def sums(value, players: int, estimator, **options):
    game = Game(value, players)
    return total(sampled([game], SAMPLERS[estimator], **({"seed": 0, "target": 0, "budget": 400} | options)), 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(0, 1000))
def test_exact_values_are_the_mean_gain_over_all_orders(players, seed):
    value = table_game(players, seed)
    found = exact(Game(value, players))
    assert found.values == pytest.approx(over_all_orders(value, players), abs=1e-12)
    assert not found.covariance.any()


def test_exact_values_of_unanimity_games_are_shared_alike():
    value, expected = drawn(12, 30, seed=1)
    assert total([exact(Game(value, 12))], 1).values == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("estimator", SAMPLERS)
def test_values_are_near_the_exact_ones_and_add_up(estimator):
    value, expected = drawn(10, 20, seed=2)
    found = sums(value, 10, estimator, budget=1500)
    assert np.abs(found.values - expected).max() < 5 * found.errors.max()
    assert found.values.sum() == pytest.approx(expected.sum(), abs=1e-9)
    assert (found.low <= found.values).all()
    assert (found.values <= found.high).all()


@pytest.mark.parametrize("estimator", ["permutation", "kernel"])
def test_a_game_without_interactions_needs_no_luck(estimator):
    value, expected = drawn(9, 0, seed=3)
    found = sums(value, 9, estimator)
    assert found.values == pytest.approx(expected, abs=1e-9)
    assert found.errors == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("estimator", SAMPLERS)
def test_players_that_add_nothing_get_nothing_and_equal_players_get_the_same(estimator):
    # Player 7 is in no term. Players 0 and 1 stand in the same terms.
    terms = [((0, 2), 1.0), ((1, 2), 1.0), ((0, 1, 3), -2.0), ((4, 5, 6), 3.0), ((0, 1), 0.5), ((6,), 1.0)]
    value, expected = unanimity(8, terms)
    assert expected[7] == 0
    assert expected[0] == expected[1]
    found = sums(value, 8, estimator, budget=1000)
    assert abs(found.values[7]) <= max(4 * found.errors[7], 1e-9)
    assert abs(found.values[0] - found.values[1]) <= 4 * math.hypot(found.errors[0], found.errors[1])


@pytest.mark.parametrize("estimator", ["permutation", "kernel"])
def test_values_of_a_sum_of_games_are_the_sums_of_their_values(estimator):
    first, second = drawn(8, 10, seed=4)[0], drawn(8, 10, seed=5)[0]
    both = sums(lambda coalitions: first(coalitions) + second(coalitions), 8, estimator).values
    # The same seed draws the same coalitions.
    assert both == pytest.approx(sums(first, 8, estimator).values + sums(second, 8, estimator).values, abs=1e-9)


@pytest.mark.parametrize("estimator", SAMPLERS)
def test_at_least_nine_of_ten_intervals_hold_the_exact_value(estimator):
    value, expected = drawn(8, 25, seed=6)
    held = []
    for seed in range(50):
        found = sums(value, 8, estimator, seed=seed, budget=220)
        held.append((found.low <= expected) & (expected <= found.high))
    assert np.mean(held) >= 0.9
    assert np.mean(held) < 1, "intervals that always hold are too wide to tell anything"


@pytest.mark.parametrize("estimator", ["permutation", "kernel"])
def test_intervals_hold_also_where_the_target_decides_when_to_stop(estimator):
    value, expected = drawn(8, 25, seed=7)
    held = []
    for seed in range(50):
        found = sums(value, 8, estimator, seed=seed, target=0.05, budget=10000)
        assert found.errors.max() <= 0.05 * np.abs(found.values).max()
        held.append((found.low <= expected) & (expected <= found.high))
    assert np.mean(held) >= 0.9


def test_truncated_chains_cost_less_and_are_not_biased():
    # Worth something only with nearly all players, as a deep model is; values of documents differ.
    def value(coalitions):
        missing = (~coalitions) @ np.array([3.0, 2, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5])
        noise = np.sin(np.outer(coalitions @ np.arange(1, 11), np.arange(1, 7)))
        return 10 * np.exp(-missing)[:, None] + noise

    expected = exact(Game(value, 10)).values.sum(1)
    found, errors, cost = [], [], {}
    for seed in range(60):
        for truncate in (True, False):
            game = Game(value, 10)
            sampler = Permutations(game, np.random.default_rng(seed), truncate)
            while len(sampler.means) < 16:
                sampler.extend(math.inf, 2)
            cost[truncate] = cost.get(truncate, 0) + sampler.asked
            if truncate:
                whole = total([sampler.estimate()], 1)
                found.append(whole.values)
                errors.append(whole.errors)
    assert cost[True] < 0.8 * cost[False]
    bias = np.mean(found, axis=0) - expected
    assert np.abs(bias).max() < 4 * np.sqrt(np.mean(np.square(errors), axis=0) / 60).max()
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(found, axis=0).mean(), rel=0.35)


@pytest.mark.parametrize("estimator", ["permutation", "kernel"])
def test_32_players_of_16_batches_come_within_five_percent_for_200_forwards_a_document(estimator):
    value, expected = drawn(32, 60, seed=8)
    games = [Game(value, 32, block_forwards) for _ in range(16)]
    found = total(sampled(games, SAMPLERS[estimator], 0, 0, 200 * 32), 16)
    assert all(game.spent <= 200 * 32 for game in games)
    assert np.linalg.norm(found.values - expected) < 0.05 * np.linalg.norm(expected)
    # The errors tell so without the exact values.
    assert np.linalg.norm(found.errors) < 0.05 * np.linalg.norm(found.values)


@pytest.mark.parametrize(("players", "level"), [(1, 1), (5, 1), (5, 3), (6, 6), (9, 3)])
def test_windows_are_those_of_the_definition(players, level):
    value = table_game(players, seed=9)
    expected = []
    for player in range(players):
        gains = []
        for first, last in itertools.combinations_with_replacement(range(players), 2):
            window_players = list(range(first, last + 1))
            if len(window_players) <= level and player in (first, last):
                without = np.ones((1, players), dtype=bool)
                without[0, window_players] = False
                joined = without.copy()
                joined[0, player] = True
                gains.append(value(joined)[0] - value(without)[0])
        expected.append(np.mean(gains, axis=0))
    found = window(Game(value, players), level)
    assert found.values == pytest.approx(np.array(expected), abs=1e-12)
    assert np.isnan(total([found], 1).errors).all(), "the error of windows is a bias that nobody knows"


def test_windows_of_64_players_cost_as_many_evaluations_as_the_paper():
    game = Game(lambda coalitions: coalitions.sum(1, keepdims=True), 64)
    window(game, 3)
    assert game.spent == len(game.known) == 190


@pytest.mark.parametrize("level", [0, 6, 2.5, True, "3"])
def test_a_window_that_fits_no_model_is_named(level):
    with pytest.raises(InputError, match=f"level is {level!r}"):
        window(Game(table_game(5, 0), 5), level)


@pytest.mark.parametrize("estimator", SAMPLERS)
@pytest.mark.parametrize("players", [1, 2, 3, 4, 5])
def test_games_of_few_players_have_estimates(estimator, players):
    value = table_game(players, seed=10)
    found = sums(value, players, estimator, budget=4000)
    assert found.values == pytest.approx(over_all_orders(value, players).sum(1), abs=max(5 * found.errors.max(), 1e-9))


@pytest.mark.parametrize("estimator", SAMPLERS)
def test_no_coalition_is_valued_twice(estimator):
    seen = []

    def value(coalitions):
        seen.extend(row.tobytes() for row in coalitions)
        return table_game(7, 11)(coalitions)

    sums(value, 7, estimator)
    assert len(seen) == len(set(seen))


def test_captum_finds_the_same_values():
    attr = pytest.importorskip("captum.attr", reason="captum is not installed; it is a reference for this test alone")
    torch = pytest.importorskip("torch")
    value = table_game(6, seed=12, documents=1)

    def forward(there):
        return torch.tensor(value(there.bool().numpy())[:, 0])

    torch.manual_seed(0)
    samples = 400
    theirs = attr.ShapleyValueSampling(forward).attribute(torch.ones(1, 6), n_samples=samples)[0].numpy()
    ours = sums(value, 6, "permutation", budget=14 * 200)
    # One pair of orders tells no more than two single ones, so this is at least the error of theirs.
    error = np.sqrt(2) * ours.errors
    assert (np.abs(theirs - ours.values) < 4 * np.hypot(error, ours.errors)).all()


def test_a_jump_that_any_player_brings_leaves_the_fit_as_it_is():
    # As a language model: useless with no block, nearly as useless with any one.
    value, _ = drawn(30, 60, seed=3)

    def fitted(jump: float):
        game = Game(lambda coalitions: value(coalitions) + jump * coalitions.any(1)[:, None], 30, block_forwards)
        return total(sampled([game], Kernel, 0, 0, 80 * 30), 1)

    with_jump, without = fitted(100), fitted(0)
    assert with_jump.values == pytest.approx(without.values + 3 * 100 / 30, abs=1e-9)
    assert with_jump.errors == pytest.approx(without.errors, rel=1e-6)


def test_values_that_depend_on_the_size_alone_are_shared_alike():
    def by_size(coalitions):
        size = coalitions.sum(1)
        return np.where(size > 0, 3 * size - 0.1 * size**2 + 0.002 * size**3, -90)[:, None]

    found = total(sampled([Game(by_size, 20, block_forwards)], Kernel, 0, 0, 80 * 20), 1)
    whole = by_size(np.ones((1, 20), dtype=bool)) - by_size(np.zeros((1, 20), dtype=bool))
    assert found.values == pytest.approx(np.full(20, whole.item() / 20), abs=1e-9)
    assert found.errors.max() < 1e-9
