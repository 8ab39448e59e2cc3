"""The command as a user types it: the whole path on a tiny model, and one clear line with exit code 2 for bad input."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers as hf

from avss import cli
from avss.cli import main
from avss.methods import METHODS
from avss.scores import LayerScores
from avss.tasks import TASKS
from tests.conftest import SENTENCES


@pytest.fixture
def world(saved, tmp_path):
    """A folder with text, a tiny classifier and a tiny language model."""
    (tmp_path / "reviews.jsonl").write_text(
        "".join(json.dumps({"sentence": text, "label": i % 2}) + "\n" for i, text in enumerate(SENTENCES))
    )
    (tmp_path / "text.txt").write_text("\n".join(SENTENCES) + "\n")
    saved("bert"), saved("llama")
    return tmp_path


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("family", "data", "task", "metric"),
    [
        ("bert", "reviews.jsonl", "sentiment", "accuracy"),
        ("llama", "text.txt", "language_modeling", "perplexity"),
    ],
)
def test_score_prune_evaluate(world, capsys, family, data, task, metric):
    model, data = world / f"{family}-model", world / data
    scores, pruned, metrics = world / "scores.csv", world / "pruned", world / "metrics.json"
    assert run("score", model, "--data", data, "--reading", "paper,epsilon=0.1", "--out", scores) == 0
    assert len(LayerScores.load(scores).values) == 4
    facts = json.loads((world / "scores.json").read_text())
    assert (facts["method"], facts["samples"], facts["seed"]) == ("avss", 5, 0)

    assert run("prune", model, "--scores", scores, "--layers", 1, "--out", pruned) == 0
    assert hf.AutoConfig.from_pretrained(pruned).num_hidden_layers == 3
    assert json.loads((pruned / "pruning.json").read_text())["removed_layers"] == LayerScores.load(scores).lowest(1)

    capsys.readouterr()
    assert run("evaluate", pruned, "--task", task, "--data", data, "--out", metrics) == 0
    printed = capsys.readouterr()
    result = json.loads(metrics.read_text())
    assert json.loads(printed.out) == result
    assert (result["task"], result["metric"], result["n"]) == (task, metric, 5)
    assert {"value", "low", "high", "protocol", "model", "data"} <= set(result)
    assert printed.err == "", "no bars where the output is no terminal"


def test_methods_and_models_are_listed(capsys):
    assert run("methods") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METHODS)
    assert run("models") == 0
    assert "mini/distilbert" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["gbis", "leave_one_out"])
def test_methods_that_need_labels_score_a_classifier_by_its_data(world, method):
    scores = world / "labelled.csv"
    model, data = world / "bert-model", world / "reviews.jsonl"
    assert run("score", model, "--data", data, "--method", method, "--out", scores) == 0
    assert json.loads(scores.with_suffix(".json").read_text())["task"] == "sentiment"
    assert len(LayerScores.load(scores).values) == 4


def test_a_rule_chooses_how_many_layers_go(world, capsys):
    model, out = world / "bert-model", world / "ruled"
    (world / "four.csv").write_text("layer,magnitude,rank\n0,1,4\n1,2,3\n2,3,2\n3,4,1\n")
    assert run("prune", model, "--scores", world / "four.csv", "--rule", "cumulative(0.35)", "--out", out) == 0
    # Scores 1, 2, 3, 4: the lowest two hold 0.1 and 0.3 of the sum.
    assert "removed 2 of 4 layers (0, 1)" in capsys.readouterr().out


def bad(world) -> dict[str, tuple[list, str]]:
    model, reviews, text = world / "bert-model", world / "reviews.jsonl", world / "text.txt"
    other = world / "llama-model"
    score = ["score", model, "--data", reviews, "--out", world / "s.csv"]
    evaluate = ["evaluate", model, "--data", reviews, "--task", "sentiment"]
    prune = ["prune", model, "--scores", world / "good.csv", "--out", world / "p"]
    return {
        "unknown model": (["score", "./nothing", *score[2:]], "model ./nothing does not exist"),
        "unknown method": ([*score, "--method", "gbist"], "method 'gbist' is not known"),
        "unknown reading": ([*score, "--reading", "literal"], "reading 'literal' is not known"),
        "unknown task": (["evaluate", model, "--data", reviews, "--task", "chess"], "task 'chess' is not known"),
        "missing file": (
            ["score", model, "--data", "gone.jsonl", "--out", world / "s.csv"],
            "gone.jsonl does not exist",
        ),
        "empty data": (["score", model, "--data", world / "empty.txt", "--out", world / "s.csv"], "empty.txt is empty"),
        "no usable rows": (
            ["score", model, "--data", world / "blank.jsonl", "--out", world / "s.csv"],
            "no usable rows",
        ),
        "wrong column": ([*score, "--column", "words"], "has no column words; it has sentence, label"),
        "epsilon of zero": ([*score, "--reading", "paper,epsilon=0"], "epsilon is 0"),
        "no samples": ([*score, "--samples", "0"], "--samples is 0"),
        "context too short": ([*score, "--context", "1"], "context is 1 tokens"),
        "no folder for the output": ([*score[:-1], world / "no" / "s.csv"], "no does not exist; create it first"),
        "existing output": ([*score[:-1], world / "good.csv"], "good.csv exists already"),
        "all layers": ([*prune, "--layers", "4"], "remove at least 1 and at most 3"),
        "no layers": ([*prune, "--layers", "0"], "remove at least 1 and at most 3"),
        "more than all": ([*prune, "--fraction", "1.5"], "share of layers is 1.5"),
        "unknown rule": ([*prune, "--rule", "best"], "selection 'best' is not a rule"),
        "a rule without a number": ([*prune, "--rule", "lowest"], "--rule lowest needs a number of layers"),
        "a rule that removes nothing": ([*prune, "--rule", "cumulative(0.01)"], "removes no layer"),
        "labels that are missing": (
            ["score", model, "--data", text, "--method", "gbis", "--out", world / "s.csv"],
            "needs a column label",
        ),
        "scores of another model": (
            ["prune", model, "--scores", world / "two.csv", "--layers", "1", "--out", world / "p"],
            "scores 2 layers and model",
        ),
        "scores that are none": (
            ["prune", model, "--scores", reviews, "--layers", "1", "--out", world / "p"],
            "is not a table of layer scores",
        ),
        "no folder for the model": ([*prune[:-1], world / "no" / "p", "--layers", "1"], "no does not exist"),
        "existing folder": ([*prune[:-1], other, "--layers", "1"], "llama-model exists already"),
        "unknown dtype": ([*score, "--dtype", "int4"], "dtype 'int4' is not known"),
        "task that the model cannot do": (
            ["evaluate", model, "--data", text, "--task", "language_modeling"],
            "needs a causal language model",
        ),
        "data without labels": (["evaluate", model, "--data", text, "--task", "sentiment"], "needs a column label"),
        "no samples to evaluate": ([*evaluate, "--samples", "-1"], "--samples is -1"),
        "a seed below 0": ([*score, "--seed", "-1"], "--seed is -1; give a number from 0"),
        "a seed that no generator takes": ([*evaluate, "--seed", str(1 << 70)], "--seed is 1180591620717411303424"),
        "no context to evaluate": ([*evaluate, "--context", "0"], "--context is 0; give at least 1"),
        "a share that is no number": ([*prune, "--fraction", "nan"], "share of layers is nan"),
        "a negative number of layers": ([*prune, "--layers", "-1"], "remove at least 1 and at most 3"),
        "a rule by a mass that is no number": ([*prune, "--rule", "cumulative(nan)"], "mass is nan"),
        "a rule by all of the mass": ([*prune, "--rule", "released_code(1)"], "mass is 1"),
        "a rate that is no number": (["plan", "--flops", "nan"], "--flops is nan"),
        "no document at a time": ([*score, "--batch-size", "0"], "--batch-size is 0; give at least 1"),
        "fewer than no documents at a time": ([*evaluate, "--batch-size", "-1"], "--batch-size is -1; give at least 1"),
        "unknown device": ([*score, "--device", "abacus"], "device abacus cannot be used"),
        "existing facts of scores": ([*score[:-1], world / "two2.csv"], "two2.json exists already"),
        "scores where their facts go": ([*score[:-1], world / "s.json"], "give a name that ends in .csv"),
        "scores in place of a folder": ([*score[:-1], other, "--force"], "llama-model is a folder; give the name of a"),
        "a result in place of a folder": ([*evaluate, "--out", other, "--force"], "llama-model is a folder; give the"),
        "text in another encoding": ([*score[:2], "--data", world / "latin.csv", *score[4:]], "is csv, in UTF-8"),
        "a revision of a folder": ([*score, "--revision", "main"], "revision main is given with a folder"),
        "a revision of a folder to evaluate": ([*evaluate, "--revision", "v1"], "revision v1 is given with a folder"),
        "a revision of a folder to prune": (
            [*prune, "--layers", "1", "--revision", "v1"],
            "revision v1 is given with a folder",
        ),
        "label words of a classifier": ([*evaluate, "--label-words", "no,yes"], "has a head with classes of its own"),
        "label words without a task": ([*score, "--label-words", "no,yes"], "are given without a task; name the task"),
        "labels without a task": (
            ["score", other, *score[2:], "--label-column", "label"],
            "are given without a task; name the task",
        ),
        "labels for a method that reads none": ([*score, "--label-column", "label"], "are given without a task"),
        "labels of a method by a language model": (
            ["score", other, *score[2:], "--label-column", "label", "--method", "gbis"],
            "are given without a task; name the task",
        ),
        "label words of a task without labels": (
            ["evaluate", other, "--data", text, "--task", "language_modeling", "--label-words", "no,yes"],
            "task language_modeling has no labels, and the label words is ['no', 'yes']; leave it out",
        ),
        "one label word": ([*evaluate[:1], other, *evaluate[2:], "--label-words", "no"], "give one for each class"),
        "labels that are not there": (
            [*score, "--task", "sentiment", "--label-column", "stars"],
            "no column stars to take labels from",
        ),
        "lines that are no JSON": ([*score[:2], "--data", world / "broken.jsonl", *score[4:]], "is json, in UTF-8"),
    }


CASES = sorted(bad(Path()))


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_line_and_writes_nothing(world, capsys, case):
    (world / "empty.txt").write_text("")
    (world / "blank.jsonl").write_text('{"sentence": " "}\n')
    (world / "good.csv").write_text("layer,magnitude,rank\n0,1,4\n1,2,3\n2,3,2\n3,4,1\n")
    (world / "two2.json").write_text("{}")
    (world / "latin.csv").write_bytes("sentence,label\nsch\u00f6n,1\n".encode("latin-1"))
    (world / "broken.jsonl").write_text('{"sentence": "fine", \n')
    (world / "two.csv").write_text("layer,magnitude,rank\n0,1,2\n1,2,1\n")
    before = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    arguments, message = bad(world)[case]
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("avss: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""
    assert {path: path.read_bytes() for path in world.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("score", "give a smaller --batch-size or a smaller --context or a narrower --dtype or --device-map auto"),
        ("evaluate", "give a smaller --batch-size or a smaller --context or a narrower --dtype or --device-map auto"),
        ("prune", "give a narrower --dtype"),
        ("plan", "give a larger device"),
    ],
)
def test_memory_that_runs_out_is_one_line(world, capsys, monkeypatch, command, advice):
    def run_out(*_, **__):
        torch.empty(1 << 60, dtype=torch.uint8)

    for name in ("methods.score", "tasks.evaluate", "pruning.prune", "runs.plan.measured"):
        monkeypatch.setattr(f"avss.{name}", run_out)
    model, data = world / "bert-model", world / "reviews.jsonl"
    (world / "good.csv").write_text("layer,magnitude,rank\n0,1,4\n1,2,3\n2,3,2\n3,4,1\n")
    arguments = {
        "score": [model, "--data", data, "--out", world / "s.csv"],
        "evaluate": [model, "--data", data, "--task", "sentiment"],
        "prune": [model, "--scores", world / "good.csv", "--layers", 1, "--out", world / "p"],
        "plan": ["--profile", "profiles/mini.yaml"],
    }
    assert run(command, *arguments[command]) == 2
    said = capsys.readouterr().err
    assert said.startswith("avss: error: memory ran out (")
    assert said.endswith(f"; {advice}\n")
    assert said.count("\n") == 1


def test_labels_under_another_name_and_label_words_are_options(world, capsys):
    rows = ({"doc": {"body": text}, "stars": i % 2} for i, text in enumerate(SENTENCES))
    (world / "stars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--data", world / "stars.jsonl", "--column", "doc.body", "--label-column", "stars"]
    for name, words in (("bert", []), ("llama", ["--label-words", "bad,good", "--context", 60])):
        model = world / f"{name}-model"
        assert run("evaluate", model, "--task", "sentiment", *options, *words) == 0
        assert ("' bad' or ' good'" in json.loads(capsys.readouterr().out)["protocol"]) == bool(words)
        scores = ["--method", "gbis", "--task", "sentiment", "--out", world / f"{name}.csv"]
        assert run("score", model, *options, *words, *scores) == 0
        capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "--task", "sentiment", "--label-words", "no"], "give one for each class"),
        (["evaluate", "--task", "sentiment", "--label-column", "stars"], "no column stars to take labels from"),
        (["evaluate", "--task", "language_modeling", "--label-words", "no,yes"], "task language_modeling has no"),
        (["evaluate", "--task", "sentiment", "--by", "likelihood"], "task sentiment generates no answer"),
        (["score", "--task", "sentiment", "--label-words", "no"], "give one for each class"),
        (["score", "--label-column", "label"], "are given without a task; name the task"),
        (["check", "--label-words", "no,yes"], "without a task; name the task"),
        (["check", "--task", "sentiment", "--label-words", "no"], "give one for each class"),
        (["check", "--label-column", "label"], "without a task; name the task"),
    ],
)
def test_options_are_checked_before_the_model_is_loaded(world, capsys, arguments, said):
    command, *options = arguments
    given = [world / "gone-model", "--data", world / "reviews.jsonl", *options]
    assert run(command, *given, *(["--out", world / "s.csv"] if command == "score" else [])) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["score", "evaluate", "check", "prune"])
def test_a_model_may_be_run_in_the_dtype_of_its_checkpoint(world, monkeypatch, command):
    """What `--dtype auto` means: the weights are not widened, whatever the default of the command."""
    import avss.models

    folder, loaded = world / "llama-model", []
    hf.LlamaForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    real = avss.models.load_model
    monkeypatch.setattr(avss.models, "load_model", lambda *a, **o: loaded.append(real(*a, **o)) or loaded[-1])
    (world / "four.csv").write_text("layer,magnitude,rank\n0,1,4\n1,2,3\n2,3,2\n3,4,1\n")
    arguments = {
        "score": ["--data", world / "text.txt", "--out", world / "s.csv"],
        "evaluate": ["--data", world / "text.txt", "--task", "language_modeling"],
        "check": ["--data", world / "text.txt"],
        "prune": ["--scores", world / "four.csv", "--layers", 1, "--out", world / "p"],
    }[command]
    assert run(command, folder, *arguments, "--dtype", "auto") == 0
    assert loaded[0][0].dtype == torch.bfloat16


def test_accelerate_may_place_the_model(world):
    arguments = ["--data", world / "reviews.jsonl", "--method", "last", "--out", world / "s.csv"]
    assert run("score", world / "bert-model", "--device-map", "auto", *arguments) == 0


def test_a_device_and_a_device_map_exclude_each_other(capsys):
    with pytest.raises(SystemExit):
        run("score", "m", "--data", "d", "--out", "o", "--device", "cpu", "--device-map", "auto")
    assert "--device-map: not allowed with argument --device" in capsys.readouterr().err


def test_rows_without_a_label_are_left_out_and_counted_and_other_classes_are_refused(world, capsys):
    for name, labels in (("some", (0, 1, -1, None, -1)), ("four", (0, 1, 2, 3, 3))):
        rows = ({"sentence": "good film", "label": label} for label in labels)
        (world / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (world / "one.jsonl").write_text('{"sentence": "good film", "label": 1}\n')
    model = world / "bert-model"
    assert run("evaluate", model, "--data", world / "some.jsonl", "--task", "sentiment") == 0
    captured = capsys.readouterr()
    assert "3 of 5 rows are left out: they have no label (the first is row 3)" in captured.err
    assert json.loads(captured.out)["n"] == 2
    assert run("evaluate", model, "--data", world / "four.jsonl", "--task", "sentiment") == 2
    assert "holds 2 in 1 of 5 rows, and that is no class from 0 to 1 (LABEL_0, LABEL_1)" in capsys.readouterr().err
    # Of one document there is no interval, and nan is no JSON.
    assert run("evaluate", model, "--data", world / "one.jsonl", "--task", "sentiment") == 0
    text = capsys.readouterr().out
    assert json.loads(text)["low"] is None
    assert "NaN" not in text


def test_force_replaces(world, capsys):
    model, data = world / "bert-model", world / "reviews.jsonl"
    for force in ([], ["--force"]):
        assert run("score", model, "--data", data, "--method", "last", "--out", world / "s.csv", *force) == 0
        assert run("prune", model, "--scores", world / "s.csv", "--layers", 1, "--out", world / "p", *force) == 0
    assert not [path for path in world.iterdir() if path.name.startswith(".")]


def test_a_usage_error_exits_with_2_and_no_traceback(capsys):
    for arguments in (["score"], ["prune", "m", "--scores", "s", "--out", "o"], ["frobnicate"], []):
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(("avss: error: ", "usage: ")), said
        assert "Traceback" not in said


def test_warnings_are_one_line(world, capsys):
    arguments = ["--data", world / "reviews.jsonl", "--reading", "paper,epsilon=1e-30", "--out", world / "s.csv"]
    assert run("score", world / "bert-model", *arguments) == 0
    assert capsys.readouterr().err.startswith("avss: warning: no activation below epsilon")


def content(world) -> dict:
    return {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("command", "out"),
    [
        ("score", "reviews.jsonl"),
        ("score", "folder/../reviews.jsonl"),
        ("score", "link.csv"),
        ("score", "bert-model/scores.csv"),
        ("score", "link/scores.csv"),
        ("score", "reviews.csv"),
        ("evaluate", "reviews.jsonl"),
        ("evaluate", "bert-model/config.json"),
        ("evaluate", "link/config.json"),
        ("prune", "good.csv"),
        ("prune", "bert-model"),
        ("prune", "link/pruned"),
        ("prune", "."),
    ],
)
def test_force_never_overwrites_an_input(world, capsys, command, out):
    (world / "good.csv").write_text("layer,magnitude,rank\n0,1,4\n1,2,3\n2,3,2\n3,4,1\n")
    (world / "folder").mkdir()
    (world / "link").symlink_to(world / "bert-model")
    (world / "link.csv").symlink_to(world / "reviews.jsonl")
    # Facts would go where the data are.
    (world / "reviews.json").write_bytes((world / "reviews.jsonl").read_bytes())
    data = "reviews.json" if out == "reviews.csv" else "reviews.jsonl"
    arguments = {
        "score": ["--data", world / data],
        "evaluate": ["--data", world / data, "--task", "sentiment"],
        "prune": ["--scores", world / "good.csv", "--layers", 1],
    }[command]
    before = content(world)
    assert run(command, world / "bert-model", *arguments, "--out", world / out, "--force") == 2
    assert "which is read; give another name" in capsys.readouterr().err
    assert content(world) == before


@pytest.mark.parametrize("name", ["notes.csv", "thesis.json", "reviews.csv"])
def test_force_never_overwrites_a_file_of_the_user(world, capsys, name):
    (world / name).write_text('{"chapter": "words"}')
    model, data = world / "bert-model", world / "reviews.jsonl"
    before = content(world)
    assert run("score", model, "--data", data, "--out", (world / name).with_suffix(".csv"), "--force") == 2
    assert "not written by `avss score`" in capsys.readouterr().err
    assert run("evaluate", model, "--data", data, "--task", "sentiment", "--out", world / name, "--force") == 2
    assert "was not written by `avss evaluate`" in capsys.readouterr().err
    assert content(world) == before


def test_a_result_is_replaced_and_one_with_notes_is_not(world, capsys):
    arguments = ["evaluate", world / "bert-model", "--data", world / "reviews.jsonl", "--task", "sentiment"]
    out = world / "r.json"
    assert run(*arguments, "--out", out) == 0
    assert run(*arguments, "--out", out) == 2
    assert run(*arguments, "--out", out, "--force") == 0
    noted = json.dumps(json.loads(out.read_text()) | {"note": "mine"})
    out.write_text(noted)
    assert run(*arguments, "--out", out, "--force") == 2
    assert out.read_text() == noted


def full(*_):
    raise OSError(28, "No space left on device", "somewhere")


def test_what_was_measured_is_printed_where_it_cannot_be_written(world, capsys, monkeypatch):
    model, data = world / "bert-model", world / "reviews.jsonl"
    monkeypatch.setattr("avss.files.os.replace", full)
    assert run("evaluate", model, "--data", data, "--task", "sentiment", "--out", world / "r.json") == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["n"] == 5
    assert captured.err == "avss: error: somewhere: No space left on device\n"
    assert run("score", model, "--data", data, "--out", world / "s.csv") == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].startswith("layer,variance,")
    assert len(captured.out.splitlines()) == 5
    assert captured.err == "avss: error: somewhere: No space left on device\n"
    assert not [path for path in world.iterdir() if path.name.startswith((".", "s.", "r."))]


def test_a_folder_that_cannot_be_written_is_known_before_the_model_is_loaded(world, capsys):
    (world / "good.csv").write_text("layer,magnitude,rank\n0,1,4\n1,2,3\n2,3,2\n3,4,1\n")
    long = "x" * 240
    for arguments in (
        ["score", "./no-model", "--data", world / "reviews.jsonl", "--out", world / f"{long}.csv"],
        ["prune", "./no-model", "--scores", world / "good.csv", "--layers", 1, "--out", world / long],
    ):
        assert run(*arguments) == 2
        assert "cannot be written (File name too long)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "words", "code", "said"),
    [
        ("closed", "models", 141, ""),
        ("closed", "--help", 0, ""),
        ("/dev/full", "models", 2, "No space left on device"),
    ],
)
def test_output_that_nobody_reads_ends_without_a_traceback(output, words, code, said):
    if output == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(output, os.O_WRONLY)
    done = subprocess.run([sys.executable, "-m", "avss.cli", words], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == code
    assert done.stderr.decode().strip() == (f"avss: error: {said}" if said else "")


def test_a_command_without_standard_output_ends_well():
    command = f"{sys.executable} -m avss.cli models >&-"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_of_the_system_is_one_line_with_the_file(capsys, monkeypatch):
    def fail(error):
        def failing(_):
            raise error

        monkeypatch.setitem(cli.COMMANDS, "models", failing)
        return run("models"), capsys.readouterr().err

    assert fail(PermissionError(13, "Permission denied", "a.csv")) == (2, "avss: error: a.csv: Permission denied\n")
    assert fail(ConnectionError("no\nway")) == (2, "avss: error: no way\n")
    assert fail(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"))[0] == 2
    assert fail(MemoryError("Unable to allocate")) == (
        2,
        "avss: error: memory ran out (Unable to allocate ...); give a larger device\n",
    )


def test_an_internal_error_is_one_line_and_keeps_its_traceback_where_asked(capsys, monkeypatch, tmp_path):
    def broken(_):
        raise KeyError("layer")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(cli.COMMANDS, "models", broken)
    assert run("models") == 1
    said = capsys.readouterr().err
    assert said == (
        "avss: error: internal error (KeyError: 'layer'); please report it: run it with --debug for the traceback\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert run("models", "--debug") == 1
    (file,) = tmp_path.iterdir()
    assert f"the traceback is in {file}" in capsys.readouterr().err
    assert "KeyError: 'layer'" in file.read_text()
    monkeypatch.setenv("AVSS_DEBUG", "1")
    assert run("models") == 1
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("task", ["question_answering", "language_modeling"])
def test_score_and_evaluate_show_a_task_alike(saved, tmp_path, task):
    model, data = saved("llama"), tmp_path / "d.jsonl"
    row = {"context": "good film " * 40, "question": "the film", "text": "a film"}
    data.write_text(json.dumps(row | {"answers": {"text": ["good"]}}) + "\n")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    out = tmp_path / "s.csv"
    assert run("score", model, "--data", data, "--task", task, "--method", "last", "--out", out) == 0
    assert json.loads((tmp_path / "s.json").read_text())["context"] == TASKS[task].context


def test_numbers_that_json_does_not_have_are_not_printed(world, capsys, monkeypatch):
    import avss.tasks

    real = avss.tasks.evaluate
    arguments = ["evaluate", world / "bert-model", "--data", world / "reviews.jsonl", "--task", "sentiment"]
    also = {"also": {"loss": float("inf"), "each": [1.0, float("nan")]}, "low": float("nan")}
    monkeypatch.setattr(avss.tasks, "evaluate", lambda *args, **options: real(*args, **options) | also)
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert json.loads(text, parse_constant=pytest.fail)["also"] == {"loss": None, "each": [1.0, None]}
    monkeypatch.setattr(avss.tasks, "evaluate", lambda *args, **options: real(*args, **options) | {"value": math.nan})
    assert run(*arguments, "--out", world / "r.json") == 2
    captured = capsys.readouterr()
    assert "accuracy of model" in captured.err
    assert "is nan, which is no measurement" in captured.err
    assert not (world / "r.json").exists()


@pytest.mark.parametrize("device", ["meta", "hpu"])
def test_a_device_that_cannot_compute_is_one_line(world, capsys, device):
    arguments = ["--data", world / "reviews.jsonl", "--out", world / "s.csv", "--device", device]
    assert run("score", world / "bert-model", *arguments) == 2
    assert f"device {device} cannot be used" in capsys.readouterr().err
