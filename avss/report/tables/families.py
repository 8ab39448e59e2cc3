"""The tables of model families, from the survey that `bench/families.py` wrote."""

import pandas as pd

from avss.report.markdown import Text, markdown, table_or_note
from avss.report.snapshot import Results

SITES = ("attention_output", "mlp_output", "mlp_hidden")


def survey(results: Results) -> pd.DataFrame:
    """A row a family; all columns are text, empty where nothing was measured. No rows where there is no file."""
    path = results.benchmarks / "families.csv"
    if not path.is_file():
        return pd.DataFrame(columns=["family", "runs", "passes", "sites", "methods", "removed", "reason"])
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def families_count(results: Results) -> Text:
    """How many families were tried, ran, and did all that counts, in a sentence."""
    table = survey(results)
    if table.empty:
        return table_or_note([])
    runs, passes = table[table["runs"] == "yes"], table[table["passes"] == "yes"]
    versions = ", ".join(f"{name} {table[name].iloc[0]}" for name in ("transformers", "torch"))
    return Text(
        f"Of {len(table)} causal families, {len(runs)} ran on a CPU as a tiny random model, and {len(passes)} of these "
        f"({100 * len(passes) / len(runs):.0f} %) passed. Measured with {versions}.\n"
    )


def families_table(results: Results) -> Text:
    """Families that ran: their sites, and the methods that do not work; then the reason for the first fault."""
    table = survey(results)
    every = max(table["methods"], key=len, default="").split()
    lines = [
        {
            "family": f"`{row['family']}`",
            "passes": row["passes"],
            "sites": "all" if row["sites"].endswith(" ".join(SITES)) else ", ".join(row["sites"].split()) or "none",
            "methods": _methods(row["methods"].split(), every),
            "removed": row["removed"].replace(" ", ", "),
            "first reason": row["reason"],
        }
        for _, row in table[table["runs"] == "yes"].iterrows()
    ]
    return markdown(pd.DataFrame(lines))


def families_left_out(results: Results) -> Text:
    """Families whose tiny model did not run, with the reason."""
    table = survey(results)
    left = table[table["runs"] != "yes"]
    return markdown(pd.DataFrame({"family": [f"`{name}`" for name in left["family"]], "reason": list(left["reason"])}))


def _methods(work: list[str], every: list[str]) -> str:
    missing = [method for method in every if method not in work]
    if not missing:
        return "all"
    return f"all but {', '.join(missing)}" if work else "none"


TABLES = {
    "families_count": families_count,
    "families_table": families_table,
    "families_left_out": families_left_out,
}
