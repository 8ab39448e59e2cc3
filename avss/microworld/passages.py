"""Passages with a question and its answer, which is a span of the passage, in the columns of SQuAD.

A passage tells some facts of a story (`stories`), of several people, places, dates or amounts, so that the answer
cannot be found by its type alone; pronouns stand for names told before; the question has other words than the sentence.
Seven passages of ten are about one subject, as those of SQuAD mostly are: there the question alone tells an answer from
its rivals. The others are about two of a kind. Many facts are told of each, and the reader must also find out which of
the two is meant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from avss.microworld.grammar import SLOT
from avss.microworld.loading import stories
from avss.microworld.randomness import SplitMix64
from avss.microworld.stories import Question, Story
from avss.microworld.world import START

STORIES = [story for name in ("artists", "landmarks", "presents") for story in stories(name)]
TOPICS = [story.topic for story in STORIES]
ARTICLE = re.compile(r"\b(the|an?) $", re.IGNORECASE)


@dataclass(frozen=True)
class Told:
    """A passage: a story, its sign and facts, the rule and text of each sentence, and a question that it answers."""

    story: Story
    sign: int
    facts: dict[str, str]
    sentences: dict[str, str]
    question: Question

    @property
    def context(self) -> str:
        return " ".join(self.sentences.values())

    @property
    def questions(self) -> list[Question]:
        """All questions that the passage answers."""
        return [each for each in self.story.questions if self.sentences.keys() >= set(each.told)]


def tell(split: str, random: SplitMix64) -> Told:
    """A passage with the names of `split`; of the questions that it answers, each is equally likely."""
    story = random.choose(STORIES)
    grammar, sign = story.topic.grammar, random.choose(story.topic.signs)
    facts = story.topic.facts(split, random)
    # The rule `text` of a story lists its sentences; told one by one, each is known by its rule.
    plan = [part[1] for part in grammar.choose(START, random) if isinstance(part, tuple)]
    sentences = {name: grammar.derive(name, sign, random, facts) for name in plan}
    told = Told(story, sign, facts, sentences, story.questions[0])
    return replace(told, question=random.choose(told.questions))


def filled(template: str, facts: dict[str, str]) -> str:
    return SLOT.sub(lambda slot: facts[slot[2]], template)


def answers(told: Told) -> dict[str, list]:
    """The answer in SQuAD's form: `text`, each a span of the passage, and `answer_start`, in characters.

    An answer after an article also counts with it.
    """
    sentence = told.sentences[told.question.told[0]]
    before = told.context.index(sentence)
    texts, starts = [], []
    for template in told.question.answers:
        text = filled(template, told.facts)
        start = re.search(rf"\b{re.escape(text)}\b", sentence, re.IGNORECASE).start()
        article = ARTICLE.search(sentence[:start])
        for found in [start, article.start()] if article else [start]:
            texts.append(sentence[found : start + len(text)])
            starts.append(before + found)
    return {"text": texts, "answer_start": starts}


def generate(split: str, seed: int) -> Iterator[dict]:
    """Endless rows in SQuAD's columns: `id`, `title`, `context`, `question` (str), `answers` (`text`, `answer_start`).

    One question a passage. All names are of `split`.
    """
    random = SplitMix64("passages", split, seed)
    number = 0
    while True:
        told = tell(split, random)
        grammar = told.story.topic.grammar
        title = grammar.derive("title", told.sign, random, told.facts)
        question = grammar.derive(f"ask_{told.question.name}", told.sign, random, told.facts)
        yield {
            "id": f"{split}-{seed}-{number}",
            "title": title,
            "context": told.context,
            "question": question,
            "answers": answers(told),
        }
        number += 1


def interviews(split: str, seed: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Endless passages, each with all questions that it answers, in any order, and the fullest answer to each."""
    random = SplitMix64("interviews", split, seed)
    while True:
        told = tell(split, random)
        yield told.context, _asked(told, random.shuffled(told.questions), random)


def excerpts(split: str, seed: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Endless passages cut down to what one kind of question needs, asked of both of the two that it can be asked of.

    The rest is short, and only the person meant tells an answer from its rival.
    """
    random = SplitMix64("excerpts", split, seed)
    while True:
        told = tell(split, random)
        kind = _kind(told.question)
        asked = [question for question in told.questions if _kind(question) == kind]
        if len(asked) < 2:
            continue
        needed = {sentence for question in asked for sentence in question.told}
        short = replace(told, sentences={name: text for name, text in told.sentences.items() if name in needed})
        yield short.context, _asked(short, random.shuffled(asked), random)


def _kind(question: Question) -> str:
    """The name of a question without the one of two that it is about."""
    return question.name.removeprefix("x_").removeprefix("y_")


def _asked(told: Told, questions: list[Question], random: SplitMix64) -> list[tuple[str, str]]:
    """A wording of each question and the fullest answer to it."""
    grammar = told.story.topic.grammar
    return [
        (
            grammar.derive(f"ask_{question.name}", told.sign, random, told.facts),
            answers(replace(told, question=question))["text"][0],
        )
        for question in questions
    ]
