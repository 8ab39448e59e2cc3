"""Plans against counts of what really runs and against arithmetic by hand; and a line for whatever is not at hand."""

import http.server
import json
import math
import re
import threading
from dataclasses import replace
from pathlib import Path

import datasets.config
import pytest
from huggingface_hub import constants
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from avss.architectures import blocks_of
from avss.cli import main
from avss.errors import InputError
from avss.methods import METHODS, score
from avss.runs import plan, preflight
from avss.runs.experiment import run_row
from avss.runs.plan import Rate, Size, Text
from avss.runs.profile import Row, load_profile
from avss.store import Store
from tests.conftest import SENTENCES, ragged, tiny

PAPER = Path(__file__).parent.parent / "profiles" / "paper.yaml"
# A model of 4 blocks, of which one goes, on 10 documents of 8 tokens, 4 at a time.
ROW = Row("r", "language_modeling", "owner/model", "owner/data", remove=1, seeds=2, samples=10)
ROW = replace(ROW, documents=10, context=8, batch_size=4, methods=("avss", "leave_one_out", "last"))
SIZE = Size(
    4, width=16, inner=32, heads=4, attended=16, vocabulary=64, block=2000, head=1024, parameters=10000, stored=0
)
HUB = load_profile(PAPER)
# Rows that take months at the rate of a slow processor.
SOME = ("hackernews-llama-8b", "squad-llama-7b")


class Operations(TorchDispatchMode):
    """Counts the operations of matrix products; `FlopCounterMode` itself does not go with `autograd.grad`."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        count = flop_registry.get(func._overloadpacket)
        if count is None:
            # Under inference_mode a linear layer arrives whole.
            with self:
                result = func.decompose(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {})) if result is NotImplemented else result
        result = func(*args, **(kwargs or {}))
        self.total += count(*args, out_val=result, **(kwargs or {}))
        return result


@pytest.mark.parametrize("method", sorted(METHODS))
def test_blocks_and_operations_are_those_of_the_method(method):
    model = tiny("llama")
    # The fused attention of a CPU is not counted.
    model.set_attn_implementation("eager")
    batch = ragged((16, 16, 16))
    called = []
    for block in blocks_of(model):
        block.register_forward_hook(lambda *_: called.append(1))
    options = {"remove": 2} if method == "greedy" else {}
    with Operations() as counted:
        score(model, [batch], method, **options)
    forwards, backwards, heads, heads_back = plan.work(method, 4, 2)
    assert len(called) == forwards
    size = plan.size_of(model)
    row = replace(ROW, dtype="float32")
    operations = plan.seconds(
        row, size, Text(3, 16, 3), (forwards, backwards, heads, heads_back), Rate(1 / plan.UTILISATION, math.inf)
    )
    # The angles of rotary embeddings, and sums of ours by products with ones, are the rest.
    assert counted.total == pytest.approx(operations, rel=0.03)


def by_hand(runs, documents, tokens, batches, rate: Rate) -> float:
    """Seconds of so many blocks and heads forwards, in float32, over ROW's model."""
    blocks, heads = runs
    products = documents * tokens * (blocks * (2 * 2000 + 4 * tokens * 16) + heads * 2 * 1024)
    read = batches * (blocks * 2000 + heads * 1024) * 4
    return max(2 * products / rate.operations, read / rate.bytes)


@pytest.mark.parametrize("rate", [Rate(1e9, 1e12), Rate(1e12, 1e9)])
def test_the_time_of_a_row_is_that_of_its_passes(rate):
    once = by_hand((4, 0), 10, 8, 3, rate) + by_hand((10, 5), 10, 8, 3, rate)
    assert plan.scoring_seconds(ROW, SIZE, rate) == pytest.approx(2 * once)
    # The whole model, two choices each of avss and leave_one_out, one of last.
    evaluated = by_hand((4, 1), 10, 8, 3, rate) + 5 * by_hand((3, 1), 10, 8, 3, rate)
    assert plan.evaluation_seconds(ROW, SIZE, rate) == pytest.approx(evaluated)
    longer = replace(ROW, tokens=20)
    assert plan.scoring_seconds(longer, SIZE, rate) == plan.scoring_seconds(ROW, SIZE, rate)
    # Documents are joined: 200 tokens are 25 windows of 8, in 7 batches.
    evaluated = by_hand((4, 1), 25, 8, 7, rate) + 5 * by_hand((3, 1), 25, 8, 7, rate)
    assert plan.evaluation_seconds(longer, SIZE, rate) == pytest.approx(evaluated)


def test_shared_coalitions_padded_readings_and_turns_are_counted():
    rate = Rate(1e9, math.inf)
    both, cim = replace(ROW, methods=("cim", "leave_one_out")), replace(ROW, methods=("cim",))
    assert plan.scoring_seconds(both, SIZE, rate) == plan.scoring_seconds(cim, SIZE, rate)
    short = replace(ROW, methods=("avss",), tokens=2, readings=("paper", "released-code"))
    expected = 2 * (by_hand((4, 0), 10, 2, 3, rate) + by_hand((4, 0), 10, 8, 3, rate))
    assert plan.scoring_seconds(short, SIZE, rate) == pytest.approx(expected)
    turns = replace(ROW, methods=("avss",), remove=2, selections={"avss": ("iterative",)}, seeds=1)
    expected = 2 * by_hand((4, 0), 10, 8, 3, rate) + by_hand((3, 0), 10, 8, 3, rate)
    assert plan.scoring_seconds(turns, SIZE, rate) == pytest.approx(expected)


def test_answers_are_bound_by_reading_the_weights_once_a_token():
    rate = Rate(math.inf, 1e9)
    row = replace(ROW, task="question_answering", methods=("last",))
    prompts, step = 3 * 4 * 2000 * 4, 3 * (4 * 2000 + 1024) * 4
    fewer = 3 * 3 * 2000 * 4 + 32 * 3 * (3 * 2000 + 1024) * 4
    assert plan.evaluation_seconds(row, SIZE, rate) == pytest.approx((prompts + 32 * step + fewer) / 1e9)


def test_memory_is_the_weights_and_the_hungriest_batch():
    weights, tokens = 10000 * 4, 4 * 8
    running, logits = tokens * (6 * 16 + 3 * 32) * 4, tokens * 64 * (4 + 8)
    kept = tokens * (8 * 16 + (16 + 4 * 16 + 3 * 32) * 4)
    assert plan.memory(ROW, SIZE, 4, ROW.methods) == weights + running + logits
    # A gradient holds logits twice more, in float32.
    held = tokens * 64 * (4 + 16)
    assert plan.memory(ROW, SIZE, 4, ("taylor",)) == weights + running + held + 4 * kept
    lrp = 4 * (kept + tokens * 8 * 4 * (4 + 4))
    assert plan.memory(ROW, SIZE, 4, ("lrp", "avss")) == weights + running + held + lrp
    found = plan.estimate(ROW, SIZE, Rate(1e12, 1e12))
    assert plan.too_large([found], 10**6) == []
    assert plan.too_large([found], 40000)[0].startswith("model owner/model needs 52.3 kB of memory for")


def test_models_of_the_paper_have_the_parameters_that_are_published():
    # From their model cards, or counted in their checkpoints.
    published = {
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english": 66955010,
        "meta-llama/Llama-3.2-1B": 1235814400,
        "stabilityai/stablelm-3b-4e1t": 2795443200,
        "meta-llama/Llama-2-7b-hf": 6738415616,
        "meta-llama/Llama-3.1-8B": 8030261248,
    }
    found = plan.sizes(HUB.rows)
    assert {name: size.parameters for name, size in found.items()} == published
    # DistilBERT's are stored as float32, the others with two bytes each.
    assert [size.stored // size.parameters for size in found.values()] == [4, 2, 2, 2, 2]
    # Four projections and two layers of the feed-forward branch; three with a gate.
    assert found["distilbert/distilbert-base-uncased-finetuned-sst-2-english"].block == 4 * 768**2 + 2 * 768 * 3072
    assert found["meta-llama/Llama-3.1-8B"].block == 2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336


@pytest.mark.parametrize(
    ("number", "text"), [(8.03e9, "8.03 GB"), (999, "999 B"), (1.5e15, "1.5 PB"), (2.7e5, "270 kB")]
)
def test_bytes_are_readable(number, text):
    assert plan.human(number, "B") == text


@pytest.mark.parametrize(
    ("time", "text"),
    [(0.2, "1 s"), (119, "119 s"), (121, "2.0 min"), (1e4, "2.8 h"), (1e6, "11.6 days"), (1e10, "over a month")],
)
def test_times_are_readable(time, text):
    assert plan.duration(time) == text


def test_columns_stay_apart_and_a_cpu_that_cannot_is_said_to():
    rate = Rate(1e9, 1e10)
    found = [plan.estimate(HUB.row(name), plan.sizes(HUB.rows)[HUB.row(name).checkpoint], rate) for name in SOME]
    head, *lines = list(plan.report("paper", found, "cpu"))[: 1 + len(SOME)]
    assert len({len(line) for line in (head, *lines)}) == 1, "the last column ends at one place"
    for line in (head, *lines):
        assert len(re.split(r" {2,}", line.strip())) == 8
    told = [line for line in plan.report("paper", found, "cpu") if line.startswith("a CPU cannot run")]
    assert told == [
        f"a CPU cannot run {', '.join(SOME)} in a month; run the plan on the machine with the GPU, or describe that "
        "GPU with --flops and --bandwidth"
    ]
    assert not any("cannot run" in line for line in plan.report("paper", found, "cuda"))


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Empty caches of hub and data sets, no token, and a hub that nobody serves."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    return monkeypatch


def test_a_hub_that_cannot_be_reached_is_said_once_with_what_is_wanted_of_it(bare):
    row = HUB.row("sst2-distilbert")
    (line,) = preflight.problems([row, replace(row, seeds=1)])
    assert line.startswith("the hub http://127.0.0.1:9 cannot be reached (")
    assert f"needed for {row.checkpoint}, stanfordnlp/sst2; connect to it" in line
    bare.setattr(constants, "HF_HUB_OFFLINE", True)
    (line,) = preflight.problems([row])
    assert "(HF_HUB_OFFLINE is set)" in line


def test_a_gated_model_without_a_token_names_its_licence_and_an_open_one(bare):
    row = HUB.row("sst2-llama-1b")
    lines = preflight.problems([row, HUB.row("squad-llama-8b"), HUB.row("pile-llama-8b")])
    gated = [line for line in lines if "is gated" in line]
    assert [line.split()[1] for line in gated] == ["meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.1-8B"]
    assert "licence at http://127.0.0.1:9/meta-llama/Llama-3.2-1B and set HF_TOKEN" in gated[0]
    assert gated[0].endswith("or take the open EleutherAI/pythia-1b as the checkpoint")
    bare.setenv("HF_TOKEN", "hf_x")
    assert not [line for line in preflight.problems([row]) if "is gated" in line]


def test_a_token_without_access_is_found_out_before_any_download(bare):
    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bare.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        bare.setenv("HF_TOKEN", "hf_x")
        (line,) = preflight.problems([HUB.row("sst2-llama-1b")])
        server.shutdown()
    assert line.startswith("model meta-llama/Llama-3.2-1B is gated and the token has no access; accept its licence at")


def test_too_little_disk_and_a_missing_package_are_named(bare):
    row = replace(HUB.row("sst2-distilbert"), data_bytes=10**18)
    line = preflight.problems([row])[-1]
    assert "GB left, and 2000000000.3 GB are to be downloaded; free some, or set HF_HOME" in line
    (line,) = preflight.problems([replace(row, attn_implementation="flash_attention_2")])
    assert line == "package flash-attn is not installed; install it with `pip install flash-attn`"


def test_what_is_in_the_cache_needs_neither_network_nor_token_nor_disk(bare, tmp_path):
    bare.setattr(preflight, "get_session", lambda: pytest.fail("the network was asked"))
    row = HUB.row("squad-llama-8b")
    folder = tmp_path / "hub" / "models--meta-llama--Llama-3.1-8B" / "snapshots" / row.revision
    folder.mkdir(parents=True)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    for file in ("config.json", "model-1.safetensors", "tokenizer.json"):
        (folder / file).write_text("")
    kept = tmp_path / "datasets" / "avss" / "rajpurkar%2Fsquad" / "default" / row.data_revision
    for split in (row.calibration, row.evaluation):
        (kept / split).mkdir(parents=True)
        (kept / split / "dataset_info.json").write_text("{}")
    (kept / "splits.json").write_text("[]")
    assert preflight.problems([replace(row, data_bytes=10**18)]) == []


def test_a_row_refuses_before_any_work(bare, tmp_path):
    with pytest.raises(InputError, match=r"the hub http://127\.0\.0\.1:9 cannot be reached"):
        run_row(HUB.row("hackernews-llama-8b"), "paper", Store(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_the_command_prints_the_plan_and_every_problem(bare, capsys):
    assert main(["plan", "--profile", str(PAPER), "--flops", "1e15", "--bandwidth", "3e12"]) == 2
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines[1:13]] == [row.id for row in HUB.rows]
    assert lines[13].startswith("profile paper: 12 rows, ")
    assert lines[-1] == "rate: 1 PFLOP/s and 3 TB/s, as given"
    problems = printed.err.splitlines()
    assert len(problems) >= 4
    assert all(line.startswith("avss: error: ") for line in problems)


def test_the_command_plans_models_that_are_here_by_the_device_that_is_here(saved, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("\n".join(SENTENCES) + "\n")
    row = {"id": "r", "task": "language_modeling", "dataset": "D", "model": "M", "remove": 1, "context": 8}
    row |= {"checkpoint": str(saved("llama")), "data": str(tmp_path / "text.txt")}
    (tmp_path / "own.yaml").write_text(json.dumps({"rows": [row]}))
    capsys.readouterr()
    assert main(["plan", "--profile", str(tmp_path / "own.yaml"), "--row", "r", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[1].split()[:4] == ["r", "4", "11.4", "k"]
    assert "measured on cpu where not given" in printed.out
    assert main(["plan", "--profile", str(tmp_path / "own.yaml"), "--row", "x"]) == 2
    assert "profile own has no row 'x'; it has r" in capsys.readouterr().err
    assert main(["plan", "--profile", "nothing"]) == 2
    assert "profile profiles/nothing.yaml does not exist" in capsys.readouterr().err


def test_the_revision_of_a_plan_is_that_of_one_model(bare, saved, tmp_path, capsys, monkeypatch):
    asked = []
    real = plan.sizes
    monkeypatch.setattr(plan, "sizes", lambda rows: asked.extend(row.revision for row in rows) or real(rows))
    given = ["plan", "--profile", str(PAPER), "--flops", "1e15", "--bandwidth", "3e12"]
    assert main([*given, "--row", "hackernews-llama-8b", "--revision", "v2"]) == 2
    assert asked == ["v2"]
    capsys.readouterr()
    assert main([*given, "--revision", "v2"]) == 2
    assert "--revision v2 is given without --row; name the row" in capsys.readouterr().err
    assert main([*given, "--row", "hackernews-llama-8b", "--revision", "no good"]) == 2
    assert "revision is 'no good'; give a commit" in capsys.readouterr().err
    row = {"id": "r", "task": "language_modeling", "dataset": "D", "model": "M", "remove": 1, "context": 8}
    row |= {"checkpoint": str(saved("llama")), "data": "microworld/posts"}
    (tmp_path / "own.yaml").write_text(json.dumps({"rows": [row]}))
    capsys.readouterr()
    assert main(["plan", "--profile", str(tmp_path / "own.yaml"), "--row", "r", "--revision", "v2", *given[3:]]) == 2
    assert "revision v2 is given with a folder" in capsys.readouterr().err


def test_a_row_without_a_number_of_documents_on_the_hub_is_named():
    with pytest.raises(InputError, match="row r is evaluated on all of owner/data; a plan needs their number"):
        plan.evaluation_seconds(replace(ROW, documents=None), SIZE, Rate(1e12, 1e12))
