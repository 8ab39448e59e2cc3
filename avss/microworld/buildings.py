"""Encyclopaedia articles on buildings: theatres, libraries and palaces, with their architects, fires and owners.

The sign of an article has no meaning here; that of some clauses is the number of their subject.
"""

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.world import After, Topic, years

MATERIALS = ("brick", "granite", "sandstone", "timber", "limestone", "marble")

BUILDING_ROLES = {
    "given": "people",
    "family": "surnames",
    "heir": "people",
    "restorer": "people",
    "rival": "surnames",
    "town": "towns",
    "near": "towns",
    "river": "rivers",
    "material": MATERIALS,
    "other_material": MATERIALS,
    "begun": years(1420, 1790),
    "done": After("begun", 3, 24),
    "burnt": After("done", 15, 80),
}
BUILDING: Rules = {
    "count": ["two", "three", "four", "six", "eight", "twelve"],
    "was+": ["was"],
    "was-": ["were"],
    "is+": ["is"],
    "is-": ["are"],
    "s+": ["s"],
    "s-": [""],
    "text": {
        "{lead} {building} {loss} {inside} {today}": 3,
        "{lead} {building} {?outside} {loss} {today}": 3,
        "{lead} {?outside} {building} {inside} {owners}": 3,
        "{lead} {building} {owners} {inside} {?outside} {today}": 2,
    },
    "lead": [
        "the {$family} {house} is a {house_kind} on the {$river} in {$town}, built of {$material}.",
        "the {$family} {house} in {$town}, named after its architect, is a {house_kind} of {$material}.",
        "standing above the {$river}, the {$family} {house} is the {best} {house_kind} in {$town}.",
    ],
    "best": ["best known", "oldest", "largest", "only"],
    "building": [
        "{$given} {$family} began it in {$begun}, and it was finished in {$done} by {his_heir} {$heir}.",
        "it was begun in {$begun} to plans by {$given} {$family} and finished {late} in {$done}.",
        "the work of {$given} {$family}, it took from {$begun} to {$done} to build, as {cause}.",
    ],
    "his_heir": ["a pupil,", "a nephew,", "the carpenter", "the architect's daughter"],
    "late": ["by others", "at great cost", "without the tower", "by workers from {$near}"],
    "cause": [
        "money was short",
        "the ground was soft",
        "{count} of the masons fell ill",
        "the stone came from {$near}",
    ],
    "outside+": ["the {part}, which {adorned} with {figures}, {turned}."],
    "outside-": ["the {part}s, which {adorned} with {figures}, {turned}."],
    "part": ["gate", "tower", "staircase", "balcony", "window"],
    "adorned": ["{was} decorated", "{was} once covered", "{is} crowned"],
    "figures": ["statues of saints", "carved animals", "the arms of {$near}", "painted stars"],
    "turned": ["{face}{s} the {$river}", "{was} added later", "{was} copied in {$near}", "{lean}{s} slightly"],
    "face": ["face", "overlook"],
    "lean": ["lean", "glow"],
    "inside": [
        "its {hall}, with a ceiling of {$other_material}, holds {capacity} people.",
        "inside, {count} columns of {$other_material} carry the roof of the {hall}.",
        "the floor of the {hall} is of {$other_material}, a gift from the citizens of {$near}.",
    ],
    "capacity": ["two hundred", "three hundred", "five hundred", "eight hundred"],
    "loss": [
        "in {$burnt} it {burnt}, and {$rival}, who repaired it, used {$other_material} instead of {$material}.",
        "struck by lightning in {$burnt}, it was restored by an architect from {$near}, {$restorer} {$rival}.",
    ],
    "burnt": ["burnt down", "lost its roof in a storm", "was damaged by a flood"],
    "owners": [
        "the building belonged to the {$rival} family, who {used} it, until the town of {$near} bought it.",
        "{$restorer} {$rival}, its {owner}, {left} it to the citizens of {$town}.",
    ],
    "used": ["rarely visited", "let strangers see", "neglected", "slowly emptied"],
    "owner": ["last owner", "second owner", "owner for {count} years"],
    "left": ["sold", "left", "gave"],
    "today": [
        "today it houses {tenant}.",
        "it is now {empty}, and the people of {$town} call it the {nickname}.",
        "{$family} is buried beneath the {hall}.",
    ],
    "tenant": ["the town archive", "a school of music", "a museum of clocks", "a court", "a bank from {$near}"],
    "empty": ["empty", "closed to visitors", "in need of repair"],
    "nickname": ["Old Lady", "Lantern", "Barn", "Teapot"],
}
HOUSES: list[Rules] = [
    {"house": ["Theatre"], "house_kind": ["playhouse", "opera house"], "hall": ["auditorium", "foyer"]},
    {"house": ["Library"], "house_kind": ["lending library", "public library"], "hall": ["reading room", "map room"]},
    {"house": ["Palace"], "house_kind": ["country house", "summer residence"], "hall": ["ballroom", "banqueting hall"]},
]

TOPICS = [Topic(Grammar({**BUILDING, **house}), BUILDING_ROLES, signs=(1,)) for house in HOUSES]
