"""Configs of a few blocks and a few thousand weights for any family of transformers, all sizes made small."""

import re
from inspect import Parameter, signature

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

BLOCKS = 4
_HEAD_WIDTH = (
    "head_dim|global_head_dim|swa_head_dim|attention_head_dim|v_head_dim|kv_channels|d_head|dim_head|qk_nope_head_dim|"
    "qk_rope_head_dim|qk_head_dim|index_head_dim|linear_(key_|value_)?head_dim|attention_head_size|mamba_d_head|"
    "mamba_head_?dim|rotary_dim|d_kv"
)
_WIDTH = (
    "hidden_size|d_model|n_embd|emb_dim|embedding_size|dim|embedding_dim|(in|out)put_embedding_size|"
    "word_embed_proj_dim|lru_width|attention_hidden_size|router_hidden_size|conv_dim|conv_dim_out"
)
# A field whose whole name fits a pattern gets the size; the first that fits counts. No size becomes larger.
SIZES = (
    ("(.*_)?vocab_size(_per_layer_input)?", 64),
    ("num_hidden_layers|n_layers?|num_layers|num_blocks|depth|(num_)?(en|de)coder_layers|num_layers_per_stack", BLOCKS),
    ("(linear_num_(key|value)|index_n)_heads|num_key_value_heads|num_kv_heads|swa_num_key_value_heads", 2),
    ("num_query_groups", 2),
    (".*num_heads|n_heads?|.*attention_heads|mamba_n_heads", 4),
    (_HEAD_WIDTH, 8),
    (_WIDTH, 32),
    (".*(ffn_dim|intermediate_size|intermediate_size_mlp|ffn_hidden_size|dff|dim_ff|d_inner|feed_forward_size)", 48),
    (".*_rank|hidden_size_per_layer_input|hc_lowrank|d_rel", 8),
    ("num_experts|num_local_experts|n_routed_experts|moe_num_experts", 4),
    ("num_experts_per_tok(en)?|moe_k|moe_topk|top_k_experts|index_topk", 2),
    ("n_groups?|topk_group|num_expert_group|mamba_n_?groups|num_mem_blocks", 1),
    ("max_position_embeddings|n_positions|n_ctx|max_seq_len|max_target_positions|context_length|model_max_length", 64),
    ("state_size|mamba_d_state|ssm_state_size", 8),
    ("(mamba_)?chunk_size", 8),
    ("sliding_window|sliding_window_size|attention_window_size|window_size|attention_chunk_size|local_attention", 4),
)
TOKENS = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "sep_token_id": 2,
    "cls_token_id": 1,
    "mask_token_id": 3,
    "decoder_start_token_id": 1,
    "start_token_id": 1,
    "forced_eos_token_id": None,
    "eod_token_id": 2,
}
# Fields that stay where a family leaves them out, because it derives them.
FILLED = ("num_key_value_heads", "head_dim", "intermediate_size")
_LATENT = {"num_key_value_heads": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8}
_HALF = ["linear_attention", "full_attention"] * 2
# What the sizes alone leave inconsistent, by family.
OVERRIDES = {
    **dict.fromkeys(
        ("axk1", "axk2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "youtu"),
        _LATENT,
    ),
    "bamba": {"attn_layer_indices": [1, 3]},
    "bailing_hybrid": _LATENT | {"layer_types": _HALF, "num_expert_group": 1},
    "blenderbot": {"encoder_layers": BLOCKS},
    "deepseek_v2": _LATENT | {"topk_group": 1, "n_group": 1, "num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "num_experts_per_tok": 2},
    "dots3_note_text": {"num_key_value_heads": 4},
    "gemma3n_text": {"layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "granitemoehybrid": {"layer_types": _HALF},
    "kimi_linear": _LATENT | {"layer_types": _HALF},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8},
    "minicpm3": _LATENT,
    "reformer": {"is_decoder": True, "attn_layers": ["local", "lsh"] * 2, "axial_pos_embds": False},
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "hybrid_layer_ids": [1, 3]},
}


def config_of(family: str, wanted: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A tiny config for a class of this family, which may want the part of the family's config that reads text."""
    whole = CONFIG_MAPPING[family]
    return shrunk(wanted if wanted in getattr(whole, "sub_configs", {}).values() else whole)


def shrunk(kind: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A config of this class with all its sizes made small, and those of the configs in it."""
    parts = getattr(kind, "sub_configs", {})
    fields: dict[str, object] = {}
    for name, parameter in signature(kind.__init__).parameters.items():
        default = getattr(kind, name, None) if parameter.default is Parameter.empty else parameter.default
        if name == "is_decoder":
            fields[name] = True
        elif name in TOKENS and default is not None:
            fields[name] = TOKENS[name]
        elif name in parts and parts[name] is not AutoConfig:
            fields[name] = shrunk(parts[name])
        elif name not in TOKENS and ((type(default) is int and default > 0) or (default is None and name in FILLED)):
            size = next((size for pattern, size in SIZES if re.fullmatch(pattern, name)), None)
            if size is not None:
                fields[name] = size if default is None else min(size, default)
    return kind(**fields | OVERRIDES.get(kind.model_type, {}))
