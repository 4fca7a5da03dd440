"""How the process's random streams were seeded where the script itself doesn't say.

Python, NumPy and PyTorch seed their global streams from the system.  A replay that runs the code
before the first loop again has to draw the same numbers there.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

FILE = "seeds.json"


def python_state() -> Any:
    """The state of `random`'s stream; to be taken before the script runs."""
    return random.getstate()


def save(path: Path, python: Any) -> None:
    """Note how the streams of the libraries that are imported by now were seeded.

    If the script has seeded one meanwhile, that seed is found, and it does no harm.
    """
    found: dict[str, Any] = {"python": python}
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy.random")
    if torch is not None and hasattr(torch, "default_generator"):
        found["torch"] = torch.default_generator.initial_seed()
    sequence = _sequence(numpy) if numpy is not None else None
    if sequence is not None:
        found["numpy"] = sequence.entropy
    path.write_text(json.dumps(found), encoding="utf-8")


def restore(path: Path) -> None:
    """Seed the streams as they were.  Raises OSError, ValueError, ImportError."""
    found = json.loads(path.read_text(encoding="utf-8"))
    version, inner, gauss = found["python"]
    random.setstate((version, tuple(inner), gauss))
    if "torch" in found:
        import torch

        torch.default_generator.manual_seed(found["torch"])
    if "numpy" in found:
        import numpy as np

        made = np.random.MT19937(np.random.SeedSequence(found["numpy"]))
        _generator(np.random).state = made.state


def _sequence(numpy: Any) -> Any:
    """What NumPy's global stream was seeded from; None if the script has seeded it."""
    generator = _generator(numpy)
    return getattr(generator, "seed_seq", None) or getattr(generator, "_seed_seq", None)


def _generator(numpy: Any) -> Any:
    return numpy.mtrand._rand._bit_generator
