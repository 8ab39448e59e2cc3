"""Models of the hub: nothing that is local or cached asks the network, and each refusal says why, by its type."""

import json
import shutil
import socket
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, errors

import avss
from avss import cli, hub, mini
from avss.adapters import adapter_of
from avss.errors import InputError
from avss.hub import at_hand, config_folder, on_hub
from avss.identity import identity_of, revision_of
from avss.models import skeleton
from avss.runs import preflight
from avss.runs.profile import Row
from tests.conftest import tiny, word_tokenizer
from tests.test_wrapped import with_adapter

COMMITS = {"some/base": "a" * 40, "some/chat": "b" * 40}


@pytest.fixture
def offline(monkeypatch):
    """Every socket raises, and is counted where the error is swallowed, although no client is told of it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked = []

    def refuse(*arguments, **options):
        asked.append(arguments)
        raise OSError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    yield
    assert not asked


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of the hub with two models; both of its names for the folder are changed."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    for seed, (name, commit) in enumerate(COMMITS.items()):
        base = folder / f"models--{name.replace('/', '--')}"
        (base / "refs").mkdir(parents=True)
        (base / "refs" / "main").write_text(commit)
        tiny("llama", seed).save_pretrained(base / "snapshots" / commit)
        word_tokenizer().save_pretrained(base / "snapshots" / commit)
    return folder


def snapshot(cache: Path, name: str) -> Path:
    return cache / f"models--{name.replace('/', '--')}" / "snapshots" / COMMITS[name]


def test_a_folder_asks_no_network(saved, offline, family):
    folder = str(saved(family))
    avss.load_model(folder)
    skeleton(folder)
    assert not on_hub(folder)


def test_an_embedded_model_asks_no_network(offline):
    name = f"mini/{mini.names()[0]}"
    avss.load_model(name)
    skeleton(name)


def test_a_row_whose_model_and_data_are_local_asks_no_network(saved, offline, tmp_path):
    (tmp_path / "reviews.jsonl").write_text('{"sentence": "good", "label": 1}\n')
    facts = {"task": "sentiment", "dataset": "SST-2", "model": "any", "remove": 1}
    local = Row(id="a", checkpoint=str(saved("bert")), data=str(tmp_path / "reviews.jsonl"), **facts)
    embedded = Row(id="b", checkpoint="mini/distilbert", data="microworld/reviews", **facts)
    assert preflight.problems([local, embedded]) == []


@pytest.mark.parametrize("revision", [None, "main", "a" * 40])
def test_a_cached_model_asks_no_network(cache, offline, revision):
    model, tokenizer = avss.load_model("some/base", revision=revision)
    assert torch.equal(model.lm_head.weight, tiny("llama").lm_head.weight)
    assert tokenizer("good")["input_ids"] == [4]
    assert at_hand("some/base", revision)
    assert skeleton("some/base", revision=revision).num_parameters() == model.num_parameters()


def older(cache: Path) -> str:
    """A commit of a model in the cache that its branch has left."""
    commit = "c" * 40
    place = cache / "models--some--base" / "snapshots" / commit
    tiny("llama", 7).save_pretrained(place)
    word_tokenizer().save_pretrained(place)
    return commit


def test_the_commands_take_a_revision_of_a_hub_model(cache, offline, tmp_path):
    commit, text = older(cache), tmp_path / "t.txt"
    text.write_text("good film\na poor film\n")
    scored = ["score", "some/base", "--data", str(text), "--out"]
    assert cli.main([*scored, str(tmp_path / "new.csv")]) == 0
    assert cli.main([*scored, str(tmp_path / "old.csv"), "--revision", commit]) == 0
    revisions = [json.loads((tmp_path / f"{name}.json").read_text())["revision"] for name in ("new", "old")]
    assert [revision.partition("-")[0] for revision in revisions] == ["a" * 12, "c" * 12]
    pruned = ["prune", "some/base", "--revision", commit, "--scores", str(tmp_path / "old.csv"), "--layers", "1"]
    assert cli.main([*pruned, "--out", str(tmp_path / "pruned")]) == 0
    assert json.loads((tmp_path / "pruned" / "pruning.json").read_text())["commit"] == commit
    weight = avss.load_model(str(tmp_path / "pruned"))[0].lm_head.weight
    assert torch.equal(weight.cpu(), tiny("llama", 7).lm_head.weight)


def test_an_adapter_of_a_hub_model_finds_its_base_in_the_cache(cache, offline, tmp_path):
    wrapped, commit = with_adapter("llama"), older(cache)
    for revision, held in ((None, COMMITS["some/base"]), (commit, commit)):
        wrapped.peft_config["default"].base_model_name_or_path = "some/base"
        wrapped.peft_config["default"].revision = revision
        wrapped.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
        model, _ = avss.load_model(str(tmp_path / "adapter"))
        assert adapter_of(model)["base"] == "some/base"
        assert adapter_of(model)["commit"] == held
        assert "-" not in revision_of(model), "the merged weights are of no commit"
        seed = 7 if revision else 0
        assert torch.equal(model.lm_head.weight.cpu(), tiny("llama", seed).lm_head.weight)


def test_two_models_of_the_hub_have_revisions_of_their_own(cache, offline):
    models = {name: avss.load_model(name)[0] for name in COMMITS}
    for name, model in models.items():
        assert revision_of(model) == f"{COMMITS[name][:12]}-{identity_of(model)}"
    assert len({identity_of(model) for model in models.values()}) == 2


def test_a_model_of_the_hub_that_was_edited_is_another_one(cache, offline):
    model, _ = avss.load_model("some/base")
    before = revision_of(model)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    assert revision_of(model) != before


def test_a_saved_model_of_the_hub_does_not_claim_its_commit(cache, offline, tmp_path):
    model, tokenizer = avss.load_model("some/base")
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded, _ = avss.load_model(str(tmp_path / "saved"))
    assert revision_of(loaded) == identity_of(loaded) == identity_of(model)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_cache_that_lacks_a_file_is_not_at_hand(cache, monkeypatch, file):
    (snapshot(cache, "some/base") / file).unlink()
    assert not at_hand("some/base")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="some/base cannot be loaded") as caught:
        avss.load_model("some/base")
    assert "\n" not in str(caught.value)


def test_a_cache_that_lacks_a_shard_is_not_at_hand(cache):
    folder = snapshot(cache, "some/base")
    shutil.rmtree(folder)
    tiny("llama").save_pretrained(folder, max_shard_size="20KB")
    word_tokenizer().save_pretrained(folder)
    assert at_hand("some/base")
    sorted(folder.glob("model-*.safetensors"))[0].unlink()
    assert not at_hand("some/base")


def test_another_revision_is_not_at_hand(cache):
    assert not at_hand("some/base", "c" * 40)
    assert not at_hand("nobody/nothing")


def test_without_a_network_there_is_one_line(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for call in (avss.load_model, config_folder):
        with pytest.raises(InputError, match=r"nobody/nothing cannot be loaded \(.*\); check the name and the network"):
            call("nobody/nothing")


def answer(kind: type, status: int, text: str = "no") -> Exception:
    client = pytest.importorskip(errors.HTTPError.__module__.partition(".")[0])
    response = client.Response(status, request=client.Request("GET", "https://example.org"))
    return kind(text, response=response)


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (lambda: answer(errors.GatedRepoError, 403), "is gated; accept its licence at"),
        (lambda: answer(errors.RepositoryNotFoundError, 401), "is not on the hub, or is private"),
        (lambda: answer(errors.RevisionNotFoundError, 404), "has no revision v1"),
        (lambda: answer(errors.HfHubHTTPError, 401), "refuses model a/exp403 .HTTP 401"),
        (lambda: answer(errors.HfHubHTTPError, 403), "refuses model a/exp403 .HTTP 403"),
        (lambda: answer(errors.HfHubHTTPError, 500, "gated 401 403"), "cannot be loaded"),
        (lambda: OSError("gated 401 403 /runs/exp403/model"), "cannot be loaded"),
        (lambda: ValueError(f"commit {'401' * 13}0 is damaged"), "cannot be loaded"),
    ],
)
def test_a_model_is_gated_by_the_type_of_the_answer_and_never_by_its_words(error, match):
    message = hub.unreached("a/exp403", "v1", error())
    assert "\n" not in message
    assert ("gated;" in message) == match.startswith("is gated")
    with pytest.raises(InputError, match=match):
        raise InputError(message)


def test_a_broken_folder_with_401_in_its_name_is_not_gated(saved):
    folder = saved("llama")
    renamed = folder.rename(folder.with_name("exp401-gated-403"))
    (renamed / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is not JSON") as caught:
        avss.load_model(str(renamed))
    assert "licence" not in str(caught.value)


class Listed:
    """What the hub says of a repository, as `HfApi.model_info` gives it."""

    def __init__(self, *files: str):
        self.siblings = [huggingface_hub.hf_api.RepoSibling(rfilename=file) for file in files]


def test_a_repository_of_the_hub_without_safetensors_is_refused_before_any_download(cache, monkeypatch):
    monkeypatch.setattr(hub.HfApi, "model_info", lambda self, name, revision=None: Listed("pytorch_model.bin"))
    monkeypatch.setattr(hub, "snapshot_download", lambda *arguments, **options: pytest.fail("downloaded"))
    with pytest.raises(InputError, match="has no usable safetensors weights"):
        avss.load_model("nobody/pickled")


def test_only_the_files_that_are_read_are_downloaded(cache, monkeypatch):
    folder, asked = snapshot(cache, "some/base"), []
    shutil.rmtree(folder)
    tiny("llama").save_pretrained(folder, max_shard_size="20KB")
    word_tokenizer().save_pretrained(folder)
    (folder / "tokenizer.json").rename(folder.parent / "kept.json")
    shards = {path.name for path in folder.glob("model-*.safetensors")}
    files = [*(path.name for path in folder.iterdir()), "tokenizer.json"]
    unread = ["consolidated.safetensors", "pytorch_model.bin", "onnx/model.json", "model.fp16.safetensors"]
    monkeypatch.setattr(hub.HfApi, "model_info", lambda self, name, revision=None: Listed(*files, *unread))

    def download(name, *, revision, allow_patterns):
        asked.extend(allow_patterns)
        shutil.copy(folder.parent / "kept.json", folder / "tokenizer.json")
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    avss.load_model("some/base")
    assert shards <= set(asked)
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= set(asked)
    assert not set(unread) & set(asked)
