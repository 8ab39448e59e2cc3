"""Models of any family: where their blocks and branches are, what surgery changes, and what is refused in one line."""

import copy
import csv
import os
from pathlib import Path

import pytest
import torch
import transformers as hf

import avss
from avss.architectures import blocks_of
from avss.engine.branches import Branches, branches_of
from avss.errors import InputError
from avss.report.snapshot import Results
from avss.report.tables import families as tables
from avss.store import Store
from bench.measuring import families
from tests.conftest import COMMON, ragged, tiny

TABLE = Path(__file__).parent.parent / "bench" / "results" / "families.csv"
# One of each kind: plain, parallel, norms last, norms after branches, experts, local windows, state space, hybrids.
SAMPLE = ("bart", "bloom", "falcon", "gemma2", "gpt_neo", "granitemoehybrid", "jamba", "mamba", "mixtral", "phi")
ENCODERS = {
    "modernbert": lambda: hf.ModernBertForSequenceClassification(
        hf.ModernBertConfig(**COMMON, local_attention=4, cls_token_id=1, sep_token_id=2)
    ),
    "roberta": lambda: hf.RobertaForSequenceClassification(hf.RobertaConfig(**COMMON)),
    "electra": lambda: hf.ElectraForSequenceClassification(hf.ElectraConfig(**COMMON, embedding_size=16)),
    "deberta-v2": lambda: hf.DebertaV2ForSequenceClassification(
        hf.DebertaV2Config(**COMMON, relative_attention=True, pos_att_type=["p2c", "c2p"])
    ),
    "xlm-roberta": lambda: hf.XLMRobertaForSequenceClassification(hf.XLMRobertaConfig(**COMMON)),
}
KNOWN = {
    "bert": Branches("attention.output.dense", "output.dense", norm_first=False),
    "distilbert": Branches("attention.out_lin", "ffn.lin2", norm_first=False),
    "gpt2": Branches("attn.c_proj", "mlp.c_proj", norm_first=True),
    "gpt_neox": Branches("attention.dense", "mlp.dense_4h_to_h", norm_first=True),
    "llama": Branches("self_attn.o_proj", "mlp.down_proj", norm_first=True),
    "opt": Branches("self_attn.out_proj", "fc2", norm_first=True),
}


def rows() -> dict[str, dict]:
    with TABLE.open(encoding="utf-8") as file:
        return {row["family"]: row for row in csv.DictReader(file)}


def as_written(row: dict) -> dict:
    return {column: str(value) for column, value in row.items()}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_family_does_what_the_table_says(name):
    assert as_written(families.survey(name)) == rows()[name]


@pytest.mark.long
@pytest.mark.skipif("AVSS_ALL_FAMILIES" not in os.environ, reason="AVSS_ALL_FAMILIES is not set; it takes minutes")
@pytest.mark.parametrize("name", sorted(families.FAMILIES))
def test_every_family_does_what_the_table_says(name):
    assert as_written(families.survey(name)) == rows()[name]


def test_nine_of_ten_families_that_run_are_scored_pruned_reloaded_and_generate():
    table = rows()
    assert set(table) == set(families.FAMILIES)
    runs = [row for row in table.values() if row["runs"] == "yes"]
    passes = [row for row in runs if row["passes"] == "yes"]
    assert len(runs) >= 160
    assert len(passes) >= 0.9 * len(runs)
    assert all(row["reason"] for row in table.values() if row["passes"] != "yes")
    readme = " ".join((TABLE.parents[2] / "README.md").read_text(encoding="utf-8").split())
    assert f"of {len(runs)} causal families that run as a tiny model, {len(passes)} are scored" in readme


def test_the_book_shows_each_family_once(tmp_path):
    folder = tmp_path / "bench" / "results"
    nothing = Results(Store(tmp_path / "results"))
    assert tables.families_count(nothing) == "Not measured.\n"
    folder.mkdir(parents=True)
    (folder / TABLE.name).write_text(TABLE.read_text(encoding="utf-8"), encoding="utf-8")
    shown = [line.split("|")[1].strip(" `") for name in ("table", "left_out") for line in lines_of(nothing, name)]
    assert sorted(shown) == sorted(families.FAMILIES)


def lines_of(results: Results, name: str) -> list[str]:
    return [line for line in tables.TABLES[f"families_{name}"](results).splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("name", KNOWN)
def test_branches_are_found_without_weights_and_with_weights_of_zero(name):
    with torch.device("meta"):
        assert set(branches_of(tiny(name))) == {KNOWN[name]}
    model = tiny(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert set(branches_of(model)) == {KNOWN[name]}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_scored_pruned_and_reloaded(name, tmp_path):
    torch.manual_seed(0)
    model, batch = ENCODERS[name]().eval(), ragged()
    batch |= {"labels": torch.tensor([0, 1, 0])}
    for method in ("avss", "block_influence", "leave_one_out", "taylor"):
        assert len(avss.score(model, [batch], method).values) == 4
    avss.prune(model, [1]).save_pretrained(tmp_path)
    again, info = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, again.eval()(**batch).logits)


def test_weights_that_all_layers_share_are_refused():
    model = hf.AlbertForSequenceClassification(hf.AlbertConfig(**COMMON, embedding_size=16))
    for action in (lambda: avss.prune(model, [1]), lambda: avss.score(model, [ragged()])):
        with pytest.raises(InputError, match=r"'albert' has no blocks .*: all layers share the weights of one block"):
            action()


def test_a_site_that_a_family_cannot_have_names_those_that_work():
    for name in ("mixtral", "gemma2", "mamba"):
        with pytest.raises(InputError, match=r"no attention and feed-forward branch .*block_output and block_update"):
            avss.score(families.tiny(name), [families.batch()], reading="paper,site=mlp_output")
        with pytest.raises(InputError, match="no gates a branch"):
            avss.ablate(families.tiny(name), [families.batch()], [[[1, 0.5]] * 4])


def test_a_period_in_the_config_is_kept_or_the_removal_refused():
    model = families.tiny("jamba")
    before = copy.deepcopy(model.config.to_dict())
    with pytest.raises(InputError, match=r"'jamba' cannot lose these blocks.*remove other blocks"):
        avss.prune(model, [1])
    assert model.config.to_dict() == before
    assert len(blocks_of(model)) == 4
    avss.prune(model, [0, 1])
    assert [type(block).__name__ for block in blocks_of(model)] == [
        "JambaMambaDecoderLayer",
        "JambaAttentionDecoderLayer",
    ]


def test_lists_and_indices_of_the_config_follow_the_blocks():
    model = families.tiny("gpt_neo")
    avss.prune(model, [0])
    assert model.config.attention_layers == ["local", "global", "local"]
    assert model.config.attention_types == [[["local", "global", "local"], 1]]
    model = hf.Qwen2MoeForCausalLM(
        hf.Qwen2MoeConfig(
            **COMMON,
            num_key_value_heads=2,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
            num_experts=2,
            num_experts_per_tok=1,
            mlp_only_layers=[0, 2],
        )
    )
    avss.prune(model, [1])
    assert model.config.mlp_only_layers == [0, 1]


def test_fields_that_differ_from_block_to_block_follow_the_blocks():
    config = hf.Gemma4TextConfig(
        **COMMON | {"hidden_size_per_layer_input": 0, "head_dim": 8, "num_key_value_heads": 2, "sliding_window": 4}
    )
    model = hf.Gemma4ForCausalLM(config)
    before = model.config.to_dict()
    with avss.skipping(model, [1]):
        assert model.config.to_dict()["per_layer_config"] == {"2": before["per_layer_config"]["3"]}
    assert model.config.to_dict() == before


def test_skipping_restores_all_that_it_changed_in_any_family():
    for name in ("gpt_neo", "bart", "granitemoehybrid"):
        model = families.tiny(name)
        before, logits = copy.deepcopy(model.config.to_dict()), families.logits(model)
        with avss.skipping(model, [2]):
            assert len(blocks_of(model)) == 3
        assert model.config.to_dict() == before
        assert torch.equal(families.logits(model), logits)


def test_blocks_that_do_not_run_on_text_get_no_score():
    with pytest.raises(InputError, match="block 3 of model family 'mllama_text_model' does not run on text alone"):
        avss.score(families.tiny("mllama"), [families.batch()])


def test_states_that_are_not_one_a_token_get_no_score():
    with pytest.raises(InputError, match="block 0 of model family 'cpmant' hands on a state of shape"):
        avss.score(families.tiny("cpmant"), [families.batch()])
