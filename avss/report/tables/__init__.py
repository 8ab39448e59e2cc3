"""Every table of the book as Markdown, from the results alone, without torch: one module a page, as in `figures`.

`TABLES` are those that pages include, by the name of their file. Notebooks call the others too.
"""

from avss.report.markdown import Text, markdown, percent, runs_of, spell
from avss.report.tables import (
    audit,
    cost,
    coverage,
    explorer,
    families,
    generations,
    hallucination,
    models,
    overview,
    readings,
    rows,
    speed,
    table_1,
)
from avss.report.tables.curves import compensation_table, curve_table, iteration_table, points_table
from avss.report.tables.losses import loss_table
from avss.report.tables.overview import glance_table, rows_table
from avss.report.tables.readings import reading_table
from avss.report.tables.recovery import recovery_table
from avss.report.tables.rows import (
    agreement_table,
    basis_table,
    claim_table,
    difference_table,
    removal_table,
    retention_table,
    score_table,
)

TABLES = {
    name: table
    for page in (
        rows,
        overview,
        models,
        families,
        readings,
        table_1,
        audit,
        coverage,
        cost,
        speed,
        explorer,
        generations,
    )
    for name, table in page.TABLES.items()
}
__all__ = [
    "TABLES",
    "Text",
    "agreement_table",
    "basis_table",
    "claim_table",
    "compensation_table",
    "curve_table",
    "difference_table",
    "glance_table",
    "hallucination",
    "iteration_table",
    "loss_table",
    "markdown",
    "percent",
    "points_table",
    "reading_table",
    "recovery_table",
    "removal_table",
    "retention_table",
    "rows_table",
    "runs_of",
    "score_table",
    "spell",
]
