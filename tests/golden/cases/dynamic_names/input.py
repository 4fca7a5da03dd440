# golden: add-before "flor.log("t", t)" flor.log("probe", [epoch, t, lr, momentum])
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (3, 5)
# golden: jumps no
"""globals() and exec with computed names: FLR010."""
import flor

lr, momentum, t = 0.1, 0.5, 0.0
schedule = {2: ("lr", 0.01), 4: ("momentum", 0.9)}
for epoch in range(7):
    if epoch in schedule:
        name, value = schedule[epoch]
        globals()[name] = value
    exec("t += lr * " + str(epoch) + " + momentum")
    flor.log("t", t)
print(t, lr, momentum)
