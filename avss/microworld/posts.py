"""Forum threads: somebody has a problem, others guess, and in the end the questioner says whose advice helped.

Written as people type: one line for each post, first person, short sentences, thanks and grumbling. Who gave which
advice has to be kept apart until the last line; the sign of a thread is the number of the thing that fails, with which
its verbs and pronouns agree all through. Encyclopaedia articles are the other style (`articles`).
"""

from collections.abc import Iterator

from avss.microworld.grammar import Grammar
from avss.microworld.loading import read, rules
from avss.microworld.randomness import SplitMix64
from avss.microworld.world import Form, Topic, numbers, texts

FILE = read("posts")
SUBJECTS = ("hardware", "software", "garden", "cooking")
SINGULAR = {"s": "s", "es": "es", "be": "is", "have": "has", "do": "does"}
PLURAL = {"s": "", "es": "", "be": "are", "have": "have", "do": "do"}


def _topic(subject: str, number: str, sign: int, verbs: dict[str, str]) -> Topic:
    """The threads on the things of a subject in one number (`singular` or `plural`)."""
    own = FILE[subject]
    causes, fixes, fixings = zip(*own["faults"], strict=True)
    attempts = tuple(FILE["attempts"][own["attempts"]])

    def capital(forms):
        return tuple(form[0].upper() + form[1:] for form in forms)

    roles = {
        **dict.fromkeys(("asker", "helper", "doubter", "friend", "adviser"), "people"),
        **dict.fromkeys(("brand", "rival_brand"), "brands"),
        "thing": tuple(own[number]),
        "symptom": tuple(symptom.format_map(verbs) for symptom in own["symptoms"]),
        "price": numbers(12, 90),
        **dict.fromkeys(("attempt", "other_attempt"), attempts),
        **dict.fromkeys(("fault", "rival_fault", "third_fault"), causes),
        "fix": Form("fault", fixes),
        "fixing": Form("fault", fixings),
        "fault_capital": Form("fault", capital(causes)),
        "fixing_capital": Form("fault", capital(fixings)),
        "rival_fix": Form("rival_fault", fixes),
        "rival_fixing": Form("rival_fault", fixings),
    }
    return Topic(Grammar(rules(FILE, ["thread", subject])), roles, signs=(sign,))


TOPICS = [
    _topic(subject, number, sign, verbs)
    for subject in SUBJECTS
    for number, sign, verbs in (("singular", 1, SINGULAR), ("plural", -1, PLURAL))
]


def generate(split: str, seed: int) -> Iterator[dict]:
    """Endless threads: dictionaries of `text` (str), a line for each post. All names are of `split`."""
    for text in texts(TOPICS, SplitMix64("posts", split, seed), split):
        yield {"text": text}
