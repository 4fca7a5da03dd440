"""The loop."""
from flor.runtime import abi as flor_abi
import random

import flor

from . import state as states


def fit(config):
    """Train as the config says."""
    random.seed(config.seed)
    state = states.State()
    for step in flor_abi.loop("step", range(config.steps), state=("engine.state:calls", "state.value", "state.updates", "state.trace")):
        state.apply(random.gauss(0, 1))
        flor.log("value", state.value)
    print("calls", states.calls)
    return state
