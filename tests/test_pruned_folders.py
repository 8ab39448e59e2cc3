"""Checkpoints made by `avss prune`: class, head and dtype are kept, and only such folders are replaced."""

import json
import os
import random
import shutil

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

import avss
from avss.architectures import blocks_of
from avss.cli import main
from avss.pruning import save_pruned
from tests.conftest import FAMILIES, ragged, tiny, word_tokenizer
from tests.killing import every_kill, hidden, killed_after
from tests.test_files import disk_of

AUTO = {
    "ForMaskedLM": hf.AutoModelForMaskedLM,
    "ForTokenClassification": hf.AutoModelForTokenClassification,
    "ForQuestionAnswering": hf.AutoModelForQuestionAnswering,
    "ForMultipleChoice": hf.AutoModelForMultipleChoice,
    "ForNextSentencePrediction": hf.AutoModelForNextSentencePrediction,
    "ForPreTraining": hf.AutoModelForPreTraining,
    "ForSequenceClassification": hf.AutoModelForSequenceClassification,
    "ForCausalLM": hf.AutoModelForCausalLM,
    "LMHeadModel": hf.AutoModelForCausalLM,
    "Model": hf.AutoModel,
}
# Every class of every family of the table that an Auto class gives.
CLASSES = sorted(
    {
        (auto._model_mapping[type(FAMILIES[family]().config)].__name__, family)
        for auto in AUTO.values()
        for family in FAMILIES
        if type(FAMILIES[family]().config) in auto._model_mapping
    }
)


@pytest.fixture
def world(tmp_path):
    (tmp_path / "s.csv").write_text("layer,magnitude,rank\n0,4,1\n1,1,4\n2,2,3\n3,3,2\n")
    return tmp_path


def save(model, folder, **options):
    model.save_pretrained(folder, **options)
    word_tokenizer().save_pretrained(folder)


def prune(folder, out, *more, scores=None):
    scores = scores or folder.parent / "s.csv"
    return main([str(word) for word in ("prune", folder, "--scores", scores, "--layers", 1, "--out", out, *more)])


@pytest.fixture
def pruned(world):
    """A model, and the folder that `avss prune` made of it."""
    save(tiny("llama"), world / "m")
    assert prune(world / "m", world / "p") == 0
    return world / "p"


@pytest.mark.parametrize(("name", "family"), CLASSES)
def test_a_pruned_model_keeps_its_class_and_its_head(world, name, family):
    torch.manual_seed(0)
    config = tiny(family).config
    config.pad_token_id = 0
    model = getattr(hf, name)(config).eval()
    save(model, world / "m")
    assert prune(world / "m", world / "p") == 0
    auto = next(AUTO[ending] for ending in AUTO if name.endswith(ending))
    found, info = auto.from_pretrained(world / "p", output_loading_info=True)
    assert type(found) is type(model)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    batch = ragged()
    if name.endswith("ForMultipleChoice"):
        batch = {key: tensor[:, None] for key, tensor in batch.items()}
    with torch.no_grad():
        expected, output = avss.prune(model, [1])(**batch), found.eval()(**batch)
    torch.testing.assert_close(next(iter(output.values())), next(iter(expected.values())))
    assert all(torch.equal(tensor, found.state_dict()[key]) for key, tensor in model.state_dict().items())


def test_a_model_with_two_heads_keeps_both(world):
    torch.manual_seed(0)
    model = hf.GPT2DoubleHeadsModel(tiny("gpt2").config).eval()
    save(model, world / "m")
    assert prune(world / "m", world / "p") == 0
    found, info = hf.GPT2DoubleHeadsModel.from_pretrained(world / "p", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(found.multiple_choice_head.summary.weight, model.multiple_choice_head.summary.weight)


def test_a_class_that_transformers_does_not_know_is_refused(world, capsys):
    save(hf.GPT2Model(tiny("gpt2").config), world / "m")
    config = json.loads((world / "m/config.json").read_text())
    (world / "m/config.json").write_text(json.dumps(config | {"architectures": ["GPT2WithMyHead"]}))
    assert prune(world / "m", world / "p") == 2
    assert "is a GPT2WithMyHead, which loads as GPT2Model and would lose its head" in capsys.readouterr().err
    assert not (world / "p").exists()


def dtypes(folder) -> set:
    return {tensor.dtype for file in folder.glob("*.safetensors") for tensor in load_file(file).values()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [{}, {"max_shard_size": "10KB"}])
def test_a_pruned_checkpoint_has_the_dtype_that_it_had(world, dtype, options):
    save(tiny("llama").to(dtype), world / "m", **options)
    assert prune(world / "m", world / "p") == 0
    assert dtypes(world / "p") == {dtype}
    config = json.loads((world / "p/config.json").read_text())
    assert config["dtype"] == str(dtype).removeprefix("torch.")
    sizes = [sum(file.stat().st_size for file in (world / name).glob("*.safetensors")) for name in "mp"]
    assert sizes[1] < sizes[0]
    kept = {key: tensor for file in (world / "m").glob("*.safetensors") for key, tensor in load_file(file).items()}
    for key, tensor in load_file(world / "p/model.safetensors").items():
        before = key.replace("layers.2.", "layers.3.").replace("layers.1.", "layers.2.")
        assert torch.equal(tensor, kept[before]), "no number is rounded"


def test_the_weights_decide_the_dtype_and_not_the_config(world):
    save(tiny("llama").to(torch.bfloat16), world / "m")
    config = json.loads((world / "m/config.json").read_text())
    (world / "m/config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    assert prune(world / "m", world / "p") == 0
    assert dtypes(world / "p") == {torch.bfloat16}
    assert prune(world / "m", world / "asked", "--dtype", "float32") == 0
    assert dtypes(world / "asked") == {torch.float32}


def test_weights_of_two_dtypes_are_not_rounded(world):
    save(tiny("llama").to(torch.bfloat16), world / "m")
    weights = load_file(world / "m/model.safetensors")
    weights["model.norm.weight"] = torch.full((16,), 1.0001)
    save_file(weights, world / "m/model.safetensors", metadata={"format": "pt"})
    assert prune(world / "m", world / "p") == 0
    assert torch.equal(load_file(world / "p/model.safetensors")["model.norm.weight"], torch.full((16,), 1.0001))


def state(folder) -> dict:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_force_replaces_the_folder_that_it_made(pruned):
    (pruned.parent / "s.csv").write_text("layer,magnitude,rank\n0,1,4\n1,4,1\n2,2,3\n3,3,2\n")
    assert prune(pruned.parent / "m", pruned, "--force") == 0
    assert json.loads((pruned / "pruning.json").read_text())["removed_layers"] == [0]
    assert hidden(pruned.parent) == []


@pytest.mark.parametrize("name", ["notes.md", "sub/notes.md", ".notes", "model.safetensors", "config.json"])
def test_force_never_deletes_what_a_user_put_into_a_pruned_folder(pruned, capsys, name):
    (pruned / name).parent.mkdir(exist_ok=True)
    (pruned / name).write_text("mine")
    before = state(pruned)
    assert prune(pruned.parent / "m", pruned, "--force") == 2
    assert f"holds {name}, which `avss prune` did not write or which was changed" in capsys.readouterr().err
    assert state(pruned) == before


def test_force_never_replaces_the_unpruned_weights(world, capsys):
    for name in ("m", "only"):
        save(tiny("llama"), world / name)
    (world / "link").symlink_to(world / "m")
    (world / "m/s.csv").write_text((world / "s.csv").read_text())
    before = state(world)
    for out, message in (
        ("m", "which is read"),
        ("link", "which is read"),
        ("m/p", "which is read"),
        ("../" + world.name, "which is read"),
        ("only", "was not written by `avss prune`"),
        ("s.csv", "which is read"),
    ):
        assert prune(world / "m", world / out, "--force") == 2
        assert message in capsys.readouterr().err
    assert prune(world / "only", world / "m", "--force", scores=world / "m/s.csv") == 2
    assert state(world) == before


def test_a_link_to_a_pruned_folder_is_not_replaced(pruned, capsys):
    (pruned.parent / "link").symlink_to(pruned)
    assert prune(pruned.parent / "m", pruned.parent / "link", "--force") == 2
    assert "is a link, which is not replaced" in capsys.readouterr().err
    assert (pruned.parent / "link").is_symlink()


def test_a_disk_that_fills_up_leaves_the_old_folder_and_one_line(pruned, capfd):
    before = state(pruned)
    with disk_of(5000):
        assert prune(pruned.parent / "m", pruned, "--force") == 2
    err = capfd.readouterr().err
    assert len([line for line in err.splitlines() if line.startswith("avss: error: ")]) == 1
    assert "Traceback" not in err
    assert state(pruned) == before
    assert hidden(pruned.parent) == []


def test_a_pruned_folder_is_old_or_new_whenever_prune_is_killed(tmp_path):
    """In steps, with the loading left out: what `prune` has to write is the same."""
    model, folder, seen = tiny("llama"), tmp_path / "p", set()

    def write(name):
        save_pruned(model, word_tokenizer(), folder, {"name": name}, force=True)

    def prepare():
        for path in tmp_path.iterdir():
            shutil.rmtree(path)
        write("old")

    for _ in every_kill(prepare, lambda: write("new"), ("replace", "rename", "rmdir")):
        found, _ = avss.load_model(str(folder))
        assert len(blocks_of(found)) == 4
        seen.add(json.loads((folder / "pruning.json").read_text())["name"])
        write("next")
        assert os.listdir(tmp_path) == ["p"]
    assert seen == {"old", "new"}


def test_prune_that_is_killed_at_any_time_runs_again(pruned):
    world = pruned.parent
    generator = random.Random(0)
    whole = state(pruned)
    for _ in range(5):
        killed_after(generator.uniform(0, 0.4), lambda: prune(world / "m", pruned, "--force"))
        avss.load_model(str(pruned))
        assert state(pruned) == whole
    assert prune(world / "m", pruned, "--force") == 0
    assert state(pruned) == whole
    assert sorted(os.listdir(world)) == ["m", "p", "s.csv"]


def test_folders_whose_names_are_not_utf8_are_read_and_written(tmp_path):
    """Such names are bytes to Linux, and no text to the libraries that read weights and tokenizers."""
    whole, smaller = (tmp_path / os.fsdecode(name) for name in (b"whole \xff", b"smaller \xff"))
    tiny("llama").save_pretrained(tmp_path / "made")
    word_tokenizer().save_pretrained(tmp_path / "made")
    (tmp_path / "made").rename(whole)
    model, tokenizer = avss.load_model(str(whole))
    save_pruned(avss.prune(model, [0]), tokenizer, smaller, {})
    again, _ = avss.load_model(str(smaller))
    assert len(blocks_of(again)) == len(blocks_of(model))
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert {path.name for path in tmp_path.iterdir()} == {whole.name, smaller.name}
