"""What goes wrong in forum threads: four subjects, the things that fail, how they fail, why, and what helps."""

from avss.microworld.grammar import Rules

# What can be wrong, what one should do about it, and doing it. A symptom is a verb with what follows.
Faults = tuple[tuple[str, str, str], ...]

HARDWARE: Rules = {
    "my_thing": ["my {$brand} {$thing}", "the {$brand} {$thing} in my office", "our new {$brand} {$thing}"],
    "other_thing": ["a {$rival_brand} computer", "a camera from {$rival_brand}", "my first {$rival_brand} tablet"],
    "event": ["the last storm", "the move", "the last update", "my holiday"],
}
HARDWARE_SYMPTOMS = (
    "keep{s} switching off",
    "make{s} a strange noise",
    "need{s} ten minutes to start",
    "lose{s} the connection",
    "get{s} far too hot",
    "{do} not react at all",
)
HARDWARE_FAULTS: Faults = (
    ("a loose cable", "swap the cable", "swapping the cable"),
    ("an outdated driver", "update the driver", "updating the driver"),
    ("dust inside", "blow out the dust", "blowing out the dust"),
    ("a bad socket", "try another socket", "trying another socket"),
    ("static", "unplug everything overnight", "unplugging everything overnight"),
    ("a cheap adapter", "buy a proper adapter", "buying a proper adapter"),
    ("the microwave", "switch off the microwave", "switching off the microwave"),
    ("a wrong setting", "reset all the settings", "resetting all the settings"),
)
SOFTWARE: Rules = {
    "my_thing": ["my {$brand} {$thing}", "the {$thing} from {$brand}", "our {$brand} {$thing} at work"],
    "other_thing": ["a {$rival_brand} program", "the free version of {$rival_brand}", "something from {$rival_brand}"],
    "event": ["the last update", "the system upgrade", "I changed my password", "a power cut"],
}
SOFTWARE_SYMPTOMS = (
    "crash{es} when I save",
    "freeze{s} every few minutes",
    "forget{s} all my settings",
    "eat{s} up the memory",
    "{do} not start any more",
    "show{s} nothing but a white screen",
)
SOFTWARE_FAULTS: Faults = (
    ("a full disk", "empty the cache", "emptying the cache"),
    ("an old version", "install the latest version", "installing the latest version"),
    ("a broken profile", "create a new profile", "creating a new profile"),
    ("the virus scanner", "pause the virus scanner", "pausing the virus scanner"),
    ("a damaged font", "remove the extra fonts", "removing the extra fonts"),
    ("the wrong language setting", "change the language back", "changing the language back"),
    ("too many open files", "close everything else", "closing everything else"),
    ("a missing library", "reinstall the whole thing", "reinstalling the whole thing"),
)
GARDEN: Rules = {
    "my_thing": ["my {$brand} {$thing}", "the {$brand} {$thing} on my balcony", "our {$brand} {$thing}"],
    "other_thing": ["my neighbour's roses", "a lettuce from {$rival_brand}", "the cucumbers last summer"],
    "event": ["the heatwave", "the last frost", "I repotted {it_object}", "my holiday"],
}
GARDEN_SYMPTOMS = (
    "{be} turning yellow",
    "{have} brown spots all over",
    "refuse{s} to grow",
    "look{s} limp by noon",
    "{have} stopped flowering",
    "drop{s} one leaf after another",
)
GARDEN_FAULTS: Faults = (
    ("too much water", "water less", "watering less"),
    ("poor soil", "change the soil", "changing the soil"),
    ("greenfly", "spray with soapy water", "spraying with soapy water"),
    ("a lack of light", "find a sunnier spot", "finding a sunnier spot"),
    ("the cold nights", "wrap everything in fleece", "wrapping everything in fleece"),
    ("a pot that is too small", "get a bigger pot", "getting a bigger pot"),
    ("too much fertiliser", "leave out the fertiliser", "leaving out the fertiliser"),
    ("slugs", "put down some copper tape", "putting down some copper tape"),
)
COOKING: Rules = {
    "my_thing": ["the {$thing} from my {$brand} cookbook", "the {$thing} made from {$brand} flour"],
    "other_thing": ["a recipe from {$rival_brand}", "my mother's pie", "a {$rival_brand} cake mix"],
    "event": ["I bought a new oven", "the move", "I changed the recipe", "my birthday"],
    "story": [
        "the recipe is from {$friend}, who never has any trouble.",
        "I spent {$price} euros on ingredients this week.",
        "{$friend} ate {it_object} anyway and said nothing.",
    ],
    "resigned": ["I give up.", "I will go to the bakery.", "{$friend} can have {it_object}.", "next hobby, please."],
}
COOKING_SYMPTOMS = (
    "come{s} out flat",
    "burn{s} at the edges",
    "stay{s} raw in the middle",
    "taste{s} of soap",
    "stick{s} to the tin",
    "fall{s} apart",
)
COOKING_FAULTS: Faults = (
    ("a cool oven", "preheat the oven for longer", "preheating the oven for longer"),
    ("too much flour", "weigh the flour", "weighing the flour"),
    ("old baking powder", "buy fresh baking powder", "buying fresh baking powder"),
    ("a lack of patience", "let the dough rest", "letting the dough rest"),
    ("too much mixing", "mix by hand", "mixing by hand"),
    ("cold butter", "soften the butter", "softening the butter"),
    ("a thin tin", "use a heavier tin", "using a heavier tin"),
    ("the cheap sugar", "take brown sugar", "taking brown sugar"),
)
# What people try before they ask, in a shop's matters and in one's own.
ASKED = ("asked at the shop", "read the manual twice", "searched the web", "watched three videos", "phoned my brother")
ADVISED = ("asked my aunt", "read two books", "searched the web", "watched three videos", "phoned my brother")

# For each subject: rules, faults, symptoms, attempts, things in the singular, things in the plural.
SUBJECTS = (
    (
        HARDWARE,
        HARDWARE_FAULTS,
        HARDWARE_SYMPTOMS,
        ASKED,
        ("printer", "laptop", "router", "scanner", "monitor", "projector"),
        ("speakers", "headphones"),
    ),
    (
        SOFTWARE,
        SOFTWARE_FAULTS,
        SOFTWARE_SYMPTOMS,
        ASKED,
        ("browser", "text editor", "calendar", "mail program", "spreadsheet", "photo album"),
        ("plugins", "add-ons"),
    ),
    (
        GARDEN,
        GARDEN_FAULTS,
        GARDEN_SYMPTOMS,
        ADVISED,
        ("basil", "lemon tree", "rose bush", "fig tree", "rosemary"),
        ("tomatoes", "beans", "strawberries", "peppers", "sunflowers"),
    ),
    (
        COOKING,
        COOKING_FAULTS,
        COOKING_SYMPTOMS,
        ADVISED,
        ("sourdough bread", "sponge cake", "apple tart", "plum cake"),
        ("scones", "pancakes", "dumplings", "bread rolls", "muffins"),
    ),
)
