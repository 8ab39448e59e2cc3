"""Healing of pruned models: LoRA in all blocks that are left, on plain text (`text`, `recovering`)."""
