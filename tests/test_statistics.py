"""Intervals and paired differences against plain resampling."""

import numpy as np
import pytest

from avss import intervals


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


def test_paired_differences_share_the_documents():
    difference, low, high = intervals.paired_difference("accuracy", [HITS], [OTHER], ONES)
    assert difference == pytest.approx(HITS.mean() - OTHER.mean())
    expected = plain_bootstrap(lambda index: (HITS - OTHER)[index].mean(), 300)
    assert [low, high] == pytest.approx(expected, abs=0.01)
    unpaired = intervals.interval("accuracy", HITS, ONES)
    assert high - low < unpaired[1] - unpaired[0]


def test_several_seeds_are_averaged():
    difference, low, high = intervals.paired_difference("accuracy", [HITS, OTHER], [HITS, OTHER], ONES)
    assert (difference, low, high) == (0, 0, 0)


def test_any_statistic_of_documents_has_an_interval():
    found = intervals.interval_of(lambda documents: HITS[documents].mean(), 300)
    assert found == pytest.approx(intervals.interval("accuracy", HITS, ONES))


def test_drawing_seeds_anew_widens_the_interval_where_seeds_differ():
    others = [np.where(GENERATOR.random(300) < share, 1 - HITS, HITS) for share in (0.0, 0.05, 0.2, 0.4)]
    difference, low, high = intervals.paired_difference("accuracy", [HITS] * 4, others, ONES)
    wide_low, wide_high, p = intervals.difference_over_seeds("accuracy", [HITS] * 4, others, ONES)
    assert wide_low < low < difference < high < wide_high
    assert (p <= 0.05) == (wide_low > 0 or wide_high < 0)
    *one_set, _ = intervals.difference_over_seeds("accuracy", [HITS] * 4, [OTHER] * 4, ONES)
    assert one_set == pytest.approx(intervals.paired_difference("accuracy", [HITS], [OTHER], ONES)[1:], abs=0.01)
    assert all(np.isnan(intervals.difference_over_seeds("accuracy", [HITS], [HITS, HITS], ONES)))


def test_p_is_small_for_a_large_difference_and_one_for_none():
    *_, p = intervals.difference_over_seeds("accuracy", [ONES] * 3, [0 * ONES] * 3, ONES)
    assert p == 1 / intervals.RESAMPLES
    *_, p = intervals.difference_over_seeds("accuracy", [HITS] * 3, [HITS] * 3, ONES)
    assert p == 1


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
