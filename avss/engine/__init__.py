"""Running a model: what its blocks compute, what changes without them, gradients and relevance.

Nothing here knows a method, a task, or a file of results.
"""
