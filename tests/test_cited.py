"""Numbers for prose: the right one at each address, told with its basis, and an error wherever there is none."""

import json

import numpy as np
import pytest

from avss import intervals
from avss.errors import InputError
from avss.report import counted
from avss.report.cited import NotMeasured, look_up_number, spoken
from avss.report.comparisons import FIRST_ROW
from avss.report.snapshot import Results
from avss.store import Store
from tests import stores
from tests.stores import BLOCKS, CORRECT, DOCUMENTS, PERPLEXITY_ROW, REMOVED, SEEDS, fill

BENCHMARK = {
    "rows": [
        {"method": "lrp", "repeats": 5, "time_ratio": 2.4355, "time_ratio_quartiles": [2.3673, 2.615], "blocks": 16},
        {"method": "cim", "repeats": 1, "time_ratio": 20.6418, "time_ratio_quartiles": [20.6418, 20.6418]},
    ],
    "provenance": {"hardware": {"processor": "slate", "threads": 2}, "created": "2026-01-01T00:00:00Z"},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results with one row of two profiles, and beside them one benchmark."""
    root = tmp_path_factory.mktemp("numbers")
    store = Store(root / "results")
    fill(store, "reference")
    fill(store, "mini")
    (root / "bench/results").mkdir(parents=True)
    (root / "bench/results/lrp.json").write_text(json.dumps(BENCHMARK))
    return Results(store)


def hits(removed: str) -> np.ndarray:
    return (np.arange(DOCUMENTS) < CORRECT[removed] * DOCUMENTS).astype(float)


def test_a_value_is_the_mean_over_seeds_with_its_interval_over_documents_and_seeds(results):
    number = look_up_number(f"mini/{FIRST_ROW}/random/value", results)
    sets = REMOVED["random", "none"]
    assert number.value == pytest.approx(np.mean([CORRECT[removed] for removed in sets]))
    seeds = intervals.Seeds.of("accuracy", [hits(removed) for removed in sets], np.ones(DOCUMENTS))
    _, low, high = seeds.estimate()
    assert (number.low, number.high) == pytest.approx((low, high))
    shown, basis = spoken(f"mini/{FIRST_ROW}/random/value with interval", results)
    assert shown == f"0.725 [{low:.3f},\u00a0{high:.3f}]"
    [run] = results.store.observations("mini", FIRST_ROW)["run"].unique()
    assert basis == (
        f"95 % interval over documents and seeds {low:.3f} to {high:.3f}; n = {DOCUMENTS}, {SEEDS} seeds, run {run}"
    )


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        ("reference/{row}/avss/value", "0.875"),
        ("reference/{row}/avss/released-code/value", "0.500"),
        ("mini/{row}/avss/retention .1%", "97.2\u00a0%"),
        ("mini/{row}/avss/less_last +.2f", "+0.38"),
        ("mini/{row}/last/less_avss", "−0.375"),
        ("mini/{row}/original/n", "40"),
        ("printed/{row}/gbis/value", "0.8673"),
        ("printed/{row}/avss/retention", "0.973"),
        ("bench/lrp/rows/method=lrp/time_ratio .1f", "2.4"),
        ("bench/lrp/rows/1/time_ratio", "20.642"),
        ("bench/lrp/rows/method=lrp/blocks", "16"),
    ],
)
def test_every_kind_of_address_leads_to_its_number(results, request_, shown):
    assert spoken(request_.format(row=FIRST_ROW), results)[0] == shown


def test_the_basis_of_a_benchmark_names_its_file_and_machine(results):
    basis = spoken("bench/lrp/rows/method=lrp/time_ratio", results)[1]
    assert basis == "quartiles 2.367 to 2.615; bench/results/lrp.json, 5 repeats, slate, 2 threads, 2026-01-01"


def test_one_measurement_has_no_quartiles(results):
    basis = spoken("bench/lrp/rows/method=cim/time_ratio", results)[1]
    assert basis == "bench/results/lrp.json, measured once, slate, 2 threads, 2026-01-01"


def test_printed_numbers_say_that_they_are_the_papers(results):
    assert spoken(f"printed/{FIRST_ROW}/avss/value", results)[1].startswith("as printed in the paper's Table 1")
    assert spoken(f"printed/{FIRST_ROW}/avss/retention", results)[1].startswith("from the paper's Table 1")


@pytest.mark.parametrize(
    "address",
    [
        f"mini/{FIRST_ROW}/gbis/value",  # a method that did not run
        f"mini/{FIRST_ROW}/avss/paper,ddof=1/value",  # a reading that did not
        "mini/sst2-llama-1b/avss/value",  # a row of the profile without results
        f"mini/{FIRST_ROW}/original/sd",  # one observation has no spread
    ],
)
def test_a_number_that_is_not_measured_is_an_error_unless_the_request_allows_it(results, address):
    with pytest.raises(NotMeasured, match="no run has measured"):
        spoken(address, results)
    assert spoken(f"{address} or not measured", results)[0] == "not measured"


def test_the_blocks_that_most_seeds_removed_are_named(results):
    shown, basis = spoken(f"mini/{FIRST_ROW}/random/blocks", results)
    assert shown in ("1", "2", "5")
    assert basis.startswith("on 1 of 3 seeds; n = 40")


def test_the_seeds_of_a_method_have_a_lowest_and_a_highest_share(results):
    shares = [CORRECT[removed] / CORRECT["none"] for removed in REMOVED["random", "none"]]
    for end, fold in (("lowest", min), ("highest", max)):
        number = look_up_number(f"mini/{FIRST_ROW}/random/retention_{end}_seed", results)
        assert number.value == pytest.approx(fold(shares))


def test_scores_are_compared_with_depth_block_by_block(results):
    """In this store every method scores by depth, `last` against it."""
    assert look_up_number(f"mini/{FIRST_ROW}/avss/tau_depth", results).value == pytest.approx(1)
    assert look_up_number(f"mini/{FIRST_ROW}/last/tau_depth", results).value == pytest.approx(-1)
    assert look_up_number(f"mini/{FIRST_ROW}/avss/variance_tau_depth", results).value == pytest.approx(1)
    assert look_up_number(f"mini/{FIRST_ROW}/avss/highest_block", results).value == BLOCKS - 1
    with pytest.raises(NotMeasured):
        look_up_number(f"mini/{FIRST_ROW}/avss/tau_leave_one_out", results)


def test_a_number_leads_to_its_observations(results):
    facts = look_up_number(f"mini/{FIRST_ROW}/avss/retention", results).facts
    stored = results.observations.set_index("key").loc[facts["observations"]]
    assert set(stored["method"]) == {"avss"}
    assert set(stored["reading"]) == {"paper"}
    assert len(stored) == facts["seeds"] == SEEDS
    assert facts["runs"] == list(stored["run"].unique())


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Three measurements: AVSS keeps more than random in the first two, and in the third less."""
    store = Store(tmp_path_factory.mktemp("several") / "results")
    fill(store, "reference")
    fill(store, "mini")
    worse = REMOVED | {("avss", "paper"): ["5"] * SEEDS, ("random", "none"): ["1"] * SEEDS}
    fill(store, "mini", **PERPLEXITY_ROW, removed=worse)
    return Results(store)


@pytest.mark.parametrize(
    ("request_", "shown", "basis"),
    [
        ("count/all/measurements", "3", "3 of 3 measurements"),
        ("count/all/models", "1", f"of the rows reference/{FIRST_ROW}"),
        ("count/mini/avss/retention", "2", "2 of 2 measurements"),
        ("count/all/avss/retention<random", "1", "1 of 3 measurements: mini/hackernews-llama-7b"),
        ("count/all/avss/retention>=random", "2", f"2 of 3 measurements: reference/{FIRST_ROW}, mini/{FIRST_ROW}"),
        ("count/all/avss/verdict_last=better", "2", "2 of 3 measurements"),
        ("count/all/avss/verdict_random=not-told-apart", "2", "2 of 3 measurements"),
        ("count/all/avss/verdict_random", "3", "3 of 3 measurements"),
        ("count/all/avss/highest_block=5", "3", "3 of 3 measurements"),
        ("count/hackernews-*+mini/avss/tau_depth>0.9", "1", "1 of 1 measurements"),
        ("count/language_modeling/measurements", "1", "1 of 1 measurements"),
        ("lowest/mini+sst2-*/avss/retention", "0.972", f"lowest of 1 measurements, at mini/{FIRST_ROW}"),
        ("highest/all/last/tau_depth .0f", "−1", "highest of 3 measurements"),
    ],
)
def test_measurements_are_counted_and_folded(several, request_, shown, basis):
    found, told = spoken(request_, several)
    assert found == shown
    assert told.startswith(basis)


def test_means_over_measurements_are_those_of_their_numbers(several):
    rows = (("reference", FIRST_ROW), ("mini", FIRST_ROW), ("mini", PERPLEXITY_ROW["row"]))
    shares = [look_up_number(f"{profile}/{row}/avss/retention", several).value for profile, row in rows]
    assert look_up_number("mean/all/avss/retention", several).value == pytest.approx(np.mean(shares))
    assert look_up_number("geomean/all/avss/retention", several).value == pytest.approx(np.prod(shares) ** (1 / 3))


def test_a_model_that_is_too_weak_to_judge_is_in_no_count_of_verdicts(tmp_path, monkeypatch):
    store = Store(tmp_path / "results")
    fill(store, "mini")
    monkeypatch.setattr(stores, "CORRECT", dict.fromkeys(stores.CORRECT, 0))
    fill(store, "reference")
    for condition in ("retention", "verdict_random=not-told-apart"):
        assert spoken(f"count/all/avss/{condition}", Results(store))[1].startswith("1 of 1 measurements")


def test_what_has_read_text_of_the_world_is_told_by_its_provenance(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini", row="one")
    fill(store, "mini", row="two", stands_for="x")
    made = {"steps": 5, "begins_with_copying_heads": True}
    for row, facts in (("one", {"training": {"base": "all-MiniLM"}}), ("two", {"training": made})):
        [path] = store.folder("mini", row).glob("*.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    assert counted.measurements(Results(store), "pretrained") == [("mini", "one")]
    assert counted.measurements(Results(store), "planted") == [("mini", "two")]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("0.95", "'0.95' is no address"),
        ("mini/a/b/c/d/e", "is no address"),
        (f"mini/{FIRST_ROW}/avss/retention %d", "is no number; write an address"),
        (f"mimi/{FIRST_ROW}/avss/value", "profile 'mimi' is not known; choose one of printed, mini"),
        ("mini/sst2/avss/value", "row 'sst2' is not known"),
        (f"mini/{FIRST_ROW}/avs/value", "method 'avs' is not known"),
        (f"mini/{FIRST_ROW}/avss/values", "quantity 'values' is not known"),
        ("bench/slow/rows", "there is no slow.json"),
        ("bench/lrp/rows/method=gbis/time_ratio", "'method=gbis' leads to 0 entries"),
        ("bench/lrp/rows/2/time_ratio", "'2' leads to 0 entries"),
        ("bench/lrp/rows/0/method", "is no number but str"),
        ("count/some/avss/retention", "group 'some' is not known"),
        ("count/all/avss/retention!0", "'retention!0' is no condition"),
        ("count/all/avss/much", "quantity 'much' is not known"),
    ],
)
def test_a_wrong_request_is_an_error_even_where_a_number_may_be_missing(results, request_, message):
    for text in (request_, f"{request_} or not measured"):
        with pytest.raises(InputError, match=message) as raised:
            spoken(text, results)
        assert not isinstance(raised.value, NotMeasured)
        assert "\n" not in str(raised.value)
