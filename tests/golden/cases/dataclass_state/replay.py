# golden: add-after "state.record(k, loss)" flor.log("probe", [k, state.steps, state.losses, sorted(state.marks), frozen.steps])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""Dataclasses: defaults, default factories, and replace()."""
from flor.runtime import abi as flor_abi
import dataclasses
from dataclasses import dataclass, field

import flor


@dataclass
class State:
    steps: int = 0
    losses: list = field(default_factory=list)
    marks: set = field(default_factory=set)

    def record(self, k, loss):
        self.steps += 1
        self.losses.append(loss)
        self.marks.add(k % 3)


state = State()
frozen = State()
for k in flor_abi.loop("k", range(8), state=("frozen", "state.steps", "state.losses", "state.marks")):
    loss = 1.0 / (k + 1 + len(state.losses))
    state.record(k, loss)
    frozen = dataclasses.replace(frozen, steps=frozen.steps + k)
    flor.log("loss", loss)
print(state, frozen.steps)
