# golden: add-after "state = fit(config)" flor.log("probe", state.value)
# golden: query SELECT probe FROM logs
"""The loop is in another module of the project."""
import flor
from engine.loop import fit
from engine.state import Config

config = Config(steps=6, seed=11)
state = fit(config)
flor.log("final", [state.value, state.updates])
print(f"{state.value:.6f}", state.updates, len(state.trace))
