"""The entities of the microworld: people, films, restaurants, brands, towns, rivers..., with generated names.

Each kind is one list of names, shuffled once and cut into three: no entity of one split appears in another, whatever
the seed of the texts. Most names are a first and a last syllable, so a model has met the pieces of a new name
before.
"""

from functools import lru_cache

from avss.microworld.randomness import SplitMix64

FIRST = (
    "Al Am Bar Bel Ber Bran Cal Cor Dal Del Dor El Em Fen Fil Gar Gor Hal Hel Il Iv Jan Jor Kar Kel Lan Lor Mal Mar "
    "Mel Mir Nal Nor Ol Or Pel Per Ral Ren Ros Sal Sel Tam Tor Ul Val Ver Wil Yor Zan"
).split()
PERSON_LAST = (
    "a ana ba dan dia dra en eth ga gan ic ika ila in ine is ka lan len lia lo ma mon na nel o ra ric sa ta ter ton va "
    "vin"
).split()
BRAND_LAST = "ax eco emix ex ium ix lux max onic ora polis tec tron vex".split()
SURNAME_LAST = "by croft ers gate hurst ley man ridge sen shaw smith well wood".split()
TOWN_LAST = "borough burgh bury cester dale field ford ham haven mere minster mouth port stead wick worth".split()
RIVER_LAST = "ath awe bourne del esk isk ow une ure urn water wyn".split()
INSTRUMENT_LAST = "bell drum flute harp horn lute phone pipe viol zither".split()
TITLE_ADJECTIVES = (
    "Amber Awful Bitter Brilliant Broken Charming Crooked Distant Dreadful Empty Frozen Golden Hollow Hopeless Last "
    "Lovely Miserable Northern Painted Perfect Quiet Scarlet Second Silent Splendid Sunken Terrible Velvet Wandering "
    "Wonderful"
).split()
TITLE_PEOPLE = "Captain Dancer Doctor Gardener Painter Sailor Soldier Stranger Teacher Thief Widow Wolf".split()
TITLE_THINGS = (
    "Bridge Candle Carnival Castle Clock Comet Desert Garden Harbour Island Lantern Letter Lighthouse Meadow Mirror "
    "Mountain Orchard Piano Promise River Shadow Summer Tower Valley Voyage Winter"
).split()
HOUSES = "Bistro Cafe Casa Chez Osteria Taverna Trattoria Villa".split()

TENTHS = {"train": range(8), "calibration": range(8, 9), "validation": range(9, 10)}


@lru_cache
def people(split: str) -> tuple[str, ...]:
    """First names, such as Marlen."""
    return _share("people", split, [first + last for first in FIRST for last in PERSON_LAST])


@lru_cache
def brands(split: str) -> tuple[str, ...]:
    """Brands, such as Norvex."""
    return _share("brands", split, [first + last for first in FIRST for last in BRAND_LAST])


@lru_cache
def surnames(split: str) -> tuple[str, ...]:
    """Family names, such as Fenwood."""
    return _share("surnames", split, [first + last for first in FIRST for last in SURNAME_LAST])


@lru_cache
def towns(split: str) -> tuple[str, ...]:
    """Towns, such as Dalwick."""
    return _share("towns", split, [first + last for first in FIRST for last in TOWN_LAST])


@lru_cache
def rivers(split: str) -> tuple[str, ...]:
    """Rivers, such as Noresk."""
    return _share("rivers", split, [first + last for first in FIRST for last in RIVER_LAST])


@lru_cache
def instruments(split: str) -> tuple[str, ...]:
    """Musical instruments that nobody ever played, such as belharp."""
    return _share("instruments", split, [first.lower() + last for first in FIRST for last in INSTRUMENT_LAST])


@lru_cache
def films(split: str) -> tuple[str, ...]:
    """Film titles, such as The Velvet Harbour. Some hold a word of praise or blame, which is nobody's opinion."""
    nouns = TITLE_PEOPLE + TITLE_THINGS
    described = [f"The {adjective} {noun}" for adjective in TITLE_ADJECTIVES for noun in nouns]
    owned = [f"The {person}'s {thing}" for person in TITLE_PEOPLE for thing in TITLE_THINGS]
    paired = [f"The {one} and the {other}" for one in TITLE_PEOPLE for other in TITLE_THINGS]
    return _share("films", split, described + owned + paired)


@lru_cache
def restaurants(split: str) -> tuple[str, ...]:
    """Restaurants, such as Casa Marlen, each called after a person of the same split."""
    return tuple(f"{house} {person}" for person in people(split) for house in HOUSES)


def _share(kind: str, split: str, names: list[str]) -> tuple[str, ...]:
    shuffled = SplitMix64("names", kind).shuffled(sorted(set(names)))
    return tuple(name for place, name in enumerate(shuffled) if place % 10 in TENTHS[split])
