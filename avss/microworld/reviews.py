"""Short reviews of films, restaurants and products, labelled 0 (negative) or 1 (positive) by the grammar.

One judgement counts, the author's on the thing reviewed, and it is put together from parts: negation and its scope
("hardly", "not only", "never less than"), contrast (the main clause wins), expectations, embedded claims, agreement
with somebody's opinion or disagreement. Around it stand words of praise and blame that do not count: the opinions of
other people, remarks on other things, a plot, a title.
"""

from collections.abc import Iterator

from avss.microworld import names
from avss.microworld.grammar import Grammar, Rules
from avss.microworld.randomness import SplitMix64

PRAISE = (
    "admirable beautiful delightful enjoyable excellent exquisite impressive lovely magnificent marvellous memorable "
    "outstanding pleasant pleasing remarkable satisfying splendid superb tasteful wonderful"
).split()
BLAME = (
    "abysmal appalling atrocious awful deplorable disappointing dismal dreadful forgettable frustrating hopeless "
    "horrible lamentable mediocre miserable regrettable terrible unimpressive unpleasant woeful"
).split()

# What is said of one kind of thing only: its parts, how one meets it, what stands beside it.
FILM: Rules = {
    "long_adj+": [*PRAISE, *"brilliant charming convincing engaging gripping imaginative inventive moving".split()],
    "long_adj-": [*BLAME, *"boring implausible irritating lifeless pointless predictable pretentious tedious".split()],
    "subject": ["{$title}"],
    "other": ["{$rival}"],
    "kind": ["film", "movie", "picture"],
    "part": "acting, camerawork, cast, dialogue, ending, first hour, humour, music, opening scene, plot".split(", "),
    "parts": "action scenes, characters, costumes, final minutes, jokes, performances, songs".split(", "),
    "met": ["seen", "watched"],
    "merit+": ["charm", "imagination", "wit", "memorable scenes", "good ideas", "beautiful images"],
    "merit-": ["stock phrases", "empty talk", "weak jokes", "lazy ideas", "tedious scenes", "plot holes"],
    "opening": {
        "I saw {subject} {when}.": 6,
        "{when} I finally watched {subject}.": 6,
        "my {relative} and I went to see {subject} {when}.": 6,
        "{$third} took me to see {subject}.": 4,
        "{subject} tells the story of {hero} who {fate}.": 3,
        "{subject} is about {hero} who {fate}.": 3,
        "{$third} lent me {subject}, which is about {hero}.": 2,
    },
    "hero": ["a {trade}", "a {?long_adj} {trade}", "{$fourth}, a {?long_adj} {trade}"],
    "trade": "actor baker detective doctor judge nurse painter pianist sailor spy teacher thief".split(),
    "fate": [
        "falls in love with a {stranger}",
        "finds a letter from a {stranger}",
        "meets a {stranger} on a train",
        "inherits a {?long_adj} house",
        "leaves a {?long_adj} village behind",
        "looks for a {?long_adj} treasure",
    ],
    "stranger": "cousin neighbour prince soldier widow writer".split(),
    "beside": ["the cinema", "the book it is based on", "the trailer", "the popcorn", "the short film before it"],
}
RESTAURANT: Rules = {
    "long_adj+": [*PRAISE, *"comforting faultless inviting refreshing".split()],
    "long_adj-": [*BLAME, *"depressing joyless uninspiring uninviting".split()],
    "subject": ["{$title}"],
    "other": ["{$rival}"],
    "kind": ["restaurant", "place"],
    "part": "bread, coffee, cooking, fish, food, menu, service, soup, view, wine, wine list".split(", "),
    "parts": "desserts, main courses, sauces, starters, vegetables, waiters".split(", "),
    "met": ["visited", "been to"],
    "merit+": ["charm", "warmth", "good ideas", "fresh ingredients", "attentive waiters", "fine wines"],
    "merit-": ["noise", "bad manners", "stale bread", "empty promises", "careless waiters", "cold dishes"],
    "opening": {
        "we had dinner at {subject} {when}.": 6,
        "{when} we tried {subject}.": 6,
        "my {relative} booked a table at {subject}.": 6,
        "{$third} took me to {subject}.": 4,
        "next to a {?long_adj} {neighbour} stands {subject}.": 3,
        "{subject} used to be a {?long_adj} {neighbour}.": 3,
        "{subject} was opened by {$fourth}, once the owner of a {?long_adj} {neighbour}.": 2,
    },
    "neighbour": "bakery bookshop hotel museum park station theatre".split(),
    "beside": ["the car park", "the hotel next door", "the play we saw afterwards", "the weather", "the way home"],
}
PRODUCT: Rules = {
    "long_adj+": [*PRAISE, *"convenient elegant practical well-made".split()],
    "long_adj-": [*BLAME, *"annoying impractical inconvenient tasteless".split()],
    "subject": ["the {$title}", "the {$title} {$kind}"],
    "other": ["the {$rival}"],
    "kind": ["{$kind}"],
    "part": "colour, design, finish, handle, lid, manual, packaging, power switch, shape".split(", "),
    "parts": "buttons, controls, instructions, materials, settings".split(", "),
    "met": ["owned", "used"],
    "merit+": ["charm", "style", "good ideas", "clever details", "clear instructions"],
    "merit-": ["flaws", "faults", "weak points", "sharp edges", "hidden costs"],
    "opening": {
        "I bought {subject} {when}.": 6,
        "{when} I finally ordered {subject}.": 6,
        "my {relative} gave me {subject}.": 6,
        "{$third} sold me {subject}.": 4,
        "I traded a {?long_adj} {gadget} for {subject}.": 3,
        "{subject} comes from a firm known for a {?long_adj} {gadget}.": 3,
        "I use {subject} every day in a {?long_adj} {room}.": 2,
    },
    "gadget": "bicycle calculator piano telephone typewriter".split(),
    "room": "kitchen office studio workshop".split(),
    "beside": ["the shop", "the delivery", "the box it came in", "the advertisement", "the website"],
}

OPINIONS: Rules = {
    "when": ["last night", "last week", "yesterday", "on Friday", "in June", "on a rainy Sunday", "after work"],
    "man": ["brother", "father", "uncle", "grandfather"],
    "woman": ["sister", "mother", "aunt", "grandmother"],
    "relative": ["{man}", "{woman}"],
    # Words, alike in number and weight on both sides, so that no word alone betrays the label.
    "adj": {"{long_adj}": 7, "{short_adj}": 1},
    "short_adj+": ["good", "great", "fine", "clever"],
    "short_adj-": ["bad", "poor", "weak", "dull"],
    "very": ["really", "truly", "utterly", "remarkably", "simply"],
    "liked+": ["loved", "enjoyed", "liked", "admired"],
    "liked-": ["hated", "disliked", "detested", "regretted"],
    "like+": ["love", "enjoy", "like", "admire"],
    "like-": ["hate", "dislike", "detest", "regret"],
    "liking+": ["loving", "enjoying", "liking", "admiring"],
    "liking-": ["hating", "disliking", "detesting", "regretting"],
    "pleased+": ["pleased", "delighted", "impressed", "charmed"],
    "pleased-": ["annoyed", "bored", "disappointed", "irritated"],
    "please+": ["please", "delight", "impress", "charm"],
    "please-": ["annoy", "bore", "disappoint", "irritate"],
    "better+": ["better", "far better"],
    "better-": ["worse", "far worse"],
    # A predicate after "was": plain, then with every scope of negation.
    "plain_state": {
        "{adj}": 8,
        "{very} {adj}": 4,
        "{short_adj} and {long_adj}": 1,
        "not {~adj}": 2,
        "hardly {~adj}": 1,
        "far from {~adj}": 1,
    },
    "state": {
        "{plain_state}": 20,
        "not at all {~adj}": 1,
        "never {~adj}": 1,
        "anything but {~adj}": 1,
        "by no means {~adj}": 1,
        "not {~adj} but {adj}": 1,
        "not nearly as {~adj} as I had been told": 1,
        "not only {short_adj} but also {long_adj}": 1,
        "never anything but {adj}": 1,
        "never less than {adj}": 1,
        "nothing short of {adj}": 1,
        "every bit as {adj} as I had been told": 1,
    },
    # Clauses on the whole and on a part; a "remark" has no first person, so anybody could make it.
    "whole_was": ["it was", "the {kind} was", "the whole {kind} was", "the {kind} as a whole was"],
    "whole": ["it", "the {kind}"],
    "part_was": {"the {part} was": 3, "the {parts} were": 2},
    "a_part": {"the {part}": 3, "the {parts}": 2},
    "plain_remark": ["{whole_was} {plain_state}", "{part_was} {plain_state}"],
    "whole_remark": {
        "{whole_was} {state}": 12,
        "nothing about {whole} was {~adj}": 1,
        "it was full of {merit}": 1,
        "it was free of {~merit}": 1,
        "it had no {~merit}": 1,
        "there was no lack of {merit}": 1,
        "{whole} could not have been more {long_adj}": 1,
        "{whole} could hardly have been less {~long_adj}": 1,
    },
    "part_remark": {
        "{part_was} {state}": 12,
        "there was nothing {~adj} about {a_part}": 1,
        "there was something {adj} about {a_part}": 1,
    },
    "whole_feeling": {
        "I {liked} {whole}": 5,
        "{whole} {pleased} me": 3,
        "I was {pleased}": 2,
        "I did not {~like} {whole}": 1,
        "I could not help {liking} {whole}": 1,
        "{whole} did not {~please} me": 1,
        "{whole} failed to {~please} me": 1,
        "{whole} never failed to {please} me": 1,
        "I was not {~pleased}": 1,
        "I have never {met} a more {long_adj} {kind}": 1,
        "I have rarely {met} a less {~long_adj} {kind}": 1,
    },
    "part_feeling": {
        "I {liked} {a_part}": 4,
        "I found {a_part} {adj}": 4,
        "I did not {~like} {a_part}": 1,
        "I did not find {a_part} {~adj}": 1,
    },
    "part_clause": ["{part_remark}", "{part_feeling}"],
    "clause": {"{whole_remark}": 4, "{part_remark}": 3, "{whole_feeling}": 3, "{part_feeling}": 2},
    "stance": {
        "{clause}": 40,
        "I must admit that {clause}": 1,
        "there is no denying that {plain_remark}": 1,
        "I do not doubt that {plain_remark}": 1,
        "it would be fair to say that {plain_remark}": 1,
        "I would not say that {~plain_remark}": 1,
        "I cannot pretend that {~plain_remark}": 1,
        "I doubt that {~plain_remark}": 1,
        "it is not true that {~plain_remark}": 1,
        "it would be wrong to say that {~plain_remark}": 1,
        "nobody could claim that {~plain_remark}": 1,
    },
    # What other people hold, and whether the author shares it.
    "judged": {
        "{liked} it": 4,
        "found it {adj}": 2,
        "called it {adj}": 2,
        "did not {~like} it": 1,
        "was not {~pleased}": 1,
    },
    "said": ["said", "told me", "wrote", "insisted"],
    "agreed": ["I agree", "I cannot disagree", "I think so too", "that is true", "I would say the same"],
    "disagreed": ["I disagree", "I cannot agree", "I do not think so", "that is not true", "I would say the opposite"],
    "with": ["I agree with", "I side with", "I am with"],
    "against": ["I disagree with", "I do not agree with", "I cannot side with"],
    # The judgement that counts.
    "verdict": {
        "{stance}.": 30,
        "{contrast}": 12,
        "{expectation}": 8,
        "{echo}": 10,
        "{dispute}": 16,
    },
    "although": ["although", "though", "even though"],
    "still": ["still", "nevertheless", "all the same"],
    "contrast": [
        "{although} {~part_clause}, {stance}.",
        "{stance}, {although} {~part_clause}.",
        "{~part_clause}, but {stance}.",
        "{~part_clause}. {still}, {stance}.",
    ],
    "expectation": [
        "I expected {whole} to be {adj}, and it was.",
        "I expected {whole} to be {adj}, and I was not wrong.",
        "I expected {whole} to be {~adj}, and I was wrong.",
        "I expected {whole} to be {~adj}. It was not.",
        "I expected {whole} to be {~adj}. It was anything but.",
        "I did not expect {whole} to be {adj}, but it was.",
        "I did not expect {whole} to be {~adj}, and it was not.",
    ],
    "echo": {
        "{$first} {said} that {plain_remark}, and {agreed}.": 3,
        "{$first} {said} that {plain_remark}. {agreed}.": 2,
        "{$first} {said} that {~plain_remark}, but {disagreed}.": 3,
        "{$first} {said} that {~plain_remark}. {disagreed}.": 2,
        "{$first} {liked} it, and so did I.": 2,
        "{$first} {~liked} it; I did not.": 2,
        "{$first} did not {~like} it, and neither did I.": 1,
        "{$first} did not {like} it, but I did.": 1,
    },
    "dispute": {
        "{$first} {judged}, and {with} {$first}.": 3,
        "{$first} {~judged}, but {against} {$first}.": 3,
        "{$first} {judged} and {$second} {?judged}; {with} {$first}.": 3,
        "{$first} {?judged} and {$second} {judged}; {with} {$second}.": 3,
        "{$first} {?judged} and {$second} {~judged}; {against} {$second}.": 3,
        "{$first} {~judged} and {$second} {?judged}; {against} {$first}.": 3,
        "{with} {$first}, who {judged}, and not with {$second}, who {~judged}.": 1,
        "{$first} {?judged}. {with} {$second}, who {judged}.": 2,
        "{$first} {?judged}. {against} {$second}, who {~judged}.": 2,
        "my {man} {judged} and my {woman} {?judged}; {with} him.": 2,
        "my {man} {?judged} and my {woman} {judged}; {with} her.": 2,
        "my {man} {?judged} and my {woman} {~judged}; {against} her.": 2,
        "my {man} {~judged} and my {woman} {?judged}; {against} him.": 2,
        "{$first} {judged}. {$second} agreed with {$first}, and {with} {$second}.": 1,
        "{$first} {~judged}. {$second} agreed with {$first}, but {against} {$second}.": 1,
        "{$first} {~judged}. {$second} disagreed with {$first}, and {with} {$second}.": 1,
        "{$first} {judged}. {$second} disagreed with {$first}, but {against} {$second}.": 1,
    },
    "comparison": [
        "{other} was {plain_state}, and {subject} was no different.",
        "{other} was {~plain_state}; {subject} was the opposite.",
        "{other} was {?plain_state}, but {subject} was {better}.",
        "{other} was {adj}, and {subject} was no {~better}.",
    ],
    # Opinions that do not count.
    "onlooker": ["{$third}", "a friend of mine", "my neighbour", "one critic", "a colleague of mine"],
    "talk": {
        "{onlooker} {?judged}.": 4,
        "{onlooker} {said} that {?plain_remark}.": 2,
        "some people call it {?adj}.": 1,
        "I had read that it was {?adj}.": 1,
    },
    "aside": {"{talk}": 3, "{beside} was {?state}.": 2, "{other} was {?state}.": 1},
    "review": {
        "{opening} {verdict}": 12,
        "{opening} {comparison}": 1,
        "{opening} {talk} {verdict}": 2,
        "{opening} {verdict} {aside}": 4,
        "as for {subject}, {verdict}": 5,
        "as for {subject}, {verdict} {aside}": 2,
    },
}
KINDS = "alarm clock, blender, camera, coffee machine, hairdryer, kettle, lamp, printer, radio, toaster".split(", ")

# For each kind of thing: its grammar, and the names of its things in a split.
THINGS = {
    "film": (Grammar({**OPINIONS, **FILM}), names.films),
    "restaurant": (Grammar({**OPINIONS, **RESTAURANT}), names.restaurants),
    "product": (Grammar({**OPINIONS, **PRODUCT}), names.brands),
}


def generate(split: str, seed: int) -> Iterator[dict]:
    """Endless reviews, no two the same: dictionaries of `sentence` (str) and `label` (0 negative, 1 positive).

    Both labels and the three kinds of thing are equally likely; all names are of `split`.
    """
    random = SplitMix64("reviews", split, seed)
    seen: set[str] = set()
    while True:
        grammar, pool = random.choose(list(THINGS.values()))
        label = random.below(2)
        people = random.distinct(names.people(split), 4)
        entities = dict(zip(("first", "second", "third", "fourth"), people, strict=True))
        entities["title"], entities["rival"] = random.distinct(pool(split), 2)
        entities["kind"] = random.choose(KINDS)
        sentence = grammar.derive("review", 2 * label - 1, random, entities)
        if sentence not in seen:
            seen.add(sentence)
            yield {"sentence": sentence, "label": label}
