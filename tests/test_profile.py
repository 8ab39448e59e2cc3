"""Profiles: what is read, what is refused in one line before anything is loaded, and the committed ones."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from avss import mini
from avss.errors import InputError
from avss.methods import METHODS
from avss.models import ATTENTION, DEVICE_MAPS, DTYPES
from avss.printed import lines_of_table_1
from avss.runs.cells import cells
from avss.runs.profile import Row, load_profile

ROOT = Path(__file__).parent.parent
ROW = {"id": "a", "task": "sentiment", "checkpoint": "owner/model", "data": "owner/data", "remove": 1}
# Values that each field cannot have: of another type, out of range, and empty.
WRONG = {
    "id": [1, "", "A", "a b", "a\nb", "..", "a/b", "a'b", "$(a)", "a{b}", "a" * 81, None],
    "task": ["t", 1, None, ["sentiment"]],
    "checkpoint": [1, "", "a\nb", None],
    "data": [1, "", "a\tb", None, ["a"]],
    "remove": ["1", "10%", 0, -1, True, 1.0, 0.0, -0.5, float("nan"), None, [1]],
    "model": [1, "", "  ", "a\nb", ["a"], None, "a" * 201],
    "dataset": [1, "", "a\nb", None],
    "title": [1, "", "a\nb", None],
    "stands_for": [1, "", "sst2", ["sst2-distilbert"]],
    "calibration": [1, "", ["train"]],
    "evaluation": [1, "", True],
    "methods": ["avss", [], None, ["b"], ["avss", "avss"], [1], {"avss": 1}],
    "readings": ["paper", [], None, ["b"], ["paper", "paper"], [1]],
    "selections": [
        *(["a"], "iterative", None, {"lrp": ["iterative"]}, {"avss": ["best"]}, {"avss": "iterative"}),
        *({"avss": []}, {"avss": ["lowest"]}, {"avss": ["cumulative(2)"]}, {"avss": ["iterative", "iterative"]}),
    ],
    "curve": [1, "1", None, [0], [True], [1.5], ["1"], [1, 1], [float("nan")], {"1": 1}],
    "compensate": ["true", 1, None, []],
    "seeds": [0, -1, "5", True, 1.5, None],
    "samples": [0, "5", True, 1.5, None],
    "documents": [0, "5", True, 1.5],
    "context": [0, 1, "128", True, 1.5],
    "shots": [-1, "3", True, 1.5, None],
    "prompt": ["", "turns", 1, None],
    "batch_size": [0, "5", True, None],
    "dtype": ["bf16", 16, None],
    "revision": [1234567, "", "a b"],
    "data_revision": [1234567, "", "a b"],
    "data_config": [1, ""],
    "where": ["text", ["a"], {"label": [1]}, {"label": None}, None],
    "device_map": ["cuda", 0, ""],
    "attn_implementation": ["fast", 1],
    "alternative": [1, ""],
    "shape": ["llama", {"n_layers": 2}, {"model_type": "llama", "architectures": [], "num_hidden_layers": 1}],
    "tokens": [0, "5", True],
    "data_bytes": [-1, "5", True, None],
}


def written(folder: Path, *rows: dict, **sections) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"rows": list(rows)} | sections), encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith((f"{path}: ", f"{path} ", f"profile {path}"))
    return message


def test_every_field_is_tried_with_wrong_values():
    assert list(WRONG) == [field.name for field in fields(Row)]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_a_wrong_value_is_one_line_that_names_row_field_value_and_next_step(tmp_path, field, value):
    message = refused(written(tmp_path, ROW | {field: value}))
    assert "row a" in message or field == "id"
    assert field in message or field == "shape"
    assert re.search("; (give|choose|leave|remove)|needs", message), message


@pytest.mark.parametrize("field", ["id", "task", "checkpoint", "data", "remove"])
def test_a_missing_field_is_named(tmp_path, field):
    message = refused(written(tmp_path, {name: value for name, value in ROW.items() if name != field}))
    assert f"{field} is missing; give " in message


@pytest.mark.parametrize("field", [field.name for field in fields(Row)])
def test_a_field_that_stands_twice_is_named_with_its_line(tmp_path, field):
    path = tmp_path / "mine.yaml"
    path.write_text(f"rows:\n  - {field}: 1\n    {field}: 1\n")
    assert f"line 3, column 5: '{field}' stands twice" in refused(path)


def test_an_unknown_field_is_named(tmp_path):
    assert "row a: 'colour' is no field of a row; choose from id, task" in refused(
        written(tmp_path, ROW | {"colour": 1})
    )
    assert "row a: 5 is no field of a row" in refused(written(tmp_path, ROW | {5: "x"}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a profile; it needs a list of rows"),
        (b"- a", "is not a profile"),
        (b"rows: []", "is not a profile"),
        (b"rows: [5]", "row 1 is 5; give fields such as id"),
        (b"rows:\n\t- id: x\n", "line 2, column 1: found character '\\t'"),
        (b"rows:\n  - {id: r1\n", "line 3, column 1: expected ',' or '}'"),
        (b"defaults:\nrows: [{id: a}]", "defaults is None; give fields of a row, or leave it out"),
        (b"rwos: []\nrows: [{id: a}]", "'rwos' is no section of a profile"),
        (b"# caf\xe9\nrows: [{id: a}]", "cannot be read"),
        (b"rows: !!python/object/apply:os.getcwd []\n", "line 1, column 7: could not determine a constructor"),
        (b"rows: [{? [a, b] : 1}]", "a key is no plain word"),
        (b"rows: *nothing", "found undefined alias"),
        (b"rows: " + b"[" * 3000, "give YAML"),
    ],
)
def test_a_damaged_profile_is_one_line(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    assert message in refused(path)


def test_rows_that_would_share_results_or_a_line_of_the_table_are_refused(tmp_path):
    assert "row a: id is 'a' in two rows" in refused(written(tmp_path, ROW, ROW))
    both = [ROW | {"id": name, "stands_for": "sst2-distilbert"} for name in ("a", "b")]
    assert "stands_for is 'sst2-distilbert' in two rows" in refused(written(tmp_path, *both))


def test_removing_all_blocks_is_refused_where_their_number_is_known(tmp_path):
    message = refused(written(tmp_path, ROW | {"checkpoint": "mini/distilbert", "remove": 6}))
    assert "row a: remove is 6: 6 of 6 layers means removing 6; remove at least 1 and at most 5" in message
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"n_layer": 2}')
    assert "2 of 2 layers" in refused(written(tmp_path, ROW | {"checkpoint": str(tmp_path / "model"), "remove": 2}))


@pytest.mark.parametrize("name", ["my own.yaml", "a'b.yaml", "$(touch x).yaml", "{row}.yaml", "ä.yaml"])
def test_a_profile_whose_name_cannot_name_a_folder_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_text(yaml.safe_dump({"rows": [ROW]}))
    with pytest.raises(InputError, match="give letters, digits"):
        load_profile(path)


def test_a_missing_profile_names_those_that_exist():
    with pytest.raises(InputError, match=r"profile profiles/x\.yaml does not exist; .* mini, paper, reference"):
        load_profile("x")


def test_names_for_readers_come_from_the_model_and_data_that_run(tmp_path):
    row = load_profile(written(tmp_path, ROW | {"checkpoint": "some/tiny-gpt", "data": "/where/ten.jsonl"})).rows[0]
    assert (row.model, row.dataset, row.title) == ("tiny-gpt", "ten.jsonl", "ten.jsonl, tiny-gpt")
    named = load_profile(written(tmp_path, ROW | {"model": "Mine (1 M)", "dataset": "Children's Books"})).rows[0]
    assert named.title == "Children's Books, Mine (1 M)"


def test_defaults_are_for_all_rows_and_a_row_overrides_them(tmp_path):
    rows = load_profile(written(tmp_path, ROW, ROW | {"id": "b", "seeds": 2}, defaults={"seeds": 3})).rows
    assert [row.seeds for row in rows] == [3, 2]


def test_an_unknown_row_is_named_and_another_number_of_seeds_is_taken():
    profile = load_profile("mini")
    row = profile.row("reviews-mini-llama-1b")
    assert row.seeds == 5
    assert profile.row(row.id, seeds=2) == replace(row, seeds=2)
    with pytest.raises(InputError, match="profile mini has no row 'llama'; it has reviews-mini-distilbert"):
        profile.row("llama")
    with pytest.raises(InputError, match="seeds is 0; give a whole number from 1"):
        profile.row(row.id, seeds=0)


def test_known_names_are_those_of_the_package():
    for field, known in (("dtype", DTYPES), ("device_map", DEVICE_MAPS), ("attn_implementation", ATTENTION)):
        for value in known:
            assert getattr(Row(**ROW, **{field: value}), field) == value
    assert Row(**ROW, methods=tuple(METHODS)).methods == tuple(METHODS)


def test_each_cell_is_a_method_reading_rule_and_seed():
    row = Row(**ROW, methods=("avss", "last"), readings=("paper", "released-code"), seeds=2)
    row = replace(row, selections={"avss": ("iterative",)})
    assert len(cells(row)) == len(set(cells(row))) == 1 + 2 * 2 * 2 + 2
    assert cells(row)[0] == ("original", "none", "none", 0, None, False)
    row = replace(row, selections={"avss": ("iterative", "cumulative(0.5)")}, curve=(1, 0.5))
    assert cells(row)[1:4] == [("avss", "paper", "lowest", 0, at, False) for at in (None, 1, 0.5)]
    # A rule with a mass says itself how many layers go.
    assert len(cells(row)) == len(set(cells(row))) == 1 + 2 * 2 * (3 + 3 + 1) + 2 * 3


@pytest.mark.parametrize("name", ["mini", "reference", "paper"])
def test_committed_profiles_load_and_stand_for_lines_of_table_1(name):
    profile = load_profile(name)
    assert profile.name == name
    lines = {line["id"]: line for line in lines_of_table_1()}
    assert [row.stands_for for row in profile.rows] == [line for line in lines if line in _lines(profile)]
    assert {row.seeds for row in profile.rows} == {5}
    for row in profile.rows:
        printed = lines[row.stands_for]
        assert row.task == printed["task"].replace("sentiment classification", "sentiment").replace(" ", "_")
        if name == "paper":
            assert (row.id, row.dataset, row.model) == (printed["id"], printed["dataset"], printed["model"])
        else:
            # Nobody may read that a small model is the paper's.
            assert row.model != printed["model"]
            assert row.id != printed["id"]


def _lines(profile) -> set[str]:
    return {row.stands_for for row in profile.rows}


def test_the_paper_profile_has_all_rows_of_table_1_pinned_and_with_their_shares():
    rows = load_profile("paper").rows
    assert len(rows) == 12
    for row, printed in zip(rows, lines_of_table_1(), strict=True):
        layers = row.shape.get("num_hidden_layers") or row.shape["n_layers"]
        assert row.remove == round(float(printed["parameter_reduction"].rstrip("%")) / 100 * layers), row.id
        assert re.fullmatch("[0-9a-f]{40}", row.revision), row.id
        assert re.fullmatch("[0-9a-f]{40}", row.data_revision), row.id
        assert bool(row.alternative) == row.checkpoint.startswith("meta-llama/"), row.id


def test_mini_has_the_twelve_rows_of_table_1_with_their_shares_and_true_sizes():
    for row, printed in zip(load_profile("mini").rows, lines_of_table_1(), strict=True):
        card = json.loads((mini.folder(row.checkpoint.removeprefix("mini/")) / "card.json").read_text())
        # The nearest whole number of layers.
        share = float(printed["parameter_reduction"].rstrip("%")) / 100
        assert abs(row.remove / card["blocks"] - share) < 0.5 / card["blocks"]
        assert f"({card['parameters'] / 1e6:.1f} M)" in row.model
