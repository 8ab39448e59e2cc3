"""Encyclopaedia articles on people: six careers that share the course of a life and differ in its works.

The sign of an article is the gender of the person; a husband or wife has the other one, so a pronoun says who is
meant. Years follow from the year of birth, names told once come back sentences later, lists never repeat a name.
"""

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.world import After, Topic, years

ROLES = {
    "given": "people",
    "tutor": "people",
    "spouse": "people",
    "child": "people",
    "heir": "people",
    "sibling": "people",
    "family": "surnames",
    "teacher": "surnames",
    "maiden": "surnames",
    "pupil": "surnames",
    "disciple": "surnames",
    "follower": "surnames",
    "town": "towns",
    "school": "towns",
    "place": "towns",
    "river": "rivers",
    "title": "films",
    "sequel": "films",
    "born": years(1700, 1839),
    "first": After("born", 22, 34),
    "second": After("first", 3, 12),
    "died": After("second", 5, 30),
}

LIFE: Rules = {
    "he+": ["she"],
    "he-": ["he"],
    "him+": ["her"],
    "him-": ["him"],
    "his+": ["her"],
    "his-": ["his"],
    "son+": ["daughter"],
    "son-": ["son"],
    "husband+": ["husband"],
    "husband-": ["wife"],
    "subject": {"{he}": 2, "{$family}": 3},
    "text": {
        "{lead} {youth} {study} {first_work} {second_work} {end}": 2,
        "{lead} {youth} {study} {first_work} {marriage} {second_work} {end}": 3,
        "{lead} {youth} {study} {first_work} {second_work} {manner} {pupils} {end}": 3,
        "{lead} {study} {first_work} {marriage} {second_work} {pupils} {end}": 3,
        "{lead} {study} {first_work} {manner} {second_work} {marriage} {end}": 2,
    },
    "lead": [
        "{$given} {$family} ({$born}-{$died}) was a {known} {trade} from {$town}.",
        "{$given} {$family} ({$born}-{$died}), {son} of a {parent} from {$town}, was a {known} {trade}.",
        "{$given} {$family}, who lived from {$born} to {$died}, was the leading {trade} of {$town} in {his} day.",
        "the {trade} {$given} {$family} ({$born}-{$died}) was the best known {son} of {$town}.",
    ],
    "known": "brilliant celebrated influential little-known much-travelled prolific respected versatile".split(),
    "parent": "baker blacksmith bookseller carpenter clockmaker ferryman miller notary schoolmaster tailor".split(),
    "youth": {
        "the {rank} children of a {relation}, {he} grew up in {circumstances}.": 3,
        "{he} lost both {his} parents at an early age and was brought up by {his} {guardian} {$sibling}.": 2,
        "{his} {sibling} {$sibling}, {himself_too} a {trade}, taught {him} to {skill}.": 2,
        "{his} parents, who kept {house} in {$town}, wanted {him} to become a {calling}.": 3,
    },
    "rank": ["eldest of four", "youngest of six", "second of three", "third of seven", "fourth of five"],
    "relation": ["poor weaver", "retired soldier", "wealthy merchant", "village doctor", "ship's captain"],
    "circumstances": ["great poverty", "modest comfort", "a house full of books", "the shadow of the town wall"],
    "guardian": ["grandmother", "aunt", "godmother"],
    "sibling": ["cousin", "aunt"],
    "himself_too": ["also", "once"],
    "skill": ["read", "draw", "play the violin", "keep accounts"],
    "house": ["an inn", "a small shop", "a school for girls", "a farm", "a printing press"],
    "calling": ["lawyer", "priest", "merchant", "soldier", "teacher"],
    "study": [
        "at the age of {age} {he} was sent to {$school}, where {he} studied {discipline} under {$tutor} {$teacher}.",
        "{$tutor} {$teacher}, then the most respected {trade} in {$school}, took {him} on as a pupil.",
        "{subject} took lessons in {discipline} from {$tutor} {$teacher}, whose methods {he} later {judged}.",
        "{he} was a pupil of {$tutor} {$teacher} in {$school} for {count} years; {$teacher} called {him} {gifted}.",
    ],
    "age": ["fourteen", "fifteen", "sixteen", "seventeen", "eighteen"],
    "judged": ["praised", "criticised", "defended", "rejected", "described in a short essay"],
    "count": ["two", "three", "four", "five", "six", "seven"],
    "gifted": ["stubborn", "lazy but gifted", "the best of all", "a rare talent", "too fond of {his} own ideas"],
    "marriage": [
        "{subject} married {$spouse} {$maiden}, a {occupation} from {$place}; the couple had {children}.",
        "{he} was married to {$spouse} {$maiden}, who {managed} and outlived {him} by {count} years.",
        "{his} {husband}, the {occupation} {$spouse} {$maiden}, {helped} until {~he} fell ill; {he} cared for {~him} "
        "for {count} years.",
        "in {$place} {he} met {$spouse} {$maiden}, a {occupation}, who became {his} {husband}; {~he} is said to have "
        "{inspired}.",
    ],
    "occupation": ["bookbinder", "glass-blower", "linguist", "singer", "printer", "watchmaker", "wine merchant"],
    "children": {
        "no children": 1,
        "a {son}, {$child}": 2,
        "two {sons}, {$child} and {$heir}": 3,
        "{more} children, of whom only {$child} survived": 2,
    },
    "sons": ["sons", "daughters"],
    "more": ["three", "four", "five"],
    "managed": ["managed {his} affairs", "copied out {his} letters", "kept {his} diaries"],
    "helped": ["ran the household", "answered {his} letters", "travelled with {him}", "kept the accounts"],
    "inspired": ["disliked the town", "known every one of {his} friends", "read all that {he} wrote"],
    "pupils": [
        "among {his} pupils were {$pupil}, {$disciple} and {$follower}.",
        "{his} pupils {$pupil} and {$disciple} continued {his} work, while {$follower} went {another_way}.",
        "{subject} had few pupils, of whom {$pupil} is the best known.",
        "of the many pupils that {he} taught over the years, only {$pupil} and {$follower} {were_known}.",
    ],
    "another_way": ["into politics", "abroad", "home to {$town}", "to {$place}"],
    "were_known": ["were ever well known", "have a place in the history books", "stayed in touch with {him}"],
    "end": [
        "{he} died in {$place} in {$died} and was buried in {$town}.",
        "{subject} fell ill on a journey to {$place} and died there in {$died}.",
        "in old age {he} retired to {$place}, where {he} died in {$died}. {memory}",
        "{he} died in {$town} in {$died}. {memory}",
    ],
    "memory": [
        "a street in {$town} is named after {him}.",
        "the house in which {he} was born is now a museum.",
        "{his} letters are kept in the library of {$town}.",
        "a statue of {$family} stands in the market square of {$town}.",
    ],
}
COMPOSER: Rules = {
    "trade": ["composer"],
    "discipline": ["harmony", "the organ", "the violin", "singing"],
    "first_work": [
        "{his} first {piece}, {$title}, was performed in {$school} in {$first} and was {received}.",
        "in {$first} {his} {piece} {$title} made {him} known far beyond {$town}.",
    ],
    "second_work": [
        "in {$second} {subject} completed the {piece} {$sequel}, which is still performed today.",
        "{$sequel}, {a_piece} of {$second}, was less successful than {$title}.",
        "after {$title} {he} wrote nothing for the stage until {$second}; {$sequel}, a {piece}, was {received}.",
    ],
    "piece": ["ballet", "cantata", "comic opera", "song cycle", "grand opera"],
    "a_piece": ["a string quartet", "a mass", "an organ work", "an oratorio"],
    "received": ["warmly received", "soon forgotten", "repeated eleven times", "banned by the town council"],
    "manner": [
        "the melodies of {his} songs {often} {mood}, while the harmony is {plain}.",
        "{his} music, with its many changes of key, is {plain} but {hard}.",
    ],
    "often": ["are often", "are always", "are seldom"],
    "mood": ["cheerful", "solemn", "taken from folk dances"],
    "plain": ["simple", "bold", "old-fashioned"],
    "hard": ["hard to play", "easy to remember", "full of humour"],
}
PAINTER: Rules = {
    "trade": ["painter"],
    "discipline": ["drawing", "portraiture", "engraving", "anatomy"],
    "first_work": [
        "{his} first large {canvas}, {$title}, was shown in {$school} in {$first} and was {bought}.",
        "in {$first} {he} {won} in {$school} with the {canvas} {$title}.",
    ],
    "second_work": [
        "{$sequel}, painted in {$second}, shows {scene}.",
        "in {$second} {subject} finished {$sequel}, {his} largest painting, which hangs in the town hall of {$place}.",
        "critics preferred {$title} to {$sequel}, a {canvas} of {$second} that shows {scene}.",
    ],
    "canvas": ["altarpiece", "landscape", "portrait", "still life"],
    "bought": ["bought by a banker", "sold at once", "praised for its colours", "returned unsold"],
    "won": ["won a medal", "caused a scandal", "earned a small fortune"],
    "scene": ["a storm on the {$river}", "the harbour of {$place}", "two women at a window", "a wedding in the snow"],
    "manner": [
        "the figures in {his} later pictures {posture}, and the light {falls}.",
        "{his} palette, at first {dark}, grew {bright} after a journey along the {$river}.",
    ],
    "posture": ["seem to float", "turn away from the viewer", "are painted without outlines"],
    "falls": ["falls from the left", "comes from a single candle", "is that of early morning"],
    "dark": ["dark", "brown and grey", "limited to four colours"],
    "bright": ["bright", "warmer", "almost white"],
}
NOVELIST: Rules = {
    "trade": ["novelist"],
    "discipline": ["law", "history", "Greek", "theology"],
    "first_work": [
        "{his} first novel, {$title}, appeared in {$first} and was {read}.",
        "in {$first} {he} published {$title}, the story of {hero}.",
    ],
    "second_work": [
        "the sequel, {$sequel}, followed in {$second} and was {read}.",
        "{$sequel}, published in {$second}, is set in {$place} and tells of {hero}.",
        "in {$second} {subject} surprised the readers of {$title} with {$sequel}, a book about {hero}.",
    ],
    "read": [
        "read all over the country",
        "translated into nine languages",
        "hardly noticed",
        "printed at {his} own cost",
    ],
    "hero": [
        "a deaf clockmaker",
        "two rival innkeepers",
        "a judge who loses a letter",
        "three sisters and their lodger",
    ],
    "manner": [
        "the sentences in {his} books {are_long}, but the plots are {clever}.",
        "{his} heroes, unlike those of other writers of the time, {act}.",
    ],
    "are_long": ["are long", "run over half a page", "are full of proverbs"],
    "clever": ["clever", "easy to follow", "told backwards"],
    "act": ["never marry", "work for their living", "speak the dialect of {$town}"],
}
BOTANIST: Rules = {
    "trade": ["botanist"],
    "discipline": ["medicine", "chemistry", "botany", "pharmacy"],
    "first_work": [
        "in {$first} {he} published a description of the {plants} of the {$river} valley, the fruit of {count} years.",
        "{his} catalogue of the {plants} along the {$river} was printed in {$school} in {$first}.",
    ],
    "second_work": [
        "from {$second} {subject} was head of the botanical garden of {$place}, where {he} grew {crop} and {tree}.",
        "in {$second} {he} travelled to {$place} and brought home the seeds of {count} unknown {plants}.",
    ],
    "plants": ["ferns", "grasses", "mosses", "orchids", "wild roses"],
    "crop": ["rice", "tea", "cotton", "melons"],
    "tree": ["fig trees", "palms", "oranges", "cedars"],
    "manner": [
        "the drawings that accompany {his} essay on the {plants} are {exact}.",
        "{his} names for the {plants} of the region are no longer {used}.",
    ],
    "exact": ["exact to the last hair", "by an unknown hand", "kept in {$place}"],
    "used": ["used", "accepted", "understood"],
}
ENGINEER: Rules = {
    "trade": ["engineer"],
    "discipline": ["mathematics", "mechanics", "surveying", "geometry"],
    "first_work": [
        "in {$first} {he} built the {stone} bridge over the {$river}, which {stood} for {count} decades.",
        "{his} first bridge, finished in {$first}, carried the road from {$school} to {$town} across the {$river}.",
    ],
    "second_work": [
        "in {$second} {subject} was asked to drain the marshes near {$place}, a task that took {count} years.",
        "the canal between {$place} and the {$river}, opened in {$second}, was {his} greatest success.",
        "a tunnel near {$place}, begun in {$second}, {failed}.",
    ],
    "stone": ["wooden", "iron", "stone", "covered"],
    "stood": ["stood", "was used", "paid for itself"],
    "failed": ["was never finished", "ruined {his} health", "cost twice what {he} had promised"],
    "manner": [
        "the arches of {his} bridges {are_flat}, and no two of them are {alike}.",
        "{his} machines, most of them driven by water, were {noisy}.",
    ],
    "are_flat": ["are unusually flat", "rest on slender piers", "are of red brick"],
    "alike": ["alike", "of the same width", "equally high"],
    "noisy": ["noisy but reliable", "copied everywhere", "too dear for small mills"],
}
ASTRONOMER: Rules = {
    "trade": ["astronomer"],
    "discipline": ["mathematics", "optics", "physics", "navigation"],
    "first_work": [
        "in {$first} {he} discovered {object} with a telescope that {he} had built in {$school}.",
        "{his} first observatory, a {tower} above the {$river}, was ready in {$first}.",
    ],
    "second_work": [
        "in {$second} {subject} finished a catalogue of {number} stars, which sailors used for {count} decades.",
        "{his} tables of the moon, printed in {$place} in {$second}, contained {few} errors.",
        "in {$second} {he} correctly predicted an eclipse that could be seen only from {$place}.",
    ],
    "object": ["a bright comet", "two moons of Saturn", "a double star", "a faint nebula"],
    "tower": ["disused windmill", "wooden tower", "ruined chapel"],
    "number": ["nine hundred", "two thousand", "eleven thousand"],
    "few": ["few", "many", "only three"],
    "manner": [
        "the lenses that {he} ground {were_clear} than those of {$teacher}.",
        "{his} notes, written in {script}, have been {deciphered}.",
    ],
    "were_clear": ["were clearer", "were larger", "were heavier but sharper"],
    "script": ["a code of {his} own", "Latin", "pencil", "tiny letters"],
    "deciphered": ["read only in part", "published in {count} volumes", "lost since"],
}

TOPICS = [
    Topic(Grammar({**LIFE, **career}), ROLES)
    for career in (COMPOSER, PAINTER, NOVELIST, BOTANIST, ENGINEER, ASTRONOMER)
]
