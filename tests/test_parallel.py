"""Scoring by several processes, and of models that are split over devices: the same scores as by one, or one error.

The module is also what the processes run: `torchrun --nproc-per-node 2 -m tests.test_parallel FOLDER`.
"""

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import avss
from avss import cli
from avss.engine.observe import observe
from avss.engine.parallel import joined, own_device
from avss.engine.streams import LayerStream, close_batch
from avss.errors import InputError
from avss.reading import Reading
from tests.conftest import SENTENCES, ragged, tiny, word_tokenizer

ROOT = Path(__file__).parent.parent
BATCHES = [ragged((9, 5, 7), seed=1), ragged((4, 8), seed=2), ragged((6,), seed=3), ragged((3, 9), seed=4)]
BATCHES.append(ragged((2, 7, 8, 5), seed=5))
READINGS = {
    "elements": "paper,epsilon=0.05",
    "features": "paper,population=features",
    "pooled": "paper,population=pooled_tokens,ddof=1,padding=included",
    "quantile": "paper,epsilon=quantile:0.2",
}
OWN = "cpu:gloo,cuda:gloo"
PADDING_ONLY = {"input_ids": torch.ones(1, 2).long(), "attention_mask": torch.zeros(1, 2)}
OUTSIDE = {"input_ids": torch.full((1, 2), 10_000)}


def told(batches, method="avss", **options) -> dict:
    """Scores and all that they rest on, or the error, as JSON can hold them.

    In float64, because the products of float32 round otherwise with another number of threads, which the ranks have.
    """
    try:
        scores = avss.score(tiny("llama").double(), batches, method, **options)
    except (InputError, RuntimeError, IndexError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    moments = [dataclasses.asdict(layer) for layer in scores.moments or ()]
    facts = {"values": scores.values, "documents": scores.documents, "tokens": scores.tokens, "moments": moments}
    return json.loads(json.dumps(facts, default=np.ndarray.tolist))


def cases() -> dict[str, dict]:
    rank, _ = joined()
    backend = torch.distributed.get_backend() if torch.distributed.is_initialized() else None
    found = {"backend": backend}
    found |= {name: told(BATCHES, reading=reading, epsilons=[0.3]) for name, reading in READINGS.items()}
    found["generator"] = told(batch for batch in BATCHES)
    found["one batch"] = told(BATCHES[:1])
    found["no batch"] = told([])
    found["other method"] = told(BATCHES, "block_influence")
    found["padding only"] = told([BATCHES[0], PADDING_ONLY, BATCHES[1]])
    found["unmendable"] = told([BATCHES[0], OUTSIDE])
    found["own batches"] = told(BATCHES[rank::2])
    return found


def command(folder: Path, name: str) -> int:
    """`avss score` of what `ranks` put into the folder."""
    inputs = ["score", str(folder / "model"), "--data", str(folder / "texts.csv"), "--batch-size", "2"]
    return cli.main([*inputs, "--context", "8", "--out", str(folder / f"{name}.csv")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two processes have left what they found, and a tiny model and text for the command."""
    made = tmp_path_factory.mktemp("ranks")
    tiny("llama").save_pretrained(made / "model")
    word_tokenizer().save_pretrained(made / "model")
    (made / "texts.csv").write_text("text\n" + "\n".join(SENTENCES * 3))
    # A port of its own, so that several such tests may run at a time.
    arguments = ["--standalone", "--nproc-per-node", "2", "-m", "tests.test_parallel", str(made)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def ranks(folder) -> list[dict]:
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict[str, dict]:
    return cases()


def assert_same(found, expected) -> None:
    """Counts and names are equal, other numbers up to the rounding of another order of sums."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list) and expected and isinstance(expected[0], float):
        assert found == pytest.approx(expected, rel=1e-12)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


@pytest.mark.long
@pytest.mark.parametrize("case", [*READINGS, "generator", "one batch", "other method"])
def test_two_processes_score_as_one_with_the_documents_in_their_order(ranks, alone, case):
    assert ranks[0][case] == ranks[1][case]
    assert_same(ranks[0][case], alone[case])


@pytest.mark.parametrize("case", ["no batch", "padding only"])
def test_what_the_user_can_mend_is_told_by_every_process_as_by_one(ranks, alone, case):
    assert ranks[0][case] == ranks[1][case] == alone[case]
    assert alone[case]["error"] == "InputError"


def test_another_error_ends_the_other_processes_too_and_names_the_rank(ranks):
    assert ranks[1]["unmendable"]["error"] == "IndexError"
    assert ranks[0]["unmendable"]["error"] == "RuntimeError"
    assert ranks[0]["unmendable"]["message"].startswith("rank 1: IndexError: ")


def test_batches_that_were_split_already_are_refused(ranks):
    for rank in ranks:
        assert rank["own batches"]["error"] == "InputError"
        assert "ranks 0 and 1 were given different batches" in rank["own batches"]["message"]


def test_the_command_scores_the_same_with_two_processes(folder):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the ranks have: float32 rounds otherwise with more
    try:
        assert command(folder, "one") == 0
    finally:
        torch.set_num_threads(threads)
    one, two = (np.genfromtxt(folder / f"{name}.csv", delimiter=",", skip_header=1) for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-12)


def test_objects_do_not_travel_through_accelerators(ranks):
    """With the default backend NCCL would, and all processes through the same one."""
    assert [found["backend"] for found in ranks] == ["gloo", "gloo"]


def test_a_group_of_the_callers_own_need_not_be_of_gloo_alone(ranks):
    for rank in ranks:
        assert rank["of the caller"] == {"backend": OWN, "scores": ranks[0]["elements"]}


@pytest.mark.parametrize(("rank", "shown", "device"), [("1", 2, "cuda:1"), ("1", 1, "cuda:0"), (None, 4, "cuda:0")])
def test_every_process_has_an_accelerator_of_its_own_among_those_that_it_is_shown(monkeypatch, rank, shown, device):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: shown)
    assert own_device() == device


def test_more_processes_than_accelerators_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="process 2 has no accelerator of its own, as there are 2; start at most 2"):
        own_device()


def test_what_is_kept_of_a_block_stays_on_its_device_until_the_end():
    """The meta device stands for a second one: it takes part in everything and holds no values."""
    mask = ragged()["attention_mask"].bool()
    entering, leaving = (torch.randn(*mask.shape, 16) for _ in range(2))
    here, there = (LayerStream(Reading.parse("paper"), (0.01,), False) for _ in range(2))
    here.add(leaving, entering, mask)
    there.add(leaving.to("meta"), entering, mask)
    close_batch([here, there], mask)
    assert {part.device.type for part in there.documents[0]} == {"meta"}
    assert {part.device.type for part in here.documents[0]} == {"cpu"}
    values = (leaving.double() - entering.double())[mask]
    assert here.finish().variance() == pytest.approx(float(values.var(correction=0)), rel=1e-9)


@pytest.mark.parametrize("site", ["block_output", "block_update", "mlp_hidden"])
def test_a_model_whose_weights_are_offloaded_scores_as_a_whole_one(site):
    accelerate = pytest.importorskip("accelerate")
    reading = f"paper,site={site}"
    whole = observe(tiny("llama"), BATCHES, reading)
    offloaded = accelerate.cpu_offload(tiny("llama"), execution_device="cpu")
    assert offloaded.device.type == "meta"
    for one, other in zip(observe(offloaded, BATCHES, reading), whole, strict=True):
        assert one.mean.tolist() == other.mean.tolist()
        assert one.m2.tolist() == other.m2.tolist()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator on this machine")
@pytest.mark.parametrize("site", ["block_output", "block_update", "mlp_hidden"])
def test_a_model_split_over_an_accelerator_and_the_processor_scores_as_a_whole_one(site):
    accelerate = pytest.importorskip("accelerate")
    reading = f"paper,site={site}"
    whole = observe(tiny("llama"), BATCHES, reading)
    places = {f"model.layers.{layer}": 0 if layer < 2 else "cpu" for layer in range(4)}
    places |= {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.norm": "cpu", "lm_head": "cpu"}
    split = accelerate.dispatch_model(tiny("llama"), places, main_device=0)
    for one, other in zip(observe(split, BATCHES, reading), whole, strict=True):
        assert one.variance() == pytest.approx(other.variance(), rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator on this machine")
def test_nothing_waits_for_the_accelerator_before_the_end():
    """The model itself looks at the mask; scoring does not look once more, whatever the reading."""
    model, sent = tiny("llama").to("cuda"), [{key: part.to("cuda") for key, part in b.items()} for b in BATCHES]

    def watched():
        # From the second batch on: the first sets up libraries, which may wait.
        for number, batch in enumerate(sent):
            torch.cuda.set_sync_debug_mode("warn" if number else "default")
            yield batch
        torch.cuda.set_sync_debug_mode("default")

    def waits(run) -> int:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                run(watched())
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(warning.message) for warning in said)

    def bare(batches) -> None:
        with torch.inference_mode():
            for batch in batches:
                model.base_model(**batch, use_cache=False)

    expected = waits(bare)
    for reading in READINGS.values():
        assert waits(lambda batches, reading=reading: observe(model, batches, reading, epsilons=[0.3])) == expected


def in_a_group_of_the_caller(out: Path) -> dict:
    """Scores in a group that the package did not form, and what the group says of itself."""
    rank = int(os.environ["RANK"])
    torch.distributed.init_process_group(OWN, init_method=f"file://{out}/own", rank=rank, world_size=2)
    try:
        scores = told(BATCHES, reading=READINGS["elements"], epsilons=[0.3])
        return {"backend": torch.distributed.get_backend_config(), "scores": scores}
    finally:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    out = Path(sys.argv[1])
    own = in_a_group_of_the_caller(out)
    rank, _ = joined()
    (out / f"{rank}.json").write_text(json.dumps(cases() | {"of the caller": own}))
    sys.exit(command(out, "two"))
