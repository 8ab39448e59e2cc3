"""What is told of healing: shares against the tokens seen, from stored outcomes alone."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from avss import intervals
from avss.report import figures, tables
from avss.report.figures.recovery import recovery
from avss.report.figures.style import style
from avss.report.pages import results_beside, rows_of_book
from avss.report.recovery import finding, last_less_random, recovered
from avss.report.snapshot import Results
from avss.store import Store
from tests.stores import PERPLEXITY_ROW, cells

ROOT = Path(__file__).parent.parent
ROW, DOCUMENTS = PERPLEXITY_ROW["row"], 40
# Mean losses in nats before, half way and after, of the whole model and without what each score removed.
LOSSES = {
    ("next_token", "original"): ("none", (0.5, 0.48, 0.46)),
    ("next_token", "avss"): ("0+1", (3.0, 1.5, 1.0)),
    ("next_token", "block_influence"): ("2+4", (0.7, 0.65, 0.6)),
    ("next_token", "random"): ("1+3", (1.2, 0.9, 0.7)),
    ("distillation", "avss"): ("0+1", (3.0, 1.4, 0.9)),
    ("distillation", "random"): ("1+3", (1.2, 0.9, 0.8)),
}


def outcome(loss: float) -> tuple[np.ndarray, np.ndarray]:
    spread = np.random.default_rng(0).normal(size=DOCUMENTS)
    return 10 * (loss + 0.1 * (spread - spread.mean())), np.full(DOCUMENTS, 10.0)


@pytest.fixture
def results(tmp_path) -> Results:
    store = Store(tmp_path / "results" / "recovery")
    every = [f"{objective}{method}{point}" for objective, method in LOSSES for point in range(3)]
    facts = {"configuration": {"id": ROW, "stands_for": ROW}, "asked": every}
    # The key of an earlier study, which nothing asks for any more.
    run = store.start("mini", ROW, "2026-01-01T00:00:00Z", facts)
    for (objective, method), (removed, losses) in (LOSSES | {("next_token", "last"): ("4+5", (9, 9, 9))}).items():
        for point, loss in enumerate(losses):
            key = f"{objective}{method}{point}"
            run.add_outcomes({key: outcome(loss)})
            value = intervals.value("perplexity", *outcome(loss))
            known = {"profile": "mini", "row": ROW, "task": "language_modeling", "model": "m", "metric": "perplexity"}
            known |= {"selection": f"{objective}({point * 512})", "removed": removed, "layers": 6, "seed": 0}
            known |= {"value": value, "low": value - 0.1, "high": value + 0.1, "n": DOCUMENTS, "status": "ok"}
            run.add([known | {"key": key, "coalition": key, "method": method, "reading": "none"}])
    return Results(Store(tmp_path / "results"))


def test_shares_are_of_the_whole_model_before_training(results):
    table = recovered(results, ROW)
    assert set(table["method"]) == {method for _, method in LOSSES}
    for line in table.itertuples():
        loss = LOSSES[line.objective, line.method][1][line.tokens // 512]
        assert line.kept == pytest.approx(np.exp(0.5 - loss))
        # Outcomes that differ by a constant are paired without any spread.
        assert (line.kept_low, line.kept_high) == pytest.approx((line.kept, line.kept))
    less = last_less_random(results, table[table["objective"] == "distillation"])
    assert list(less) == ["avss"]
    assert less["avss"] == pytest.approx([np.exp(-0.4) - np.exp(-0.3)] * 3)


def test_the_figure_says_its_finding_and_fits_the_page(results):
    with mpl.rc_context(style("light")):
        figure, data = recovery(results, ROW)
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= figure.get_figwidth() <= 7
    assert len([axes for axes in figure.axes if axes.lines]) == 2
    title = " ".join(figure.get_suptitle().split())
    assert "from 8.2 % to 60.7 % of the whole; block influence is at 90.5 % (mini, next token)" in title
    assert len(data) == 3 * len(LOSSES)


def test_a_finding_where_avss_is_best_or_missing(results):
    part = recovered(results, ROW)
    own = part[part["objective"] == "distillation"]
    assert finding(own).endswith("of the whole; random is at 74.1\u00a0% (mini, distillation)")
    assert "the most of all" in finding(own[own["method"] == "avss"])
    assert finding(own[own["method"] == "random"]) == "Healing on 1\u202f024 tokens (mini, distillation)"


def test_the_table_pairs_each_score_with_random(results):
    table = tables.recovery_table(results, ROW)
    assert table.count("\n| ") == 1 + len(LOSSES)
    assert cells(table, "next token | whole model")[1:3] == ["none", "1.65"]
    assert cells(table, "next token | block influence")[-1].startswith("+0.0")
    assert cells(table, "next token | random")[-1] == "–"
    assert table.endswith("In all lines: profile mini, tokens 1\u202f024.\n")


def test_a_page_depends_on_what_was_healed(results):
    entry = next(entry for entry in rows_of_book("mini").values() if entry.row.stands_for == ROW)
    row, root = entry.row, results.store.root
    facts = {"configuration": {"id": row.id, "stands_for": ROW}, "asked": []}
    Store(root).start("mini", row.id, "2026-01-01T00:00:00Z", facts)
    Store(root / "recovery").start("mini", row.id, "2026-01-01T00:00:00Z", facts)
    folders = {str(Path(path).parent.relative_to(root)) for path in results_beside(entry, root)}
    assert folders == {f"mini/{row.id}", f"recovery/mini/{row.id}", f"recovery/mini/{ROW}"}


def test_committed_results_are_complete_and_start_where_the_rows_end():
    store, checked = Store(ROOT / "results"), 0
    inner = Store(store.root / "recovery")
    for profile, row in inner.observations()[["profile", "row"]].drop_duplicates().itertuples(index=False, name=None):
        table, rest = inner.observations(profile, row), store.observations(profile, row)
        asked = table[table["key"].isin(inner.asked_for(profile, row))]
        assert set(asked["key"]) == inner.asked_for(profile, row)
        assert set(asked["status"]) == {"ok"}
        assert not any(facts["git_dirty"] for facts in inner.provenances(profile, row))
        rest = rest[rest["seed"].eq(0) & rest["selection"].str.match(r"none|lowest") & (rest["status"] == "ok")]
        for line in asked[asked["selection"].str.endswith("(0)")].itertuples():
            own = rest[(rest["method"] == line.method) & (rest["reading"] == line.reading)].iloc[-1]
            assert (line.removed, line.revision) == (own["removed"], own["revision"])
            if line.n == own["n"]:
                assert line.value == pytest.approx(own["value"], rel=1e-6)
            checked += 1
    assert checked


def test_nothing_healed_is_said(tmp_path):
    nothing = Results(Store(tmp_path))
    assert "Not measured" in tables.recovery_table(nothing, ROW)
    assert b"svg" in figures.svg("recovery", nothing, ROW)
