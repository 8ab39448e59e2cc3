"""The story of an artist, or of two of different gender: births, moves, works, a quarrel and what each left behind.

The sign of the story is the gender of the first artist; the second has the opposite one.
"""

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.stories import Question, Story, twice, twice_questions, twice_roles
from avss.microworld.world import After, Topic, years

TRADES = ("composer", "novelist", "painter", "playwright", "poet", "sculptor")
THINGS = ("chess set", "diary", "globe", "lute", "parrot", "silver watch", "telescope", "violin")

ARTIST: Rules = {
    "@_name": ["{$@_given} {$@_family}"],
    "@_birth": [
        "{@_name}, a {$@_trade} and the {^son} of a {parent}, was born in {$@_town} in {$@_born}.",
        "the {$@_trade} {@_name} came into the world in {$@_town} in {$@_born} as the only {^son} of a {parent}.",
        "in {$@_born} a {parent} in {$@_town} had a {^son}, {@_name}, who was to become a {$@_trade}.",
    ],
    "@_move": [
        "{^he} moved to {$@_home} in {$@_moved} to work for Baron {$@_patron}.",
        "in {$@_moved} {^he} left for {$@_home}, where Baron {$@_patron} employed {^him}.",
        "at the invitation of Baron {$@_patron}, {^he} settled in {$@_home} in {$@_moved}.",
    ],
    "@_work": [
        "{^his} masterpiece, {$@_title}, took {^him} {$@_months} months.",
        "{^he} worked on {^his} best known piece, {$@_title}, for {$@_months} months.",
    ],
    "@_gift": [
        "when {^he} died in {$@_died}, {^he} left {^his} {$@_thing} to {$@_heir}.",
        "{^he} died in {$@_died}; {^his} {$@_thing} went to {$@_heir}.",
        "{$@_heir} inherited {^his} {$@_thing} in {$@_died}, the year of {^his} death.",
    ],
    "ask_@_birthplace": ["where was {@_name} born?", "in which town did {@_name} come into the world?"],
    "say_@_birthplace": ["{@_name} was born in {$answer}."],
    "ask_@_birthyear": ["when was {@_name} born?", "in what year did the life of {@_name} begin?"],
    "say_@_birthyear": ["{@_name} was born in {$answer}."],
    "ask_@_trade": ["what was the profession of {@_name}?", "what did {@_name} do for a living?"],
    "say_@_trade": ["{@_name} was a {$answer}."],
    "ask_@_born_here": ["who was born in {$@_town}?", "whose birthplace is {$@_town}?"],
    "say_@_born_here": ["{$answer} was born in {$@_town}."],
    "ask_@_home": ["to which town did {@_name} move?", "where did {@_name} find work?"],
    "say_@_home": ["{@_name} moved to {$answer}."],
    "ask_@_patron": ["who was the employer of {@_name}?", "for whom did {@_name} work?"],
    "say_@_patron": ["{@_name} worked for {$answer}."],
    "ask_@_moved": ["when did {@_name} go to live in {$@_home}?", "since what year did {@_name} live in {$@_home}?"],
    "say_@_moved": ["{@_name} went to live in {$@_home} in {$answer}."],
    "ask_@_servant": ["who worked for Baron {$@_patron}?", "which artist did Baron {$@_patron} employ?"],
    "say_@_servant": ["{$answer} worked for Baron {$@_patron}."],
    "ask_@_title": ["what is the masterpiece of {@_name} called?", "for which work is {@_name} remembered?"],
    "say_@_title": ["the masterpiece of {@_name} is called {$answer}."],
    "ask_@_maker": ["who created {$@_title}?", "by whom is {$@_title}?"],
    "say_@_maker": ["{$@_title} was created by {$answer}."],
    "ask_@_months": ["how long did {@_name} work on {$@_title}?", "how much time did {$@_title} take?"],
    "say_@_months": ["{@_name} worked on {$@_title} for {$answer}."],
    "ask_@_thing": ["what did {$@_heir} receive from {@_name}?", "which possession of {@_name} passed to {$@_heir}?"],
    "say_@_thing": ["{$@_heir} received the {$answer} of {@_name}."],
    "ask_@_heir": ["who got the {$@_thing} of {@_name}?", "who owned the {$@_thing} of {@_name} in the end?"],
    "say_@_heir": ["{$answer} got the {$@_thing} of {@_name}."],
    "ask_@_died": ["in what year did {@_name} die?", "when did the life of {@_name} end?"],
    "say_@_died": ["{@_name} died in {$answer}."],
}
ARTISTS = Story(
    Topic(
        Grammar(
            {
                **twice(ARTIST, " ~"),
                "he+": ["she"],
                "he-": ["he"],
                "him+": ["her"],
                "him-": ["him"],
                "his+": ["her"],
                "his-": ["his"],
                "son+": ["daughter"],
                "son-": ["son"],
                "parent": "baker cobbler doctor farmer fisherman judge miller sailor tailor weaver".split(),
                "meeting": [
                    "{$x_family} and {$y_family} met in {$meeting_place} and fell out over {$quarrel}.",
                    "the two quarrelled about {$quarrel} when they met in {$meeting_place}.",
                ],
                "text": {
                    "{x_birth} {x_move} {x_work} {x_gift}": 5,
                    "{x_birth} {x_work} {x_move} {x_gift}": 4,
                    "{x_birth} {x_move} {y_birth} {y_move} {meeting}": 1,
                    "{x_birth} {y_birth} {x_move} {y_move} {x_gift}": 1,
                    "{x_birth} {y_birth} {y_move} {meeting} {x_gift} {y_gift}": 1,
                    "{x_birth} {x_work} {y_birth} {y_work} {meeting} {y_gift}": 1,
                    "{y_birth} {x_birth} {y_work} {x_work} {x_gift} {y_gift}": 1,
                    "{y_birth} {y_move} {y_work} {x_birth} {x_work} {meeting}": 1,
                },
                "title": ["life of {x_name}"],
                "ask_meeting_place": ["where did {x_name} and {y_name} see each other?"],
                "say_meeting_place": ["{x_name} and {y_name} saw each other in {$answer}."],
                "ask_quarrel": ["what did {x_name} and {y_name} disagree about?", "what made the two artists angry?"],
                "say_quarrel": ["{x_name} and {y_name} disagreed about {$answer}."],
            }
        ),
        twice_roles(
            {
                "@_given": "people",
                "@_family": "surnames",
                "@_trade": TRADES,
                "@_town": "towns",
                "@_born": years(1640, 1820),
                "@_home": "towns",
                "@_patron": "surnames",
                "@_moved": After("@_born", 18, 36),
                "@_title": "films",
                "@_months": tuple("three four five six seven eight nine ten eleven".split()),
                "@_thing": THINGS,
                "@_heir": "people",
                "@_died": After("@_born", 41, 80),
            }
        )
        | {
            # Close enough to meet.
            "y_born": After("x_born", 1, 25),
            "meeting_place": "towns",
            "quarrel": ("a borrowed ladder", "a game of chess", "a lost letter", "money", "the price of a horse"),
        },
    ),
    (
        *twice_questions(
            Question("@_birthplace", ("{$@_town}",), ("@_birth",)),
            Question("@_birthyear", ("{$@_born}",), ("@_birth",)),
            Question("@_trade", ("{$@_trade}",), ("@_birth",)),
            Question("@_born_here", ("{$@_given} {$@_family}", "{$@_family}"), ("@_birth",)),
            Question("@_home", ("{$@_home}",), ("@_move",)),
            Question("@_patron", ("Baron {$@_patron}", "{$@_patron}"), ("@_move",)),
            Question("@_moved", ("{$@_moved}",), ("@_move",)),
            Question("@_servant", ("{$@_given} {$@_family}", "{$@_family}"), ("@_birth", "@_move")),
            Question("@_title", ("{$@_title}",), ("@_work",)),
            Question("@_maker", ("{$@_given} {$@_family}", "{$@_family}"), ("@_birth", "@_work")),
            Question("@_months", ("{$@_months} months", "{$@_months}"), ("@_work",)),
            Question("@_thing", ("{$@_thing}",), ("@_gift",)),
            Question("@_heir", ("{$@_heir}",), ("@_gift",)),
            Question("@_died", ("{$@_died}",), ("@_gift",)),
        ),
        Question("meeting_place", ("{$meeting_place}",), ("meeting",)),
        Question("quarrel", ("{$quarrel}",), ("meeting",)),
    ),
)
