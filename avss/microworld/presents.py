"""The story of a present, or of two, that is handed on and put away, with others who hear of it or would like it too.

The sign of the story is the gender of the first giver; the second giver has the other one.
"""

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.stories import Question, Story, twice, twice_questions, twice_roles
from avss.microworld.world import Topic, years

THINGS = ("accordion", "camera", "chess set", "dictionary", "lamp", "microscope", "teapot", "umbrella", "violin")
ROOMS = ("attic", "bathroom", "cellar", "garage", "greenhouse", "kitchen", "library", "pantry", "study")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

PRESENT: Rules = {
    "@_buy": [
        "{$@_giver} and {^his} {partner} bought a {$@_thing} in {$@_town} for {$@_price} euros.",
        "for {$@_price} euros, {$@_giver} got {^herself} a {$@_thing} in {$@_town}.",
        "while in {$@_town}, {$@_giver} treated {^herself} to a {$@_thing} that cost {$@_price} euros.",
    ],
    "@_give": [
        "{^he} gave it to {$@_friend} on {$@_day}.",
        "on {$@_day} {^he} made a present of it to {$@_friend}.",
        "but by {$@_day} {^he} was tired of it, so {$@_friend} could have it.",
    ],
    "@_keep": [
        "{$@_friend} put it in the {$@_room}.",
        "it was then kept in the {$@_room} by {$@_friend}, next to the {junk}.",
        "for want of space {$@_friend} carried it to the {$@_room}.",
    ],
    "ask_@_giver": ["who was the first owner of the {$@_thing}?", "who paid for the {$@_thing}?"],
    "say_@_giver": ["the first owner of the {$@_thing} was {$answer}."],
    "ask_@_thing": ["what did {$@_giver} purchase?", "what does {$@_friend} own thanks to {$@_giver}?"],
    "say_@_thing": ["{$@_giver} purchased a {$answer}."],
    "ask_@_town": ["where is the {$@_thing} from?", "in which town did {$@_giver} go shopping?"],
    "say_@_town": ["the {$@_thing} is from {$answer}."],
    "ask_@_price": ["what was the price of the {$@_thing}?", "how much money did {$@_giver} spend?"],
    "say_@_price": ["the price of the {$@_thing} was {$answer}."],
    "ask_@_friend": ["to whom did {$@_giver} hand the {$@_thing}?", "who has the {$@_thing} now?"],
    "say_@_friend": ["{$@_giver} handed the {$@_thing} to {$answer}."],
    "ask_@_day": ["when did {$@_friend} get the {$@_thing}?", "on which day did {$@_giver} part with the {$@_thing}?"],
    "say_@_day": ["{$@_friend} got the {$@_thing} on {$answer}."],
    "ask_@_room": ["where in the house is the {$@_thing}?", "in which room can {$@_friend} find the {$@_thing}?"],
    "say_@_room": ["the {$@_thing} is in the {$answer}."],
}
PRESENTS = Story(
    Topic(
        Grammar(
            {
                **twice(PRESENT, " ~"),
                "he+": ["she"],
                "he-": ["he"],
                "his+": ["her"],
                "his-": ["his"],
                "herself+": ["herself"],
                "herself-": ["himself"],
                "partner": ["brother", "sister", "cousin", "neighbour"],
                "junk": ["old newspapers", "broken chairs", "empty bottles", "suitcases"],
                "gossip": [
                    "{$gossip} {knew} nothing about all this.",
                    "{$gossip}, who lives in {$elsewhere}, only laughed.",
                    "later the whole story was told in {$elsewhere} by {$gossip}.",
                ],
                "knew": ["knew", "said", "heard"],
                "offer": [
                    "a year later {$buyer} from {$buyer_town} wanted to buy it for {$bid} euros.",
                    "{$buyer}, who lives in {$buyer_town}, would have paid {$bid} euros for it.",
                ],
                "ask_buyer": ["who would have liked to own the {$x_thing}?", "who wanted the {$x_thing} as well?"],
                "say_buyer": ["{$answer} wanted the {$x_thing} as well."],
                "ask_buyer_town": ["in which town does {$buyer} live?", "which town is the home of {$buyer}?"],
                "say_buyer_town": ["{$buyer} lives in {$answer}."],
                "ask_bid": ["how much money would {$buyer} have spent?", "what would {$buyer} have paid?"],
                "say_bid": ["{$buyer} would have spent {$answer}."],
                "text": {
                    "{x_buy} {x_give} {x_keep} {offer} {gossip}": 6,
                    "{x_buy} {x_give} {offer} {x_keep} {gossip}": 6,
                    "{x_buy} {x_give} {x_keep} {y_buy} {y_give} {y_keep}": 2,
                    "{x_buy} {x_give} {y_buy} {y_give} {gossip}": 2,
                    "{y_buy} {y_give} {y_keep} {gossip} {x_buy} {x_give} {x_keep}": 2,
                    "{y_buy} {gossip} {x_buy} {x_give} {x_keep}": 2,
                },
                "title": ["presents from {$x_giver}"],
            }
        ),
        twice_roles(
            {
                "@_giver": "people",
                "@_thing": THINGS,
                "@_town": "towns",
                "@_price": years(12, 99),
                "@_friend": "people",
                "@_day": DAYS,
                "@_room": ROOMS,
            }
        )
        | {
            "gossip": "people",
            "elsewhere": "towns",
            "buyer": "people",
            "buyer_town": "towns",
            "bid": years(12, 99),
        },
    ),
    (
        *twice_questions(
            Question("@_giver", ("{$@_giver}",), ("@_buy",)),
            Question("@_thing", ("{$@_thing}",), ("@_buy", "@_give")),
            Question("@_town", ("{$@_town}",), ("@_buy",)),
            Question("@_price", ("{$@_price} euros", "{$@_price}"), ("@_buy",)),
            Question("@_friend", ("{$@_friend}",), ("@_give", "@_buy")),
            Question("@_day", ("{$@_day}",), ("@_give", "@_buy")),
            Question("@_room", ("{$@_room}",), ("@_keep", "@_give", "@_buy")),
        ),
        Question("buyer", ("{$buyer}",), ("offer", "x_buy")),
        Question("buyer_town", ("{$buyer_town}",), ("offer",)),
        Question("bid", ("{$bid} euros", "{$bid}"), ("offer",)),
    ),
)
