"""Imported under a computed name."""


def polish(x, memo):
    """A step that also counts."""
    memo["calls"] += 1
    return x - 0.1 * memo["calls"]
