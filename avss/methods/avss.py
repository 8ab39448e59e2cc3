"""AVSS: activation variance over sparsity, Eqs. 1 to 9 of the paper, under an explicit reading."""

from avss.engine.observe import observe
from avss.reading import Reading
from avss.scores import LayerScores, from_moments


def score(model, batches, reading="paper", epsilons=(), histogram=False) -> LayerScores:
    """One forward pass; `epsilons` and `histogram` keep more of the sparsity curve in `.moments`.

    reading: the choices that the equations leave open, by name or as a `Reading`.
    On the site `block_output`, which the paper's text names, a block that hands its input on unchanged scores as the
    one before it, however important that is; on `block_update` it scores 0.
    """
    reading = Reading.parse(reading)
    return from_moments(observe(model, batches, reading, epsilons=epsilons, histogram=histogram), reading)
