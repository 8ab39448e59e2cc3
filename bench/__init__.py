"""Scripts that measure the cost of scoring and of pruned models, and what they share (`measuring`)."""
