"""How the models that ran were trained."""

from avss import mini


def training_of(facts: dict) -> dict:
    """The card of an embedded model, or the training that a run recorded; empty where others trained the model."""
    return mini.card(facts.get("configuration", {}).get("checkpoint", "")) or facts.get("training", {})
