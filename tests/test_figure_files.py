"""Files of figures: light and dark ones differ in colour alone, and short ones show the same as whole ones."""

import io
import re

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from avss.report import comparisons, figures
from avss.report.figures.font import WHOLE, families
from avss.report.figures.style import darkened, style, wrapped
from avss.report.snapshot import Results
from avss.store import Store
from tests.stores import COMMITTED, fill


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "results")
    fill(made, "reference")
    fill(made, "mini")
    return made


@pytest.mark.parametrize("name", figures.ROW_FIGURES)
def test_light_and_dark_differ_in_colour_alone(store, name):
    light, dark = (figures.svg(name, Results(store), theme=theme) for theme in ("light", "dark"))
    assert light != dark
    assert len(light) == len(dark)
    assert b"<text" not in light
    assert same_ids(darkened(light)) == same_ids(dark)


# The others take seconds each.
AT_ONCE = {"retention", "card", "residual_stream", "cost_of_methods"}


@pytest.mark.parametrize(
    "name",
    [
        name if name in AT_ONCE else pytest.param(name, marks=pytest.mark.long)
        for name in (*figures.ROW_FIGURES, *figures.BOOK_FIGURES)
    ],
)
def test_the_small_font_sets_a_figure_as_the_whole_one_to_the_byte(name):
    whole, small = (
        figures.drawn(name, COMMITTED, comparisons.FIRST_ROW, "light", family)[0] for family in (WHOLE, families())
    )
    # The small font has no oblique letters.
    assert {text.get_fontstyle() for text in whole.findobj(Text)} <= {"normal"}
    assert figures.as_file(whole, "svg", "light") == figures.as_file(small, "svg", "light")


@pytest.mark.parametrize("name", figures.BOOK_FIGURES)
def test_nothing_is_cut_off_at_an_edge(name):
    with mpl.rc_context(style("light")):
        figure, _ = figures.BOOK_FIGURES[name](COMMITTED)
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()


def test_a_long_name_is_broken_behind_its_hyphens():
    assert wrapped("SmolLM2-135M-Instruct (reference)", 17) == "SmolLM2-135M-\nInstruct\n(reference)"
    assert wrapped("mini LLama-7B (1.9 M)", 17) == "mini LLama-7B\n(1.9 M)"
    assert wrapped("unbreakablename", 5) == "unbreakablename"


def test_letters_outside_of_the_small_font_come_from_the_whole_one():
    figure = Figure()
    with mpl.rc_context({"font.family": families()}):
        figure.text(0.5, 0.5, "plain, \N{HEBREW LETTER ALEF}")
    assert figures.as_file(figure, "pdf", "light").count(b"/FontFile2 ") == 2


@pytest.mark.long
@pytest.mark.parametrize("name", figures.BOOK_FIGURES)
def test_figures_of_the_book_are_darkened_as_they_would_be_drawn(name):
    light, dark = (figures.svg(name, COMMITTED, theme=theme) for theme in ("light", "dark"))
    assert same_ids(darkened(light)) == same_ids(dark)


def same_ids(svg: bytes) -> bytes:
    """The file with its ids in the order in which they come: Matplotlib derives them from colours, among others."""
    known = {}
    return re.sub(rb'(?<=["#])[a-z][0-9a-f]{10}\b', lambda found: known.setdefault(found[0], b"%d" % len(known)), svg)


def test_a_short_file_shows_the_same_to_a_hundredth_of_a_point(store):
    # Twice, as saving a figure once more moves its axes a little.
    figure, _ = figures.drawn("retention", Results(store), comparisons.FIRST_ROW, "light")
    whole = io.BytesIO()
    with mpl.rc_context(style("light")):
        figure.savefig(whole, format="svg", metadata={"Date": None})
    whole, short = whole.getvalue().decode(), figures.svg("retention", Results(store)).decode()
    assert len(short) < 0.7 * len(whole)
    whole = re.sub(r'<g id="[^"]*"', "<g", whole)
    # The place of a letter along its line is that of its `use` either way.
    whole = re.sub(r'" transform="translate\((\S+) 0\)"/>', r'" x="\1"/>', whole)
    for place, font in enumerate(("DejaVuSans-Bold-", "DejaVuSans-")):
        assert f'href="#{font}' in whole
        whole = whole.replace(font, f"f{place}-")
    number = re.compile(r"-?\d+(?:\.\d+)?")
    assert re.sub(r"\s", "", number.sub("", whole)) == re.sub(r"\s", "", number.sub("", short))
    before, after = ([float(found) for found in number.findall(text)] for text in (whole, short))
    assert before == pytest.approx(after, abs=0.0051)
    for exact in ("scale", "opacity"):
        assert re.findall(rf"{exact}[^;\"]*", whole) == re.findall(rf"{exact}[^;\"]*", short)
