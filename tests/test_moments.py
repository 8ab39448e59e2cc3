"""Moments against plain float64 arrays: any split, order and merge, the histogram, and the file they are saved in."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from avss.errors import InputError
from avss.moments import HISTOGRAM_BINS, Moments, histogram_edges, magnitude_quantile
from avss.reading import Reading
from avss.scores import from_moments

EPSILONS = (1e-3, 0.5)
POPULATIONS = ("elements", "features", "pooled_tokens", "unit_means")
# Exact powers of two and ten between the smallest and the largest activations that float32 models have.
magnitudes = st.sampled_from([0.0, 1e-30, 2.0**-20, 1.0, -1.0, 3.0, -700.0, 1e8, -(2.0**60), 1e30])
values = magnitudes | st.floats(-10, 10, width=32)


def moments_of(documents: list[np.ndarray], histogram: bool = True) -> Moments:
    """The moments of documents, each (tokens, features), by their definitions."""
    tokens = np.concatenate(documents)
    edges = np.append(histogram_edges()[:-1], np.inf)
    counts = np.searchsorted(edges, np.abs(tokens).ravel(), side="right") - 1
    return Moments(
        count=np.array([part.size for part in documents]),
        mean=np.array([part.mean() for part in documents]),
        m2=np.array([((part - part.mean()) ** 2).sum() for part in documents]),
        near_zero=np.array([[(np.abs(part) < epsilon).sum() for epsilon in EPSILONS] for part in documents]),
        epsilons=EPSILONS,
        width=tokens.shape[1],
        features=(
            np.full(tokens.shape[1], float(len(tokens))),
            tokens.mean(0),
            ((tokens - tokens.mean(0)) ** 2).sum(0),
        ),
        pooled=np.array([part.mean(0).var() for part in documents]),
        histogram=np.bincount(counts, minlength=HISTOGRAM_BINS) if histogram else None,
        reading="paper",
    )


@st.composite
def texts(draw, least: int = 1) -> list[np.ndarray]:
    width = draw(st.integers(1, 4), label="width")
    lengths = draw(st.lists(st.integers(1, 4), min_size=least, max_size=6), label="tokens of the documents")
    return [draw(npst.arrays(np.float64, (length, width), elements=values)) for length in lengths]


def exact_variance(numbers: np.ndarray) -> Fraction:
    exact = [Fraction(value) for value in numbers.ravel().tolist()]
    mean = sum(exact) / len(exact)
    return sum((value - mean) ** 2 for value in exact) / len(exact)


def close(found: float, expected: float, scale: float) -> bool:
    """Equal to 1e-12 of the number itself, or of the squared activations where rounding of a mean is all there is."""
    return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12 * scale)


@given(texts())
def test_variance_of_activations_of_any_size_is_that_of_exact_arithmetic(documents):
    tokens = np.concatenate(documents)
    scale = float(np.abs(tokens).max()) ** 2
    found = moments_of(documents)
    assert close(found.variance(), float(exact_variance(tokens)), scale)
    assert close(found.variance("unit_means"), float(exact_variance(tokens.mean(0))), scale)
    assert close(found.variance("features"), float(np.mean([exact_variance(part) for part in tokens.T])), scale)


@given(texts(least=2), st.data())
def test_any_split_order_and_merge_scores_the_same(documents, data):
    whole = moments_of(documents)
    scale = float(np.abs(np.concatenate(documents)).max()) ** 2
    order = data.draw(st.permutations(range(len(documents))), label="order")
    cuts = sorted(data.draw(st.sets(st.integers(1, len(documents) - 1)), label="cuts"))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    merged = [moments_of([documents[index] for index in part]) for part in parts]
    while len(merged) > 1:
        at = data.draw(st.integers(0, len(merged) - 2), label="merged first")
        merged[at : at + 2] = [merged[at].merge(merged[at + 1])]
    (found,) = merged
    assert found.variance() == whole.variance(), "not even rounding may tell the orders apart"
    assert found.variance("pooled_tokens") == whole.variance("pooled_tokens")
    for population in ("features", "unit_means"):
        assert close(found.variance(population), whole.variance(population), scale)
    assert found.histogram.tolist() == whole.histogram.tolist()
    for epsilon in EPSILONS:
        assert found.near_zero_count(epsilon) == whole.near_zero_count(epsilon)
    back = found.in_order(np.argsort(order))
    assert (back.mean == whole.mean).all()
    assert (back.near_zero == whole.near_zero).all()


@given(texts(), st.integers(0, HISTOGRAM_BINS))
def test_counts_below_every_edge_of_a_bin_are_exact(documents, edge):
    epsilon = float(histogram_edges()[edge])
    expected = sum(int((np.abs(part) < epsilon).sum()) for part in documents)
    assert moments_of(documents).near_zero_count(epsilon) == expected


def test_edges_rise_from_zero_to_the_end_of_float32():
    edges = histogram_edges()
    assert edges.shape == (HISTOGRAM_BINS + 1,)
    assert edges[0] == 0
    assert edges[-1] == 2.0**128 > float(np.finfo(np.float32).max)
    assert (np.diff(edges) > 0).all()
    assert np.isfinite(edges).all()


@given(texts(), st.floats(0.01, 0.99))
def test_at_least_the_share_lies_below_the_quantile(documents, share):
    magnitude = np.abs(np.concatenate(documents)).ravel()
    epsilon = magnitude_quantile([moments_of(documents)], share)
    assert (magnitude < epsilon).mean() >= share - 1e-12
    exact = np.quantile(magnitude, share, method="inverted_cdf")
    assert epsilon <= max(1.125 * exact, np.finfo(np.float32).tiny)

    units = np.abs(np.concatenate(documents).mean(0))
    epsilon = magnitude_quantile([moments_of(documents)], share, "unit_means")
    assert (units < epsilon).mean() >= share - 1e-12
    assert epsilon == np.nextafter(np.quantile(units, share, method="inverted_cdf"), np.inf)


def test_activations_in_the_last_bin_have_a_quantile():
    largest = float(np.finfo(np.float32).max)
    assert magnitude_quantile([moments_of([np.full((2, 3), largest)])], 0.5) == 2.0**128


def test_a_quantile_beyond_float32_is_one_clear_line():
    beyond = dataclasses.replace(moments_of([np.ones((2, 3))]), histogram=np.zeros(HISTOGRAM_BINS, np.int64))
    with pytest.raises(InputError, match=r"0\.5-quantile of abs\(a\) is above"):
        magnitude_quantile([beyond], 0.5)


def test_over_unit_means_both_equations_see_one_number_a_unit():
    documents = [np.array([[1.0, -4.0, 0.2], [3.0, 4.0, 0.4]]), np.array([[2.0, 0.0, 0.6]])]
    found = moments_of(documents)
    means = np.array([2.0, 0.0, 0.4])
    assert found.counted("unit_means") == 3
    assert found.variance("unit_means", 1) == pytest.approx(means.var(ddof=1))
    assert [found.near_zero_count(epsilon, "unit_means") for epsilon in (0.3, 0.5, 9)] == [1, 2, 3]
    assert found.sparsity(0.5, "unit_means") == 2 / 3


def test_a_document_without_a_token_that_counts_is_no_document_of_the_mean():
    empty = Moments(
        np.array([0, 4]),
        np.array([0.0, 1.0]),
        np.array([0.0, 2.0]),
        np.array([[0, 0], [1, 2]]),
        EPSILONS,
        2,
        pooled=np.array([0.0, 3.0]),
    )
    assert empty.variance("pooled_tokens") == 3
    with pytest.raises(InputError, match="0 documents"):
        empty.take(np.array([0])).variance("pooled_tokens")
    with pytest.raises(InputError, match="sparsity of 0 activations"):
        empty.take(np.array([0])).sparsity(0.5)


@pytest.mark.parametrize("population", ["features", "pooled_tokens", "unit_means"])
def test_a_population_that_was_not_kept_is_named(population):
    bare = dataclasses.replace(moments_of([np.ones((2, 3))]), features=None, pooled=None)
    with pytest.raises(InputError, match=f"{population} was not observed"):
        bare.variance(population)


def test_a_variance_too_large_for_float64_is_an_error_and_no_infinity():
    huge = dataclasses.replace(moments_of([np.ones((2, 3))] * 2), mean=np.array([1e200, -1e200]))
    with pytest.raises(InputError, match="not finite"):
        huge.variance()


def equal(one: Moments, other: Moments) -> bool:
    for own in dataclasses.fields(Moments):
        first, second = getattr(one, own.name), getattr(other, own.name)
        if isinstance(first, tuple) and own.name == "features":
            if not all(np.array_equal(*pair) for pair in zip(first, second, strict=True)):
                return False
        elif isinstance(first, np.ndarray):
            if first.dtype != second.dtype or not np.array_equal(first, second):
                return False
        elif first != second:
            return False
    return True


@settings(max_examples=30)
@given(texts(), st.booleans())
def test_saved_moments_come_back_bit_for_bit(tmp_path_factory, documents, bare):
    path = tmp_path_factory.mktemp("moments") / "layer 0.npz"
    kept = moments_of(documents)
    if bare:
        kept = dataclasses.replace(kept, features=None, pooled=None, histogram=None, reading=None)
    kept.save(path)
    assert equal(Moments.load(path), kept)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_parts_that_were_scored_apart_score_as_the_whole(tmp_path):
    generator = np.random.default_rng(0)
    documents = [generator.normal(0, scale, (5, 4)) for scale in (1, 2, 3, 4)]
    layers = [[part * factor for part in documents] for factor in (1, 5)]
    for number, layer in enumerate(layers):
        moments_of(layer[:2]).save(tmp_path / f"first-{number}.npz")
        moments_of(layer[2:]).save(tmp_path / f"second-{number}.npz")
    merged = [
        Moments.load(tmp_path / f"first-{number}.npz").merge(Moments.load(tmp_path / f"second-{number}.npz"))
        for number in range(2)
    ]
    reading = Reading(epsilon=0.5)
    expected = from_moments([moments_of(layer) for layer in layers], reading)
    assert from_moments(merged, reading).table.equals(expected.table)


def rewritten(path, **changes) -> None:
    with np.load(path, allow_pickle=False) as file:
        held = dict(file) | changes
    np.savez(path, **{name: array for name, array in held.items() if array is not None})


@pytest.mark.parametrize(
    "changes",
    [
        {"count": None},
        {"pooled": None},
        {"entries": None},
        {"epsilons": None},
        {"count": np.ones(3, np.int64)},
        {"mean": np.ones(2, np.float32)},
        {"near_zero": np.ones((2, 9), np.int64)},
        {"near_zero": np.ones(2, np.int64)},
        {"features": np.ones((2, 3))},
        {"histogram": np.ones(7, np.int64)},
        {"width": np.int64(0)},
        {"width": np.array([1, 2])},
        {"surprise": np.ones(2)},
        {"count": np.array([{}, {}], dtype=object)},
    ],
)
def test_a_file_with_other_contents_is_one_line_with_its_name(tmp_path, changes):
    path = tmp_path / "layer.npz"
    moments_of([np.ones((2, 3))] * 2).save(path)
    rewritten(path, **changes)
    with pytest.raises(InputError, match=r"layer\.npz is damaged or holds no moments"):
        Moments.load(path)


@settings(max_examples=100)
@given(st.data())
def test_a_file_with_one_changed_or_missing_byte_gives_the_same_numbers_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("moments") / "layer.npz"
    kept = moments_of([np.arange(6.0).reshape(2, 3)] * 2, histogram=False)
    kept.save(path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1), label="byte")
    if data.draw(st.booleans(), label="truncate"):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255), label="bits")
    path.write_bytes(content)
    try:
        loaded = Moments.load(path)
    except InputError as error:
        loaded, said = kept, str(error)
    else:
        said = "layer.npz"
    assert equal(loaded, kept)
    assert "layer.npz" in said
    assert "\n" not in said


def test_a_file_or_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz does not exist"):
        Moments.load(tmp_path / "none.npz")
    with pytest.raises(InputError, match="nowhere does not exist"):
        moments_of([np.ones((1, 1))]).save(tmp_path / "nowhere" / "layer.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "array.npy", np.ones(3))
    for name in ("text.npz", "array.npy"):
        with pytest.raises(InputError, match=name):
            Moments.load(tmp_path / name)


def test_moments_of_another_site_are_not_merged_and_not_scored_as_this_one():
    one = moments_of([np.ones((2, 3)) * [1, 2, 3]])
    other = dataclasses.replace(one, reading="paper,site=mlp_output")
    with pytest.raises(InputError, match="cannot be merged"):
        one.merge(other)
    with pytest.raises(InputError, match="layer 1 were observed with site=mlp_output"):
        from_moments([one, other], Reading(epsilon=0.5))
    with pytest.raises(InputError, match="tokens=all, and the reading has tokens=after_first"):
        from_moments([one], Reading(tokens="after_first"))
