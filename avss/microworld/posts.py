"""Forum threads: somebody has a problem, others guess, and in the end the questioner says whose advice helped.

Written as people type: one line for each post, first person, short sentences, thanks and grumbling. Who gave which
advice has to be kept apart until the last line; the sign of a thread is the number of the thing that fails, with which
its verbs and pronouns agree all through. Encyclopaedia articles are the other style (`articles`).
"""

from collections.abc import Iterator

from avss.microworld.grammar import Grammar, Rules
from avss.microworld.randomness import SplitMix64
from avss.microworld.troubles import SUBJECTS, Faults
from avss.microworld.world import Form, Topic, texts, years

THREAD: Rules = {
    "is+": ["is"],
    "is-": ["are"],
    "it+": ["it"],
    "it-": ["they"],
    "it_object+": ["it"],
    "it_object-": ["them"],
    "one+": ["one"],
    "one-": ["ones"],
    "text": {
        "{$asker}: {question}\n{$helper}: {advice}\n{$doubter}: {objection}\n{outcome}": 5,
        "{$asker}: {question}\n{$helper}: {advice} {aside}\n{$doubter}: {objection}\n{outcome}": 2,
        "{$asker}: {question}\n{$helper}: {advice}\n{$asker}: {reply}\n{$doubter}: {objection}\n{outcome}": 3,
    },
    "question": [
        "{hello} {my_thing} {$symptom}. It all began {start}. {tried} {plea}",
        "{hello} I need help with {my_thing}: {it} {$symptom}. {story} {tried} {plea}",
        "{hello} {my_thing} {$symptom}, and I can't find out why. {story} It started {start}. {plea}",
    ],
    "hello": ["Hi all,", "Dear all,", "Sorry if this is a silly question, but", "New here, so be kind:"],
    "start": ["on {day}", "right after {event}", "{number} {weeks} ago"],
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "number": ["two", "three", "four", "five", "six", "ten"],
    "weeks": ["days", "weeks", "months"],
    "tried": [
        "I have already {$attempt} and {$other_attempt}, {in_vain}.",
        "so far I have only {$attempt}.",
        "{$adviser} told me to be patient, but I have {$attempt} and even {$other_attempt} {in_vain_too}.",
    ],
    "in_vain": ["but nothing helped", "with no luck", "but I am none the wiser"],
    "in_vain_too": ["for nothing", "by now", "since then"],
    "plea": [
        "any ideas?",
        "what am I doing wrong?",
        "has anyone had the same problem?",
        "should I just give up?",
        "please help before I throw {it_object} out of the window!",
    ],
    "story": [
        "I paid {$price} euros for {it_object}, so I won't give up.",
        "{$friend} gave {it_object} to me, so I can't complain.",
        "{$friend} has the same {one} and no trouble at all.",
    ],
    "guess": [
        "sounds like {$fault} to me.",
        "my guess is {$fault}.",
        "in nine cases out of ten it is {$fault}.",
        "I bet it is {$fault}.",
    ],
    "advice": {
        "{agree} {guess} I would {$fix} first.": 3,
        "{agree} {guess} Just {$fix}.": 3,
        "{agree} I had that with {other_thing}, and it was {$fault}. {$fixing} {helped}.": 3,
        "Have you thought of {$fault}? {$fixing} {helped} in my case.": 2,
        "Easy. {$fix} and report back.": 1,
    },
    "agree": ["Hi {$asker},", "Oh, I know that one:", "No need to panic, {$asker},", "Welcome!", "Don't worry,"],
    "helped": ["helped", "did the trick", "worked wonders", "solved it"],
    "aside": [
        "by the way, {$brand} is overrated, {$rival_brand} is better.",
        "and next time buy from {$rival_brand}, not from {$brand}.",
        "that said, I have never been happy with {$brand}.",
        "but honestly, I trust {$brand} more than {$rival_brand}.",
    ],
    "reply": [
        "Thanks, {$helper}, but how do I know that it is {$fault}?",
        "I never thought of {$fault}. I will {$fix} {tonight} and let you know.",
        "{$fault_capital}, really? {$friend} said so too, but I didn't believe it.",
    ],
    "tonight": ["tonight", "tomorrow", "at the weekend", "after work"],
    "objection": {
        "I don't agree with {$helper}. {rival_guess} {rival_advice}": 3,
        "{$helper} may be right, but {rival_guess} {rival_advice}": 3,
        "{$fixing_capital} is a waste of time, {$helper}. {rival_guess} {rival_advice}": 2,
        "It can't be {$fault} if {it} {$symptom}. {rival_guess} {rival_advice}": 2,
    },
    "rival_guess": [
        "I would say that it is {$rival_fault}.",
        "to me it looks like {$rival_fault}.",
        "{my_other_thing} had the same trouble because of {$rival_fault}.",
        "nobody has mentioned {$rival_fault} yet.",
    ],
    "my_other_thing": ["my neighbour's", "my old {one}", "the {one} that I had before", "the {one} of a friend"],
    "rival_advice": ["{$rival_fix} and you will see.", "{$rival_fix}, {asap}.", "why not {$rival_fix}?"],
    "asap": ["then wait a day", "it costs nothing", "the sooner the better", "seriously"],
    # Who was right: one, the other, both or neither.
    "outcome": {
        "{$asker}: {helper_won}\n{$helper}: {proud}": 2,
        "{$asker}: {helper_won}\n{$doubter}: {humble}": 2,
        "{$asker}: {doubter_won}\n{$doubter}: {proud}": 2,
        "{$asker}: {doubter_won}\n{$helper}: {humble}": 2,
        "{$asker}: {both_won}": 2,
        "{$asker}: {neither_won}": 2,
    },
    "helper_won": [
        "Thanks, {$helper}, you were right! after {$fixing} {it} {work}. {relief}",
        "Update: {$rival_fixing} changed nothing, but {$fixing} {helped}. Thanks, {$helper}!",
        "It really was {$fault}. Sorry, {$doubter}, this one goes to {$helper}. {relief}",
    ],
    "doubter_won": [
        "Thanks, {$doubter}, you were right! after {$rival_fixing} {it} {work}. {relief}",
        "Update: {$fixing} changed nothing, but {$rival_fixing} {helped}. Thanks, {$doubter}!",
        "It really was {$rival_fault}. Sorry, {$helper}, this one goes to {$doubter}. {relief}",
    ],
    "both_won": [
        "I did what you both said, first {$fixing}, then {$rival_fixing}. Now {it} {work}, so thanks to {$helper} and "
        "{$doubter}!",
        "You were both right: it was {$fault} and {$rival_fault} at once. {relief}",
    ],
    "neither_won": [
        "No luck: I tried {$fixing} and {$rival_fixing}, and {it} {$symptom}, just as before. {resigned}",
        "Thanks, {$helper} and {$doubter}, but it was {$third_fault} all along. {relief}",
    ],
    "work": ["{is} as good as new", "{is} fine again", "{is} better than before", "{is} doing well"],
    "relief": [
        "what a relief!",
        "I wish I had asked here before.",
        "I owe you one.",
        "{$friend} won't believe it.",
        "thanks to everyone who answered.",
    ],
    "resigned": ["I give up.", "I will get a new {one}.", "{$friend} can have {it_object}.", "next hobby, please."],
    "proud": ["Told you so!", "Glad to hear that, {$asker}.", "You are welcome!", "It always is.", "Good news!"],
    "humble": ["Fair enough, I was wrong.", "Well, I learnt something.", "I still think that it was luck.", "OK, OK."],
}

SINGULAR = {"s": "s", "es": "es", "be": "is", "have": "has", "do": "does"}
PLURAL = {"s": "", "es": "", "be": "are", "have": "have", "do": "do"}


def _topic(
    rules: Rules,
    faults: Faults,
    symptoms: tuple[str, ...],
    attempts: tuple[str, ...],
    things: tuple[str, ...],
    sign: int,
) -> Topic:
    causes, fixes, fixings = zip(*faults, strict=True)
    verbs = SINGULAR if sign > 0 else PLURAL

    def capital(forms):
        return tuple(form[0].upper() + form[1:] for form in forms)

    roles = {
        **dict.fromkeys(("asker", "helper", "doubter", "friend", "adviser"), "people"),
        **dict.fromkeys(("brand", "rival_brand"), "brands"),
        "thing": things,
        "symptom": tuple(symptom.format_map(verbs) for symptom in symptoms),
        "price": years(12, 90),
        **dict.fromkeys(("attempt", "other_attempt"), attempts),
        **dict.fromkeys(("fault", "rival_fault", "third_fault"), causes),
        "fix": Form("fault", fixes),
        "fixing": Form("fault", fixings),
        "fault_capital": Form("fault", capital(causes)),
        "fixing_capital": Form("fault", capital(fixings)),
        "rival_fix": Form("rival_fault", fixes),
        "rival_fixing": Form("rival_fault", fixings),
    }
    return Topic(Grammar({**THREAD, **rules}), roles, signs=(sign,))


TOPICS = [
    _topic(rules, faults, symptoms, attempts, things, sign)
    for rules, faults, symptoms, attempts, singular, plural in SUBJECTS
    for things, sign in ((singular, 1), (plural, -1))
]


def generate(split: str, seed: int) -> Iterator[dict]:
    """Endless threads: dictionaries of `text` (str), a line for each post. All names are of `split`."""
    for text in texts(TOPICS, SplitMix64("posts", split, seed), split):
        yield {"text": text}
