"""Readings: presets, the text form that users type, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avss.errors import InputError
from avss.reading import CHOICES, PRESETS, Reading

epsilons = st.floats(0, exclude_min=True, allow_infinity=False) | st.floats(
    0, 1, exclude_min=True, exclude_max=True
).map("quantile:{}".format)
readings = st.builds(Reading, epsilon=epsilons, **{name: st.sampled_from(choices) for name, choices in CHOICES.items()})
WORDS = [*PRESETS, *CHOICES, *(str(value) for values in CHOICES.values() for value in values), "epsilon", "quantile:"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_back_from_its_name(name):
    assert Reading.parse(name) == PRESETS[name]
    assert PRESETS[name].name == name


def test_changes_follow_the_preset_and_read_back():
    reading = Reading.parse("paper,epsilon=1e-3,site=block_update,ddof=1")
    assert (reading.epsilon, reading.site, reading.ddof, reading.population) == (1e-3, "block_update", 1, "elements")
    assert Reading.parse(reading.name) == reading
    assert Reading.parse("released-code,padding=excluded").population == "pooled_tokens"


def test_a_quantile_is_read():
    assert Reading.parse("paper,epsilon=quantile:0.05").quantile == 0.05
    assert Reading().quantile is None


@given(readings)
def test_every_reading_reads_back_from_its_name(reading):
    assert Reading.parse(reading.name) == reading


@given(st.text() | st.lists(st.sampled_from([*WORDS, *",=", "1", "0.5", " "]) | st.text(max_size=2)).map("".join))
def test_any_text_is_a_reading_or_one_clear_error(text):
    try:
        reading = Reading.parse(text)
    except InputError:
        return
    assert Reading.parse(reading.name) == reading


def test_names_that_results_are_kept_under_have_not_changed():
    names = [
        "paper",
        "released-code",
        "paper,site=block_update",
        "paper,population=features,ddof=1",
        "paper,population=pooled_tokens,ddof=1,padding=included",
        "paper,epsilon=quantile:0.1",
        "paper,zero_sparsity=error",
    ]
    assert [Reading.parse(name).name for name in names] == names
    assert Reading.parse("paper,tokens=after_first").name == "paper,tokens=after_first"
    assert Reading.parse("paper,tokens=after_first,population=unit_means").name == (
        "paper,population=unit_means,tokens=after_first"
    )


@pytest.mark.parametrize("changes", [{"ddof": True}, {"ddof": 1.0}, {"epsilon": True}, {"epsilon": None}, {"site": []}])
def test_values_that_would_not_read_back_are_refused(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))} is"):
        Reading(**changes)


@pytest.mark.parametrize("given", [None, 3, ["paper"], {}])
def test_a_reading_that_is_no_text_is_named(given):
    with pytest.raises(InputError, match="give a preset's name"):
        Reading.parse(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("literal", "reading 'literal' is not known"),
        ("paper,eps=1", "'eps=1' is not field=value"),
        ("paper,epsilon", "'epsilon' is not field=value"),
        ("paper,epsilon=0", "epsilon is 0"),
        ("paper,epsilon=-1", "epsilon is -1"),
        ("paper,epsilon=nan", "epsilon is nan"),
        ("paper,epsilon=tiny", "'tiny', which is not a number"),
        ("paper,epsilon=quantile:1.5", "quantile:1.5"),
        ("paper,epsilon=quantile:x", "quantile:x"),
        ("paper,site=head", "site is 'head'"),
        ("paper,ddof=2", "ddof is 2"),
        ("paper,tokens=first", "tokens is 'first'"),
        ("paper,ddof=1,ddof=0", "ddof is named twice"),
    ],
)
def test_bad_readings_are_named(text, message):
    with pytest.raises(InputError, match=message):
        Reading.parse(text)
