"""Hallucination-prone layers: EAVSS, its yardsticks, and contrastive healing of the layers that it marks.

EAVSS is of arXiv 2411.10069, whose formulas are not public. All definitions here are our operationalisation.
"""
