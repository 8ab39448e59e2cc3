"""Stories that passages tell and ask about, of one subject or of two of a kind, so that answers have rivals.

`Question` names the sentences of a story that hold the answer. Its words are not those of the sentence. Some answers
are in an earlier sentence than the one that the question is about, linked to it by a pronoun.
"""

from dataclasses import dataclass

from avss.microworld.world import Topic


@dataclass(frozen=True)
class Question:
    """A question on a fact of a story. `ask_NAME` are its wordings, `say_NAME` a statement of its {$answer}.

    answers: templates of the answer as the passage has it, the fullest first. told: the sentences that a passage must
    have; the answer is in the first.
    """

    name: str
    answers: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    topic: Topic
    questions: tuple[Question, ...]
