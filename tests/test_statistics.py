"""Intervals and leads against plain resampling of documents and seeds."""

import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from avss import intervals
from avss.errors import InputError
from avss.metrics import METRICS


def plain_bootstrap(statistic, documents, resamples=4000):
    generator = np.random.default_rng(1)
    values = [statistic(generator.integers(0, documents, documents)) for _ in range(resamples)]
    return np.quantile(values, [0.025, 0.975])


GENERATOR = np.random.default_rng(0)
HITS = (GENERATOR.random(300) < 0.8).astype(float)
OTHER = np.where(GENERATOR.random(300) < 0.1, 1 - HITS, HITS)
ONES = np.ones(300)
TOKENS = GENERATOR.integers(5, 40, 300).astype(float)
SHARES = GENERATOR.integers(0, 5, 300) / 4
NLL = TOKENS * GENERATOR.normal(2.0, 0.3, 300)


def test_values_are_ratios_of_sums():
    assert intervals.value("accuracy", HITS, ONES) == HITS.mean()
    assert intervals.value("f1", SHARES, ONES) == intervals.value("exact_match", SHARES, ONES) == SHARES.mean()
    assert intervals.value("perplexity", NLL, TOKENS) == pytest.approx(np.exp(NLL.sum() / TOKENS.sum()))


@pytest.mark.parametrize(
    ("metric", "top", "bottom"), [("accuracy", HITS, ONES), ("f1", SHARES, ONES), ("perplexity", NLL, TOKENS)]
)
def test_intervals_equal_plain_resampling_of_documents(metric, top, bottom):
    low, high = intervals.interval(metric, top, bottom)
    expected = plain_bootstrap(lambda index: intervals.value(metric, top[index], bottom[index]), 300)
    width = expected[1] - expected[0]
    assert [low, high] == pytest.approx(expected, abs=0.1 * width)
    assert (low, high) == intervals.interval(metric, top, bottom), "the same documents give the same interval"


def lead(metric, first, second, denominator):
    return intervals.Seeds.of(metric, first, denominator).lead_over(intervals.Seeds.of(metric, second, denominator))


def test_paired_differences_share_the_documents():
    difference, low, high, _ = lead("accuracy", [HITS], [OTHER], ONES)
    assert difference == pytest.approx(HITS.mean() - OTHER.mean())
    expected = plain_bootstrap(lambda index: (HITS - OTHER)[index].mean(), 300)
    assert [low, high] == pytest.approx(expected, abs=0.01)
    unpaired = intervals.interval("accuracy", HITS, ONES)
    assert high - low < unpaired[1] - unpaired[0]


def test_the_same_seeds_have_no_lead():
    assert lead("accuracy", [HITS, OTHER], [HITS, OTHER], ONES) == (0, 0, 0, 1)


def plain_over_seeds(metric, numerators, denominator, resamples=4000):
    """The metric of seeds and documents that are drawn anew, loop by loop: perplexities averaged as logarithms."""
    generator, values, seeds = np.random.default_rng(2), [], len(numerators)
    for _ in range(resamples):
        documents = generator.integers(0, len(denominator), len(denominator))
        chosen = [numerators[seed] for seed in generator.integers(0, seeds, seeds)]
        singles = [intervals.value(metric, top[documents], denominator[documents]) for top in chosen]
        values.append(stats.gmean(singles) if metric == "perplexity" else np.mean(singles))
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.parametrize(("metric", "top", "bottom"), [("accuracy", HITS, ONES), ("perplexity", NLL, TOKENS)])
def test_an_interval_of_several_seeds_draws_documents_and_seeds_anew(metric, top, bottom):
    seeds = [top, 1.2 * top, 0.7 * top, 0.9 * top]
    found = intervals.Seeds.of(metric, seeds, bottom).estimate()
    singles = [intervals.value(metric, each, bottom) for each in seeds]
    assert found.value == pytest.approx(stats.gmean(singles) if metric == "perplexity" else np.mean(singles))
    expected = plain_over_seeds(metric, seeds, bottom)
    assert found[1:] == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))
    documents_alone = intervals.interval(metric, top, bottom)
    assert found.high - found.low > documents_alone[1] - documents_alone[0]


def test_one_bad_seed_does_not_make_the_mean_of_perplexities():
    """Of perplexities 2, 2 and 2000 the geometric mean is 20; the arithmetic one would be 668."""
    seeds = [np.log(value) * TOKENS for value in (2, 2, 2000)]
    assert intervals.Seeds.of("perplexity", seeds, TOKENS).mean() == pytest.approx(20)


def test_the_share_kept_is_that_of_the_mean_and_documents_are_paired_with_the_original():
    original, pruned = (
        intervals.Seeds.of("perplexity", seeds, TOKENS) for seeds in ([NLL], [NLL + 0.5 * TOKENS, NLL + TOKENS])
    )
    kept = pruned.kept_of(original)
    assert kept.value == pytest.approx(np.exp(-0.75))
    # Only the seeds vary: a document loses the same in each.
    assert kept[1:] == pytest.approx((np.exp(-1), np.exp(-0.5)))


def test_a_difference_of_shares_is_paired_and_has_the_sign_of_the_lead():
    whole, good, bad = (
        intervals.Seeds.of("perplexity", seeds, TOKENS)
        for seeds in ([NLL], [NLL + 0.5 * TOKENS] * 2, [NLL + TOKENS, NLL + 2 * TOKENS])
    )
    found = good.kept_beside(bad, whole)
    assert found.value == pytest.approx(np.exp(-0.5) - np.exp(-1.5))
    assert found[1:] == pytest.approx((np.exp(-0.5) - np.exp(-1), np.exp(-0.5) - np.exp(-2)))
    assert np.isnan(good.kept_beside(bad.chosen([0]), whole)[1:]).all()


def test_a_lead_is_positive_where_the_first_is_better_in_every_metric():
    assert lead("accuracy", [ONES], [HITS], ONES).value == pytest.approx(1 - HITS.mean())
    half = lead("perplexity", [NLL], [NLL + 0.5 * TOKENS], TOKENS)
    assert half == pytest.approx((0.5, 0.5, 0.5, 1 / intervals.RESAMPLES)), "in nats a token"


def test_any_statistic_of_documents_has_an_interval():
    found = intervals.interval_of(lambda documents: HITS[documents].mean(), 300)
    assert found == pytest.approx(intervals.interval("accuracy", HITS, ONES))


def test_drawing_seeds_anew_widens_the_interval_where_seeds_differ():
    others = [np.where(GENERATOR.random(300) < share, 1 - HITS, HITS) for share in (0.0, 0.05, 0.2, 0.4)]
    value, low, high, p = lead("accuracy", [HITS] * 4, others, ONES)
    single = [lead("accuracy", [HITS], [other], ONES) for other in others]
    assert low < value < high
    assert high - low > max(one.high - one.low for one in single[:2])
    assert (p <= 0.05) == (low > 0 or high < 0)
    assert lead("accuracy", [HITS] * 4, [OTHER] * 4, ONES)[:3] == pytest.approx(
        lead("accuracy", [HITS], [OTHER], ONES)[:3]
    )
    assert np.isnan(lead("accuracy", [HITS], [HITS, HITS], ONES)[1:]).all()


def test_p_is_small_for_a_large_lead_and_one_for_none():
    assert lead("accuracy", [ONES] * 3, [0 * ONES] * 3, ONES).p == 1 / intervals.RESAMPLES
    assert lead("accuracy", [HITS] * 3, [HITS] * 3, ONES).p == 1


def test_tau_of_several_seeds_is_the_mean_of_their_taus():
    generator = np.random.default_rng(3)
    truth = generator.random((5, 6))
    scores = truth + generator.normal(0, 0.3, (5, 6))
    taus = [stats.kendalltau(*pair).statistic for pair in zip(scores, truth, strict=True)]
    found = intervals.tau_over_seeds(scores, truth)
    assert found.value == pytest.approx(np.mean(taus))
    drawn = [np.mean(generator.choice(taus, 5)) for _ in range(4000)]
    assert found[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.05)
    assert np.isnan(intervals.tau_over_seeds(scores[:1], truth[:1])[1:]).all()
    assert np.isnan(intervals.tau_over_seeds(scores, np.ones((5, 6))).value)


@pytest.mark.parametrize("layers", [4, 6])
def test_p_of_tau_counts_all_orders_of_few_layers(layers):
    generator = np.random.default_rng(layers)
    first, second = generator.random((2, 3, layers))
    means = [
        np.mean([intervals.kendall_tau(one[list(order)], other) for one, other in zip(first, second, strict=True)])
        for order in permutations(range(layers))
    ]
    expected = np.mean(np.abs(means) >= abs(means[0]) - 1e-9)
    assert intervals.p_of_tau(first, second) == pytest.approx(expected)
    # Of 24 (720) orders one agrees in full and one is the reverse.
    assert intervals.p_of_tau(first[:1], first[:1]) == pytest.approx(2 / len(means))


def test_p_of_tau_of_many_layers_is_near_that_of_scipy():
    first, second = np.random.default_rng(5).random((2, 1, 20))
    expected = stats.kendalltau(first[0], second[0]).pvalue
    assert intervals.p_of_tau(first, second) == pytest.approx(expected, abs=0.04)
    assert intervals.p_of_tau(first, first) == 1 / (1 + intervals.RESAMPLES)
    assert np.isnan(intervals.p_of_tau(first, np.ones((1, 20))))


def test_scores_of_other_seeds_or_layers_are_not_compared():
    for call in (intervals.tau_over_seeds, intervals.p_of_tau):
        for second in (np.ones((2, 3)), np.ones((1, 4)), np.ones(3)):
            with pytest.raises(InputError, match="give the same seeds and layers"):
                call(np.ones((1, 3)), second)


def test_holm_multiplies_the_smallest_by_all_and_keeps_the_order():
    # By hand: 0.01 * 4, 0.02 * 3, then 0.03 * 2 = 0.06 and 0.04 * 1, which may not fall below 0.06.
    assert intervals.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert intervals.holm([0.5, np.nan, 0.9])[[0, 2]] == pytest.approx([1, 1])
    assert np.isnan(intervals.holm([0.5, np.nan])[1])


def test_kendall_tau_counts_pairs_in_order():
    # Of the six pairs of four layers one is in another order: (5 - 1) / 6.
    assert intervals.kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert intervals.kendall_tau([1, 2, 3], [9, 5, 0]) == -1
    assert np.isnan(intervals.kendall_tau([1, 2, 3], [7, 7, 7]))


def test_one_document_has_no_interval():
    assert all(np.isnan(intervals.interval("accuracy", ONES[:1], ONES[:1])))


def test_retention_turns_round_where_lower_is_better():
    assert intervals.retention("accuracy", 0.8, 0.9) == pytest.approx(0.8 / 0.9)
    assert intervals.retention("f1", 0.4, 0.8) == intervals.retention("exact_match", 0.4, 0.8) == 0.5
    assert intervals.retention("perplexity", 12.0, 10.0) == pytest.approx(10 / 12)


def test_nothing_is_kept_of_nothing():
    for metric, original in (("accuracy", 0.0), ("perplexity", np.inf), ("f1", np.nan)):
        assert np.isnan(intervals.retention(metric, 0.5, original))
    assert intervals.retention("perplexity", np.inf, 10.0) == 0
    found = intervals.retention("accuracy", np.array([0.4, 0.4]), np.array([0.8, 0.0]))
    assert found.tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


counts = st.integers(2, 12)
outcomes = counts.flatmap(
    lambda n: st.tuples(
        npst.arrays(np.float64, n, elements=st.floats(0, 40)), npst.arrays(np.float64, n, elements=st.floats(0.5, 20))
    )
)


@settings(deadline=None, max_examples=40)
@given(outcomes, st.sampled_from(list(METRICS)))
def test_an_interval_of_any_outcomes_lies_around_values_that_documents_can_give(outcome, metric):
    low, high = intervals.interval(metric, *outcome)
    single = [
        intervals.value(metric, top, bottom) for top, bottom in zip(*([part[:, None] for part in outcome]), strict=True)
    ]
    assert min(single) * (1 - 1e-9) <= low <= high <= max(single) * (1 + 1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(100, 400), st.integers(0, 2**32 - 1), st.sampled_from(list(METRICS)))
def test_the_interval_contains_the_estimate(n, seed, metric):
    generator = np.random.default_rng(seed)
    bottom = generator.integers(1, 30, n).astype(float)
    top = bottom * generator.random(n)
    low, high = intervals.interval(metric, top, bottom)
    assert low <= intervals.value(metric, top, bottom) <= high


@settings(deadline=None, max_examples=40)
@given(outcomes, st.data(), st.sampled_from(list(METRICS)))
def test_a_lead_turned_round_changes_its_sign(outcome, data, metric):
    top, bottom = outcome
    other = data.draw(npst.arrays(np.float64, len(top), elements=st.floats(0, 40)), label="other")
    one, turned = (lead(metric, *pair, bottom) for pair in (([top], [other]), ([other], [top])))
    assert one.value == -turned.value
    close = {"rel": 1e-9, "abs": 1e-9 * (abs(one.low) + abs(one.high))}
    assert (one.low, one.high) == pytest.approx((-turned.high, -turned.low), **close)
    assert one.p == turned.p
    assert 0 < one.p <= 1


@given(st.lists(st.floats(0, 1) | st.just(np.nan), max_size=20), st.randoms())
def test_holm_is_monotone_never_below_p_and_knows_no_order(p, random):
    adjusted = intervals.holm(p)
    known = ~np.isnan(p) if p else np.zeros(0, bool)
    assert (np.isnan(adjusted) == ~known).all()
    values, p = adjusted[known], np.array(p)[known]
    assert (values >= p).all()
    assert (values <= 1).all()
    assert (np.diff(values[np.argsort(p, kind="stable")]) >= 0).all()
    order = random.sample(range(len(p)), len(p))
    assert intervals.holm(p[order]).tolist() == values[order].tolist()
    if len(p):
        assert values.min() == min(1, p.min() * len(p))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
def test_kendall_tau_turns_its_sign_with_an_order_turned_round(pairs):
    first, second = np.transpose(pairs)
    found = intervals.kendall_tau(first, second)
    assert intervals.kendall_tau(second, first) == pytest.approx(found, nan_ok=True)
    assert intervals.kendall_tau(first, -second) == pytest.approx(-found, nan_ok=True)
    assert np.isnan(found) == (len(set(first)) == 1 or len(set(second)) == 1)


def test_kendall_tau_of_layers_without_an_order_is_nan():
    for first, second in (([], []), ([1], [2]), ([1, 2, np.nan], [1, 2, 3])):
        assert np.isnan(intervals.kendall_tau(first, second))
    assert intervals.kendall_tau([1, 2, np.inf], [1, 2, 3]) == 1


LOSSES, FEW = np.array([1.0, 2.0, 3.0]), np.ones(3)
BAD = [
    (np.array([1.0, np.nan, 3.0]), FEW, "numerator of document 1 is nan"),
    (np.array([1.0, 2.0, np.inf]), FEW, "numerator of document 2 is inf"),
    (LOSSES, np.array([1.0, np.nan, 1.0]), "denominator of document 1 is nan"),
    (LOSSES, np.array([1.0, -1.0, 1.0]), "denominator of document 1 is -1"),
    (LOSSES, np.zeros(3), "nothing was scored"),
    (LOSSES, np.ones(2), "differ in documents"),
    (LOSSES[:0], FEW[:0], "0 documents"),
]


@pytest.mark.parametrize(("top", "bottom", "message"), BAD)
def test_outcomes_that_measure_nothing_give_one_clear_line_and_no_number(top, bottom, message):
    for call in (intervals.value, intervals.interval, intervals.resampled):
        with pytest.raises(InputError, match=message):
            call("perplexity", top, bottom)
    with pytest.raises(InputError, match=f"{message}|each on the same documents|no scored one"):
        intervals.Seeds.of("perplexity", [top], bottom)


def test_several_outcomes_with_several_denominators_must_pair_up():
    with pytest.raises(InputError, match="differ in outcomes"):
        intervals.resampled("accuracy", np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(InputError, match=r"numerator of document 1 is nan"):
        intervals.resampled("accuracy", np.array([[1, 1], [1, np.nan]]), np.ones(2))


def test_documents_of_which_a_resample_may_score_none_are_too_few():
    assert intervals.value("perplexity", [0.0, 1.0], [0.0, 1.0]) == np.e
    with pytest.raises(InputError, match="a resample has none"):
        intervals.interval("perplexity", np.array([0.0, 1.0]), np.array([0.0, 1.0]))


@pytest.mark.parametrize("seeds", [[], [FEW, np.ones(2)]])
def test_seeds_need_the_same_documents(seeds):
    with pytest.raises(InputError, match="at least one seed, each on the same documents"):
        intervals.Seeds.of("accuracy", seeds, FEW)


@pytest.mark.parametrize("call", [intervals.value, intervals.interval, intervals.resampled])
def test_an_unknown_metric_is_named(call):
    with pytest.raises(InputError, match="metric 'bleu' is not known"):
        call("bleu", LOSSES, FEW)
    with pytest.raises(InputError, match="metric 'bleu' is not known"):
        intervals.retention("bleu", 1.0, 2.0)


def test_a_perplexity_above_what_a_float_holds_is_infinite_without_a_warning():
    huge, some = np.full(3, 1e4), np.array([1.0, 1.0, 3000.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert intervals.value("perplexity", huge, FEW) == np.inf
        assert intervals.interval("perplexity", huge, FEW) == (np.inf, np.inf)
        low, high = intervals.interval("perplexity", some, FEW)
        assert np.isfinite(low)
        assert high == np.inf
        whole, pruned = (intervals.Seeds.of("perplexity", [losses], FEW) for losses in (LOSSES, huge))
        assert pruned.estimate() == (np.inf, np.inf, np.inf)
        assert pruned.kept_of(whole) == (0, 0, 0)
        assert pruned.lead_over(pruned) == (0, 0, 0, 1)
        # Two infinite perplexities can differ: the loss is finite.
        assert pruned.lead_over(whole).value == pytest.approx(2 - 1e4)


def test_an_interval_over_nan_or_no_documents_is_an_error():
    with pytest.raises(InputError, match=r"statistic is nan on \d+ of 2000 resamples of 3 documents"):
        intervals.interval_of(lambda drawn: np.nan if 0 not in drawn else 1.0, 3)
    with pytest.raises(InputError, match="interval over 0 documents"):
        intervals.interval_of(np.mean, 0)


@pytest.mark.parametrize("p", [-0.1, 1.1, np.inf])
def test_a_p_value_that_is_none_is_refused(p):
    with pytest.raises(InputError, match="p-value 1 is"):
        intervals.holm([0.5, p])
