"""The font of the figures: the letters of DejaVu Sans that they use, cut out once a process.

A PDF file embeds the letters that it has. Cutting them out of the whole font may take longer than drawing the figure;
out of this small font it is faster.
"""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from fontTools import subset
from matplotlib import font_manager

WHOLE = "DejaVu Sans"
_SMALL = "DejaVu Sans of the figures"
# Western letters with their accents, Greek ones, and the signs and arrows of text and formulas.
_LETTERS = [*range(0x20, 0x100), *range(0x391, 0x3CA), *range(0x2010, 0x2027), *range(0x2070, 0x209F)]
_LETTERS += [*range(0x2190, 0x2194), *range(0x2200, 0x2270)]


@functools.cache
def families() -> list[str]:
    """The font families for figures that become PDF files: the small one, and the whole one for letters that it lacks.

    Glyphs keep their numbers and all that shapes text, so a figure in upright letters, normal or bold, is the same to
    the byte in both. The small font has no oblique ones: matplotlib would set such text upright.
    """
    folder = Path(tempfile.mkdtemp(prefix="avss-font-"))
    atexit.register(_remove, folder, os.getpid())
    # The same bytes at any time, and without a table that fontTools cannot cut and would warn of.
    options = subset.Options(
        layout_features=["*"], legacy_kern=True, name_IDs=["*"], recalc_timestamp=False, retain_gids=True
    )
    options.drop_tables += ["FFTM"]
    for weight in ("normal", "bold"):
        whole = font_manager.findfont(font_manager.FontProperties(family=WHOLE, weight=weight))
        with subset.load_font(whole, options) as font:
            cut = subset.Subsetter(options)
            cut.populate(unicodes=_LETTERS)
            cut.subset(font)
            for name in font["name"].names:
                # The family, also under its typographic id.
                if name.nameID in (1, 16):
                    name.string = _SMALL
            subset.save_font(font, folder / f"{weight}.ttf", options)
        font_manager.fontManager.addfont(folder / f"{weight}.ttf")
    return [_SMALL, WHOLE]


def _remove(folder: Path, owner: int) -> None:
    """Remove the fonts at the end of the process that made them; a process forked from it may end before it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
