"""What passages tell and ask: stories of one subject or of two of a kind, in which answers have rivals of their type.

The stories are in `artists`, `landmarks` and `presents`. `Question` says which sentences of a story hold what is asked;
its words are not those of the sentence, and some have their answer in a sentence before the one that they ask about,
linked to it by a pronoun.
"""

from dataclasses import dataclass

from avss.microworld.grammar import Rules
from avss.microworld.world import After, Source, Topic


@dataclass(frozen=True)
class Question:
    """A question on a fact of a story. `ask_NAME` are its wordings, `say_NAME` a statement of its {$answer}.

    answers: templates of the answer as the passage has it, the fullest first. told: the sentences that a passage must
    have; the answer stands in the first.
    """

    name: str
    answers: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    topic: Topic
    questions: tuple[Question, ...]


def twice(rules: Rules, flips: str = "  ") -> Rules:
    """The rules for the first and the second of two: `@` becomes x or y, `^` the marker of the pronouns of each."""
    return {
        key.replace("@", one): [template.replace("@", one).replace("^", flip.strip()) for template in templates]
        for one, flip in zip("xy", flips, strict=True)
        for key, templates in rules.items()
    }


def twice_roles(roles: dict[str, Source]) -> dict[str, Source]:
    return {
        role.replace("@", one): After(source.role.replace("@", one), source.least, source.most)
        if isinstance(source, After)
        else source
        for role, source in roles.items()
        for one in "xy"
    }


def twice_questions(*questions: Question) -> tuple[Question, ...]:
    return tuple(
        Question(
            question.name.replace("@", one),
            tuple(answer.replace("@", one) for answer in question.answers),
            tuple(sentence.replace("@", one) for sentence in question.told),
        )
        for question in questions
        for one in "xy"
    )
