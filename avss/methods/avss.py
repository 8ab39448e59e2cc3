"""AVSS: activation variance over sparsity, Eqs. 1 to 9 of the paper, under an explicit reading."""

from avss.engine.observe import observe
from avss.reading import Reading
from avss.scores import LayerScores, from_moments


def score(model, batches, reading="paper", epsilons=(), histogram=False) -> LayerScores:
    """One forward pass; `epsilons` and `histogram` keep more of the sparsity curve in `.moments`.

    reading: the choices that the equations leave open, by name or as a `Reading`.
    On the site `block_output`, which the paper's text names, a block that returns its input unchanged has the score of
    the block before it, however important that block is. On `block_update` its score is 0.
    """
    reading = Reading.parse(reading)
    return from_moments(observe(model, batches, reading, epsilons=epsilons, histogram=histogram), reading)
