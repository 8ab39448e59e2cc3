"""Rows: a model, a task and data, scored by every method, pruned and evaluated, and kept in the store."""
