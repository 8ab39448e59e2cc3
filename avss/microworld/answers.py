"""A question on a passage with a true and a false answer, both whole sentences, as pairs for hallucination scores.

The false answer is of the right type but not what the passage says: three times of four, if possible, another fact of
the passage (the other painter, another of its years), otherwise a name or number that the passage does not have.
"""

import re
from collections.abc import Iterator

from avss.microworld.grammar import SLOT
from avss.microworld.passages import Told, filled, tell
from avss.microworld.randomness import SplitMix64
from avss.microworld.world import After


def rivals(told: Told) -> list[str]:
    """Answers of the right type that the passage has for something else.

    The i-th role of one kind goes with the i-th of another, given name with family name; pairs that belong to nobody
    are not in the passage.
    """
    template = told.question.answers[0]
    slots = [role for _, role in SLOT.findall(template)]
    topic = told.story.topic
    peers = [[role for role in topic.roles if topic.kind(role) == topic.kind(slot)] for slot in slots]
    found = []
    for others in zip(*peers, strict=False):
        facts = told.facts | {slot: told.facts[other] for slot, other in zip(slots, others, strict=True)}
        text = filled(template, facts)
        if text != filled(template, told.facts) and re.search(rf"\b{re.escape(text)}\b", told.context):
            found.append(text)
    return sorted(set(found))


def _stranger(told: Told, split: str, random: SplitMix64) -> str:
    """An answer of the right type that is not in the passage."""
    while True:
        facts = told.story.topic.facts(split, random)
        for role, source in told.story.topic.roles.items():
            if isinstance(source, After):
                # Counted from the year that the passage tells, or a death could come before the birth.
                later = source.least + random.below(source.most - source.least + 1)
                facts[role] = str(int(told.facts[source.role]) + later)
        text = filled(told.question.answers[0], facts)
        if not re.search(rf"\b{re.escape(text)}\b", told.context, re.IGNORECASE):
            return text


def generate(split: str, seed: int) -> Iterator[dict]:
    """Endless rows of `question`, `context`, `true_answer` and `false_answer` (str). All names are of `split`."""
    random = SplitMix64("answers", split, seed)
    while True:
        told = tell(split, random)
        topic, name = told.story.topic, told.question.name
        question = topic.grammar.derive(f"ask_{name}", told.sign, random, told.facts)
        told_too = [text for text in rivals(told) if text not in question]
        wrong = random.choose(told_too) if random.below(4) and told_too else _stranger(told, split, random)
        right = filled(told.question.answers[0], told.facts)
        true, false = (
            topic.grammar.derive(f"say_{name}", told.sign, random, {**told.facts, "answer": answer})
            for answer in (right, wrong)
        )
        yield {"question": question, "context": told.context, "true_answer": true, "false_answer": false}
