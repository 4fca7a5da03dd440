# golden: add-before "flor.log("t", t)" flor.log("probe", [epoch, t, lr, momentum])
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (3, 5)
# golden: jumps no
"""globals() and exec with computed names: FLR010."""
from flor.runtime import abi as flor_abi
import flor

lr, momentum, t = 0.1, 0.5, 0.0
schedule = {2: ("lr", 0.01), 4: ("momentum", 0.9)}
for epoch in flor_abi.loop("epoch", range(7), state=("name", "value", "flor", "lr", "momentum", "schedule", "t")):
    if epoch in schedule:
        name, value = schedule[epoch]
        globals()[name] = value
    exec("t += lr * " + str(epoch) + " + momentum")
    flor.log("t", t)
print(t, lr, momentum)
