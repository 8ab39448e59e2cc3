"""Readings: presets, the text form that users type, and what is refused."""

import pytest

from avss.errors import InputError
from avss.reading import PRESETS, Reading


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
    ],
)
def test_bad_readings_are_named(text, message):
    with pytest.raises(InputError, match=message):
        Reading.parse(text)
