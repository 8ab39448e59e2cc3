"""The table of the page on real models: the text that whole and pruned models write after the same prompt."""

import re

import pandas as pd

from avss.report.generations import generations, stored
from avss.report.markdown import Text, markdown, runs_or_none
from avss.report.snapshot import Results
from avss.store import layers_of


def generation_table(results: Results) -> Text:
    """For every row whose texts are stored: the prompt, and the texts of the whole model and of each pruned one."""
    parts = []
    for facts in stored(results.store.root):
        table = generations(results, facts)
        lines = [
            {
                "blocks chosen by": line.methods if line.removed != "none" else "whole model",
                "removed": runs_or_none(layers_of(line.removed)),
                f"the next {facts['new_tokens']} tokens": literal(line.text),
            }
            for line in table.itertuples()
        ]
        shown = (
            f"ends in {literal(_end(facts['prompt']))}"
            if facts["prompt"]
            else "is not shown, because it is data of others"
        )
        parts.append(
            f"**{facts['title']}.** The prompt is row {facts['index']} of the evaluation data, has "
            f"{facts['prompt_tokens']} tokens and {shown}. Its SHA-256 begins with `{facts['prompt_sha256'][:12]}`.\n\n"
            + markdown(pd.DataFrame(lines))
        )
    return Text("\n".join(parts)) if parts else Text("No text is stored. `recipes/generations.py` makes it.\n")


def _end(prompt: str) -> str:
    return prompt if len(prompt) <= 120 else f"… {prompt[-120:].split(' ', 1)[-1]}"


def literal(text: str) -> str:
    """The text as code that no markup changes, in one line. ⏎ is a line break, ␣ a space of a text of spaces alone."""
    text = re.sub(r"[^\S ]", " ", text.replace("\r\n", "\n").replace("\n", "⏎"))
    # A letter that nothing displays would be lost without a trace.
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    text = "␣" * len(text) if text.isspace() else text or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}"


TABLES = {"generation_table": generation_table}
