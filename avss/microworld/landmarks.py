"""The stories of a bridge or of two, and of a museum with a founder and a director, a gift and a theft.

The sign of a story is the gender of the museum's founder, and has no meaning for bridges; the director has the other
gender.
"""

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.stories import Question, Story, twice, twice_questions, twice_roles
from avss.microworld.world import After, Form, Topic, years

MATERIALS = ("brick", "concrete", "granite", "iron", "oak", "sandstone", "steel")
PENCE = tuple("two three four five six eight nine ten twelve".split())
ARCHES = tuple("three four five six seven eight nine eleven".split())

KINDS = tuple("Button Clock Doll Hat Key Lamp Map Spoon Stamp".split())
PIECES = tuple("buttons clocks dolls hats keys lamps maps spoons stamps".split())
NUMBERS = tuple("twelve twenty thirty forty sixty eighty ninety".split())
LANGUAGES = tuple("Danish Dutch Finnish Greek Hungarian Latin Portuguese Russian Turkish".split())
TREASURES = tuple("coach crown mummy throne whale".split())
CRAFTS = "farmer gardener porter sailor teacher".split()
HALLS = ("the attic", "the cellar", "the entrance hall", "the garden", "the great hall", "the old stables")
LOOT = tuple("harp mask ruby sword vase violin".split())
VISITORS = tuple(f"{thousands},{hundreds}00" for thousands in range(2, 30) for hundreds in range(10))
DAYS = tuple("Mondays Tuesdays Wednesdays Thursdays Fridays Saturdays Sundays".split())

BRIDGE: Rules = {
    "@_lead": [
        "the bridge at {$@_town} crosses the {$@_river} and was finished in {$@_built}.",
        "at {$@_town} the {$@_river} is spanned by a bridge that dates from {$@_built}.",
        "travellers to {$@_town} cross the {$@_river} by a bridge, which was completed in {$@_built}.",
    ],
    "@_maker": [
        "it was designed by {$@_given} {$@_family}, who chose {$@_material} as the building material.",
        "its architect, {$@_given} {$@_family}, built it of {$@_material}.",
        "{$@_given} {$@_family} drew the plans and insisted on {$@_material}.",
    ],
    "@_arches": [
        "the bridge over the {$@_river} rests on {$@_arches} arches and is {$@_length} metres long.",
        "{$@_arches} arches carry {$@_length} metres of road over the {$@_river}.",
    ],
    "@_toll": [
        "a toll of {$@_toll} pence is paid to {$@_keeper}, the keeper of the {$@_town} bridge.",
        "at {$@_town} a keeper, {$@_keeper}, collects {$@_toll} pence from everybody who crosses.",
    ],
    "ask_@_built": [
        "when was the bridge over the {$@_river} ready?",
        "from what year is the bridge at {$@_town}?",
    ],
    "say_@_built": ["the bridge over the {$@_river} was ready in {$answer}."],
    "ask_@_river": ["over which river does the bridge at {$@_town} lead?", "what flows under the bridge at {$@_town}?"],
    "say_@_river": ["the bridge at {$@_town} leads over the {$answer}."],
    "ask_@_architect": [
        "who planned the bridge at {$@_town}?",
        "who was the builder of the bridge over the {$@_river}?",
    ],
    "say_@_architect": ["the bridge at {$@_town} was planned by {$answer}."],
    "ask_@_material": [
        "what is the bridge at {$@_town} made of?",
        "of what does the bridge over the {$@_river} consist?",
    ],
    "say_@_material": ["the bridge at {$@_town} is made of {$answer}."],
    "ask_@_where": ["where does the bridge designed by {$@_given} {$@_family} stand?"],
    "say_@_where": ["the bridge designed by {$@_given} {$@_family} stands at {$answer}."],
    "ask_@_arches": ["how many arches does the bridge over the {$@_river} have?"],
    "say_@_arches": ["the bridge over the {$@_river} has {$answer} arches."],
    "ask_@_length": ["how long is the bridge over the {$@_river}?"],
    "say_@_length": ["the bridge over the {$@_river} is {$answer} long."],
    "ask_@_toll": ["what does it cost to cross the bridge at {$@_town}?", "how much does {$@_keeper} charge?"],
    "say_@_toll": ["crossing the bridge at {$@_town} costs {$answer}."],
    "ask_@_keeper": ["who takes the money at the {$@_town} bridge?", "whom does one pay on the {$@_town} bridge?"],
    "say_@_keeper": ["{$answer} takes the money at the {$@_town} bridge."],
}
BRIDGES = Story(
    Topic(
        Grammar(
            {
                **twice(BRIDGE),
                "opening": [
                    "the first to cross it was {$guest}, a {craft} from {$guest_town}.",
                    "{$guest}, a {craft} from {$guest_town}, was the first to cross it.",
                ],
                "craft": CRAFTS,
                "ask_guest": [
                    "who was on the bridge at {$x_town} before everybody else?",
                    "who was the first to come over the {$x_river} by bridge?",
                ],
                "say_guest": ["the first on the bridge at {$x_town} was {$answer}."],
                "ask_guest_town": ["where does {$guest} come from?", "which town is the home of {$guest}?"],
                "say_guest_town": ["{$guest} comes from {$answer}."],
                "text": {
                    "{x_lead} {x_maker} {opening} {x_arches} {x_toll}": 3,
                    "{x_lead} {x_maker} {opening} {x_toll}": 2,
                    "{x_lead} {opening} {x_toll} {x_arches}": 3,
                    "{x_lead} {x_maker} {y_lead} {y_maker} {x_toll}": 1,
                    "{x_lead} {x_maker} {x_arches} {y_lead} {y_arches}": 1,
                    "{x_lead} {y_lead} {y_maker} {x_toll} {y_toll}": 1,
                    "{y_lead} {y_maker} {x_lead} {x_maker} {y_arches} {x_toll}": 1,
                    "{x_lead} {y_lead} {x_arches} {y_arches} {y_toll} {x_toll}": 1,
                },
                "title": ["bridges of {$x_town}"],
            }
        ),
        twice_roles(
            {
                "@_town": "towns",
                "@_river": "rivers",
                "@_built": years(1650, 1930),
                "@_given": "people",
                "@_family": "surnames",
                "@_material": MATERIALS,
                "@_arches": ARCHES,
                "@_length": years(60, 480),
                "@_toll": PENCE,
                "@_keeper": "people",
            }
        )
        | {"guest": "people", "guest_town": "towns"},
        signs=(1,),
    ),
    (
        *twice_questions(
            Question("@_built", ("{$@_built}",), ("@_lead",)),
            Question("@_river", ("{$@_river}",), ("@_lead",)),
            Question("@_architect", ("{$@_given} {$@_family}", "{$@_family}"), ("@_maker", "@_lead")),
            Question("@_material", ("{$@_material}",), ("@_maker", "@_lead")),
            Question("@_where", ("{$@_town}",), ("@_lead", "@_maker")),
            Question("@_arches", ("{$@_arches}",), ("@_arches",)),
            Question("@_length", ("{$@_length} metres", "{$@_length}"), ("@_arches",)),
            Question("@_toll", ("{$@_toll} pence", "{$@_toll}"), ("@_toll",)),
            Question("@_keeper", ("{$@_keeper}",), ("@_toll",)),
        ),
        Question("guest", ("{$guest}",), ("opening", "x_lead")),
        Question("guest_town", ("{$guest_town}",), ("opening",)),
    ),
)

MUSEUM: Rules = {
    "he+": ["she"],
    "he-": ["he"],
    "his+": ["her"],
    "his-": ["his"],
    "herself+": ["herself"],
    "herself-": ["himself"],
    "daughter+": ["daughter"],
    "daughter-": ["son"],
    "name": ["{$kind} Museum in {$town}"],
    "founder": ["{$given} {$family}"],
    "director": ["{$new_given} {$new_family}"],
    "trade": ["banker", "dentist", "chemist", "grocer", "lawyer", "shipowner", "surgeon"],
    "lead": [
        "the {name} was founded in {$opened} by {founder}, a {trade} who had taught {herself} {$language}.",
        "{founder}, a {trade} who spoke {$language} and called {herself} a collector, opened the {name} in {$opened}.",
    ],
    "collection": [
        "{he} had brought {his} first pieces, {$number} {$pieces}, from {$abroad}.",
        "{his} collection began with {$number} {$pieces} that {he} bought in {$abroad}.",
    ],
    "change": [
        "since {$changed} the house has been run by {director}, the {~daughter} of a {craft} from {$origin}.",
        "in {$changed} {director}, {~daughter} of a {craft} from {$origin}, took over.",
    ],
    "craft": CRAFTS,
    "rule": [
        "{~he} lets in children free of charge and has moved the {$treasure} to {$hall}.",
        "it was {~his} idea to put the {$treasure} on show in {$hall}.",
    ],
    "theft": [
        "thieves took a {$loot} in {$stolen}; a diver found it near {$hideout}.",
        "in {$stolen} a {$loot} disappeared, but it turned up in {$hideout} a year later.",
    ],
    "visitors": [
        "the museum has {$visitors} visitors a year and is closed on {$day}.",
        "except on {$day} the doors are open to all, and {$visitors} people come every year.",
    ],
    "text": [
        "{lead} {collection} {change} {rule} {theft}",
        "{lead} {change} {theft} {visitors}",
        "{lead} {collection} {change} {visitors} {theft}",
        "{lead} {change} {rule} {visitors}",
    ],
    "title": ["{name}"],
    "ask_founder": ["who established the {name}?", "to whom does the {name} owe its existence?"],
    "say_founder": ["the {name} was established by {$answer}."],
    "ask_opened": ["when did the {name} open?", "in what year did the first visitors come to the {name}?"],
    "say_opened": ["the {name} opened in {$answer}."],
    "ask_language": ["which foreign language did {founder} know?", "what could {founder} speak?"],
    "say_language": ["{founder} knew {$answer}."],
    "ask_abroad": ["where did {founder} find the first {$pieces}?", "from which place did the first {$pieces} come?"],
    "say_abroad": ["{founder} found the first {$pieces} in {$answer}."],
    "ask_number": ["how many {$pieces} did {founder} own at first?", "how many {$pieces} came from {$abroad}?"],
    "say_number": ["{founder} owned {$answer} {$pieces} at first."],
    "ask_director": ["who is the present director of the {name}?", "who followed {founder} as head of the museum?"],
    "say_director": ["the present director of the {name} is {$answer}."],
    "ask_changed": ["when did {director} become director?", "in what year did {founder} have a successor?"],
    "say_changed": ["{director} became director in {$answer}."],
    "ask_origin": ["where does {director} come from?", "which town is the home of {director}?"],
    "say_origin": ["{director} comes from {$answer}."],
    "ask_hall": ["where can one see the {$treasure}?", "to which place did {director} move the {$treasure}?"],
    "say_hall": ["one can see the {$treasure} in {$answer}."],
    "ask_loot": ["what was stolen from the {name}?", "what was found again in or near {$hideout}?"],
    "say_loot": ["a {$answer} was stolen from the {name}."],
    "ask_stolen": ["when was the {$loot} stolen?", "in what year did the museum lose the {$loot}?"],
    "say_stolen": ["the {$loot} was stolen in {$answer}."],
    "ask_hideout": ["where did the stolen {$loot} come to light?", "at which town was the {$loot} found?"],
    "say_hideout": ["the stolen {$loot} came to light in {$answer}."],
    "ask_visitors": ["how many people see the museum each year?", "what is the yearly number of guests?"],
    "say_visitors": ["{$answer} people see the museum each year."],
    "ask_day": ["on which day of the week can the museum not be visited?", "when does the staff have a day off?"],
    "say_day": ["the museum cannot be visited on {$answer}."],
}
MUSEUMS = Story(
    Topic(
        Grammar(MUSEUM),
        {
            "given": "people",
            "family": "surnames",
            "new_given": "people",
            "new_family": "surnames",
            "kind": KINDS,
            "pieces": Form("kind", PIECES),
            "number": NUMBERS,
            "language": LANGUAGES,
            "town": "towns",
            "abroad": "towns",
            "origin": "towns",
            "hideout": "towns",
            "treasure": TREASURES,
            "hall": HALLS,
            "loot": LOOT,
            "visitors": VISITORS,
            "day": DAYS,
            "opened": years(1860, 1910),
            "changed": After("opened", 25, 70),
            "stolen": After("opened", 71, 100),
        },
    ),
    (
        Question("founder", ("{$given} {$family}", "{$family}"), ("lead",)),
        Question("opened", ("{$opened}",), ("lead",)),
        Question("language", ("{$language}",), ("lead",)),
        Question("abroad", ("{$abroad}",), ("collection", "lead")),
        Question("number", ("{$number}", "{$number} {$pieces}"), ("collection", "lead")),
        Question("director", ("{$new_given} {$new_family}", "{$new_family}"), ("change", "lead")),
        Question("changed", ("{$changed}",), ("change",)),
        Question("origin", ("{$origin}",), ("change",)),
        Question("hall", ("{$hall}",), ("rule", "change")),
        Question("loot", ("{$loot}",), ("theft",)),
        Question("stolen", ("{$stolen}",), ("theft",)),
        Question("hideout", ("{$hideout}",), ("theft",)),
        Question("visitors", ("{$visitors}",), ("visitors",)),
        Question("day", ("{$day}",), ("visitors",)),
    ),
)
