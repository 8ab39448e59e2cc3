"""The table of how far AVSS, or a part of it, orders the blocks of a row as the loss without each does."""

import pandas as pd

from avss import intervals
from avss.report.comparisons import reading_label, rows_named
from avss.report.losses import beside_losses
from avss.report.markdown import Text, markdown, spell
from avss.report.snapshot import Results


def loss_table(results: Results, row: str, quantity: str) -> Text:
    """Kendall's tau of a quantity of AVSS with the loss, a line for each profile and reading.

    The mean over the seeds with its 95 % interval over seeds, as in the audit; p is for the line alone. The last two
    columns are the blocks with the lowest means.
    """
    lines = []
    for (profile, method, reading, name), (scores, losses) in beside_losses(results, row).items():
        if (method, name) != ("avss", quantity):
            continue
        tau, p = intervals.tau_over_seeds(scores, losses), intervals.p_of_tau(scores, losses)
        lines.append(
            {
                "profile": profile,
                "reading": reading_label(reading),
                "blocks": scores.shape[1],
                "τ with the loss": spell(*tau, digits=2),
                "p, not adjusted": spell(p, digits=3),
                "lowest score": scores.mean(0).argmin(),
                "least loss": losses.mean(0).argmin(),
            }
        )
    columns = ["profile", "reading", "blocks", "τ with the loss", "p, not adjusted", "lowest score", "least loss"]
    note = f"{rows_named(results, row, [line['profile'] for line in lines])}."
    return markdown(pd.DataFrame(lines, columns=columns), note=note)
