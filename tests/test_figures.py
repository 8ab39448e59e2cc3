"""Figures and tables: from results alone, the same bytes every time, whatever profiles have run."""

import json
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avss.errors import InputError
from avss.metrics import METRICS
from avss.report import block_scores, comparisons, figures, tables
from avss.report.__main__ import main
from avss.report.figures import row_titles, rows
from avss.report.figures.style import style
from avss.report.snapshot import Results
from avss.report.table1 import measured_rows
from avss.report.tables.rows import number_removed
from avss.store import DIGESTS, Store
from tests import stores
from tests.stores import BLOCKS, PERPLEXITY_ROW, REMOVED, SEEDS, cells, fill


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "results")
    fill(made, "reference")
    fill(made, "mini")
    return made


def rewritten(path, change) -> None:
    """Change a table of a run, which asks for all that the table then holds."""
    table = change(pd.read_csv(path))
    table.to_csv(path, index=False)
    facts = path.with_name(f"{path.name.partition('.')[0]}.json")
    content = json.loads(facts.read_text()) | {DIGESTS: {}}
    facts.write_text(json.dumps(content | ({"asked": list(table["key"])} if "key" in table else {})))


@pytest.mark.long
def test_each_row_has_files_of_its_own(store, tmp_path, capsys):
    fill(store, "mini", **PERPLEXITY_ROW)
    row = PERPLEXITY_ROW["row"]
    assert list(measured_rows(Results(store))) == [comparisons.FIRST_ROW, row]
    assert main([str(store.root), str(tmp_path / "out"), row]) == 0
    written = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*")]
    assert len(written) == 4 * len(figures.ROW_FIGURES)
    assert all(str(path.parent) == row and f"-{row}." in path.name for path in written)
    plotted = pd.read_csv(tmp_path / "out" / row / f"retention-{row}.csv")
    assert set(plotted["metric"]) == {"perplexity"}
    assert main([str(store.root), str(tmp_path / "out"), "sst2-llama-1b"]) == 2
    assert "results of row sst2-llama-1b are missing" in capsys.readouterr().err


LATER = "2026-02-01T00:00:00Z"
METHODS = (
    "gbis lrp cim taylor block_influence angular leave_one_out update_norm kl_leave_one_out magnitude random last first"
).split()
READINGS = (
    *("paper", "released-code", "paper,site=block_update", "paper,tokens=after_first", "paper,population=unit_means"),
)


@pytest.mark.long
def test_thirty_two_blocks_and_all_methods_are_legible(tmp_path):
    """No label lies on another or outside, and all fit the width of a page."""
    made = Store(tmp_path / "results")
    sets = ["+".join(map(str, range(start, start + 6))) for start in range(SEEDS)]
    every = [*(("avss", reading) for reading in READINGS), *((method, "none") for method in METHODS)]
    removed = {("original", "none"): ["none"]} | dict.fromkeys(every, sets)
    named = {"dataset": "HackerNews comments", "model": "SmolLM2-135M-Instruct (30 blocks)"}
    fill(made, "mini", **PERPLEXITY_ROW | named, removed=removed, blocks=32)
    for name, draw in figures.ROW_FIGURES.items():
        with mpl.rc_context(style("light")):
            figure, _ = draw(Results(made), PERPLEXITY_ROW["row"])
            figure.draw_without_rendering()
            drawn = figure.get_tightbbox()
        assert figure.get_figwidth() <= 7, name
        assert figure.get_figheight() <= 7, name
        assert min(drawn.x0, drawn.y0) >= 0, name
        assert drawn.x1 <= figure.get_figwidth(), name
        for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
            # Slanted labels have boxes that overlap where the letters do not.
            low, high = sorted(axis.get_view_interval())
            ticks = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            boxes = [text.get_window_extent() for text in ticks if text.get_visible() and not text.get_rotation()]
            assert not [1 for one, two in combinations(boxes, 2) if one.overlaps(two)], name


def test_other_rules_than_lowest_have_lines_of_their_own(store):
    """Two rules beside the lowest: the tables of scores and shares list them, and no comparison mixes them."""
    rules = ("iterative(2)", "released_code(0.25)")
    before = comparisons.summary(Results(store)), comparisons.differences(Results(store))

    def more(table: pd.DataFrame) -> pd.DataFrame:
        random = table[table["method"] == "random"].assign(method="avss", reading="paper")
        return pd.concat([table, *(random.assign(selection=rule, key=rule + random["key"]) for rule in rules)])

    for path in store.root.glob("mini/*/*[0-9a-f].csv"):
        rewritten(path, more)
    results = Results(store)
    runs = list(results.in_use.query("profile == 'mini'")["run"].unique())
    assert cells(tables.basis_table(results), "runs")[-1] == ", ".join(f"`{run}`" for run in runs)
    for one, two in zip(before, (comparisons.summary(results), comparisons.differences(results)), strict=True):
        pd.testing.assert_frame_equal(one, two)
    scores = tables.score_table(results)
    for rule in rules:
        name = f"AVSS, {rule}: 1 block"
        assert cells(scores, name)[-1] == cells(scores, "random")[-1]
        assert cells(tables.retention_table(results), name)[1] == "—"


@pytest.mark.parametrize(
    ("sets", "shown"),
    [("0 (5 of 5)", "1 block"), ("0+1 (5 of 5)", "2 blocks"), ("0 (4 of 5), 0+1+2 (1 of 5)", "1 to 3 blocks")],
)
def test_a_rule_says_how_many_blocks_it_removes(sets, shown):
    assert number_removed(sets) == shown


def test_a_variance_that_spans_decades_has_a_logarithmic_scale(store):
    panel = rows.variance_by_block(Results(store))[0].axes[0]
    assert panel.get_yscale() == "linear"
    for path in store.root.glob("mini/*/*.layers.csv"):
        rewritten(path, lambda table: table.assign(value=10.0 ** table["value"]))
    reference, mini = rows.variance_by_block(Results(store))[0].axes
    assert (reference.get_yscale(), mini.get_yscale()) == ("linear", "log")


@pytest.mark.parametrize("profile", ["reference", "mini"])
def test_one_profile_is_enough(tmp_path, profile):
    only = Store(tmp_path / "results")
    fill(only, profile)
    assert all(figures.svg(name, Results(only)) for name in figures.ROW_FIGURES)
    as_printed, measured = cells(tables.score_table(Results(only)), "AVSS")
    assert as_printed == "0.8891"
    assert measured.startswith("0.875 [")
    assert "seeds" not in measured, "all seeds have the same score"
    assert cells(tables.score_table(Results(only)), "random")[1].endswith("]; seeds: 0.8, 0.5, 0.875")


def test_without_results_the_command_says_what_to_do(tmp_path, capsys):
    assert main([str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "make book" in message
    assert not (tmp_path / "out").exists()


def test_a_dash_stands_where_a_source_has_no_number(store):
    table = tables.score_table(Results(store))
    assert cells(table, "GBIS") == ["0.8673", "—", "—"]
    assert cells(table, "random")[0] == "—"
    assert cells(table, "AVSS (scripts' statistics)")[0] == "—"


def test_a_measured_number_stands_under_the_name_of_what_ran(store):
    fill(store, "mini", row="small", dataset="reviews", model="tiny", stands_for=comparisons.FIRST_ROW, created=LATER)
    results = Results(store)
    for made in (tables.score_table, tables.retention_table, tables.claim_table, tables.basis_table):
        heading = made(results).splitlines()[0]
        assert "reviews, tiny (mini)" in heading, made
        assert "SST-2, DistilBERT (reference)" in heading, made
        # A page names its own row, and the overview the line.
        assert made(results, "small") == made(results), made
    glance = cells(tables.glance_table(results), "[reviews, tiny](/book/executed/sentiment.ipynb) (mini)")
    assert glance[-1] == "SST-2, DistilBERT"


def test_a_card_shows_the_model_of_its_own_row(store):
    fill(store, "mini", row="small", dataset="reviews", model="tiny", stands_for=comparisons.FIRST_ROW, created=LATER)
    assert set(rows.card(Results(store), "small")[1]["ran"]) == {"reviews, tiny"}
    assert set(rows.card(Results(store), comparisons.FIRST_ROW)[1]["source"]) == {"reference"}


def summed(retention: dict[str, float], **facts) -> pd.DataFrame:
    """Lines of `summary` of one source with what each method keeps."""
    lines = [{"method": name, "reading": "none", "retention": kept} for name, kept in retention.items()]
    return pd.DataFrame(lines).assign(metric="accuracy", original=0.55, too_weak=False).assign(**facts)


def compared(verdict: str) -> pd.DataFrame:
    return pd.DataFrame({"verdict": [verdict]})


KEPT = summed({"original": 1, "avss": 0.5, "random": 0.54})


@pytest.mark.parametrize(
    ("verdict", "told", "short"),
    [
        ("worse", "less than random removal (0.540)", "AVSS keeps less than random"),
        ("better", "more than random removal (0.540)", "AVSS keeps more than random"),
        ("same outcomes", "as much as random removal (0.540)", "AVSS keeps as much as random"),
        ("not told apart", "random removal 0.540; the difference may be chance", "AVSS and random are not told apart"),
    ],
)
def test_a_title_says_less_or_more_only_beyond_chance(verdict, told, short):
    assert row_titles.beside_random(KEPT, compared(verdict)) == f"AVSS keeps 0.500 of the original score, {told}"
    assert row_titles.at_a_glance(KEPT, compared(verdict)) == short


def test_a_title_tells_what_of_avss_and_random_is_not_measured():
    nothing = compared("worse")[:0]
    alone = summed({"avss": 0.5, "gbis": 0.6})
    assert row_titles.beside_random(alone, nothing) == (
        "AVSS keeps 0.500 of the original score; random removal is not measured"
    )
    for part in (summed({"random": 0.5}), summed({"avss": np.nan, "random": np.nan}), KEPT.assign(reading="other")):
        assert row_titles.beside_random(part, nothing) == "it is not measured what AVSS keeps"
    assert row_titles.at_a_glance(alone, nothing) == "AVSS beside random: not measured"
    weak = KEPT.assign(too_weak=True, retention=np.nan)
    assert row_titles.beside_random(weak, compared("too weak to judge")) == (
        "the original is too weak to judge (accuracy 0.55)"
    )
    assert row_titles.at_a_glance(weak, compared("too weak to judge")) == "The original is too weak to judge"


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["0"] * 3, "AVSS removes the first of 6 blocks on all 3 seeds"),
        (["0+1"] * 3, "AVSS removes the first 2 of 6 blocks on all 3 seeds"),
        (["4+5"], "AVSS removes the last 2 of 6 blocks on the one seed"),
        (["1"] * 2, "AVSS removes block 1 (of 0–5) on all 2 seeds"),
        (["0+2+3"] * 2, "AVSS removes blocks 0, 2–3 (of 0–5) on all 2 seeds"),
        (["0+1", "0+3"], "AVSS removes block 0 (of 0–5) on all 2 seeds, and 1, 3 on some"),
        (["0+1", "2+3"], "AVSS removes blocks 0–3 (of 0–5), none of them on all 2 seeds"),
    ],
)
def test_a_title_tells_which_blocks_avss_removes(tmp_path, sets, told):
    made = Store(tmp_path / "results")
    fill(made, "mini", removed={("original", "none"): ["none"], ("avss", "paper"): sets, ("last", "none"): ["5"]})
    data = comparisons.removals(Results(made))
    assert row_titles.of_removals(data) == told
    assert row_titles.of_removals(data[data["method"] == "last"]) == "it is not measured which blocks AVSS removes"


@pytest.mark.parametrize(
    ("means", "told"),
    [
        (
            [1, 3, 2],
            "rises from 1.000 in the first block to 2.000 in the last; from block to block the mean rises 1 of 2 times",
        ),
        (
            [2, 1.5, 1],
            "falls from 2.000 in the first block to 1.000 in the last; from block to block the mean rises 0 of 2 times",
        ),
        (
            [1, 2, 1.1],
            "is 1.000 in the first block and 1.100 in the last, where the seeds overlap; from block to block the mean "
            "rises 1 of 2 times",
        ),
    ],
)
def test_a_title_tells_how_the_variance_goes_over_the_blocks(means, told):
    part = pd.DataFrame({"reading": "paper", "layer": range(3), "mean": means})
    part = part.assign(low=part["mean"] - 0.1, high=part["mean"] + 0.1)
    assert row_titles.of_variance(part) == f"the variance {told}"
    assert row_titles.of_variance(part.assign(reading="other")) == "the variance is not measured in the reading paper"


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ((-0.1, -0.2, 0.1), ", higher on every seed than with the loss (−0.10)"),
        ((0.9, 0.8, 1), ", lower on every seed than with the loss (0.90)"),
        ((0.4, 0.2, 0.6), " and 0.40 with the loss; the seeds overlap"),
        (None, "; with the loss it is not measured"),
    ],
)
def test_a_title_tells_whether_avss_agrees_more_with_depth_than_with_the_loss(loss, told):
    lines = {"with depth": (0.5, 0.4, 0.6)} | ({"with the loss": loss} if loss else {})
    part = pd.DataFrame([(other, *taus) for other, taus in lines.items()], columns="other tau low high".split())
    part = part.assign(method="avss", reading="paper")
    assert row_titles.of_taus(part) == f"AVSS has τ 0.50 with depth{told}"
    assert row_titles.of_taus(part.assign(method="last")) == "the order of the blocks by AVSS is not measured"


@pytest.mark.parametrize("name", [function.__name__ for function in rows.FIGURES])
def test_a_title_is_about_the_model_of_the_row_and_apart_from_the_panels(store, name):
    fill(store, "mini", row="small", dataset="reviews", model="tiny", stands_for=comparisons.FIRST_ROW, created=LATER)
    for row, model in (("small", "tiny"), (comparisons.FIRST_ROW, "DistilBERT")):
        figure, _ = figures.drawn(name, Results(store), row, "light")
        figure.draw_without_rendering()
        title = figure._suptitle.get_window_extent()
        assert name == "card" or figure.get_suptitle().startswith(f"On {model}, ")
        assert title.x0 >= 0
        assert title.x1 <= figure.bbox.x1
        assert title.y1 <= figure.bbox.y1
        below = [panel.get_tightbbox() for panel in figure.axes] + [each.get_window_extent() for each in figure.legends]
        assert not [1 for box in below if box.overlaps(title)]


def test_retention_is_the_share_of_the_original(store):
    line = comparisons.summary(Results(store)).query("source == 'mini' and method == 'random'").iloc[0]
    assert line["value"] == pytest.approx(np.mean([0.8, 0.5, 0.875]))
    assert line["retention"] == pytest.approx(np.mean([0.8, 0.5, 0.875]) / 0.9)
    assert line["retention_low"] < line["retention"] < line["retention_high"]
    assert line["sd"] == pytest.approx(np.std([0.8, 0.5, 0.875], ddof=1))


def test_perplexities_are_averaged_as_logarithms(store):
    """`fill` gives a token the loss (3 - 2 * share) / 2."""
    fill(store, "mini", **PERPLEXITY_ROW)
    results, row = Results(store), PERPLEXITY_ROW["row"]
    line = comparisons.summary(results, row).query("source == 'mini' and method == 'random'").iloc[0]
    losses = np.array([(3 - 2 * share) / 2 for share in (0.8, 0.5, 0.875)])
    assert line["value"] == pytest.approx(np.exp(losses.mean()))
    assert line["retention"] == pytest.approx(np.exp((3 - 2 * 0.9) / 2 - losses.mean()))
    assert line["sd"] == pytest.approx(losses.std(ddof=1))
    lead = comparisons.differences(results, row).query(
        "method == 'avss' and reading == 'paper' and against == 'random'"
    )
    # In nats a token, and positive: AVSS loses less.
    assert lead["lead"].item() == pytest.approx(losses.mean() - losses[2])


def test_a_verdict_counts_the_choice_of_seeds(store):
    """Over documents alone AVSS beats these three random orders; over documents and seeds that is undecided."""
    results = Results(store)
    data = comparisons.differences(results).query("source == 'mini' and against == 'random'")
    data = data.set_index(["method", "reading"])
    line = data.loc[("avss", "paper")]
    assert line["lead"] == pytest.approx(0.15)
    assert line["low"] <= 0 < line["high"]
    assert line["verdict"] == "not told apart"
    assert line["p_holm"] > 0.05
    assert data.loc[("last", "none"), "verdict"] == data.loc[("avss", "released-code"), "verdict"]
    table = tables.claim_table(results)
    assert "p\u00a0(Holm)" in table.splitlines()[0]
    shown = cells(table, "AVSS beats random removal")[-1]
    assert shown.startswith("undecided: +0.150 [")
    assert shown.endswith(f"p\u00a0=\u00a0{line['p_holm']:.3f}")


def test_the_lead_and_the_verdict_have_one_sign(store):
    fill(store, "mini", **PERPLEXITY_ROW)
    for row in (comparisons.FIRST_ROW, PERPLEXITY_ROW["row"]):
        data = comparisons.differences(Results(store), row)
        assert (data.loc[data["verdict"] == "better", "lead"] > 0).all()
        assert (data.loc[data["verdict"] == "worse", "lead"] < 0).all()
        assert set(data["verdict"]) >= {"worse", "same outcomes"}


def test_the_same_block_gives_the_same_outcomes(store):
    data = comparisons.differences(Results(store)).query("source == 'mini' and against == 'AVSS'")
    data = data.set_index(["method", "reading"])
    assert data.loc[("avss", "released-code"), "verdict"] == "worse"
    assert data.loc[("last", "none"), "lead"] == data.loc[("avss", "released-code"), "lead"]


def test_a_retrained_model_replaces_the_old_one(store):
    fill(store, "mini", revision="bbbb", created="2026-02-01T00:00:00Z")
    newest = comparisons.lowest_removals(Results(store)).query("profile == 'mini'")
    assert set(newest["revision"]) == {"bbbb"}
    assert len(newest) == 1 + 4 * SEEDS
    assert len(comparisons.lowest_removals(Results(store)).query("profile == 'reference'")) == 1 + 4 * SEEDS
    layers = block_scores.layer_values(Results(store), "variance").query("profile == 'mini'")
    assert set(layers["run"]) == set(newest["run"])
    assert len(layers) == 2 * BLOCKS
    assert set(layers["seeds"]) == {SEEDS}


def test_results_that_lack_outcomes_name_the_run(store):
    for path in store.root.glob("mini/*/*.outcomes.csv.gz"):
        path.unlink()
    with pytest.raises(InputError, match="mini-sst2-distilbert-20260101T000000Z"):
        comparisons.summary(Results(store))


def test_measured_rows_are_listed_and_the_lines_without_one_named(store):
    fill(store, "mini", **PERPLEXITY_ROW)
    listed = {task: tables.TABLES[f"rows_table-{task}"](Results(store)) for task in ("sentiment", "language_modeling")}
    first = "[SST-2, DistilBERT](/book/executed/sentiment.ipynb) (reference)"
    original, avss, random, best, removed, stands_for = cells(listed["sentiment"], first)
    assert (removed, stands_for) == ("1 of 6", "SST-2, DistilBERT")
    assert original.startswith("0.900 [")
    assert avss.startswith("0.875 [")
    assert random.startswith("0.725 [")
    assert best == f"AVSS: {avss}"
    lacking = "\nLines of the paper's table that no measured row stands for: SST-2, LLama-1B; SST-2, Stablelm-3B.\n"
    assert listed["sentiment"].endswith(lacking)
    # Less is better, and a row that is not its task's first has a page of its own.
    link = "[HackerNews, LLama-7B](/book/executed/rows/posts-mini-llama-7b.ipynb) (mini)"
    assert cells(listed["language_modeling"], link)[3].startswith("AVSS: 1.868 [")
    glance = tables.glance_table(Results(store))
    assert len([line for line in glance.splitlines() if line[:2] == "| "]) == 2 + 3, "the first row has two sources"
    assert cells(glance, link)[2:] == ["0.854", "perplexity 1.822", "1 of 6", "HackerNews, LLama-7B"]


def test_data_is_known_by_its_folder_and_a_split_of_its_own():
    assert comparisons.data_name("$AVSS_DATA/pile_extraction", "validation") == "pile_extraction"
    assert comparisons.data_name("$AVSS_DATA/hackernews", "comments_2021") == "hackernews/comments_2021"
    assert comparisons.data_name("microworld/posts", None) == "posts"


def test_methods_that_share_the_best_score_are_all_named(tmp_path):
    made = Store(tmp_path / "results")
    fill(made, "mini", removed=REMOVED | {("gbis", "none"): ["1"] * SEEDS})
    first = "[SST-2, DistilBERT](/book/executed/sentiment.ipynb) (mini)"
    assert cells(tables.rows_table(Results(made), "sentiment"), first)[3].startswith("GBIS, AVSS: 0.875")


def test_agreement_is_told_with_avss_and_with_other_seeds(store):
    table = tables.agreement_table(Results(store))
    heads = [f"SST-2, DistilBERT ({profile})" for profile in ("reference", "mini")]
    # In this order the pages explain them.
    columns = [f"{head}: {other}" for head in heads for other in ("with AVSS", "with itself, other seeds")]
    assert cells(table, "Kendall's tau") == columns
    same, reverse = "1.00 [1.00,\u00a01.00]", "−1.00 [−1.00,\u00a0−1.00]"
    told = dict(zip(cells(table, "Kendall's tau"), cells(table, "last"), strict=True))
    assert told == {column: reverse if "AVSS" in column else same for column in columns}
    assert cells(table, "AVSS (scripts' statistics)") == [same] * 4
    assert sorted(cells(table, "AVSS")) == ["", "", same, same]


def test_a_seed_that_failed_is_named_and_breaks_nothing(tmp_path):
    made = Store(tmp_path / "results")
    fill(made, "mini", fails=(("random", 1),))
    assert cells(tables.basis_table(Results(made)), "failed")[-1] == "random (observations: 1): no room"
    assert cells(tables.agreement_table(Results(made)), "random")[1].startswith("1.00")
    assert cells(tables.difference_table(Results(made), "AVSS"), "random")[0].startswith("not told apart")
    assert figures.svg("retention", Results(made))


def test_a_share_that_is_not_zero_does_not_read_as_zero():
    shares = [row_titles.share_of_score(kept) for kept in (0, 0.0004, 0.0006, 0.97)]
    assert shares == ["0.000", "less than 0.001", "0.001", "0.970"]


def test_a_model_that_never_answers_right_is_too_weak_to_judge(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "CORRECT", dict.fromkeys(stores.CORRECT, 0))
    made = Store(tmp_path / "results")
    fill(made, "mini")
    results, weak = Results(made), "too weak to judge (accuracy 0.00)"
    assert cells(tables.retention_table(results), "AVSS")[-1] == weak
    assert cells(tables.glance_table(results), "[SST-2, DistilBERT](/book/executed/sentiment.ipynb) (mini)")[0] == weak
    assert set(cells(tables.difference_table(results, "random"), "AVSS")) == {"too weak to judge"}
    claim = "AVSS keeps more than 90\u00a0% (DistilBERT by Table 1: 0.973)"
    assert cells(tables.claim_table(results), claim)[-1] == weak
    assert figures.svg("retention", results)


@pytest.mark.parametrize(
    ("metric", "value", "low", "weak"),
    [
        ("accuracy", 0.55, 0.51, False),
        ("accuracy", 0.55, 0.49, True),
        ("f1", 0.2, 0.1, False),
        ("f1", 0.09, 0.05, True),
        ("f1", 0.2, 0.0, True),
        ("exact_match", 0.05, 0.01, False),
        ("perplexity", 1e6, 1e5, False),
    ],
)
def test_a_score_is_too_weak_where_its_interval_reaches_guessing_or_f1_is_below_a_tenth(metric, value, low, weak):
    assert METRICS[metric].too_weak(value, low) == weak


def test_blocks_removed_on_all_seeds_come_before_those_of_some(tmp_path):
    made = Store(tmp_path / "results")
    first = {("taylor", "none"): ["0+1"] * SEEDS, ("cim", "none"): ["0"] * SEEDS, ("lrp", "none"): ["0+1", "0", "0"]}
    fill(made, "mini", removed=REMOVED | first | {("gbis", "none"): ["0+3+4", "0+3+5", "0+3+5"]})
    table = tables.removal_table(Results(made))
    assert cells(table, "GBIS") == ["0, 3; on some seeds 4–5"]
    assert cells(table, "AVSS") == ["1"]
    assert cells(table, "random") == ["on some seeds 1–2, 5"]
    # To remove by depth needs no score, so it is said.
    assert cells(table, "last") == ["5 (the last)"]
    assert cells(table, "CIM") == ["0 (the first)"]
    assert cells(table, "Taylor") == ["0–1 (the first 2)"]
    assert cells(table, "LRP") == ["0; on some seeds 1"]


def test_the_reading_table_shows_the_presets(store):
    assert cells(tables.reading_table(Results(store)), "`population`") == ["`elements`", "`pooled_tokens`"]


def test_markdown_keeps_cells_whole(store):
    table = tables.markdown(pd.DataFrame({"a|b": ["x|y"], "n": [3], "share": [0.12345]}), digits=2, note="Note.")
    assert table.splitlines()[0] == "| a\\|b | n | share |"
    assert table.splitlines()[2] == "| x\\|y | 3 | 0.12 |"
    assert table.endswith("\nNote.\n")


def test_a_size_and_its_unit_stay_on_one_line_of_a_table():
    shown = tables.markdown(pd.DataFrame({"on mini LLama-8B (2.4 M)": ["mini LLama-1B (2.4 M) on 3 M"]}))
    assert "LLama-8B (2.4\u00a0M)" in shown
    assert "LLama-1B (2.4\u00a0M) on 3 M" in shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (99.9994, "99.999"),
        (99.9996, "100.0"),
        (100, "100.0"),
        (-99.9996, "−100.0"),
        (999.96, "1000"),
        (194_000, "194000"),
        (1.7e18, "1.70e+18"),
        (np.inf, "too large to hold"),
        (-np.inf, "too far below 0 to hold"),
        (np.nan, "not measured"),
    ],
)
def test_a_number_is_spelt_by_its_size_whatever_it_is(value, expected):
    assert tables.spell(value) == expected


def test_an_interval_that_ends_beyond_all_numbers_says_so():
    assert tables.spell(5, 4, np.inf) == "5.000 [4.000,\u00a0too large to hold]"
    assert tables.percent(np.nan) == "not measured"


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0.000256, 0.000194, 0.000349), "0.00026 [0.00019, 0.00035]"),
        ((0.0004996, 0.0004, 0.0004999), "0.00050 [0.00040, 0.00050]"),
        ((0.000012, -0.0004, 0.0001), "0.00001 [−0.00040, 0.00010]"),
        ((6.7e-7, 5e-7, 8.8e-7), "6.7e−07 [5.0e−07, 8.8e−07]"),
        ((0.0004, 0.0001, 0.0006), "0.000 [0.000,\u00a00.001]"),
        ((0.0004, np.nan, np.nan), "0.000"),
        ((0, 0, 0), "0.000 [0.000,\u00a00.000]"),
        ((1e-12, -1e-12, 0), "1.0e−12 [−1.0e−12, 0.0e+00]"),
    ],
)
def test_a_small_interval_does_not_read_as_zero(numbers, expected):
    assert tables.spell(*numbers) == expected


@given(st.floats(), st.integers(0, 4))
def test_no_number_ends_a_table(value, digits):
    text = tables.spell(value, value, value, digits=digits)
    assert text
    assert len(text) < 100
    assert "nan" not in text
