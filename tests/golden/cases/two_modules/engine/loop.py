"""The loop."""
import random

import flor

from . import state as states


def fit(config):
    """Train as the config says."""
    random.seed(config.seed)
    state = states.State()
    for step in range(config.steps):
        state.apply(random.gauss(0, 1))
        flor.log("value", state.value)
    print("calls", states.calls)
    return state
