"""Encyclopaedia articles on places: towns and rivers.

The sign of an article has no meaning here; that of some clauses is the number of their subject, which a relative clause
parts from its verb, or the gender of a person.
"""

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.world import After, Topic, years

DIRECTIONS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
GOODS = tuple("amber candles cheese cloth glass honey horses lace leather paper pottery rope salt silver wool".split())
FISH = ("barbel", "eel", "grayling", "perch", "pike", "bream", "trout")
CENSUS = tuple(f"{thousands},{hundreds}00" for thousands in range(2, 50) for hundreds in range(10))

COUNTS = ["two", "three", "four", "five", "six", "eight", "ten", "twelve"]

TOWN_ROLES = {
    "town": "towns",
    "near": "towns",
    "far": "towns",
    "river": "rivers",
    "tributary": "rivers",
    "lord": "people",
    "given": "people",
    "family": "surnames",
    "side": DIRECTIONS,
    "distance": years(4, 60),
    "census": CENSUS,
    "good": GOODS,
    "ware": GOODS,
    "stuff": GOODS,
    "founded": years(1080, 1290),
    "charter": After("founded", 20, 90),
    "fire": After("charter", 60, 300),
    "rail": years(1843, 1889),
}
TOWN: Rules = {
    "count": COUNTS,
    "was+": ["was"],
    "was-": ["were"],
    "has+": ["has"],
    "has-": ["have"],
    "he+": ["she"],
    "he-": ["he"],
    "his+": ["her"],
    "his-": ["his"],
    "stone": ["brick", "granite", "sandstone", "timber", "limestone"],
    "leader": ["Bishop", "Count", "Duke", "Abbot", "Baron"],
    "trade": ["painter", "composer", "novelist", "botanist", "engineer", "astronomer"],
    "text": {
        "{lead} {people} {past} {market} {sights} {railway}": 3,
        "{lead} {past} {market} {railway} {?native}": 3,
        "{lead} {people} {past} {?works} {?native}": 3,
        "{lead} {past} {?works} {sights} {railway} {twin}": 3,
        "{lead} {past} {market} {sights} {?native} {people}": 2,
    },
    "lead": [
        "{$town} is a {size} town on the {bank} bank of the {$river}, {$distance} kilometres {$side} of {$near}.",
        "{$town} is a {size} town at the point where the {$river} meets the {$tributary}, not far from {$near}.",
        "the {size} town of {$town} lies {$side} of {$near}, in a bend of the {$river}.",
    ],
    "size": ["small", "busy", "quiet", "walled", "prosperous", "hilly"],
    "bank": ["left", "right"],
    "people": [
        "at the last census it had {$census} inhabitants, {more} than {$near}.",
        "it has {$census} inhabitants, {share} of whom work in {$near}.",
        "its population, once {larger} than that of {$near}, is now {$census}.",
    ],
    "more": ["more", "fewer", "slightly more", "far fewer"],
    "share": ["half", "a third", "a quarter", "most"],
    "larger": ["larger", "smaller", "three times larger"],
    "past": {
        "{founding} {fire}": 3,
        "{founding} {siege}": 2,
        "{founding} {siege} {rebuilt}": 1,
    },
    "founding": [
        "it was founded by {leader} {$lord} in {$founded} and received the right to hold a {fair} in {$charter}.",
        "first mentioned in {$founded} as a possession of {leader} {$lord}, it received its charter in {$charter}.",
        "{leader} {$lord} built a {castle} here in {$founded}; the town that grew around it received its charter in "
        "{$charter}.",
    ],
    "fair": ["market", "horse fair", "court"],
    "castle": ["castle", "monastery", "mill", "hunting lodge"],
    "fire": [
        "after the great fire of {$fire}, which spared only {spared}, the town was rebuilt in {stone}.",
        "in {$fire} a fire destroyed everything except {spared}.",
    ],
    "spared": ["the church", "the town hall", "the inn", "the houses by the river", "the {leader}'s stables"],
    "siege": [
        "in {$fire} troops from {$far} besieged the town for {count} weeks but {failed}.",
        "the war of {$fire}, in which it sided with {$near} against {$far}, cost it {loss}.",
    ],
    "failed": ["could not take it", "left when the {$river} rose", "went home before the winter"],
    "loss": ["its walls", "half of its citizens", "its wealth", "its independence"],
    "rebuilt": ["the walls, rebuilt in {stone}, still stand.", "the old quarter was rebuilt in {stone}."],
    "market": [
        "its merchants traded in {$good}, {$ware} and {$stuff}.",
        "the town grew rich on {$good} and {$ware}, which were carried down the {$river} to {$far}.",
        "its market, famous for {$good}, {$ware} and {$stuff}, drew buyers from {$near} and {$far}.",
    ],
    "works+": ["the {mill}, which {owned_was} by {owners} from {$far}, {closed}."],
    "works-": ["the {mill}s, which {owned_was} by {owners} from {$far}, {closed}."],
    "mill": ["paper mill", "brewery", "brickwork", "tannery"],
    "owned_was": ["{was} owned", "{was} run", "{was} built"],
    "owners": ["merchants", "brothers", "monks", "bankers"],
    "closed": ["{was} closed after a flood of the {$river}", "{has} become a museum", "{was} the pride of the town"],
    "sights": [
        "its {landmark} is built of {stone} and can be seen from {$near}.",
        "visitors come to see the {landmark}, the work of {$given} {$family}, and the {view} along the {$river}.",
        "the {landmark} that {$given} {$family} built for the town stands on {count} pillars of {stone}.",
    ],
    "landmark": ["town hall", "cathedral", "clock tower", "corn exchange", "theatre"],
    "view": ["gardens", "old warehouses", "view", "walk"],
    "railway": [
        "the railway from {$near} reached the town in {$rail}.",
        "since {$rail} a railway has linked it with {$near} and {$far}.",
        "the station, opened in {$rail} by {leader} {$lord} the Younger, is served by trains to {$far}.",
    ],
    "native": [
        "the {trade} {$given} {$family} was born here; {he} left for {$far} and never returned, but {his} {relic}.",
        "the {trade} {$given} {$family}, who grew up here, left {his} {gift} to the town when {he} died in {$far}.",
    ],
    "relic": ["house is open to visitors", "name lives on in that of the school", "grave is here"],
    "gift": ["library", "house", "clocks", "garden"],
    "twin": ["it is twinned with {$far}.", "every {count} years it holds a regatta against {$far}."],
}

RIVER_ROLES = {
    "river": "rivers",
    "left": "rivers",
    "right": "rivers",
    "sea": "rivers",
    "town": "towns",
    "lower": "towns",
    "last": "towns",
    "given": "people",
    "family": "surnames",
    "side": DIRECTIONS,
    "length": years(18, 420),
    "flood": years(1610, 1820),
    "bridge": After("flood", 3, 60),
    "good": GOODS,
    "ware": GOODS,
    "stuff": GOODS,
    "fish": FISH,
    "second_fish": FISH,
    "third_fish": FISH,
}
RIVER: Rules = {
    "count": COUNTS,
    "was+": ["was"],
    "was-": ["were"],
    "text": {
        "{lead} {course} {tributaries} {flood} {life}": 3,
        "{lead} {tributaries} {flood} {bridge} {use}": 3,
        "{lead} {course} {flood} {use} {life}": 3,
        "{lead} {course} {tributaries} {?mills} {flood} {bridge}": 3,
    },
    "lead": [
        "the {$river} is a river that rises {$side} of {$town} and flows for {$length} kilometres into the {$sea}.",
        "the {$river}, a tributary of the {$sea}, is {$length} kilometres long and {quality}.",
        "with a length of {$length} kilometres, the {$river} is the {rank} river that flows into the {$sea}.",
    ],
    "quality": ["rich in fish", "known for its clear water", "famous for its floods", "too shallow for ships"],
    "rank": ["longest", "second longest", "slowest", "coldest"],
    "course": [
        "from its source, {source}, it runs past {$town} and {$lower} and {slows} before it reaches {$last}.",
        "it springs from {source}, turns {$side} at {$town} and passes through {$lower} and {$last}.",
        "the towns on its banks are, from source to mouth, {$town}, {$lower} and {$last}.",
    ],
    "source": ["a cave in the hills", "a small lake", "a marsh among pine woods", "two springs below a ruined chapel"],
    "slows": ["slows down", "divides into {count} arms", "disappears underground"],
    "tributaries": [
        "its main tributaries are the {$left}, which joins it at {$lower}, and the {$right}.",
        "the {$left}, which is {colour} than the {$river} itself, joins it below {$town}.",
        "it receives the {$left} from the left and the {$right}, whose water is {dark}, from the right.",
    ],
    "colour": ["longer", "deeper", "older", "faster", "warmer"],
    "dark": ["dark", "salty", "green", "almost black"],
    "flood": [
        "in {$flood} a flood swept away {lost} of {$lower}; the {$river} {has_since}.",
        "the flood of {$flood}, the worst in memory, reached {lost} of {$lower}.",
    ],
    "lost": ["the harbour", "the lower town", "the churchyard", "the cattle market", "all the mills"],
    "has_since": ["has been embanked since", "had risen by {count} metres", "froze in the same winter"],
    "bridge": [
        "after the flood {$given} {$family} built a {bridge_kind} bridge, which was opened in {$bridge}.",
        "the {bridge_kind} bridge at {$lower}, designed by {$given} {$family}, dates from {$bridge} and has {count} "
        "arches.",
    ],
    "bridge_kind": ["wooden", "covered", "stone", "narrow", "suspension"],
    "mills+": ["the mill at {$last}, once one of dozens that the river drove, {was} {fate}."],
    "mills-": ["the mills between {$lower} and {$last}, of which a poet of {$town} complained, {was} {fate}."],
    "fate": ["pulled down", "turned into an inn", "still at work a century ago", "sold to a society of anglers"],
    "use": [
        "barges carried {$good}, {$ware} and {$stuff} down to {$last}.",
        "its water once drove the mills of {$last}, where {$good} and {$ware} were made.",
    ],
    "life": [
        "{$fish}, {$second_fish} and {$third_fish} are caught along its upper course.",
        "the {$fish}, which had vanished from the {$river}, has returned, but the {$second_fish} {stays_away}.",
        "anglers come to {$town} for the {$fish}.",
    ],
    "stays_away": ["has not", "is still rare", "lives only in the {$sea}"],
}

TOPICS = [Topic(Grammar(TOWN), TOWN_ROLES, signs=(1,)), Topic(Grammar(RIVER), RIVER_ROLES, signs=(1,))]
