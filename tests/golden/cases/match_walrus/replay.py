# golden: add-before "match event:" flor.log("probe", [n, total, mode, stack[-1]])
# golden: query SELECT n, probe FROM logs WHERE n IN (3, 6)
"""match statements and assignment expressions bind names as well."""
from flor.runtime import abi as flor_abi
import flor

events = [("push", 3), ("scale", 2.0), {"mode": "fast"}, ("push", 5), ("pop",), 7, ("push", 1), {"mode": "slow", "gain": 3}]
stack = [1.0]
total, mode = 0.0, "plain"
gain = 1
last = None
n = 0
flor_n = flor_abi.while_loop("n", state=("event", "mode", "gain", "last", "total", "peak", "n", "stack"))
while flor_n.head() and (n < len(events) and (event := events[n]) is not None):
    match event:
        case ("push", x):
            stack.append(x * gain)
        case ("scale", float(factor)) if factor > 1:
            stack[:] = [v * factor for v in stack]
        case {"mode": mode, **rest}:
            gain = rest.get("gain", gain + 1)
        case ("pop",):
            last = stack.pop()
        case int(last):
            total -= last
    if (peak := max(stack)) > 4:
        total += peak
    flor.log("total", total)
    n += 1
flor_n.end()
print(total, mode, stack, last, gain, peak, event)
