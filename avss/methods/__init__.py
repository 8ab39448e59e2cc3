"""The methods: `catalogue` holds their facts, each file one function, and `score` is the one door to all of them."""

from avss.methods.catalogue import METHODS, Method, method_named


def __getattr__(name: str):
    # Tables and estimates read the catalogue where torch is not installed.
    if name != "score":
        raise AttributeError(f"module 'avss.methods' has no attribute {name!r}")
    from avss.methods.scoring import score

    return score


__all__ = ["METHODS", "Method", "method_named", "score"]
