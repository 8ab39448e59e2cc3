"""Stored generations: a fixed prompt, greedy text of each pruned model, no text of others' data, and a table of it."""

import hashlib
import json

import pytest
import torch

import avss
from avss.errors import InputError
from avss.report.generations import chosen_sets, generations
from avss.report.snapshot import Results
from avss.report.tables import TABLES
from avss.report.tables.generations import literal
from avss.runs import generations as running
from avss.runs.generations import continuation, prompt_of, write_generations
from avss.runs.profile import Row
from avss.store import Store
from tests.conftest import tiny, word_tokenizer
from tests.stores import fill

TEXT = "good film and it was not very fine the row"


@pytest.fixture
def row(saved, tmp_path) -> Row:
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "validation"):
        (data / f"{split}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in (TEXT, "bad")))
    facts = {"task": "language_modeling", "remove": 1, "context": 48, "evaluation": "validation"}
    return Row("r", checkpoint=str(saved("llama")), data=str(data), **facts)


def slow(model, ids: list[int], new: int) -> list[int]:
    """Greedy decoding without a cache, from the definition."""
    made = list(ids)
    for _ in range(new):
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([made])).logits[0, -1].argmax())
        if token == 2:
            break
        made.append(token)
    return made[len(ids) :]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_a_continuation_is_greedy_and_ends_before_eos(family):
    model, tokenizer = tiny(family), word_tokenizer()
    for ids in ([5, 6, 7], [9], [4, 4, 4, 4]):
        assert continuation(model, tokenizer, ids, 12) == slow(model, ids, 12)
        with avss.skipping(model, [0, 2]):
            assert continuation(model, tokenizer, ids, 12) == slow(model, ids, 12)
    made = slow(model, [5, 6, 7], 12)
    assert made, "something is generated"


def test_a_file_holds_the_texts_and_no_word_of_the_data(row, tmp_path):
    path = tmp_path / "generations" / "r.json"
    assert write_generations(row, "p", ["none", "1", "0+2", "1"], path) == 3
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert list(kept["texts"]) == ["none", "1", "0+2"]
    assert kept["prompt"] is None
    assert TEXT not in path.read_text(encoding="utf-8")
    assert kept["prompt_sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert {"index", "split", "revision", "created", "git_revision", "dtype"} <= set(kept)
    model, tokenizer = avss.load_model(row.checkpoint)
    ids = prompt_of(row, model, tokenizer).ids
    assert kept["prompt_tokens"] == len(ids)
    with avss.skipping(model, [0, 2]):
        assert kept["texts"]["0+2"] == tokenizer.decode(slow(model, ids, 32), skip_special_tokens=True)


def test_what_a_model_copies_from_a_hidden_prompt_is_left_out():
    tokenizer = word_tokenizer()
    words = "good bad fine poor a the film was not very row"
    ids, hidden = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (words, "row fine poor a the film")
    )
    assert running.text_of(tokenizer, ids, []) == words
    assert running.text_of(tokenizer, ids, hidden) == "good bad[…]was not very row"
    assert running.text_of(tokenizer, ids, hidden[:4]) == words, "three in a row are chance"
    assert running.text_of(tokenizer, ids[:2], hidden) == "good bad"
    assert running.text_of(tokenizer, hidden, hidden) == "[…]"
    assert running.text_of(tokenizer, [], hidden) == ""


def test_a_killed_run_continues_and_another_model_begins_anew(row, saved, tmp_path, monkeypatch):
    path, made = tmp_path / "r.json", []

    def counted(*arguments):
        made.append(arguments)
        if len(made) == 2:
            raise KeyboardInterrupt
        return continuation(*arguments)

    monkeypatch.setattr(running, "continuation", counted)
    with pytest.raises(KeyboardInterrupt):
        write_generations(row, "p", ["none", "1", "2"], path)
    assert write_generations(row, "p", ["none", "1", "2"], path) == 2
    before = path.read_bytes()
    assert write_generations(row, "p", ["1", "none"], path) == 0
    assert path.read_bytes() == before
    saved("llama", seed=1)
    assert write_generations(row, "p", ["none"], path) == 1


def test_a_classifier_and_a_prompt_that_does_not_fit_are_refused(row, saved, tmp_path):
    from dataclasses import replace

    with pytest.raises(InputError, match="generates no text; take a row of a decoder"):
        write_generations(replace(row, checkpoint=str(saved("bert"))), "p", ["none"], tmp_path / "r.json")
    with pytest.raises(InputError, match="its first prompt has 10 tokens; 1 to 8 fit"):
        write_generations(replace(row, context=40), "p", ["none"], tmp_path / "r.json")


def test_the_table_shows_each_set_once_with_the_methods_that_chose_it(tmp_path):
    store = Store(tmp_path / "results")
    fill(store, "mini")
    results = Results(store)
    sets = chosen_sets(results, "mini", "sst2-distilbert")
    assert next(iter(sets)) == "none"
    assert sum(map(len, sets.values())) == results.in_use.query("seed == 0")["method"].count()
    assert "Not" not in TABLES["generation_table"](results)
    assert "recipes/generations.py" in TABLES["generation_table"](results)
    texts = {removed: f"text | of `{removed}`\n$x$ <b> &amp;" for removed in [*sets, "0+1+2+3"]}
    facts = {"row": "sst2-distilbert", "profile": "mini", "title": "SST-2, Mini", "index": 0, "prompt": None}
    facts |= {"prompt_sha256": "ab" * 32, "prompt_tokens": 9, "new_tokens": 32, "texts": texts}
    folder = tmp_path / "results" / "generations"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(facts))
    table = TABLES["generation_table"](results)
    assert table.count("⏎") == len(sets), "a set that no method chooses any more is not shown"
    assert "whole model" in table
    assert "is not shown" in table
    assert generations(results, facts)["removed"].tolist() == list(sets)
    (folder / "a.json").write_text(json.dumps(facts | {"prompt": "The question"}))
    assert "`` The question ``" in TABLES["generation_table"](results).replace("` The question `", "`` The question ``")
    (folder / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json is damaged"):
        TABLES["generation_table"](results)


def test_any_text_is_one_line_of_code():
    assert literal("a\nb\tc") == "` a⏎b c `"
    assert literal("``x`") == "``` ``x` ```"
    assert literal("") == "`   `"
    assert literal("  ") == "` ␣␣ `"
    assert "\x00" not in literal("\x00")
