"""Scripts that measure the cost of scoring and of pruned models, and their shared parts (`measuring`)."""
