"""Encyclopaedia articles on kinds of things: musical instruments, birds and plants.

The sign of an article is the number of its subject ("the belharp is", "belharps are"), kept through every sentence.
"""

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.world import After, Topic, years

NUMBER: Rules = {
    "is+": ["is"],
    "is-": ["are"],
    "was+": ["was"],
    "was-": ["were"],
    "has+": ["has"],
    "has-": ["have"],
    "it+": ["it"],
    "it-": ["they"],
    "its+": ["its"],
    "its-": ["their"],
    # The ending of a verb, then that of a noun.
    "s+": ["s"],
    "s-": [""],
    "count": ["two", "three", "four", "five", "six", "seven", "nine", "twelve"],
    "name+": ["the {kind}"],
    "name-": ["{kind}s"],
}

INSTRUMENT_ROLES = {
    "instrument": "instruments",
    "relative": "instruments",
    "given": "people",
    "family": "surnames",
    "player": "people",
    "virtuoso": "surnames",
    "town": "towns",
    "stage": "towns",
    "title": "films",
    "made": years(1560, 1830),
    "played": After("made", 6, 70),
}
INSTRUMENT: Rules = {
    **NUMBER,
    "kind": ["{$instrument}"],
    "text": {
        "{lead} {origin} {build} {sound} {fame}": 3,
        "{lead} {build} {origin} {fame} {decline}": 3,
        "{lead} {origin} {sound} {comparison} {decline}": 3,
        "{lead} {origin} {fame} {build} {comparison}": 2,
    },
    "lead+": [
        "the {$instrument} is a {pitch} {family} instrument, a relative of the {$relative}.",
        "the {$instrument}, a {pitch} {family} instrument, is closely related to the {$relative}.",
    ],
    "lead-": [
        "{$instrument}s are {pitch} {family} instruments, relatives of the {$relative}.",
        "{$instrument}s, like other {pitch} {family} instruments, are related to the {$relative}.",
    ],
    "pitch": ["small", "deep", "rare", "loud", "curved", "heavy"],
    "family": ["stringed", "wind", "brass", "keyboard"],
    "origin": [
        "{it} {was} invented in {$town} in {$made} by {$given} {$family}, a {maker}.",
        "the {maker} {$given} {$family} of {$town} described {it_object} in a letter of {$made}.",
        "{it} {was} first built in {$made} in the workshop of {$given} {$family} in {$town}.",
    ],
    "it_object+": ["it"],
    "it_object-": ["them"],
    "maker": ["cabinetmaker", "bell founder", "monk", "watchmaker", "organist"],
    "build": [
        "the body, which {$family} carved from {wood}, {has_parts}.",
        "{its} body is made of {wood}, and the player {plays}.",
    ],
    "wood": ["maple", "walnut", "cherry wood", "a single piece of oak", "ebony"],
    "has_parts": ["has {count} holes", "is as long as an arm", "is covered with leather", "weighs {count} pounds"],
    "plays": ["holds {it_object} upright", "sits behind {it_object}", "uses only one hand", "needs a strong back"],
    "sound": [
        "the tone of {name}, which {listeners} admired, is {soft} and {clear}.",
        "{name} {sound_verb}{s} {soft} in the low notes and {clear} in the high ones.",
    ],
    "listeners": ["poets", "travellers", "even critics", "the bishops of {$town}"],
    "sound_verb": ["sound", "seem"],
    "soft": ["soft", "warm", "hoarse", "dry", "sweet"],
    "clear": ["clear", "bright", "thin", "sharp", "piercing"],
    "comparison": [
        "unlike the {$relative}, {it} {cannot}.",
        "the {$relative}, which is {younger}, is {easier}; all the same, {name} {never_was} replaced by it.",
    ],
    "cannot": ["can be played out of doors", "cannot be tuned", "{has} no {missing}", "{is} often used in dances"],
    "missing": ["keys", "lid", "bow", "strings"],
    "younger": ["younger", "older", "slightly larger", "cheaper"],
    "easier": ["easier to learn", "louder", "better known", "harder to carry"],
    "never_was": ["{was} never", "{was} soon", "{was} only slowly"],
    "fame": [
        "in {$played} {$player} {$virtuoso} played {one} in {$stage} before {audience}.",
        "{$title}, first heard in {$stage} in {$played}, was written for {$player} {$virtuoso}, who played {one}.",
    ],
    "one+": ["it"],
    "one-": ["one of them"],
    "audience": ["the king", "an audience of thousands", "an empty house", "the town council"],
    "decline": [
        "today {name} {survive}{s} only in the folk music of {$town}.",
        "by the end of the century {it} {had_gone}, and {$town} has the only {left} {left_one}.",
        "since then {it} {has} been {revived} by students in {$stage}.",
    ],
    "survive": ["survive", "appear"],
    "had_gone": ["had gone out of fashion", "had disappeared from orchestras"],
    "left": ["playable", "complete", "painted"],
    "left_one": ["example", "specimen"],
    "revived": ["revived", "improved", "rediscovered"],
}

NATURE_ROLES = {
    "region": "rivers",
    "place": "towns",
    "range": "towns",
    "given": "people",
    "family": "surnames",
    "doubter": "surnames",
    "found": years(1690, 1870),
    "protected": After("found", 40, 90),
    "length": years(9, 95),
    "animal": ("bunting", "heron", "owl", "plover", "tern", "warbler", "woodpecker"),
}
NATURE: Rules = {
    **NUMBER,
    "text": {
        "{lead} {habitat} {looks} {discovery} {threat}": 3,
        "{lead} {looks} {food} {habitat} {discovery}": 3,
        "{lead} {discovery} {looks} {threat} {today}": 3,
        "{lead} {habitat} {food} {discovery} {today}": 3,
    },
    "discovery": [
        "{it} {was} first described in {$found} by {$given} {$family}, who {mistook}.",
        "{$given} {$family} discovered {it_object} near {$place} in {$found}, but {$doubter} {doubted}.",
        "the first description, which {$family} sent to {$doubter} in {$found}, {was_lost}.",
    ],
    "it_object+": ["it"],
    "it_object-": ["them"],
    "mistook": ["lived in {$place}", "drew {it_object} from life", "never published the drawing"],
    "doubted": ["had been there before", "doubted the report", "gave {it_object} the name used today"],
    "was_lost": ["was lost at sea", "is kept in {$place}", "contains {count} errors"],
    "threat": [
        "{name}, once common along the {$region}, {has} been protected since {$protected}.",
        "a law of {$protected} forbids {harm} {it_object} between {$place} and {$range}.",
    ],
    "today": [
        "today {count} hundred of {them_all} remain near {$range}.",
        "{name} {appear}{s} in the coat of arms of {$place}.",
    ],
    "them_all+": ["the species"],
    "them_all-": ["them"],
    "appear": ["appear", "still feature"],
}
BIRD: Rules = {
    **NATURE,
    "kind": ["{$region} {$animal}"],
    "lead+": [
        "the {$region} {$animal} is a {size} bird of the {landscape} between {$place} and {$range}.",
        "the {$region} {$animal}, named after the river where it was first seen, is a {size} bird.",
    ],
    "lead-": [
        "{$region} {$animal}s are {size} birds of the {landscape} between {$place} and {$range}.",
        "{$region} {$animal}s, named after the river where they were first seen, are {size} birds.",
    ],
    "size": ["small", "shy", "long-legged", "noisy", "solitary", "nocturnal"],
    "landscape": ["marshes", "pine forests", "stony hills", "reed beds"],
    "habitat": [
        "{it} nest{s} {nest} and lay{s} {count} {colour} eggs.",
        "the nest, which the young leave after {count} weeks, is built {nest}.",
    ],
    "nest": ["in hollow trees", "on bare ground", "under bridges", "in the roofs of farms", "among the reeds"],
    "colour": ["white", "grey", "pale blue", "brown", "spotted"],
    "looks": [
        "adults are {$length} centimetres long and have {colour} wings and a {beak} beak.",
        "{name}, whose call {others} often imitate, reach{es} a length of {$length} centimetres.",
    ],
    "es+": ["es"],
    "es-": [""],
    "others": ["starlings", "children", "hunters", "parrots"],
    "beak": ["short", "curved", "yellow", "strong"],
    "food": [
        "{its} diet consists of {food_item}, but in winter {it} eat{s} {winter_food}.",
        "{it} feed{s} on {food_item}, which {it} catch{es} {when}.",
    ],
    "food_item": ["beetles", "small fish", "moths", "snails", "frogs"],
    "winter_food": ["berries", "seeds", "almost nothing", "acorns"],
    "when": ["at dusk", "on the wing", "before dawn", "with great patience"],
    "harm": ["hunting", "feeding", "catching"],
}
PLANT: Rules = {
    **NATURE,
    "kind": ["{$region} {$animal}"],
    "lead+": [
        "the {$region} {$animal} is a {size} plant of the {landscape} around {$place}.",
        "the {$region} {$animal}, named after the river on whose banks it grows, is a {size} plant.",
    ],
    "lead-": [
        "{$region} {$animal}s are {size} plants of the {landscape} around {$place}.",
        "{$region} {$animal}s, named after the river on whose banks they grow, are {size} plants.",
    ],
    "size": ["low", "climbing", "poisonous", "fragrant", "hardy", "short-lived"],
    "landscape": ["meadows", "sand dunes", "chalk hills", "old walls"],
    "habitat": [
        "{it} prefer{s} {soil} soil and flower{s} for only {count} weeks {season}.",
        "the seeds, which ants carry away, need {count} winters and {soil} soil.",
    ],
    "soil": ["dry", "wet", "sandy", "chalky", "rich"],
    "season": ["in early spring", "in June", "after the harvest", "in late autumn"],
    "looks": [
        "the leaves are {shape}, and the {colour} flowers stand on stems of {$length} centimetres.",
        "{name}, whose {colour} flowers open {when}, grow{s} to a height of {$length} centimetres.",
    ],
    "shape": ["narrow", "heart-shaped", "hairy", "toothed", "leathery"],
    "colour": ["white", "violet", "yellow", "pink", "dark red"],
    "when": ["at night", "only in the sun", "before the leaves", "one after another"],
    "food": [
        "{its} roots were once used against {illness}, but {it} {is} {useless}.",
        "an oil is pressed from the seeds and sold in {$range} as a remedy for {illness}.",
    ],
    "illness": ["fever", "headaches", "toothache", "coughs", "gout"],
    "useless": ["useless", "too bitter for most people", "harmful to horses"],
    "harm": ["picking", "selling", "uprooting"],
}
FLOWERS = ("bellflower", "clover", "gentian", "lily", "orchid", "primrose", "thistle")

TOPICS = [
    Topic(Grammar(INSTRUMENT), INSTRUMENT_ROLES),
    Topic(Grammar(BIRD), NATURE_ROLES),
    Topic(Grammar(PLANT), {**NATURE_ROLES, "animal": FLOWERS}),
]
